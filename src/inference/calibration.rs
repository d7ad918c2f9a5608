//! From logits to probabilities.

use serde::{Deserialize, Serialize};

/// How logits become probabilities: `softmax(logits / temperature + shift)`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// Fitted on the development set (Guo et al., 2017); above 1 it makes answers less sure.
    pub temperature: f32,
    /// Of each label: the logarithm of its share in production over its share in training (Saerens
    /// et al., 2002). Empty where the two are taken to be the same.
    pub shift: Vec<f32>,
    /// The probability from which on the positive of two labels is best chosen, by F1 on the
    /// development set. Told, not applied: what ranks first is always the most probable.
    pub threshold: Option<f32>,
}

impl Calibration {
    /// Leaves logits as they are.
    pub const NONE: Self = Self { temperature: 1.0, shift: Vec::new(), threshold: None };

    /// The probabilities that these logits stand for.
    pub fn probabilities(&self, logits: &[f32]) -> Vec<f32> {
        let mut scaled: Vec<f32> = logits.iter().map(|logit| logit / self.temperature).collect();
        scaled.iter_mut().zip(&self.shift).for_each(|(logit, shift)| *logit += shift);
        softmax(&scaled)
    }

    pub(super) fn fits(&self, outputs: usize) -> bool {
        let temperature = self.temperature.is_finite() && self.temperature > 0.0;
        let shift = self.shift.is_empty() || self.shift.len() == outputs;
        let threshold = self.threshold.is_none_or(|value| (0.0..=1.0).contains(&value));
        temperature && shift && threshold && self.shift.iter().all(|shift| shift.is_finite())
    }
}

/// Numerically stable softmax.
fn softmax(logits: &[f32]) -> Vec<f32> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut exponentials: Vec<f32> = logits.iter().map(|x| (x - largest).exp()).collect();
    let sum: f32 = exponentials.iter().sum();
    exponentials.iter_mut().for_each(|x| *x /= sum);
    exponentials
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calibration_divides_and_shifts_logits() {
        let calibration =
            Calibration { temperature: 2.0, shift: vec![0.0, 3f32.ln()], threshold: None };
        let found = calibration.probabilities(&[2.0, 2.0]);
        assert!((found[0] - 0.25).abs() < 1e-6 && (found[1] - 0.75).abs() < 1e-6, "{found:?}");
        let found = Calibration::NONE.probabilities(&[3f32.ln(), 0.0]);
        assert!((found[0] - 0.75).abs() < 1e-6, "{found:?}");
    }

    #[test]
    fn probabilities_sum_to_one_even_for_large_logits() {
        for logits in [[1000.0, 999.0], [-1000.0, -1000.0], [0.0, 80.0]] {
            let probabilities = softmax(&logits);
            assert!((probabilities.iter().sum::<f32>() - 1.0).abs() < 1e-6, "{probabilities:?}");
        }
    }
}
