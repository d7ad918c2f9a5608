//! The size of all gradients together, for clipping.

use candle_core::{Result, Tensor};
use rayon::prelude::*;

use super::values::read;
use super::vectorise::vectorise;

/// Values per unit of parallel work. A constant, since the order of partial sums depends on it.
const BLOCK: usize = 16_384;

/// `Σ g²` over all values of all gradients, to the same bits however many threads share the work.
pub fn squared_norm<'a>(gradients: impl IntoIterator<Item = &'a Tensor>) -> Result<f64> {
    let mut total = 0.0;
    for gradient in gradients {
        let gradient = gradient.contiguous()?;
        let gradient = read(&gradient)?;
        let partials = gradient.par_chunks(BLOCK).map(block_squared_norm);
        total += partials.collect::<Vec<f64>>().iter().sum::<f64>();
    }
    Ok(total)
}

fn block_squared_norm(block: &[f32]) -> f64 {
    vectorise!({
        let (chunks, tail) = block.as_chunks::<16>();
        let mut lanes = [0f64; 16];
        for chunk in chunks {
            for (lane, value) in lanes.iter_mut().zip(chunk) {
                let value = f64::from(*value);
                *lane = value.mul_add(value, *lane);
            }
        }
        let tail: f64 = tail.iter().map(|v| f64::from(*v) * f64::from(*v)).sum();
        lanes.iter().sum::<f64>() + tail
    })
}

#[cfg(test)]
mod tests {
    use super::super::gradient_check::noise;
    use super::super::values::tensor;
    use super::*;

    #[test]
    fn norm_is_the_same_to_the_bit_on_any_number_of_threads() -> Result<()> {
        let tensors = [tensor(noise(3 * BLOCK + 7, 1), 3 * BLOCK + 7)?, tensor(vec![3.0], 1)?];
        let plain: f64 = noise(3 * BLOCK + 7, 1).iter().map(|v| f64::from(v * v)).sum();
        let norm = squared_norm(&tensors)?;
        assert!((norm - plain - 9.0).abs() < 1e-2);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        assert_eq!(pool.install(|| squared_norm(&tensors))?.to_bits(), norm.to_bits());
        Ok(())
    }
}
