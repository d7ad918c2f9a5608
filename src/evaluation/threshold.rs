//! The decision of a two-label task: from which probability on the positive label is said.

use serde::Serialize;

/// A two-label task's positive label and the probability from which it is said.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Threshold {
    /// Index into the task's labels.
    pub positive: usize,
    /// The positive label is said if its probability is at least this.
    pub value: f32,
}

impl Threshold {
    /// The label of two that these probabilities are decided for, by its index.
    pub fn decide(self, probabilities: &[f32]) -> Option<usize> {
        let probability = *probabilities.get(self.positive)?;
        Some(if probability >= self.value { self.positive } else { 1 - self.positive })
    }
}

/// How good a decision is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Decision {
    pub threshold: f32,
    /// Examples that get the positive label.
    pub said: usize,
    /// Those of them whose true label it is.
    pub right: usize,
    pub precision: f64,
    pub recall: f64,
    pub f1: f64,
}

/// Says positive from `threshold` on. What has nothing to divide by is 0.
pub fn decide(gold_is_positive: &[bool], probabilities: &[f32], threshold: f32) -> Decision {
    let (mut right, mut said, mut positives) = (0, 0, 0);
    for (&positive, &probability) in gold_is_positive.iter().zip(probabilities) {
        let says = probability >= threshold;
        said += usize::from(says);
        positives += usize::from(positive);
        right += usize::from(says && positive);
    }
    let ratio = |part: usize, whole: usize| part as f64 / whole.max(1) as f64;
    Decision {
        threshold,
        said,
        right,
        precision: ratio(right, said),
        recall: ratio(right, positives),
        f1: ratio(2 * right, said + positives),
    }
}

/// The threshold with the highest F1 of the positive label, weighted if weights are given (as
/// many as examples).
///
/// It lies midway between two neighbouring scores that differ (the lowest score's neighbour is
/// 0), and of equally good ones nearest to 0.5. Without a positive example it is 0.5.
pub fn fit_threshold(
    gold_is_positive: &[bool],
    probabilities: &[f32],
    weights: Option<&[f64]>,
) -> f32 {
    let weight = |at: usize| weights.map_or(1.0, |weights| weights[at]);
    let mut order: Vec<usize> = (0..probabilities.len()).collect();
    order.sort_unstable_by(|&a, &b| probabilities[b].total_cmp(&probabilities[a]));
    let positives: f64 = (0..order.len()).filter(|&at| gold_is_positive[at]).map(weight).sum();
    let (mut best, mut best_f1) = (0.5, 0.0);
    let (mut right, mut said) = (0.0, 0.0);
    let mut groups = order.chunk_by(|&a, &b| probabilities[a] == probabilities[b]).peekable();
    while let Some(tied) = groups.next() {
        said += tied.iter().map(|&at| weight(at)).sum::<f64>();
        right += tied.iter().filter(|&&at| gold_is_positive[at]).map(|&at| weight(at)).sum::<f64>();
        let below = groups.peek().map_or(0.0, |next| probabilities[next[0]]);
        let threshold = midway(below, probabilities[tied[0]]);
        let f1 = if right > 0.0 { 2.0 * right / (said + positives) } else { 0.0 };
        let nearer = (threshold - 0.5).abs() < (best - 0.5f32).abs();
        // Sums in another order differ in their last bits; such figures are equal.
        let level = (f1 - best_f1).abs() <= 1e-12;
        if (f1 > best_f1 && !level) || (level && f1 > 0.0 && nearer) {
            (best, best_f1) = (threshold, f1);
        }
    }
    best
}

/// The middle, and never the lower one, which the threshold is to leave out.
fn midway(below: f32, above: f32) -> f32 {
    let middle = below + (above - below) / 2.0;
    if middle > below { middle } else { above }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCORES: [f32; 8] = [0.1, 0.4, 0.4, 0.8, 0.6, 0.6, 0.9, 0.3];
    const GOLD: [bool; 8] = [false, false, true, true, true, false, true, false];

    fn check(gold: &[bool], scores: &[f32], weights: Option<&[f64]>, expected: f32) {
        let found = fit_threshold(gold, scores, weights);
        assert!((found - expected).abs() < 1e-6, "{found} {expected}");
    }

    #[test]
    fn the_threshold_has_the_best_f1() {
        // scikit-learn's precision_recall_curve: F1 0.8 from 0.4 on, 0.75 from 0.6 on.
        check(&GOLD, &SCORES, None, 0.35);
        assert_eq!(decide(&GOLD, &SCORES, 0.35).f1, 0.8);
        let half = decide(&GOLD, &SCORES, 0.5);
        assert_eq!((half.precision, half.recall, half.f1), (0.75, 0.75, 0.75));
        // The mistaken 0.4 counts five times: now 0.6 is better (6 / 8 against 8 / 14).
        check(&GOLD, &SCORES, Some(&[1.0, 5.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]), 0.5);
    }

    #[test]
    fn equally_good_thresholds_yield_the_one_nearest_to_half() {
        // F1 is 2 / 3 from 0.8 on and from 0.225 on.
        check(&[true, false, false, true], &[0.9, 0.7, 0.6, 0.45], None, 0.225);
        // F1 is 2 / 3 from 0.8 on and from 0.1 on: 0.7 is nearer to one half than 0.05.
        check(&[true, false, false, true], &[0.8, 0.6, 0.3, 0.1], None, 0.7);
    }

    #[test]
    fn what_has_no_threshold_gets_half() {
        check(&[], &[], None, 0.5);
        check(&[false, false], &[0.2, 0.7], None, 0.5);
        check(&[true], &[0.4], Some(&[0.0]), 0.5);
        // Neighbouring floats have no number between them.
        let (below, above) = (0.7f32, 0.7f32.next_up());
        assert_eq!(fit_threshold(&[false, true], &[below, above], None), above);
    }
}
