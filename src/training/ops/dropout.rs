//! Dropout whose mask is computed, not stored: a hash of the seed and of the element's place.

use rayon::prelude::*;

use super::error::ComputeError;
use super::reduce::{ROWS_PER_BLOCK, block_len};
use super::vectorise::vectorise;

/// Inverted dropout (Srivastava et al. 2014): each element of a matrix becomes zero with some
/// probability `p`, or else `x/(1-p)`. The same seed drops the same places, in the backward pass as
/// in the forward pass; every layer and step has a seed of its own.
#[derive(Clone, Copy, Debug)]
pub struct Mask {
    seed: u64,
    /// An element is dropped when its hash is below this share of 2³².
    threshold: u32,
    scale: f32,
}

impl Mask {
    /// Drops nothing.
    pub const OFF: Self = Self { seed: 0, threshold: 0, scale: 1.0 };

    /// Refuses probabilities outside of `[0, 1)`.
    pub fn new(p: f32, seed: u64) -> Result<Self, ComputeError> {
        if !(0.0..1.0).contains(&p) {
            return Err(ComputeError::Probability(p));
        }
        let threshold = (f64::from(p) * 2f64.powi(32)) as u32;
        Ok(Self { seed, threshold, scale: 1.0 / (1.0 - p) })
    }

    /// Whether every element stays as it is.
    #[inline(always)]
    pub(super) fn is_off(self) -> bool {
        self.threshold == 0
    }

    /// Drops elements of rows of `width` values, in place.
    pub fn apply(self, x: &mut [f32], width: usize) {
        if self.is_off() {
            return;
        }
        x.par_chunks_mut(block_len(width)).enumerate().for_each(|(block, x)| {
            vectorise!({
                for (row, x) in x.chunks_exact_mut(width.max(1)).enumerate() {
                    let key = self.key(block * ROWS_PER_BLOCK + row);
                    for (place, x) in x.iter_mut().enumerate() {
                        *x *= self.factor(key, place as u32);
                    }
                }
            });
        });
    }

    /// The key of a row's places: one step of SplitMix64 (Steele et al. 2014).
    #[inline(always)]
    pub(super) fn key(self, row: usize) -> [u32; 2] {
        let mut z = self.seed.wrapping_add((row as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^= z >> 31;
        [z as u32, (z >> 32) as u32]
    }

    /// Zero or the scale for one place of a row. The hash is the finalizer of MurmurHash3, keyed
    /// before and within: 32 bits wide, as vector units have no wider multiplication. The mask comes
    /// by value: behind a reference, the compiler would have to fear that writing the row changes it,
    /// and not vectorise.
    #[inline(always)]
    pub(super) fn factor(self, key: [u32; 2], place: u32) -> f32 {
        let mut h = place ^ key[0];
        h = (h ^ (h >> 16)).wrapping_mul(0x85EB_CA6B).wrapping_add(key[1]);
        h = (h ^ (h >> 13)).wrapping_mul(0xC2B2_AE35);
        h ^= h >> 16;
        if h < self.threshold { 0.0 } else { self.scale }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIDTH: usize = 384;

    fn ones(rows: usize, p: f32, seed: u64) -> Vec<f32> {
        let mut values = vec![1.0; rows * WIDTH];
        Mask::new(p, seed).unwrap().apply(&mut values, WIDTH);
        values
    }

    #[test]
    fn keeps_the_right_share_and_the_mean() {
        const ROWS: usize = 2731;
        let len = (ROWS * WIDTH) as f64;
        for (p, seed) in [(0.1f32, 1), (0.1, 2), (0.5, 3), (0.9, u64::MAX)] {
            let kept = ones(ROWS, p, seed).iter().filter(|y| **y != 0.0).count() as f64;
            let expected = (1.0 - f64::from(p)) * len;
            let deviation = (expected * f64::from(p)).sqrt();
            assert!((kept - expected).abs() < 4.0 * deviation, "p {p} seed {seed} kept {kept}");
        }
        let dropped_or_scaled = |y: &f32| *y == 0.0 || (*y - 1.0 / 0.9).abs() < 1e-6;
        assert!(ones(ROWS, 0.1, 1).iter().all(dropped_or_scaled));
    }

    #[test]
    fn neighbours_rows_and_seeds_are_independent() {
        let a = ones(2731, 0.5, 7);
        let agreement = |b: &[f32]| {
            let same = a.iter().zip(b).filter(|(a, b)| a == b).count();
            same as f64 / b.len() as f64
        };
        for shift in [1, 2, WIDTH, ROWS_PER_BLOCK * WIDTH] {
            assert!((agreement(&a[shift..]) - 0.5).abs() < 0.003, "shift {shift}");
        }
        for seed in [6, 8, 7 << 32] {
            assert!((agreement(&ones(2731, 0.5, seed)) - 0.5).abs() < 0.003, "seed {seed}");
        }
    }

    #[test]
    fn the_mask_depends_on_nothing_but_seed_and_place() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        let rows = 3 * ROWS_PER_BLOCK + 5;
        let alone = pool.install(|| ones(rows, 0.3, 11));
        assert_eq!(alone, ones(rows, 0.3, 11));
        let fewer = ones(ROWS_PER_BLOCK + 1, 0.3, 11);
        assert_eq!(alone[..fewer.len()], fewer);
        assert_ne!(alone, ones(rows, 0.3, 12));
    }

    #[test]
    fn zero_changes_nothing_and_nonsense_is_refused() {
        assert_eq!(ones(2, 0.0, 5), vec![1.0; 2 * WIDTH]);
        for p in [-0.1, 1.0, f32::NAN] {
            assert!(Mask::new(p, 5).is_err());
        }
    }
}
