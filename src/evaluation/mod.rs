//! Predictions against the truth. Pure.

pub mod calibration;
mod classification;
pub mod interval;
mod lengths;
mod metric;
pub mod nearest;
pub mod paired;
mod ranking;
mod regression;
pub mod review;
mod threshold;
mod thresholds;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

pub use classification::{Classification, LabelMetrics, PositiveMetrics};
pub use lengths::{LengthBin, by_length};
pub use metric::{Metric, MetricChoice};
pub use regression::Regression;
pub use threshold::{Decision, Threshold, fit_threshold};
pub use thresholds::Thresholds;

use crate::task::{Kind, Output, Prediction, Target};

/// Metrics of a task of either kind.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Metrics {
    Classification(Classification),
    Regression(Regression),
}

impl Metrics {
    /// The figures that a report keeps.
    pub fn summary(&self) -> BTreeMap<String, f64> {
        match self {
            Self::Classification(metrics) => metrics.summary(),
            Self::Regression(metrics) => metrics.summary(),
        }
    }
}

/// What an evaluation may be told beside targets and predictions.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Options<'a> {
    /// Of a task with two labels. Without it the last label is the positive one, and there are no
    /// figures at a threshold of the task's own.
    pub threshold: Option<Threshold>,
    /// One for each example, finite, not negative and not all 0: how much it counts in the mean
    /// scores of probabilities.
    pub weights: Option<&'a [f64]>,
}

impl Options<'_> {
    /// The positive label of a task with two labels.
    fn positive(&self, labels: usize) -> Option<usize> {
        (labels == 2).then(|| self.threshold.map_or(1, |threshold| threshold.positive))
    }

    fn fit(&self, kind: &Kind, examples: usize) -> bool {
        let threshold = self.threshold.is_none_or(|threshold| {
            kind.outputs() == 2 && threshold.positive < 2 && threshold.value.is_finite()
        });
        let weights = self.weights.is_none_or(|weights| {
            weights.len() == examples
                && weights.iter().all(|weight| weight.is_finite() && *weight >= 0.0)
                && (examples == 0 || weights.iter().any(|weight| *weight > 0.0))
        });
        threshold && weights
    }
}

/// Targets and predictions are not all of the task's kind, or not equally many, or the options
/// are not for them.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("targets, predictions, threshold or weights do not fit the task")]
pub struct Mismatch;

/// Compares the predictions of a task with what they should be.
pub fn evaluate(
    kind: &Kind,
    targets: &[Target],
    predictions: &[Prediction],
) -> Result<Metrics, Mismatch> {
    evaluate_with(kind, targets, predictions, &Options::default())
}

/// The same with a threshold or weights.
pub fn evaluate_with(
    kind: &Kind,
    targets: &[Target],
    predictions: &[Prediction],
    options: &Options,
) -> Result<Metrics, Mismatch> {
    if targets.len() != predictions.len() || !options.fit(kind, targets.len()) {
        return Err(Mismatch);
    }
    match kind {
        Kind::Classification { labels } => {
            let gold = all(targets, |target| target.label().filter(|label| *label < labels.len()))?;
            let rows = all(predictions, |prediction| {
                probabilities(prediction).filter(|row| row.len() == labels.len())
            })?;
            let predicted = all(predictions, |prediction| prediction.output.best_label())?;
            let metrics = classification::compare(labels, &gold, &rows, &predicted, options);
            Ok(Metrics::Classification(metrics))
        }
        Kind::Regression { .. } => {
            let gold = all(targets, Target::value)?;
            let predicted = all(predictions, predicted_value)?;
            Ok(Metrics::Regression(regression::compare(&gold, &predicted)))
        }
    }
}

fn predicted_value(prediction: &Prediction) -> Option<f64> {
    match prediction.output {
        Output::Value(value) => Some(value),
        Output::Probabilities(_) => None,
    }
}

fn probabilities(prediction: &Prediction) -> Option<&[f32]> {
    match &prediction.output {
        Output::Probabilities(probabilities) => Some(probabilities),
        Output::Value(_) => None,
    }
}

/// Whether the predictions are the same whatever the text: one label alone although the targets
/// have several, or values whose standard deviation is below a hundredth of the targets' (a bound
/// of our choice).
pub fn is_collapsed(targets: &[Target], predictions: &[Prediction]) -> bool {
    let labels: BTreeSet<usize> = targets.iter().filter_map(Target::label).collect();
    if !labels.is_empty() {
        let said: BTreeSet<_> = predictions.iter().map(|p| p.output.best_label()).collect();
        return labels.len() > 1 && said.len() == 1;
    }
    let gold: Vec<f64> = targets.iter().filter_map(Target::value).collect();
    let predicted = predictions.iter().filter_map(predicted_value);
    let spread = |values: &[f64]| paired::standard_deviation(values).unwrap_or(0.0);
    let (gold, predicted) = (spread(&gold), spread(&predicted.collect::<Vec<_>>()));
    gold > 0.0 && predicted < 0.01 * gold
}

fn all<'a, T, U>(items: &'a [T], part: impl Fn(&'a T) -> Option<U>) -> Result<Vec<U>, Mismatch> {
    items.iter().map(part).collect::<Option<_>>().ok_or(Mismatch)
}

/// What is kept with a head about how it was made and how good it is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// On the development set, in the mode that serves; empty if there was none.
    #[serde(default)]
    pub metrics: BTreeMap<String, f64>,
    /// Examples of the development set.
    #[serde(default)]
    pub dev_examples: usize,
    /// How the head was trained.
    #[serde(default)]
    pub training: BTreeMap<String, serde_json::Value>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind() -> Kind {
        Kind::Classification { labels: ["no", "yes"].map(str::to_owned).to_vec() }
    }

    fn prediction(output: Output) -> Prediction {
        Prediction::of(output)
    }

    fn check(targets: &[Target], rows: &[&[f32]], options: &Options, good: bool) {
        let predictions: Vec<Prediction> =
            rows.iter().map(|row| prediction(Output::Probabilities(row.to_vec()))).collect();
        let found = evaluate_with(&kind(), targets, &predictions, options);
        assert_eq!(found.is_ok(), good, "{targets:?} {rows:?} {options:?}");
    }

    #[test]
    fn what_does_not_fit_the_task_is_refused() {
        let none = Options::default();
        let row: &[f32] = &[0.5, 0.5];
        check(&[Target::Label(1)], &[row], &none, true);
        check(&[Target::Label(2)], &[row], &none, false);
        check(&[Target::Value(1.0)], &[row], &none, false);
        check(&[Target::Label(1)], &[], &none, false);
        check(&[Target::Label(1)], &[&[1.0]], &none, false);
        let threshold = |positive| Some(Threshold { positive, value: 0.3 });
        check(&[], &[], &Options { threshold: threshold(0), ..none }, true);
        check(&[], &[], &Options { threshold: threshold(2), ..none }, false);
        for (weights, good) in
            [(&[2.0][..], true), (&[0.0], false), (&[-1.0], false), (&[f64::NAN], false)]
        {
            check(&[Target::Label(1)], &[row], &Options { weights: Some(weights), ..none }, good);
        }
    }

    #[test]
    fn a_threshold_belongs_to_two_labels() {
        let kind = Kind::Regression { min: None, max: None };
        let threshold = Some(Threshold { positive: 1, value: 0.5 });
        let options = Options { threshold, weights: None };
        assert_eq!(evaluate_with(&kind, &[], &[], &options), Err(Mismatch));
        assert!(evaluate(&kind, &[Target::Value(1.0)], &[prediction(Output::Value(2.0))]).is_ok());
    }

    #[test]
    fn answers_that_never_change_are_collapsed() {
        let labels =
            |labels: &[usize]| labels.iter().map(|l| Target::Label(*l)).collect::<Vec<_>>();
        let said = |scores: &[f32]| {
            let output = |score: &f32| Output::Probabilities(vec![1.0 - score, *score]);
            scores.iter().map(|score| prediction(output(score))).collect::<Vec<_>>()
        };
        assert!(is_collapsed(&labels(&[0, 1]), &said(&[0.6, 0.9])));
        assert!(!is_collapsed(&labels(&[0, 1]), &said(&[0.4, 0.9])));
        assert!(!is_collapsed(&labels(&[1, 1]), &said(&[0.6, 0.9])));
        let gold = [Target::Value(0.0), Target::Value(10.0)];
        let values = |a, b| [prediction(Output::Value(a)), prediction(Output::Value(b))];
        assert!(is_collapsed(&gold, &values(5.0, 5.05)) && !is_collapsed(&gold, &values(5.0, 6.0)));
        assert!(!is_collapsed(&[], &[]));
    }
}
