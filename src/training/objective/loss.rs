//! The task's own loss: of the prediction against the target.

use crate::{inference::Scaling, prompt::ClassWeights, task::Target};

/// How much the labels count.
#[derive(Debug, Clone, PartialEq)]
pub struct Weighting {
    /// Of each label; empty where all count the same.
    weights: Vec<f64>,
    /// The labels' shares in the training set, times their weights; they sum to 1. Empty for
    /// regression.
    pub shares: Vec<f64>,
}

impl Weighting {
    /// For these training targets, with so many labels.
    pub fn new(class_weights: ClassWeights, targets: &[Target], labels: usize) -> Self {
        let mut counts = vec![0f64; labels];
        for target in targets {
            if let Target::Label(label) = target {
                counts[*label] += 1.0;
            }
        }
        let total: f64 = counts.iter().sum();
        if total == 0.0 {
            return Self { weights: Vec::new(), shares: Vec::new() };
        }
        // What a label counts in all, by the number of its examples.
        let of_label: fn(f64) -> f64 = match class_weights {
            ClassWeights::Even => {
                let shares = counts.iter().map(|count| count / total).collect();
                return Self { weights: Vec::new(), shares };
            }
            ClassWeights::Softened => f64::sqrt,
            ClassWeights::Balanced => |_| 1.0,
        };
        let sum: f64 = counts.iter().map(|count| of_label(*count)).sum();
        let shares: Vec<f64> = counts.iter().map(|count| of_label(*count) / sum).collect();
        // Such that an example counts 1 on average.
        let each = counts.iter().zip(&shares).map(|(count, share)| share * total / count.max(1.0));
        Self { weights: each.collect(), shares }
    }

    fn of(&self, target: &Target) -> f64 {
        match target {
            Target::Label(label) => self.weights.get(*label).copied().unwrap_or(1.0),
            Target::Value(_) => 1.0,
        }
    }
}

/// The mean loss of a batch and its gradient: cross-entropy of labels, weighted, or the squared
/// error of z-scored values. `outputs` is `[targets, columns]`, and so is the gradient. A target that
/// does not fit the outputs makes both NaN.
pub fn loss(
    outputs: &[f32],
    columns: usize,
    targets: &[Target],
    scaling: Scaling,
    weighting: &Weighting,
) -> (f32, Vec<f32>) {
    let columns = columns.max(1);
    let mut gradient = vec![f32::NAN; targets.len() * columns];
    if outputs.len() != gradient.len() || targets.is_empty() {
        return (f32::NAN, gradient);
    }
    let weight: f64 = targets.iter().map(|target| weighting.of(target)).sum();
    let mut total = 0.0;
    let rows = gradient.chunks_exact_mut(columns).zip(outputs.chunks_exact(columns));
    for ((gradient, outputs), target) in rows.zip(targets) {
        let share = weighting.of(target) / weight;
        total += share
            * match *target {
                Target::Label(label) => cross_entropy(gradient, outputs, label, share),
                Target::Value(value) => {
                    squared_error(gradient, outputs, scaled(value, scaling), share)
                }
            };
    }
    (total as f32, gradient)
}

/// `-ln softmax(logits)[label]`, with the gradient `softmax(logits) - [label]`, times `share`.
fn cross_entropy(gradient: &mut [f32], logits: &[f32], label: usize, share: f64) -> f64 {
    let Some(at_label) = logits.get(label) else { return f64::NAN };
    // Subtracting the largest logit changes nothing but the range.
    let largest = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let total: f64 = logits.iter().map(|logit| (f64::from(*logit) - largest).exp()).sum();
    for (at, (gradient, logit)) in gradient.iter_mut().zip(logits).enumerate() {
        let probability = (f64::from(*logit) - largest).exp() / total;
        let expected = if at == label { 1.0 } else { 0.0 };
        *gradient = ((probability - expected) * share) as f32;
    }
    total.ln() - (f64::from(*at_label) - largest)
}

/// The mean of `(output - value)²` over a row's outputs, of which a regressor has one.
fn squared_error(gradient: &mut [f32], outputs: &[f32], value: f64, share: f64) -> f64 {
    let count = outputs.len() as f64;
    let mut total = 0.0;
    for (gradient, output) in gradient.iter_mut().zip(outputs) {
        let error = f64::from(*output) - value;
        *gradient = (2.0 * error * share / count) as f32;
        total += error * error;
    }
    total / count
}

fn scaled(value: f64, scaling: Scaling) -> f64 {
    (value - scaling.mean) / scaling.standard_deviation
}

/// The scaling that z-scores the values among these targets; labels are left as they are.
pub fn z_score(targets: &[Target]) -> Scaling {
    let values: Vec<f64> = targets.iter().filter_map(Target::value).collect();
    let count = values.len().max(1) as f64;
    let mean = values.iter().sum::<f64>() / count;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count;
    let standard_deviation = if variance > 0.0 { variance.sqrt() } else { 1.0 };
    Scaling { mean, standard_deviation }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All count the same.
    const EVEN: Weighting = Weighting { weights: Vec::new(), shares: Vec::new() };

    #[test]
    fn balanced_labels_count_the_same_in_all() {
        let targets = [0, 0, 0, 1].map(Target::Label);
        let weighting = Weighting::new(ClassWeights::Balanced, &targets, 2);
        assert_eq!(weighting.weights, [2.0 / 3.0, 2.0]);
        assert_eq!(weighting.shares, [0.5, 0.5]);
        let logits = [3f32.ln(), 0.0].repeat(4);
        let (found, gradient) = loss(&logits, 2, &targets, Scaling::IDENTITY, &weighting);
        let expected = (-0.75f32.ln() - 0.25f32.ln()) / 2.0;
        assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        // The three of one label pull as hard as the one of the other would alone.
        let pull: f32 = gradient.chunks(2).map(|row| row[0]).sum();
        assert!((pull - (0.5 * -0.25 + 0.5 * 0.75)).abs() < 1e-6, "{pull}");
        let even = Weighting::new(ClassWeights::Even, &targets, 2);
        assert_eq!(even.shares, [0.75, 0.25]);
        assert!(Weighting::new(ClassWeights::Balanced, &[Target::Value(1.0)], 0).shares.is_empty());
    }

    #[test]
    fn losses_follow_their_definitions() {
        let targets = [Target::Label(0), Target::Label(0)];
        let (found, _) = loss(&[1.0, 3.0, 500.0, -500.0], 2, &targets, Scaling::IDENTITY, &EVEN);
        assert!((found - (1.0 + 2f32.exp()).ln() / 2.0).abs() < 1e-6, "{found}");
        let scaling = z_score(&[2.0, 6.0].map(Target::Value));
        assert_eq!((scaling.mean, scaling.standard_deviation), (4.0, 2.0));
        let targets = [Target::Value(2.0), Target::Value(4.0)];
        assert_eq!(loss(&[0.0, 1.0], 1, &targets, scaling, &EVEN), (1.0, vec![1.0, 1.0]));
        assert_eq!(z_score(&[3.0, 3.0].map(Target::Value)).standard_deviation, 1.0);
        assert_eq!(z_score(&[Target::Label(3)]), Scaling::IDENTITY);
    }

    #[test]
    fn gradients_agree_with_finite_differences() {
        let scaling = Scaling { mean: 1.0, standard_deviation: 2.0 };
        let outputs = [0.3, -1.2, 0.8, 2.0, 0.1, -0.4];
        let labels = [Target::Label(2), Target::Label(0)];
        let values = [0.5, 3.0, -2.0, 1.0, 0.0, 4.0].map(Target::Value);
        for (columns, targets) in [(3, &labels[..]), (1, &values[..])] {
            let (_, gradient) = loss(&outputs, columns, targets, scaling, &EVEN);
            for (at, found) in gradient.iter().enumerate() {
                let moved = |by: f32| {
                    let mut outputs = outputs;
                    outputs[at] += by;
                    loss(&outputs, columns, targets, scaling, &EVEN).0
                };
                let expected = (moved(1e-2) - moved(-1e-2)) / 2e-2;
                assert!((found - expected).abs() < 1e-4, "{at}: {found}, {expected}");
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_not_a_number() {
        let label =
            |label| loss(&[0.0, 1.0], 2, &[Target::Label(label)], Scaling::IDENTITY, &EVEN).0;
        assert!(label(1).is_finite() && label(2).is_nan());
        assert!(loss(&[0.0], 2, &[Target::Label(0)], Scaling::IDENTITY, &EVEN).0.is_nan());
        assert!(
            loss(&[f32::NAN, 0.0], 2, &[Target::Label(0)], Scaling::IDENTITY, &EVEN).0.is_nan()
        );
    }
}
