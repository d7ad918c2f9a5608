//! Activations, element by element. The bias of the layer before is added on the way.

use rayon::prelude::*;

use super::error::{ComputeError, check_len};
use super::reduce::{accumulate, block_len, sum_partials};
use super::transcendental::{exp, normal_cdf, normal_density};
use super::vectorise::vectorise;
use crate::architecture::Activation;

/// `x·Φ(x)` and its slope, `Φ` being the standard normal's distribution function (Hendrycks & Gimpel
/// 2016, arXiv:1606.08415).
#[inline(always)]
pub(super) fn gelu(z: f32) -> (f32, f32) {
    let cdf = normal_cdf(z);
    (z * cdf, z.mul_add(normal_density(z), cdf))
}

/// GELU's approximation `x/2·(1 + tanh(√(2/π)·(x + 0.044715·x³)))` and its slope.
#[inline(always)]
pub(super) fn gelu_tanh(z: f32) -> (f32, f32) {
    /// `√(2/π)`
    const FACTOR: f32 = 0.797_884_6;
    const CUBE: f32 = 0.044_715;
    let square = z * z;
    let inner = FACTOR * z * square.mul_add(CUBE, 1.0);
    let share = 1.0 / (1.0 + exp(-2.0 * inner));
    // With s = (1 + tanh(u))/2, tanh'(u) = 4·s·(1 - s).
    let slope = FACTOR * square.mul_add(3.0 * CUBE, 1.0);
    (z * share, (2.0 * z * slope * share).mul_add(1.0 - share, share))
}

#[inline(always)]
pub(super) fn relu(z: f32) -> (f32, f32) {
    if z > 0.0 { (z, 1.0) } else { (0.0, 0.0) }
}

/// Calls a generic function with the activation's formula, so that its loops are compiled for each.
macro_rules! with_formula {
    ($activation:expr, $function:ident($($argument:expr),*)) => {
        match $activation {
            Activation::Gelu => $function($($argument,)* $crate::training::ops::activation::gelu),
            Activation::GeluTanh => {
                $function($($argument,)* $crate::training::ops::activation::gelu_tanh)
            }
            Activation::Relu => $function($($argument,)* $crate::training::ops::activation::relu),
        }
    };
}
pub(super) use with_formula;

/// With `z = x + bias` for each row of `x: [rows, bias.len()]`: writes `f(z)` to `y` and leaves the
/// slope `f'(z)` in `x`, all that the backward pass needs.
pub fn activate_and_slope(
    activation: Activation,
    y: &mut [f32],
    x: &mut [f32],
    bias: &[f32],
) -> Result<(), ComputeError> {
    check_len("an activation", y.len(), x.len())?;
    with_formula!(activation, both(y, x, bias));
    Ok(())
}

fn both(y: &mut [f32], x: &mut [f32], bias: &[f32], formula: impl Fn(f32) -> (f32, f32) + Sync) {
    let width = bias.len().max(1);
    let block = block_len(width);
    y.par_chunks_mut(block).zip(x.par_chunks_mut(block)).for_each(|(y, x)| {
        vectorise!({
            for (y, x) in y.chunks_exact_mut(width).zip(x.chunks_exact_mut(width)) {
                for ((y, x), bias) in y.iter_mut().zip(x).zip(bias) {
                    (*y, *x) = formula(*x + bias);
                }
            }
        });
    });
}

/// `x = f(x + bias)` for each row, where no backward pass follows.
pub fn activate_in_place(activation: Activation, x: &mut [f32], bias: &[f32]) {
    with_formula!(activation, value(x, bias));
}

fn value(x: &mut [f32], bias: &[f32], formula: impl Fn(f32) -> (f32, f32) + Sync) {
    let width = bias.len().max(1);
    x.par_chunks_mut(block_len(width)).for_each(|x| {
        vectorise!({
            for x in x.chunks_exact_mut(width) {
                for (x, bias) in x.iter_mut().zip(bias) {
                    *x = formula(*x + bias).0;
                }
            }
        });
    });
}

/// `gradient *= slope`, and the sum of each of its `width` columns thereafter: the bias's gradient.
pub fn multiply_by_slope(
    gradient: &mut [f32],
    slope: &[f32],
    width: usize,
) -> Result<Vec<f32>, ComputeError> {
    check_len("an activation's slope", slope.len(), gradient.len())?;
    let block = block_len(width);
    let blocks = gradient.par_chunks_mut(block).zip(slope.par_chunks(block));
    let partials = blocks.map(|(gradient, slope)| {
        let mut sums = vec![0.0; width];
        vectorise!({
            for (g, slope) in gradient.iter_mut().zip(slope) {
                *g *= slope;
            }
            for row in gradient.chunks_exact(width) {
                accumulate(&mut sums, row);
            }
        });
        sums
    });
    Ok(sum_partials(partials.collect(), width))
}

#[cfg(test)]
mod tests {
    use super::super::gradient_check::{assert_close, assert_gradients, noise};
    use super::*;

    /// `(x, gelu(x), gelu'(x))`; digits from a computation with 30 significant places.
    const TABLE: &[(f32, f64, f64)] = &[
        (-10.0, -0.0, -0.0),
        (-6.0, -0.000000005919, -0.000000035468),
        (-5.0, -0.000001433257, -0.000007146946),
        (-4.0, -0.000126684967, -0.000503649661),
        (-3.0, -0.004049694094, -0.011945647204),
        (-2.0, -0.045500263896, -0.085231801078),
        (-1.5, -0.100210801903, -0.127469192229),
        (-1.0, -0.158655253931, -0.083315470587),
        (-0.75, -0.169970514282, 0.00077427826),
        (-0.5, -0.154268769362, 0.132504875343),
        (-0.125, -0.056282721896, 0.400782064301),
        (-0.0009765625, -0.000487900789, 0.499220816106),
        (0.0, 0.0, 0.5),
        (0.0009765625, 0.00048866171, 0.500779183893),
        (0.125, 0.068717278103, 0.599217935698),
        (0.5, 0.345731230637, 0.867495124656),
        (0.75, 0.580029485717, 0.999225721739),
        (1.0, 0.841344746068, 1.083315470587),
        (1.5, 1.399789198096, 1.127469192229),
        (2.0, 1.954499736103, 1.085231801078),
        (3.0, 2.995950305905, 1.011945647204),
        (4.0, 3.999873315032, 1.000503649661),
        (5.0, 4.999998566742, 1.000007146946),
        (6.0, 5.99999999408, 1.000000035468),
        (10.0, 10.0, 1.0),
    ];

    #[test]
    fn agrees_with_the_true_values() {
        let xs: Vec<f32> = TABLE.iter().map(|(x, ..)| *x).collect();
        let (mut values, mut slopes) = (vec![f32::NAN; xs.len()], xs);
        activate_and_slope(Activation::Gelu, &mut values, &mut slopes, &[0.0]).unwrap();
        for (((x, gelu, slope), y), dy) in TABLE.iter().zip(values).zip(slopes) {
            let scale = f64::from(x.abs().max(1.0));
            let error = (f64::from(y) - gelu).abs() / scale;
            assert!(error < 5e-7, "gelu({x}) is {y}, expected {gelu}");
            let error = (f64::from(dy) - slope).abs();
            assert!(error < 1e-6, "gelu'({x}) is {dy}, expected {slope}");
        }
    }

    #[test]
    fn gradients_are_right() {
        check(Activation::Gelu);
        check(Activation::GeluTanh);
    }

    #[test]
    fn relu_lets_positive_values_through() {
        let (mut y, mut x) = ([0.0; 4], [-1.0, 0.5, 2.0, -0.5]);
        activate_and_slope(Activation::Relu, &mut y, &mut x, &[0.0, 1.0]).unwrap();
        assert_eq!((y, x), ([0.0, 1.5, 2.0, 0.5], [0.0, 1.0, 1.0, 1.0]));
    }

    fn check(activation: Activation) {
        let inputs = [noise(70 * 3, 1).iter().map(|x| 3.0 * x).collect(), noise(3, 2)];
        let forward = |t: &[Vec<f32>]| {
            let (mut y, mut x) = (vec![f32::NAN; t[0].len()], t[0].clone());
            activate_and_slope(activation, &mut y, &mut x, &t[1]).unwrap();
            y
        };
        assert_gradients(&inputs, forward, |t, dy| {
            let (mut y, mut slope) = (vec![f32::NAN; t[0].len()], t[0].clone());
            activate_and_slope(activation, &mut y, &mut slope, &t[1]).unwrap();
            let mut dx = dy.to_vec();
            let bias = multiply_by_slope(&mut dx, &slope, 3).unwrap();
            vec![dx, bias]
        });
    }

    #[test]
    fn is_the_same_with_and_without_a_backward_pass() {
        let (x, bias) = (noise(40 * 8, 1), noise(8, 2));
        let (mut y, mut slope, mut alone) = (vec![f32::NAN; x.len()], x.clone(), x);
        activate_and_slope(Activation::Gelu, &mut y, &mut slope, &bias).unwrap();
        activate_in_place(Activation::Gelu, &mut alone, &bias);
        assert_close(&alone, &y, 1e-6);
        assert!(activate_and_slope(Activation::Gelu, &mut y[1..], &mut slope, &bias).is_err());
        assert!(multiply_by_slope(&mut y, &slope[1..], 8).is_err());
    }

    #[test]
    fn the_approximation_agrees_with_its_definition() {
        let inner = |x: f64| (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3));
        for at in -80..=80 {
            let x = f64::from(at) * 0.1;
            let expected = 0.5 * x * (1.0 + inner(x).tanh());
            let (found, _) = gelu_tanh(x as f32);
            assert!((f64::from(found) - expected).abs() < 2e-6, "{x}: {found}, {expected}");
        }
    }
}
