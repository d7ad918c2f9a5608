//! How good predicted labels are.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{
    Options,
    calibration::{self, Answer, ReliabilityBin},
    paired, ranking,
    threshold::{self, Decision},
};

/// Metrics of a classification task. Weights of examples, where given, count in `log_loss`,
/// `brier`, `ece` and the bins.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Classification {
    pub examples: usize,
    pub accuracy: f64,
    /// Mean F1 of the labels that occur in truth or prediction.
    pub macro_f1: f64,
    /// Mean negative log-probability of the right label.
    pub log_loss: f64,
    /// Mean squared error of the probabilities: summed over labels, and halved for two labels.
    pub brier: f64,
    /// Expected calibration error of the probability of the predicted label, 15 bins.
    pub ece: f64,
    /// Of the positive label if there are two, or else the mean over the labels that occur; none
    /// if no label occurs beside others.
    pub average_precision: Option<f64>,
    /// Area under the ROC curve, averaged like `average_precision`.
    pub auroc: Option<f64>,
    /// Of a task with two labels.
    pub positive: Option<Box<PositiveMetrics>>,
    /// In the order of the task file.
    pub labels: Vec<LabelMetrics>,
    /// `confusion[gold][predicted]`
    pub confusion: Vec<Vec<usize>>,
    /// Reliability diagram: 15 bins of the predicted label's probability.
    pub reliability: Vec<ReliabilityBin>,
}

/// Metrics of one label.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LabelMetrics {
    pub label: String,
    pub examples: usize,
    pub precision: f64,
    pub recall: f64,
    pub f1: f64,
    /// Against the rest; none unless the label and another one occur.
    pub average_precision: Option<f64>,
    /// Against the rest; none unless the label and another one occur.
    pub auroc: Option<f64>,
}

/// Decisions for the positive label of a task with two labels.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PositiveMetrics {
    pub label: String,
    /// Said from a probability of 0.5 on.
    pub at_half: Decision,
    /// Said from the given threshold on.
    pub at_threshold: Option<Decision>,
}

/// Compares the right labels with predicted probabilities, `[examples][labels]`. Labels are in
/// range, rows and weights as long as they should be.
pub fn compare(
    names: &[String],
    gold: &[usize],
    probabilities: &[&[f32]],
    predicted: &[usize],
    options: &Options,
) -> Classification {
    let confusion = confusion(names.len(), gold, predicted);
    let right: usize = (0..names.len()).map(|label| confusion[label][label]).sum();
    let mut labels: Vec<LabelMetrics> =
        names.iter().enumerate().map(|(at, name)| label_metrics(name, at, &confusion)).collect();
    add_rankings(&mut labels, gold, probabilities);
    let positive = options.positive(names.len());
    let weights = |at: usize| options.weights.map_or(1.0, |weights| weights[at]);
    let mean = |score: &dyn Fn(usize) -> f64| {
        let total: f64 = (0..gold.len()).map(weights).sum();
        let sum: f64 = (0..gold.len()).map(|at| weights(at) * score(at)).sum();
        if total > 0.0 { sum / total } else { 0.0 }
    };
    let reliability = calibration::reliability((0..gold.len()).map(|at| Answer {
        confidence: f64::from(probabilities[at][predicted[at]]),
        right: predicted[at] == gold[at],
        weight: weights(at),
    }));
    Classification {
        examples: gold.len(),
        accuracy: ratio(right, gold.len()),
        macro_f1: macro_f1(&labels, &confusion),
        log_loss: mean(&|at| -f64::from(probabilities[at][gold[at]]).max(f64::MIN_POSITIVE).ln()),
        brier: mean(&|at| calibration::squared_error(gold[at], probabilities[at])),
        ece: calibration::expected_calibration_error(&reliability),
        average_precision: over_labels(&labels, positive, |label| label.average_precision),
        auroc: over_labels(&labels, positive, |label| label.auroc),
        positive: positive
            .map(|positive| positive_metrics(names, positive, gold, probabilities, options))
            .map(Box::new),
        labels,
        confusion,
        reliability,
    }
}

fn confusion(labels: usize, gold: &[usize], predicted: &[usize]) -> Vec<Vec<usize>> {
    let mut confusion = vec![vec![0; labels]; labels];
    for (&gold, &predicted) in gold.iter().zip(predicted) {
        confusion[gold][predicted] += 1;
    }
    confusion
}

fn label_metrics(name: &str, label: usize, confusion: &[Vec<usize>]) -> LabelMetrics {
    let right = confusion[label][label];
    let examples = confusion[label].iter().sum();
    let predicted: usize = confusion.iter().map(|row| row[label]).sum();
    LabelMetrics {
        label: name.to_owned(),
        examples,
        precision: ratio(right, predicted),
        recall: ratio(right, examples),
        f1: ratio(2 * right, examples + predicted),
        average_precision: None,
        auroc: None,
    }
}

fn add_rankings(labels: &mut [LabelMetrics], gold: &[usize], probabilities: &[&[f32]]) {
    for (at, label) in labels.iter_mut().enumerate().filter(|(_, label)| label.examples > 0) {
        let is_label: Vec<bool> = gold.iter().map(|&gold| gold == at).collect();
        let scores: Vec<f64> = probabilities.iter().map(|row| f64::from(row[at])).collect();
        let ranking = ranking::rank(&is_label, &scores);
        label.average_precision = ranking.map(|ranking| ranking.average_precision);
        label.auroc = ranking.map(|ranking| ranking.auroc);
    }
}

fn macro_f1(labels: &[LabelMetrics], confusion: &[Vec<usize>]) -> f64 {
    let predicted = |label: usize| confusion.iter().any(|row| row[label] > 0);
    let seen = labels.iter().enumerate();
    let seen = seen.filter(|(at, label)| label.examples > 0 || predicted(*at));
    let f1: Vec<f64> = seen.map(|(_, label)| label.f1).collect();
    f1.iter().sum::<f64>() / f1.len().max(1) as f64
}

/// The positive label's figure, or else the mean over the labels that have one.
fn over_labels(
    labels: &[LabelMetrics],
    positive: Option<usize>,
    figure: impl Fn(&LabelMetrics) -> Option<f64>,
) -> Option<f64> {
    match positive {
        Some(positive) => figure(&labels[positive]),
        None => paired::mean(&labels.iter().filter_map(figure).collect::<Vec<_>>()),
    }
}

fn positive_metrics(
    names: &[String],
    positive: usize,
    gold: &[usize],
    probabilities: &[&[f32]],
    options: &Options,
) -> PositiveMetrics {
    let is_positive: Vec<bool> = gold.iter().map(|&gold| gold == positive).collect();
    let scores: Vec<f32> = probabilities.iter().map(|row| row[positive]).collect();
    let decide = |threshold| threshold::decide(&is_positive, &scores, threshold);
    PositiveMetrics {
        label: names[positive].clone(),
        at_half: decide(0.5),
        at_threshold: options.threshold.map(|threshold| decide(threshold.value)),
    }
}

/// 0 where there is nothing to divide by.
fn ratio(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

impl Classification {
    /// The figures that a report keeps. Those which the examples do not define are left out.
    pub fn summary(&self) -> BTreeMap<String, f64> {
        let at_threshold = |positive: &PositiveMetrics| Some(positive.at_threshold?.f1);
        let positive = self.positive.as_deref();
        let figures = [
            ("accuracy", Some(self.accuracy)),
            ("macro_f1", Some(self.macro_f1)),
            ("log_loss", Some(self.log_loss)),
            ("ece", Some(self.ece)),
            ("average_precision", self.average_precision),
            ("auroc", self.auroc),
            ("f1_positive", positive.map(|positive| positive.at_half.f1)),
            ("f1_at_threshold", positive.and_then(at_threshold)),
        ];
        let defined =
            figures.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        defined.collect()
    }
}

#[cfg(test)]
mod tests;
