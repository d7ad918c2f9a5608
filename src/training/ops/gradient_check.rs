//! Checks of gradients against central differences, for the operations' tests.

use candle_core::{Result, Tensor, Var};

use super::values::{read, tensor};

/// Reproducible values in [-1, 1).
pub(super) fn noise(len: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9).wrapping_add(1);
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

/// A variable of [`noise`].
pub(super) fn noise_var(shape: &[usize], seed: u32) -> Result<Var> {
    Var::from_tensor(&tensor(noise(shape.iter().product(), seed), shape)?)
}

/// Asserts that two lists agree up to `tolerance`, relative for values above one.
pub(super) fn assert_close(actual: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(actual.len(), expected.len());
    for (i, (a, e)) in actual.iter().zip(expected).enumerate() {
        let error = (a - e).abs() / e.abs().max(1.0);
        assert!(error <= tolerance, "value {i} is {a}, expected {e}");
    }
}

/// Asserts that `operation` has the right gradient for every element of every input, taking as loss
/// a fixed weighted sum of its results; and that a second run gives the same bits.
pub(super) fn assert_gradients(
    inputs: &[Var],
    operation: impl Fn(&[Tensor]) -> Result<Tensor>,
) -> Result<()> {
    let first = gradients(inputs, &operation)?;
    for (index, input) in inputs.iter().enumerate() {
        let values = read(input)?.to_vec();
        let numeric = (0..values.len()).map(|element| {
            const STEP: f32 = 1e-2;
            let loss_at = |offset: f32| {
                let mut moved = values.clone();
                moved[element] += offset;
                let mut tensors: Vec<Tensor> =
                    inputs.iter().map(|v| v.as_tensor().clone()).collect();
                tensors[index] = tensor(moved, input.shape())?;
                loss(&operation(&tensors)?)
            };
            Ok(((loss_at(STEP)? - loss_at(-STEP)?) / (2.0 * f64::from(STEP))) as f32)
        });
        assert_close(&first[index], &numeric.collect::<Result<Vec<_>>>()?, 2e-3);
    }
    assert_eq!(first, gradients(inputs, &operation)?, "two runs differ");
    Ok(())
}

/// The gradients that candle finds, one list per input.
fn gradients(
    inputs: &[Var],
    operation: impl Fn(&[Tensor]) -> Result<Tensor>,
) -> Result<Vec<Vec<f32>>> {
    let tensors: Vec<Tensor> = inputs.iter().map(|v| v.as_tensor().clone()).collect();
    let output = operation(&tensors)?;
    let weights = tensor(noise(output.elem_count(), 99), output.shape())?;
    let store = (output * weights)?.sum_all()?.backward()?;
    let gradient_of = |var: &Var| match store.get(var) {
        Some(gradient) => Ok(read(&gradient.contiguous()?)?.to_vec()),
        None => candle_core::bail!("an input of shape {:?} has no gradient", var.shape()),
    };
    inputs.iter().map(gradient_of).collect()
}

/// The loss of [`gradients`], in double precision.
fn loss(output: &Tensor) -> Result<f64> {
    let output = output.contiguous()?;
    let output = read(&output)?;
    let weights = noise(output.len(), 99);
    Ok(output.iter().zip(weights).map(|(o, w)| f64::from(*o) * f64::from(w)).sum())
}
