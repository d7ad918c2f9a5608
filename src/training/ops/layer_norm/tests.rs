//! Norms against their definition and against finite differences.

use super::super::gradient_check::{assert_close, assert_gradients, noise};
use super::*;

/// A pass over copies of the inputs: output, normalised rows, scales.
fn forward(x: &[f32], weight: &[f32], bias: &[f32], epsilon: f32) -> [Vec<f32>; 3] {
    let (mut output, mut normalised) = (vec![f32::NAN; x.len()], x.to_vec());
    let mut scales = vec![f32::NAN; x.len() / weight.len()];
    let rows = Normalised { output: &mut output, normalised: &mut normalised, scales: &mut scales };
    Norm { weight, bias, epsilon }.apply(rows).unwrap();
    [output, normalised, scales]
}

/// Inputs are `x`, its bias, the residual, and the norm's weight and bias.
fn branch(t: &[Vec<f32>], mask: Mask) -> [Vec<f32>; 3] {
    let (mut output, mut normalised) = (vec![f32::NAN; t[0].len()], vec![f32::NAN; t[0].len()]);
    let mut scales = vec![f32::NAN; t[0].len() / t[1].len()];
    let rows = Normalised { output: &mut output, normalised: &mut normalised, scales: &mut scales };
    let branch = Branch { x: &t[0], bias: &t[1], residual: &t[2], mask };
    let norm = Norm { weight: &t[3], bias: &t[4], epsilon: 0.5 };
    norm.apply_to_branch(rows, branch).unwrap();
    [output, normalised, scales]
}

#[test]
fn agrees_with_the_definition() {
    let (rows, width) = (ROWS_PER_BLOCK + 5, 8);
    let (x, w, b) = (noise(rows * width, 1), noise(width, 2), noise(width, 3));
    let mut expected = Vec::new();
    for row in x.chunks_exact(width) {
        let mean = row.iter().sum::<f32>() / width as f32;
        let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / width as f32;
        let normalised = row.iter().map(|x| (x - mean) / (variance + 1e-5).sqrt());
        expected.extend(normalised.zip(&w).zip(&b).map(|((n, w), b)| n * w + b));
    }
    assert_close(&forward(&x, &w, &b, 1e-5)[0], &expected, 1e-5);
}

#[test]
fn gradients_are_right() {
    // Spread wide, so that differences over a step of 1e-2 are nearly straight.
    let wide: Vec<f32> = noise(5 * 8, 1).iter().map(|x| 2.0 * x).collect();
    for inputs in [[wide, noise(8, 2), noise(8, 3)], [noise(37 * 3, 4), noise(3, 5), noise(3, 6)]] {
        let [y, ..] = [|t: &[Vec<f32>]| forward(&t[0], &t[1], &t[2], 0.5)[0].clone()];
        assert_gradients(&inputs, y, |t, dy| {
            let [_, normalised, scales] = forward(&t[0], &t[1], &t[2], 0.5);
            let pass = NormPass { normalised: &normalised, scales: &scales, weight: &t[1] };
            let mut dx = dy.to_vec();
            let gradients = pass.differentiate(&mut dx).unwrap();
            vec![dx, gradients.weight, gradients.bias]
        });
    }
}

#[test]
fn gradients_of_a_branch_are_right() {
    let (rows, width) = (37, 4);
    let (len, seed) = (rows * width, 5);
    let inputs = [noise(len, 1), noise(width, 2), noise(len, 3), noise(width, 4), noise(width, 5)];
    for p in [0.0, 0.4] {
        let mask = Mask::new(p, seed).unwrap();
        let [y] = [|t: &[Vec<f32>]| branch(t, mask)[0].clone()];
        assert_gradients(&inputs, y, |t, dy| {
            let [_, normalised, scales] = branch(t, mask);
            let pass = NormPass { normalised: &normalised, scales: &scales, weight: &t[3] };
            let (mut residual, mut x) = (dy.to_vec(), vec![f32::NAN; len]);
            let sums = pass.differentiate_branch(&mut residual, &mut x, mask).unwrap();
            vec![x, sums.branch_bias, residual, sums.weight, sums.bias]
        });
    }
}

#[test]
fn a_branch_is_dropped_where_the_mask_says() {
    let (len, width) = (40 * 8, 8);
    let inputs = [noise(len, 1), noise(8, 2), noise(len, 3), noise(8, 4), noise(8, 5)];
    let mask = Mask::new(0.4, 5).unwrap();
    let mut sum = inputs[0].clone();
    for (at, x) in sum.iter_mut().enumerate() {
        *x += inputs[1][at % width];
    }
    mask.apply(&mut sum, width);
    accumulate(&mut sum, &inputs[2]);
    let [expected, ..] = forward(&sum, &inputs[3], &inputs[4], 0.5);
    assert_close(&branch(&inputs, mask)[0], &expected, 1e-5);
}

#[test]
fn refuses_shapes_that_disagree() {
    let (w, mut a, mut b) = (noise(8, 2), noise(40, 1), noise(40, 1));
    let mut apply = |bias: &[f32], rows: usize, scales: usize| {
        let (output, normalised) = (&mut a[..rows], &mut b[..]);
        let rows = Normalised { output, normalised, scales: &mut vec![0.0; scales] };
        Norm { weight: &w, bias, epsilon: 1e-5 }.apply(rows).is_ok()
    };
    assert!(apply(&w, 40, 5));
    assert!(!apply(&w[1..], 40, 5));
    assert!(!apply(&w, 32, 5));
    assert!(!apply(&w, 40, 4));
}
