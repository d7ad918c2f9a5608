//! The activation of BERT, in its exact form: `x·Φ(x)` element by element, `Φ` being the standard
//! normal's distribution function (Hendrycks & Gimpel 2016, arXiv:1606.08415), not its approximation
//! by `tanh`. The bias of the layer before is added on the way.

use rayon::prelude::*;

use super::error::{ComputeError, check_len};
use super::reduce::{accumulate, block_len, sum_partials};
use super::transcendental::{normal_cdf, normal_density};
use super::vectorise::vectorise;

/// With `z = x + bias` for each row of `x: [rows, bias.len()]`: writes `gelu(z)` to `y` and leaves
/// the slope `gelu'(z) = Φ(z) + z·φ(z)` in `x`, all that the backward pass needs.
pub fn gelu_and_slope(y: &mut [f32], x: &mut [f32], bias: &[f32]) -> Result<(), ComputeError> {
    check_len("gelu", y.len(), x.len())?;
    let width = bias.len().max(1);
    let block = block_len(width);
    y.par_chunks_mut(block).zip(x.par_chunks_mut(block)).for_each(|(y, x)| {
        vectorise!({
            for (y, x) in y.chunks_exact_mut(width).zip(x.chunks_exact_mut(width)) {
                for ((y, x), bias) in y.iter_mut().zip(x).zip(bias) {
                    let z = *x + bias;
                    let cdf = normal_cdf(z);
                    *y = z * cdf;
                    *x = z.mul_add(normal_density(z), cdf);
                }
            }
        });
    });
    Ok(())
}

/// `x = gelu(x + bias)` for each row, where no backward pass follows.
pub fn gelu_in_place(x: &mut [f32], bias: &[f32]) {
    let width = bias.len().max(1);
    x.par_chunks_mut(block_len(width)).for_each(|x| {
        vectorise!({
            for x in x.chunks_exact_mut(width) {
                for (x, bias) in x.iter_mut().zip(bias) {
                    let z = *x + bias;
                    *x = z * normal_cdf(z);
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
    check_len("gelu's slope", slope.len(), gradient.len())?;
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
        gelu_and_slope(&mut values, &mut slopes, &[0.0]).unwrap();
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
        let inputs = [noise(70 * 3, 1).iter().map(|x| 3.0 * x).collect(), noise(3, 2)];
        let forward = |t: &[Vec<f32>]| {
            let (mut y, mut x) = (vec![f32::NAN; t[0].len()], t[0].clone());
            gelu_and_slope(&mut y, &mut x, &t[1]).unwrap();
            y
        };
        assert_gradients(&inputs, forward, |t, dy| {
            let (mut y, mut slope) = (vec![f32::NAN; t[0].len()], t[0].clone());
            gelu_and_slope(&mut y, &mut slope, &t[1]).unwrap();
            let mut dx = dy.to_vec();
            let bias = multiply_by_slope(&mut dx, &slope, 3).unwrap();
            vec![dx, bias]
        });
    }

    #[test]
    fn is_the_same_with_and_without_a_backward_pass() {
        let (x, bias) = (noise(40 * 8, 1), noise(8, 2));
        let (mut y, mut slope, mut alone) = (vec![f32::NAN; x.len()], x.clone(), x);
        gelu_and_slope(&mut y, &mut slope, &bias).unwrap();
        gelu_in_place(&mut alone, &bias);
        assert_close(&alone, &y, 1e-6);
        assert!(gelu_and_slope(&mut y[1..], &mut slope, &bias).is_err());
        assert!(multiply_by_slope(&mut y, &slope[1..], 8).is_err());
    }
}
