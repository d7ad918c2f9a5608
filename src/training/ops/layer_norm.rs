//! Layer normalisation.

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use super::reduce::{accumulate, block_len, dot, sum, sum_partials};
use super::values::{matrix_dims, read, tensor, values};
use super::vectorise::vectorise;

/// `(x - mean) / √(variance + epsilon) · w + b` over each row of `x: [T, H]`, with `w, b: [H]` (Ba et
/// al. 2016, arXiv:1607.06450).
pub fn layer_norm(x: &Tensor, w: &Tensor, b: &Tensor, epsilon: f32) -> Result<Tensor> {
    x.contiguous()?.apply_op3(&w.contiguous()?, &b.contiguous()?, LayerNorm { epsilon })
}

struct LayerNorm {
    epsilon: f32,
}

impl CustomOp3 for LayerNorm {
    fn name(&self) -> &'static str {
        "differentiable-layer-norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        w: &CpuStorage,
        w_layout: &Layout,
        b: &CpuStorage,
        b_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (_, width) = matrix_dims(x_layout)?;
        let (x, w, b) = (values(x, x_layout)?, values(w, w_layout)?, values(b, b_layout)?);
        if width == 0 || w.len() != width || b.len() != width {
            bail!("layer norm of {width} features: {} weights, {} biases", w.len(), b.len());
        }
        let mut y = vec![0.0; x.len()];
        let blocks = y.par_chunks_mut(block_len(width)).zip(x.par_chunks(block_len(width)));
        blocks.for_each(|(y, x)| vectorise!(self.normalise(y, x, w, b)));
        Ok((CpuStorage::F32(y), x_layout.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        b: &Tensor,
        _y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (_, width) = x.dims2()?;
        let dy = dy.contiguous()?;
        let (x_values, w_values, dy) = (read(x)?, read(w)?, read(&dy)?);
        let (x_values, w_values, dy): (&[f32], &[f32], &[f32]) = (&x_values, &w_values, &dy);

        let mut dx = vec![0.0; x_values.len()];
        let block = block_len(width);
        let blocks = dx.par_chunks_mut(block).zip(x_values.par_chunks(block));
        let partials = blocks.zip(dy.par_chunks(block)).map(|((dx, x), dy)| {
            let mut sums = vec![0.0; 2 * width];
            vectorise!(self.differentiate(dx, &mut sums, x, w_values, dy));
            sums
        });
        let mut dw = sum_partials(partials.collect(), 2 * width);
        let db = dw.split_off(width);
        Ok((
            Some(tensor(dx, x.shape())?),
            Some(tensor(dw, w.shape())?),
            Some(tensor(db, b.shape())?),
        ))
    }
}

impl LayerNorm {
    #[inline(always)]
    fn normalise(&self, y: &mut [f32], x: &[f32], w: &[f32], b: &[f32]) {
        let width = w.len();
        for (y, x) in y.chunks_exact_mut(width).zip(x.chunks_exact(width)) {
            let scale = self.centre_and_scale(y, x);
            for ((y, w), b) in y.iter_mut().zip(w).zip(b) {
                *y = (*y * scale).mul_add(*w, *b);
            }
        }
    }

    /// With `x̂` the normalised row and `g = dy·w`, both over `H` features:
    /// `dx = (g - mean(g) - x̂·mean(g·x̂)) / √(variance + epsilon)`. `sums` collects the gradients of
    /// the weights, `Σ dy·x̂` over rows, and then of the biases, `Σ dy`.
    #[inline(always)]
    fn differentiate(&self, dx: &mut [f32], sums: &mut [f32], x: &[f32], w: &[f32], dy: &[f32]) {
        let width = w.len();
        let (dw, db) = sums.split_at_mut(width);
        let (mut normalised, mut g) = (vec![0.0; width], vec![0.0; width]);
        let rows = dx.chunks_exact_mut(width).zip(x.chunks_exact(width));
        for ((dx, x), dy) in rows.zip(dy.chunks_exact(width)) {
            let scale = self.centre_and_scale(&mut normalised, x);
            for ((n, dw), dy) in normalised.iter_mut().zip(dw.iter_mut()).zip(dy) {
                *n *= scale;
                *dw = n.mul_add(*dy, *dw);
            }
            accumulate(db, dy);
            for ((g, dy), w) in g.iter_mut().zip(dy).zip(w) {
                *g = dy * w;
            }
            let mean = sum(&g) / width as f32;
            let projection = dot(&g, &normalised) / width as f32;
            for ((dx, g), n) in dx.iter_mut().zip(&g).zip(&normalised) {
                *dx = scale * n.mul_add(-projection, g - mean);
            }
        }
    }

    /// Writes `x - mean` and returns `1 / √(variance + epsilon)`. Two passes over the row, as the
    /// difference of `mean(x²)` and `mean²` would lose digits.
    #[inline(always)]
    fn centre_and_scale(&self, centred: &mut [f32], x: &[f32]) -> f32 {
        let mean = sum(x) / x.len() as f32;
        for (centred, x) in centred.iter_mut().zip(x) {
            *centred = x - mean;
        }
        let variance = dot(centred, centred) / x.len() as f32;
        1.0 / (variance + self.epsilon).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::super::gradient_check::{assert_close, assert_gradients, noise, noise_var};
    use super::super::reduce::ROWS_PER_BLOCK;
    use super::*;

    #[test]
    fn agrees_with_the_definition() -> Result<()> {
        let (rows, width) = (ROWS_PER_BLOCK + 5, 8);
        let (x, w, b) = (noise(rows * width, 1), noise(width, 2), noise(width, 3));
        let mut expected = Vec::new();
        for row in x.chunks_exact(width) {
            let mean = row.iter().sum::<f32>() / width as f32;
            let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / width as f32;
            let normalised = row.iter().map(|x| (x - mean) / (variance + 1e-5).sqrt());
            expected.extend(normalised.zip(&w).zip(&b).map(|((n, w), b)| n * w + b));
        }
        let y =
            layer_norm(&tensor(x, (rows, width))?, &tensor(w, width)?, &tensor(b, width)?, 1e-5)?;
        assert_close(&read(&y)?, &expected, 1e-5);
        Ok(())
    }

    #[test]
    fn gradients_are_right() -> Result<()> {
        let inputs = [noise_var(&[5, 8], 1)?, noise_var(&[8], 2)?, noise_var(&[8], 3)?];
        // Spread wide, so that differences over a step of 1e-2 are nearly straight.
        assert_gradients(&inputs, |t| layer_norm(&(&t[0] * 2.0)?, &t[1], &t[2], 0.1))?;
        let many_rows = [noise_var(&[37, 3], 4)?, noise_var(&[3], 5)?, noise_var(&[3], 6)?];
        assert_gradients(&many_rows, |t| layer_norm(&t[0], &t[1], &t[2], 0.5))
    }

    #[test]
    fn refuses_shapes_that_disagree() -> Result<()> {
        let (x, w, short) = (noise_var(&[5, 8], 1)?, noise_var(&[8], 2)?, noise_var(&[7], 3)?);
        assert!(layer_norm(&x, &w, &short, 1e-5).is_err());
        assert!(layer_norm(&x, &short, &w, 1e-5).is_err());
        assert!(layer_norm(&w, &w, &w, 1e-5).is_err());
        Ok(())
    }
}
