//! A gated feed-forward network's inner values: the activation of one half times the other half
//! (Shazeer 2020, arXiv:2002.05202).

use rayon::prelude::*;

use super::activation::with_formula;
use super::error::{ComputeError, check_len};
use super::reduce::block_len;
use super::vectorise::vectorise;
use crate::architecture::Activation;

/// `y = f(z₁)·z₂` for each row of `z: [rows, 2·width]`, its halves being `z₁` and `z₂`, with `y: [rows,
/// width]`.
pub fn gate(
    activation: Activation,
    y: &mut [f32],
    z: &[f32],
    width: usize,
) -> Result<(), ComputeError> {
    check_len("a gate", z.len(), 2 * y.len())?;
    with_formula!(activation, forward(y, z, width.max(1)));
    Ok(())
}

fn forward(y: &mut [f32], z: &[f32], width: usize, formula: impl Fn(f32) -> (f32, f32) + Sync) {
    let blocks = y.par_chunks_mut(block_len(width)).zip(z.par_chunks(block_len(2 * width)));
    blocks.for_each(|(y, z)| {
        vectorise!({
            for (y, z) in y.chunks_exact_mut(width).zip(z.chunks_exact(2 * width)) {
                let (input, gate) = z.split_at(width);
                for ((y, input), gate) in y.iter_mut().zip(input).zip(gate) {
                    *y = formula(*input).0 * gate;
                }
            }
        });
    });
}

/// Turns `z` into its gradient, given that of the result, `dy`.
pub fn gate_gradient(
    activation: Activation,
    z: &mut [f32],
    dy: &[f32],
    width: usize,
) -> Result<(), ComputeError> {
    check_len("a gate's gradient", z.len(), 2 * dy.len())?;
    with_formula!(activation, backward(z, dy, width.max(1)));
    Ok(())
}

fn backward(z: &mut [f32], dy: &[f32], width: usize, formula: impl Fn(f32) -> (f32, f32) + Sync) {
    let blocks = z.par_chunks_mut(block_len(2 * width)).zip(dy.par_chunks(block_len(width)));
    blocks.for_each(|(z, dy)| {
        vectorise!({
            for (z, dy) in z.chunks_exact_mut(2 * width).zip(dy.chunks_exact(width)) {
                let (input, gate) = z.split_at_mut(width);
                for ((input, gate), dy) in input.iter_mut().zip(gate).zip(dy) {
                    let (value, slope) = formula(*input);
                    *input = dy * *gate * slope;
                    *gate = dy * value;
                }
            }
        });
    });
}

#[cfg(test)]
mod tests {
    use super::super::gradient_check::{assert_gradients, noise};
    use super::*;

    #[test]
    fn gradients_are_right() {
        for activation in [Activation::Gelu, Activation::GeluTanh] {
            let forward = |t: &[Vec<f32>]| {
                let mut y = vec![f32::NAN; t[0].len() / 2];
                gate(activation, &mut y, &t[0], 3).unwrap();
                y
            };
            assert_gradients(&[noise(40 * 6, 1)], forward, |t, dy| {
                let mut dz = t[0].clone();
                gate_gradient(activation, &mut dz, dy, 3).unwrap();
                vec![dz]
            });
        }
    }

    #[test]
    fn one_half_opens_the_other() {
        let mut y = [0.0; 2];
        gate(Activation::Relu, &mut y, &[2.0, -1.0, 3.0, 5.0], 2).unwrap();
        assert_eq!(y, [6.0, 0.0]);
        assert!(gate(Activation::Relu, &mut y, &[1.0; 3], 2).is_err());
        assert!(gate_gradient(Activation::Relu, &mut [1.0; 3], &y, 2).is_err());
    }
}
