//! Dropout whose mask is computed, not stored: a hash of the seed and of the element's place.

use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use super::reduce::accumulate;
use super::values::{read, tensor, values};
use super::vectorise::vectorise;

/// Values per unit of parallel work. A constant: each block's mask has a key of its own.
const BLOCK: usize = 4096;

/// Inverted dropout (Srivastava et al. 2014): each element becomes zero with probability `p`, or
/// else `x/(1-p)`. Any shape. The same seed and shape give the same mask; use a new seed for every
/// layer and step. With `p` zero, `x` is returned.
pub fn dropout(x: &Tensor, p: f32, seed: u64) -> Result<Tensor> {
    let mask = Mask::new(p, seed)?;
    if p == 0.0 { Ok(x.clone()) } else { x.contiguous()?.apply_op1(Dropout { mask }) }
}

/// `dropout(x) + residual` in one pass; the two have the same shape.
pub fn dropout_add(x: &Tensor, residual: &Tensor, p: f32, seed: u64) -> Result<Tensor> {
    let mask = Mask::new(p, seed)?;
    x.contiguous()?.apply_op2(&residual.contiguous()?, DropoutAdd { mask })
}

struct Dropout {
    mask: Mask,
}

impl CustomOp1 for Dropout {
    fn name(&self) -> &'static str {
        "dropout"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let y = self.mask.apply(values(x, layout)?);
        Ok((CpuStorage::F32(y), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        self.mask.gradient(x, dy).map(Some)
    }
}

struct DropoutAdd {
    mask: Mask,
}

impl CustomOp2 for DropoutAdd {
    fn name(&self) -> &'static str {
        "dropout-add"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        residual: &CpuStorage,
        residual_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        if x_layout.shape() != residual_layout.shape() {
            bail!("dropout-add: {:?} and {:?}", x_layout.shape(), residual_layout.shape());
        }
        let residual = values(residual, residual_layout)?;
        let y = self.mask.apply_and_add(values(x, x_layout)?, residual);
        Ok((CpuStorage::F32(y), x_layout.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        _residual: &Tensor,
        _y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        Ok((Some(self.mask.gradient(x, dy)?), Some(dy.clone())))
    }
}

/// Which elements to keep, and the factor that makes up for the others.
#[derive(Clone, Copy, Debug)]
struct Mask {
    seed: u64,
    /// An element is dropped when its hash is below this share of 2³².
    threshold: u32,
    scale: f32,
}

impl Mask {
    fn new(p: f32, seed: u64) -> Result<Self> {
        if !(0.0..1.0).contains(&p) {
            bail!("dropout: the probability {p} is not within 0..1");
        }
        let threshold = (f64::from(p) * 2f64.powi(32)) as u32;
        Ok(Self { seed, threshold, scale: 1.0 / (1.0 - p) })
    }

    fn gradient(&self, x: &Tensor, dy: &Tensor) -> Result<Tensor> {
        let dy = dy.contiguous()?;
        tensor(self.apply(&read(&dy)?), x.shape())
    }

    fn apply(&self, x: &[f32]) -> Vec<f32> {
        let mut y = vec![0.0; x.len()];
        let blocks = y.par_chunks_mut(BLOCK).zip(x.par_chunks(BLOCK)).enumerate();
        blocks.for_each(|(i, (y, x))| vectorise!(self.drop(self.key(i), y, x)));
        y
    }

    fn apply_and_add(&self, x: &[f32], residual: &[f32]) -> Vec<f32> {
        let mut y = vec![0.0; x.len()];
        let inputs = x.par_chunks(BLOCK).zip(residual.par_chunks(BLOCK));
        let blocks = y.par_chunks_mut(BLOCK).zip(inputs).enumerate();
        blocks.for_each(|(i, (y, (x, residual)))| {
            vectorise!({
                self.drop(self.key(i), y, x);
                accumulate(y, residual);
            });
        });
        y
    }

    /// One block's share. Key and mask come by value: behind references, the compiler would have to
    /// fear that writing `y` changes them, and not vectorise.
    #[inline(always)]
    fn drop(self, key: [u32; 2], y: &mut [f32], x: &[f32]) {
        for (place, (y, x)) in y.iter_mut().zip(x).enumerate() {
            *y = x * self.factor(key, place as u32);
        }
    }

    /// The key of a block's mask: one step of SplitMix64 (Steele et al. 2014).
    fn key(&self, block: usize) -> [u32; 2] {
        let mut z = self.seed.wrapping_add((block as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^= z >> 31;
        [z as u32, (z >> 32) as u32]
    }

    /// Zero or the scale for one place of a block. The hash is the finalizer of MurmurHash3, keyed
    /// before and within: 32 bits wide, as vector units have no wider multiplication.
    #[inline(always)]
    fn factor(self, key: [u32; 2], place: u32) -> f32 {
        let mut h = place ^ key[0];
        h = (h ^ (h >> 16)).wrapping_mul(0x85EB_CA6B).wrapping_add(key[1]);
        h = (h ^ (h >> 13)).wrapping_mul(0xC2B2_AE35);
        h ^= h >> 16;
        if h < self.threshold { 0.0 } else { self.scale }
    }
}

#[cfg(test)]
mod tests {
    use super::super::gradient_check::{assert_close, assert_gradients, noise_var};
    use super::*;

    fn ones(len: usize, p: f32, seed: u64) -> Vec<f32> {
        Mask::new(p, seed).unwrap().apply(&vec![1.0; len])
    }

    #[test]
    fn keeps_the_right_share_and_the_mean() {
        const LEN: usize = 1 << 20;
        for (p, seed) in [(0.1f32, 1), (0.1, 2), (0.5, 3), (0.9, u64::MAX)] {
            let kept = ones(LEN, p, seed).iter().filter(|y| **y != 0.0).count() as f64;
            let expected = (1.0 - f64::from(p)) * LEN as f64;
            let deviation = (expected * f64::from(p)).sqrt();
            assert!((kept - expected).abs() < 4.0 * deviation, "p {p} seed {seed} kept {kept}");
        }
        let dropped_or_scaled = |y: &f32| *y == 0.0 || (*y - 1.0 / 0.9).abs() < 1e-6;
        assert!(ones(LEN, 0.1, 1).iter().all(dropped_or_scaled));
    }

    #[test]
    fn neighbours_blocks_and_seeds_are_independent() {
        const LEN: usize = 1 << 20;
        let a = ones(LEN, 0.5, 7);
        let agreement = |b: &[f32]| {
            let same = a.iter().zip(b).filter(|(a, b)| a == b).count();
            same as f64 / b.len() as f64
        };
        for shift in [1, 2, 384, BLOCK] {
            assert!((agreement(&a[shift..]) - 0.5).abs() < 0.003, "shift {shift}");
        }
        for seed in [6, 8, 7 << 32] {
            assert!((agreement(&ones(LEN, 0.5, seed)) - 0.5).abs() < 0.003, "seed {seed}");
        }
    }

    #[test]
    fn the_mask_depends_on_nothing_but_seed_and_place() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        let alone = pool.install(|| ones(3 * BLOCK + 5, 0.3, 11));
        assert_eq!(alone, ones(3 * BLOCK + 5, 0.3, 11));
        assert_eq!(alone[..BLOCK + 1], ones(BLOCK + 1, 0.3, 11));
        assert_ne!(alone, ones(3 * BLOCK + 5, 0.3, 12));
    }

    #[test]
    fn gradients_are_right() -> Result<()> {
        let inputs = [noise_var(&[5, 8], 1)?, noise_var(&[5, 8], 2)?];
        assert_gradients(&inputs[..1], |t| dropout(&t[0], 0.4, 5))?;
        assert_gradients(&inputs, |t| dropout_add(&t[0], &t[1], 0.4, 5))?;
        assert_gradients(&inputs, |t| dropout_add(&t[0], &t[1], 0.0, 5))
    }

    #[test]
    fn the_sum_uses_the_same_mask() -> Result<()> {
        let (x, residual) = (noise_var(&[5, 8], 1)?, noise_var(&[5, 8], 2)?);
        let expected = (dropout(&x, 0.4, 5)? + residual.as_tensor())?;
        let actual = dropout_add(&x, &residual, 0.4, 5)?;
        assert_close(&read(&actual)?, &read(&expected)?, 1e-6);
        Ok(())
    }

    #[test]
    fn zero_changes_nothing_and_nonsense_is_refused() -> Result<()> {
        let x = noise_var(&[5, 8], 1)?;
        assert_eq!(dropout(&x, 0.0, 5)?.id(), x.id());
        for p in [-0.1, 1.0, f32::NAN] {
            assert!(dropout(&x, p, 5).is_err());
            assert!(dropout_add(&x, &x, p, 5).is_err());
        }
        assert!(dropout_add(&x, &x.t()?, 0.1, 5).is_err());
        Ok(())
    }
}
