//! Whether probabilities mean what they say.

use serde::{Deserialize, Serialize};

/// Bins of a reliability diagram, of equal width over `(0, 1]`.
pub const BINS: usize = 15;

/// One bin of a reliability diagram: bin `i` holds the examples whose confidence lies in
/// `(i / BINS, (i + 1) / BINS]`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct ReliabilityBin {
    pub examples: usize,
    /// Sum of the examples' weights; their number where none were given.
    pub weight: f64,
    /// Weighted mean probability of the predicted label; 0 in an empty bin.
    pub confidence: f64,
    /// Weighted share of examples predicted right; 0 in an empty bin.
    pub accuracy: f64,
}

/// An example's answer as calibration sees it.
#[derive(Debug, Clone, Copy)]
pub struct Answer {
    /// Probability of the predicted label.
    pub confidence: f64,
    pub right: bool,
    pub weight: f64,
}

/// The bins of a reliability diagram, `BINS` of them, by the probability of the predicted label
/// (Guo et al., 2017, "On Calibration of Modern Neural Networks").
pub fn reliability(answers: impl IntoIterator<Item = Answer>) -> Vec<ReliabilityBin> {
    let mut bins = vec![ReliabilityBin::default(); BINS];
    for answer in answers {
        let bin = &mut bins[bin_of(answer.confidence)];
        bin.examples += 1;
        bin.weight += answer.weight;
        bin.confidence += answer.weight * answer.confidence;
        bin.accuracy += if answer.right { answer.weight } else { 0.0 };
    }
    bins.into_iter().map(sums_to_means).collect()
}

fn bin_of(confidence: f64) -> usize {
    // A probability of 0 has no bin of its own and goes into the first; the cast saturates.
    ((confidence * BINS as f64).ceil() as usize).clamp(1, BINS) - 1
}

fn sums_to_means(mut bin: ReliabilityBin) -> ReliabilityBin {
    if bin.weight > 0.0 {
        bin.confidence /= bin.weight;
        bin.accuracy /= bin.weight;
    }
    bin
}

/// Expected calibration error: the mean distance of confidence from accuracy, each bin by its
/// weight (Guo et al., 2017). 0 without examples.
pub fn expected_calibration_error(bins: &[ReliabilityBin]) -> f64 {
    let total: f64 = bins.iter().map(|bin| bin.weight).sum();
    let gaps = bins.iter().map(|bin| bin.weight * (bin.confidence - bin.accuracy).abs());
    if total > 0.0 { gaps.sum::<f64>() / total } else { 0.0 }
}

/// The bins that all the runs together would have given; those beyond `BINS` are left out.
pub fn pool_bins<'a>(runs: impl IntoIterator<Item = &'a [ReliabilityBin]>) -> Vec<ReliabilityBin> {
    let mut pooled = vec![ReliabilityBin::default(); BINS];
    for run in runs {
        for (sum, bin) in pooled.iter_mut().zip(run) {
            sum.examples += bin.examples;
            sum.weight += bin.weight;
            sum.confidence += bin.weight * bin.confidence;
            sum.accuracy += bin.weight * bin.accuracy;
        }
    }
    pooled.into_iter().map(sums_to_means).collect()
}

/// Squared error of the probabilities of one example (Brier, 1950): summed over the labels, and
/// halved for two labels, whose errors are the same (as scikit-learn's `brier_score_loss`).
pub fn squared_error(gold: usize, probabilities: &[f32]) -> f64 {
    let errors = probabilities.iter().enumerate().map(|(label, &probability)| {
        let truth = if label == gold { 1.0 } else { 0.0 };
        (f64::from(probability) - truth).powi(2)
    });
    let sum: f64 = errors.sum();
    if probabilities.len() == 2 { sum / 2.0 } else { sum }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Confidence and whether it was right, on six examples.
    const ANSWERS: [(f64, bool); 6] =
        [(0.5, true), (0.5, true), (0.625, true), (0.5, false), (0.5, false), (0.5, true)];

    fn bins(weights: &[f64]) -> Vec<ReliabilityBin> {
        reliability(ANSWERS.iter().zip(weights).map(|(&(confidence, right), &weight)| Answer {
            confidence,
            right,
            weight,
        }))
    }

    fn check(weights: &[f64], expected: f64) {
        let found = expected_calibration_error(&bins(weights));
        assert!((found - expected).abs() < 1e-12, "{found} {expected}");
    }

    #[test]
    fn calibration_error_is_the_weighted_gap_of_the_bins() {
        // By hand: |3/5 - 1/2| * 5/6 + |1 - 0.625| / 6, and with weights
        // |4/8 - 1/2| * 8/9 + 0.375 / 9.
        check(&[1.0; 6], 0.145_833_333_333_333_33);
        check(&[1.0, 2.0, 1.0, 1.0, 3.0, 1.0], 0.041_666_666_666_666_664);
        assert_eq!(expected_calibration_error(&[]), 0.0);
    }

    #[test]
    fn bins_are_closed_above() {
        let at = |confidence| bin_of(confidence);
        assert_eq!((at(0.0), at(0.01), at(0.0667), at(1.0)), (0, 0, 1, 14));
        assert_eq!((at(0.2), at(0.2 + 1e-9), at(f64::NAN)), (2, 3, 0));
        let found = bins(&[1.0; 6]);
        assert_eq!((found.len(), found[7].examples, found[9].examples), (BINS, 5, 1));
        assert_eq!((found[7].confidence, found[7].accuracy), (0.5, 0.6));
    }

    #[test]
    fn pooled_bins_are_those_of_all_runs_together() {
        let whole = bins(&[1.0; 6]);
        let first = bins(&[1.0; 3]);
        let rest = reliability(ANSWERS[3..].iter().map(|&(confidence, right)| Answer {
            confidence,
            right,
            weight: 1.0,
        }));
        assert_eq!(pool_bins([first.as_slice(), rest.as_slice()]), whole);
    }

    #[test]
    fn squared_errors_follow_brier() {
        assert_eq!(squared_error(1, &[0.25, 0.75]), 0.0625);
        assert_eq!(squared_error(0, &[0.5, 0.25, 0.25]), 0.375);
    }
}
