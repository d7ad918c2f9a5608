//! Checks of gradients against central differences, for the kernels' tests.

/// Reproducible values in [-1, 1).
pub fn noise(len: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9).wrapping_add(1);
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

/// Asserts that two lists agree up to `tolerance`, relative for values above one.
pub fn assert_close(actual: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(actual.len(), expected.len());
    for (i, (a, e)) in actual.iter().zip(expected).enumerate() {
        let error = (a - e).abs() / e.abs().max(1.0);
        assert!(error <= tolerance, "value {i} is {a}, expected {e}");
    }
}

/// Asserts that `backward` gives the right gradient for every element of every input, taking as
/// loss a fixed weighted sum of what `forward` makes of them; and that a second run gives the same
/// bits. `backward` takes the inputs and the gradient of the outputs.
pub(super) fn assert_gradients(
    inputs: &[Vec<f32>],
    forward: impl Fn(&[Vec<f32>]) -> Vec<f32>,
    backward: impl Fn(&[Vec<f32>], &[f32]) -> Vec<Vec<f32>>,
) {
    let weights = noise(forward(inputs).len(), 99);
    let loss = |inputs: &[Vec<f32>]| -> f64 {
        let pairs = forward(inputs).into_iter().zip(&weights);
        pairs.map(|(o, w)| f64::from(o) * f64::from(*w)).sum()
    };
    let first = backward(inputs, &weights);
    assert_eq!(first.len(), inputs.len());
    for (index, input) in inputs.iter().enumerate() {
        let numeric = (0..input.len()).map(|element| {
            const STEP: f32 = 1e-2;
            let loss_at = |offset: f32| {
                let mut moved = inputs.to_vec();
                moved[index][element] += offset;
                loss(&moved)
            };
            ((loss_at(STEP) - loss_at(-STEP)) / (2.0 * f64::from(STEP))) as f32
        });
        assert_close(&first[index], &numeric.collect::<Vec<_>>(), 2e-3);
    }
    assert_eq!(first, backward(inputs, &weights), "two runs differ");
}
