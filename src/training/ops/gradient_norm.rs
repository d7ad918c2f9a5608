//! The size of all gradients together, for clipping.

use rayon::prelude::*;

use super::vectorise::vectorise;

/// Values per unit of parallel work. A constant, since the order of partial sums depends on it.
const BLOCK: usize = 16_384;

/// `Σ g²` over all values of all gradients, to the same bits however many threads share the work.
pub fn squared_norm<'a>(gradients: impl IntoIterator<Item = &'a [f32]>) -> f64 {
    let blocks: Vec<&[f32]> = gradients.into_iter().flat_map(|g| g.chunks(BLOCK)).collect();
    let partials: Vec<f64> = blocks.into_par_iter().map(block_squared_norm).collect();
    partials.iter().sum()
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
    use super::*;

    #[test]
    fn norm_is_the_same_to_the_bit_on_any_number_of_threads() {
        let gradients = [noise(3 * BLOCK + 7, 1), vec![3.0]];
        let plain: f64 = gradients[0].iter().map(|v| f64::from(v * v)).sum();
        let norm = || squared_norm(gradients.iter().map(Vec::as_slice));
        assert!((norm() - plain - 9.0).abs() < 1e-2);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        assert_eq!(pool.install(norm).to_bits(), norm().to_bits());
    }
}
