//! Layer normalisation, alone and of a residual sum.

use rayon::prelude::*;

use super::dropout::Mask;
use super::error::{ComputeError, check_len};
use super::reduce::{ROWS_PER_BLOCK, accumulate, block_len, dot, sum, sum_partials};
use super::vectorise::vectorise;

/// `(x - mean) / √(variance + epsilon) · weight + bias` over each row of `x: [T, H]`, with `weight,
/// bias: [H]` (Ba et al. 2016, arXiv:1607.06450).
#[derive(Clone, Copy, Debug)]
pub struct Norm<'a> {
    pub weight: &'a [f32],
    pub bias: &'a [f32],
    pub epsilon: f32,
}

/// What a norm makes of rows: its result, and what its backward pass needs.
#[derive(Debug)]
pub struct Normalised<'a> {
    /// `[T, H]`: the result.
    pub output: &'a mut [f32],
    /// `[T, H]`: centred and scaled, before weight and bias.
    pub normalised: &'a mut [f32],
    /// `[T]`: `1 / √(variance + epsilon)` of each row.
    pub scales: &'a mut [f32],
}

/// A residual branch that ends in a linear layer: `residual + dropout(x + bias)`.
#[derive(Clone, Copy, Debug)]
pub struct Branch<'a> {
    /// `[T, H]`: the layer's product.
    pub x: &'a [f32],
    /// `[H]`: the layer's bias.
    pub bias: &'a [f32],
    /// `[T, H]`: what the branch started from.
    pub residual: &'a [f32],
    pub mask: Mask,
}

impl Norm<'_> {
    /// Normalises the rows which lie in `rows.normalised`.
    pub fn apply(self, rows: Normalised) -> Result<(), ComputeError> {
        self.run(rows, |_, _| ())
    }

    /// Normalises `residual + dropout(x + bias)`.
    pub fn apply_to_branch(self, rows: Normalised, branch: Branch) -> Result<(), ComputeError> {
        let width = self.weight.len();
        check_len("a residual branch", branch.x.len(), rows.output.len())?;
        check_len("a residual", branch.residual.len(), rows.output.len())?;
        check_len("a residual branch's bias", branch.bias.len(), width)?;
        let Branch { x, bias, residual, mask } = branch;
        self.run(
            rows,
            #[inline(always)]
            |row, sums| {
                let (x, residual) = (&x[row * width..][..width], &residual[row * width..][..width]);
                if mask.is_off() {
                    for (((sum, x), b), r) in sums.iter_mut().zip(x).zip(bias).zip(residual) {
                        *sum = r + (x + b);
                    }
                    return;
                }
                let key = mask.key(row);
                let inputs = x.iter().zip(bias).zip(residual).enumerate();
                for (sum, (place, ((x, b), r))) in sums.iter_mut().zip(inputs) {
                    *sum = (x + b).mul_add(mask.factor(key, place as u32), *r);
                }
            },
        )
    }

    /// Lets `fill` write each row's input to where the normalised row will lie.
    fn run(
        self,
        rows: Normalised,
        fill: impl Fn(usize, &mut [f32]) + Sync,
    ) -> Result<(), ComputeError> {
        let Normalised { output, normalised, scales } = rows;
        let width = self.weight.len().max(1);
        check_len("a norm's bias", self.bias.len(), self.weight.len())?;
        check_len("a norm's rows", normalised.len(), output.len())?;
        check_len("a norm's scales", scales.len() * width, output.len())?;
        let block = block_len(width);
        let blocks = output.par_chunks_mut(block).zip(normalised.par_chunks_mut(block));
        let blocks = blocks.zip(scales.par_chunks_mut(ROWS_PER_BLOCK)).enumerate();
        blocks.for_each(|(i, ((output, normalised), scales))| {
            vectorise!({
                let rows = output.chunks_exact_mut(width).zip(normalised.chunks_exact_mut(width));
                for (at, ((output, normalised), scale)) in rows.zip(scales.iter_mut()).enumerate() {
                    fill(i * ROWS_PER_BLOCK + at, normalised);
                    *scale = self.normalise(output, normalised);
                }
            });
        });
        Ok(())
    }

    /// Normalises a row in place, writes the result and returns the scale. The mean and the variance
    /// take a pass each, as the difference of `mean(x²)` and `mean²` would lose digits.
    #[inline(always)]
    fn normalise(self, output: &mut [f32], row: &mut [f32]) -> f32 {
        let mean = sum(row) / row.len() as f32;
        for x in row.iter_mut() {
            *x -= mean;
        }
        let variance = dot(row, row) / row.len() as f32;
        let scale = 1.0 / (variance + self.epsilon).sqrt();
        for (((y, x), w), b) in output.iter_mut().zip(row).zip(self.weight).zip(self.bias) {
            *x *= scale;
            *y = x.mul_add(*w, *b);
        }
        scale
    }
}

/// The gradients of a norm's weight and bias.
#[derive(Debug)]
pub struct NormGradients {
    pub weight: Vec<f32>,
    pub bias: Vec<f32>,
    /// Of the bias of the linear layer that the branch ends in; zeros without a branch.
    pub branch_bias: Vec<f32>,
}

/// What a norm's backward pass reads: from [`Normalised`], and the norm's weight.
#[derive(Clone, Copy, Debug)]
pub struct NormPass<'a> {
    pub normalised: &'a [f32],
    pub scales: &'a [f32],
    pub weight: &'a [f32],
}

impl NormPass<'_> {
    /// Turns the gradient of the result into that of the input, in place.
    pub fn differentiate(self, gradient: &mut [f32]) -> Result<NormGradients, ComputeError> {
        self.run(gradient, None)
    }

    /// The same of `residual + dropout(x + bias)`: `gradient` becomes that of the residual, and
    /// `branch` that of `x`.
    pub fn differentiate_branch(
        self,
        gradient: &mut [f32],
        branch: &mut [f32],
        mask: Mask,
    ) -> Result<NormGradients, ComputeError> {
        check_len("a branch's gradient", branch.len(), gradient.len())?;
        self.run(gradient, Some((branch, mask)))
    }

    fn run(
        self,
        gradient: &mut [f32],
        branch: Option<(&mut [f32], Mask)>,
    ) -> Result<NormGradients, ComputeError> {
        let width = self.weight.len().max(1);
        check_len("a norm's rows", self.normalised.len(), gradient.len())?;
        check_len("a norm's scales", self.scales.len() * width, gradient.len())?;
        let block = block_len(width);
        let inputs = self.normalised.par_chunks(block).zip(self.scales.par_chunks(ROWS_PER_BLOCK));
        let blocks = gradient.par_chunks_mut(block).zip(inputs).enumerate();
        let partials: Vec<Vec<f32>> = match branch {
            None => blocks
                .map(|(_, (gradient, (normalised, scales)))| {
                    let mut sums = vec![0.0; 3 * width];
                    vectorise!(self.block(gradient, normalised, scales, &mut sums));
                    sums
                })
                .collect(),
            Some((branch, mask)) => blocks
                .zip(branch.par_chunks_mut(block))
                .map(|((i, (gradient, (normalised, scales))), branch)| {
                    let mut sums = vec![0.0; 3 * width];
                    vectorise!({
                        self.block(gradient, normalised, scales, &mut sums);
                        let first = i * ROWS_PER_BLOCK;
                        drop_rows(branch, gradient, &mut sums[2 * width..], first, mask);
                    });
                    sums
                })
                .collect(),
        };
        let mut weight = sum_partials(partials, 3 * width);
        let branch_bias = weight.split_off(2 * width);
        let bias = weight.split_off(width);
        Ok(NormGradients { weight, bias, branch_bias })
    }

    /// With `x̂` the normalised row and `g = dy·w`, both over `H` features:
    /// `dx = (g - mean(g) - x̂·mean(g·x̂)) / √(variance + epsilon)`. `sums` collects the gradients of
    /// the weights, `Σ dy·x̂` over rows, and then of the biases, `Σ dy`.
    #[inline(always)]
    fn block(self, gradient: &mut [f32], normalised: &[f32], scales: &[f32], sums: &mut [f32]) {
        let width = self.weight.len();
        let (dw, rest) = sums.split_at_mut(width);
        let db = &mut rest[..width];
        let rows = gradient.chunks_exact_mut(width).zip(normalised.chunks_exact(width));
        for ((gradient, normalised), scale) in rows.zip(scales) {
            accumulate(db, gradient);
            let inputs = normalised.iter().zip(self.weight);
            for ((g, dw), (n, w)) in gradient.iter_mut().zip(dw.iter_mut()).zip(inputs) {
                *dw = n.mul_add(*g, *dw);
                *g *= w;
            }
            let mean = sum(gradient) / width as f32;
            let projection = dot(gradient, normalised) / width as f32;
            for (g, n) in gradient.iter_mut().zip(normalised) {
                *g = scale * n.mul_add(-projection, *g - mean);
            }
        }
    }
}

/// Writes the gradient that dropout lets through, row `first` and those after it, and adds its
/// columns up.
#[inline(always)]
pub(super) fn drop_rows(
    branch: &mut [f32],
    gradient: &[f32],
    sums: &mut [f32],
    first: usize,
    mask: Mask,
) {
    let width = sums.len();
    let rows = branch.chunks_exact_mut(width).zip(gradient.chunks_exact(width));
    for (row, (branch, gradient)) in (first..).zip(rows) {
        let key = mask.key(row);
        for (place, ((d, g), sum)) in
            branch.iter_mut().zip(gradient).zip(sums.iter_mut()).enumerate()
        {
            *d = g * mask.factor(key, place as u32);
            *sum += *d;
        }
    }
}

#[cfg(test)]
mod tests;
