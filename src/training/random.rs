//! Pseudo-random numbers without state: each is a hash of what it is for.
//!
//! So a number depends neither on the order of the work nor on how it is shared between threads,
//! and a resumed run draws what an uninterrupted one would have drawn.

/// A number for this purpose, uniform over all 64 bits: SplitMix64's output function (Steele et
/// al., 2014) chained over the parts.
pub fn hash(parts: &[u64]) -> u64 {
    parts.iter().fold(0x9E37_79B9_7F4A_7C15, |state, part| {
        mix((state ^ mix(*part)).wrapping_add(0x9E37_79B9_7F4A_7C15))
    })
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Uniform in `[0, 1)`.
pub fn uniform(parts: &[u64]) -> f64 {
    // The upper 53 bits fill a double's significand.
    (hash(parts) >> 11) as f64 / (1u64 << 53) as f64
}

/// `count` normal values with mean 0 (Box and Muller, 1958).
pub fn normal(count: usize, standard_deviation: f32, seed: &[u64]) -> Vec<f32> {
    let mut parts = seed.to_vec();
    parts.extend([0, 0]);
    let place = parts.len() - 2;
    (0..count)
        .map(|at| {
            parts[place] = at as u64;
            parts[place + 1] = 0;
            // 1 - u lies in (0, 1], where the logarithm is finite.
            let radius = (-2.0 * (1.0 - uniform(&parts)).ln()).sqrt();
            parts[place + 1] = 1;
            let angle = std::f64::consts::TAU * uniform(&parts);
            (radius * angle.cos()) as f32 * standard_deviation
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_depend_on_every_part_and_its_place() {
        let all =
            [hash(&[1, 2, 3]), hash(&[1, 2, 4]), hash(&[2, 1, 3]), hash(&[1, 2]), hash(&[0, 0])];
        for (at, a) in all.iter().enumerate() {
            assert!(all[at + 1..].iter().all(|b| a != b));
        }
        assert_eq!(hash(&[1, 2, 3]), hash(&[1, 2, 3]));
    }

    #[test]
    fn draws_have_their_distribution() {
        let draws: Vec<f64> = (0..10_000).map(|at| uniform(&[7, at])).collect();
        let mean = draws.iter().sum::<f64>() / 1e4;
        assert!(
            (mean - 0.5).abs() < 0.01 && draws.iter().all(|d| (0.0..1.0).contains(d)),
            "{mean}"
        );
        let draws = normal(10_000, 2.0, &[7]);
        let mean = draws.iter().map(|d| f64::from(*d)).sum::<f64>() / 1e4;
        let variance = draws.iter().map(|d| (f64::from(*d) - mean).powi(2)).sum::<f64>() / 1e4;
        assert!(mean.abs() < 0.06 && (variance - 4.0).abs() < 0.2, "{mean} {variance}");
    }
}
