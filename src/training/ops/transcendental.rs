//! `exp` and `erf` without branches or table look-ups, so that loops over them vectorise.

/// `1/√(2π)`, the height of the standard normal density.
const NORMAL_DENSITY_AT_ZERO: f32 = 0.398_942_3;

/// `eˣ` to about two units in the last place, after `expf` of the Cephes library. Arguments beyond
/// ±87 count as ±87, which keeps results finite and normal; NaN stays NaN.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    /// Adding 1.5·2²³ rounds to an integer, which then sits in the low bits.
    const ROUNDER: f32 = 12_582_912.0;
    /// ln 2 in two parts: the first has few digits, so its multiples are exact.
    const LN_2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];

    let x = x.clamp(-87.0, 87.0);
    let shifted = x.mul_add(std::f32::consts::LOG2_E, ROUNDER);
    let power = shifted - ROUNDER;
    let r = power.mul_add(-LN_2[1], power.mul_add(-LN_2[0], x));
    let p = 1.987_569_1e-4f32
        .mul_add(r, 1.398_199_9e-3)
        .mul_add(r, 8.333_452e-3)
        .mul_add(r, 4.166_579_6e-2)
        .mul_add(r, 1.666_666_5e-1)
        .mul_add(r, 0.5);
    let mantissa = p.mul_add(r * r, r + 1.0);
    // The integer moves into the exponent's bits; what else `shifted` held is pushed out.
    mantissa * f32::from_bits((shifted.to_bits() << 23).wrapping_add(1.0f32.to_bits()))
}

/// The error function to about three units in the last place: the rational approximation on
/// [-4, 4] of the Eigen library; beyond, erf is ±1 in `f32`.
#[inline(always)]
fn erf(x: f32) -> f32 {
    let x = x.clamp(-4.0, 4.0);
    let s = x * x;
    let numerator = (-2.726_142_3e-10f32)
        .mul_add(s, 2.770_681_5e-8)
        .mul_add(s, -2.101_024e-6)
        .mul_add(s, -5.692_506_3e-5)
        .mul_add(s, -7.349_906_6e-4)
        .mul_add(s, -2.954_6e-3)
        .mul_add(s, -1.609_603_3e-2);
    let denominator = (-1.456_607_2e-5f32)
        .mul_add(s, -2.133_740_6e-4)
        .mul_add(s, -1.682_827e-3)
        .mul_add(s, -7.373_329e-3)
        .mul_add(s, -1.426_473_9e-2);
    x * numerator / denominator
}

/// `Φ(x)`, the share of the standard normal distribution below `x`.
#[inline(always)]
pub(super) fn normal_cdf(x: f32) -> f32 {
    erf(x * std::f32::consts::FRAC_1_SQRT_2).mul_add(0.5, 0.5)
}

/// `φ(x) = Φ'(x)`, the standard normal density.
#[inline(always)]
pub(super) fn normal_density(x: f32) -> f32 {
    exp(-0.5 * x * x) * NORMAL_DENSITY_AT_ZERO
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_close_to_the_library() {
        for i in -86_999..=86_999 {
            let x = i as f32 * 1e-3;
            let expected = f64::from(x).exp();
            let error = (f64::from(exp(x)) - expected).abs() / expected;
            assert!(error < 2.5e-7, "exp({x}) is off by {error:e}");
        }
    }

    #[test]
    fn exp_saturates_and_keeps_nan() {
        assert_eq!(exp(f32::NEG_INFINITY), exp(-87.0));
        assert!(exp(f32::INFINITY).is_finite());
        assert!(exp(f32::NAN).is_nan());
        assert_eq!(exp(0.0), 1.0);
    }

    /// Digits from a computation with 30 significant places.
    #[test]
    fn erf_is_close_to_the_true_values() {
        let table = [
            (0.0, 0.0),
            (0.0625, 0.070431977722),
            (0.25, 0.276326390168),
            (0.5, 0.520499877813),
            (0.75, 0.711155633653),
            (1.0, 0.842700792949),
            (1.5, 0.966105146475),
            (2.0, 0.995322265018),
            (2.5, 0.999593047982),
            (3.0, 0.999977909503),
            (3.5, 0.999999256901),
            (4.0, 0.999999984582),
            (5.0, 0.999999999998),
        ];
        for (x, expected) in table {
            for (x, expected) in [(x, expected), (-x, -expected)] {
                let error = (f64::from(erf(x)) - expected).abs();
                assert!(error < 3e-7, "erf({x}) is off by {error:e}");
            }
        }
        assert!(erf(f32::NAN).is_nan());
    }
}
