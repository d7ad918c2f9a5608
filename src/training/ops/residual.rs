//! A residual sum with no norm behind it.

use rayon::prelude::*;

use super::dropout::Mask;
use super::error::{ComputeError, check_len};
use super::layer_norm::{Branch, drop_rows};
use super::reduce::{ROWS_PER_BLOCK, block_len, sum_partials};
use super::vectorise::vectorise;

/// `sums = residual + dropout(x + bias)`, all of them `[rows, bias.len()]`.
pub fn add_branch(sums: &mut [f32], branch: Branch) -> Result<(), ComputeError> {
    let Branch { x, bias, residual, mask } = branch;
    let width = bias.len().max(1);
    check_len("a residual branch", x.len(), sums.len())?;
    check_len("a residual", residual.len(), sums.len())?;
    let block = block_len(width);
    let inputs = x.par_chunks(block).zip(residual.par_chunks(block));
    sums.par_chunks_mut(block).zip(inputs).enumerate().for_each(|(i, (sums, (x, residual)))| {
        vectorise!({
            let rows = x.chunks_exact(width).zip(residual.chunks_exact(width));
            let rows = sums.chunks_exact_mut(width).zip(rows);
            for (at, (sums, (x, residual))) in rows.enumerate() {
                if mask.is_off() {
                    for (((sum, x), b), r) in sums.iter_mut().zip(x).zip(bias).zip(residual) {
                        *sum = r + (x + b);
                    }
                    continue;
                }
                let key = mask.key(i * ROWS_PER_BLOCK + at);
                let inputs = x.iter().zip(bias).zip(residual).enumerate();
                for (sum, (place, ((x, b), r))) in sums.iter_mut().zip(inputs) {
                    *sum = (x + b).mul_add(mask.factor(key, place as u32), *r);
                }
            }
        });
    });
    Ok(())
}

/// Writes the gradient of `x` in [`add_branch`], given that of the sums; returns that of the bias. The
/// residual's is that of the sums.
pub fn branch_gradient(
    branch: &mut [f32],
    gradient: &[f32],
    width: usize,
    mask: Mask,
) -> Result<Vec<f32>, ComputeError> {
    check_len("a branch's gradient", branch.len(), gradient.len())?;
    let width = width.max(1);
    let block = block_len(width);
    let blocks = branch.par_chunks_mut(block).zip(gradient.par_chunks(block)).enumerate();
    let partials = blocks.map(|(i, (branch, gradient))| {
        let mut sums = vec![0.0; width];
        vectorise!(drop_rows(branch, gradient, &mut sums, i * ROWS_PER_BLOCK, mask));
        sums
    });
    Ok(sum_partials(partials.collect(), width))
}

#[cfg(test)]
mod tests {
    use super::super::gradient_check::{assert_gradients, noise};
    use super::*;

    fn mask(p: f32) -> Mask {
        Mask::new(p, 7).unwrap()
    }

    #[test]
    fn gradients_are_right() {
        for p in [0.0, 0.4] {
            // More rows than a block has.
            let inputs = [noise(40 * 4, 1), noise(4, 2), noise(40 * 4, 3)];
            let forward = |t: &[Vec<f32>]| {
                let mut sums = vec![f32::NAN; t[0].len()];
                let branch = Branch { x: &t[0], bias: &t[1], residual: &t[2], mask: mask(p) };
                add_branch(&mut sums, branch).unwrap();
                sums
            };
            assert_gradients(&inputs, forward, |t, dy| {
                let mut dx = vec![f32::NAN; t[0].len()];
                let bias = branch_gradient(&mut dx, dy, 4, mask(p)).unwrap();
                vec![dx, bias, dy.to_vec()]
            });
        }
    }

    #[test]
    fn refuses_lengths_that_disagree() {
        let (x, bias) = ([0.0; 8], [0.0; 4]);
        let mut sums = [0.0; 8];
        let branch = |x| Branch { x, bias: &bias, residual: &[0.0; 8], mask: mask(0.0) };
        assert!(add_branch(&mut sums, branch(&x)).is_ok());
        assert!(add_branch(&mut sums, branch(&x[..4])).is_err());
        assert!(add_branch(&mut sums[..4], branch(&x[..4])).is_err());
        assert!(branch_gradient(&mut sums, &x[..4], 4, mask(0.0)).is_err());
    }
}
