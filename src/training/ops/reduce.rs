//! Sums and maxima in a fixed order: the same bits whatever the number of threads.

use rayon::prelude::*;

use super::vectorise::vectorise;

/// Rows per unit of parallel work. A constant, since the order of partial sums depends on it.
pub(super) const ROWS_PER_BLOCK: usize = 32;

/// Independent accumulators of a reduction: two AVX2 registers or one of AVX-512.
const LANES: usize = 16;

/// The number of values in a block of rows `width` wide; never zero, as `rayon` demands.
pub(super) fn block_len(width: usize) -> usize {
    (ROWS_PER_BLOCK * width).max(1)
}

/// `Σ aᵢ`.
#[inline(always)]
pub(super) fn sum(a: &[f32]) -> f32 {
    let (chunks, tail) = a.as_chunks::<LANES>();
    let mut lanes = [0f32; LANES];
    for chunk in chunks {
        for (lane, a) in lanes.iter_mut().zip(chunk) {
            *lane += a;
        }
    }
    fold(lanes, |a, b| a + b) + tail.iter().sum::<f32>()
}

/// `Σ aᵢ·bᵢ` over the shorter of the two.
#[inline(always)]
pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let (a_chunks, a_tail) = a.as_chunks::<LANES>();
    let (b_chunks, b_tail) = b.as_chunks::<LANES>();
    let mut lanes = [0f32; LANES];
    for (a, b) in a_chunks.iter().zip(b_chunks) {
        for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
            *lane = a.mul_add(*b, *lane);
        }
    }
    let tail: f32 = a_tail.iter().zip(b_tail).map(|(a, b)| a * b).sum();
    fold(lanes, |a, b| a + b) + tail
}

/// The largest value; negative infinity when there is none. NaN values are passed over.
#[inline(always)]
pub(super) fn max(a: &[f32]) -> f32 {
    let larger = |a: f32, b: f32| if b > a { b } else { a };
    let (chunks, tail) = a.as_chunks::<LANES>();
    let mut lanes = [f32::NEG_INFINITY; LANES];
    for chunk in chunks {
        for (lane, a) in lanes.iter_mut().zip(chunk) {
            *lane = larger(*lane, *a);
        }
    }
    tail.iter().fold(fold(lanes, larger), |a, b| larger(a, *b))
}

/// Combines lanes by halves, which the compiler does in registers.
#[inline(always)]
fn fold(mut lanes: [f32; LANES], combine: impl Fn(f32, f32) -> f32) -> f32 {
    let mut half = LANES / 2;
    while half > 0 {
        for i in 0..half {
            lanes[i] = combine(lanes[i], lanes[i + half]);
        }
        half /= 2;
    }
    lanes[0]
}

/// `target += addend`, element by element.
#[inline(always)]
pub(super) fn accumulate(target: &mut [f32], addend: &[f32]) {
    for (target, addend) in target.iter_mut().zip(addend) {
        *target += addend;
    }
}

/// `target += addend` for lists of any length.
pub fn accumulate_all(target: &mut [f32], addend: &[f32]) {
    const BLOCK: usize = 16_384;
    let blocks = target.par_chunks_mut(BLOCK).zip(addend.par_chunks(BLOCK));
    blocks.for_each(|(target, addend)| vectorise!(accumulate(target, addend)));
}

/// The sum of each column of a row-major matrix: the gradient of a bias.
pub fn column_sums(matrix: &[f32], width: usize) -> Vec<f32> {
    let partials = matrix.par_chunks(block_len(width)).map(|block| {
        let mut sums = vec![0.0; width];
        vectorise!({
            for row in block.chunks_exact(width) {
                accumulate(&mut sums, row);
            }
        });
        sums
    });
    sum_partials(partials.collect(), width)
}

/// Adds up the partial sums of blocks, first to last.
pub(super) fn sum_partials(partials: Vec<Vec<f32>>, width: usize) -> Vec<f32> {
    let mut total = vec![0.0; width];
    for partial in &partials {
        accumulate(&mut total, partial);
    }
    total
}

#[cfg(test)]
mod tests {
    use super::super::gradient_check::noise;
    use super::*;

    #[test]
    fn reductions_agree_with_plain_loops() {
        for len in [0, 1, 15, 16, 17, 100] {
            let (a, b) = (noise(len, 1), noise(len, 2));
            let plain_dot: f32 = a.iter().zip(&b).map(|(a, b)| a * b).sum();
            assert!((sum(&a) - a.iter().sum::<f32>()).abs() < 1e-4);
            assert!((dot(&a, &b) - plain_dot).abs() < 1e-4);
            assert_eq!(max(&a), a.iter().copied().fold(f32::NEG_INFINITY, f32::max));
        }
    }

    #[test]
    fn sums_columns_across_blocks() {
        let (rows, width) = (ROWS_PER_BLOCK * 2 + 3, 3);
        let matrix: Vec<f32> = (0..rows * width).map(|i| (i % width) as f32).collect();
        assert_eq!(column_sums(&matrix, width), [0.0, rows as f32, 2.0 * rows as f32]);
        assert_eq!(column_sums(&[], 2), [0.0, 0.0]);
    }
}
