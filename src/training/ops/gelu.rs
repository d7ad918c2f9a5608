//! The activation of BERT, in its exact form.

#[cfg(test)]
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::transcendental::{normal_cdf, normal_density};
#[cfg(test)]
use super::values::{read, tensor, values};
use super::vectorise::vectorise;

/// Values per unit of parallel work: enough to hide its cost, few enough to stay in a core's cache.
const BLOCK: usize = 8192;

/// `x·Φ(x)` element by element, `Φ` being the standard normal's distribution function (Hendrycks &
/// Gimpel 2016, arXiv:1606.08415), not its approximation by `tanh`. Any shape.
///
/// The network uses it fused into the product that follows; this is what that is tested against.
#[cfg(test)]
pub fn gelu(x: &Tensor) -> Result<Tensor> {
    x.contiguous()?.apply_op1(Gelu)
}

#[cfg(test)]
struct Gelu;

#[cfg(test)]
impl CustomOp1 for Gelu {
    fn name(&self) -> &'static str {
        "exact-gelu"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        Ok((CpuStorage::F32(gelu_values(values(x, layout)?)), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let dy = dy.contiguous()?;
        let mut dx = read(&dy)?.to_vec();
        multiply_by_gelu_slope(&mut dx, &read(x)?);
        Ok(Some(tensor(dx, x.shape())?))
    }
}

/// `gelu(x)` in a new list.
pub(super) fn gelu_values(x: &[f32]) -> Vec<f32> {
    let mut y = vec![0.0; x.len()];
    y.par_chunks_mut(BLOCK).zip(x.par_chunks(BLOCK)).for_each(|(y, x)| {
        vectorise!({
            for (y, x) in y.iter_mut().zip(x) {
                *y = x * normal_cdf(*x);
            }
        });
    });
    y
}

/// `gradient *= gelu'(x)`, with `gelu'(x) = Φ(x) + x·φ(x)`.
pub(super) fn multiply_by_gelu_slope(gradient: &mut [f32], x: &[f32]) {
    gradient.par_chunks_mut(BLOCK).zip(x.par_chunks(BLOCK)).for_each(|(gradient, x)| {
        vectorise!({
            for (gradient, x) in gradient.iter_mut().zip(x) {
                *gradient *= x.mul_add(normal_density(*x), normal_cdf(*x));
            }
        });
    });
}

#[cfg(test)]
mod tests {
    use super::super::gradient_check::{assert_gradients, noise_var};
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
        let mut slopes = vec![1.0; xs.len()];
        multiply_by_gelu_slope(&mut slopes, &xs);
        for (((x, gelu, slope), y), dy) in TABLE.iter().zip(gelu_values(&xs)).zip(slopes) {
            let scale = f64::from(x.abs().max(1.0));
            let error = (f64::from(y) - gelu).abs() / scale;
            assert!(error < 5e-7, "gelu({x}) is {y}, expected {gelu}");
            let error = (f64::from(dy) - slope).abs();
            assert!(error < 1e-6, "gelu'({x}) is {dy}, expected {slope}");
        }
    }

    #[test]
    fn gradient_is_right() -> Result<()> {
        assert_gradients(&[noise_var(&[5, 8], 1)?], |t| gelu(&(&t[0] * 3.0)?))?;
        assert_gradients(&[noise_var(&[5, 8], 1)?], |t| gelu(&t[0].t()?)?.t())
    }

    #[test]
    fn is_the_same_across_block_borders() {
        let x = vec![0.5; BLOCK + 3];
        assert!(gelu_values(&x).windows(2).all(|pair| pair[0] == pair[1]));
    }
}
