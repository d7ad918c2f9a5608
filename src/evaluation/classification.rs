//! How good predicted labels are.

use std::collections::BTreeMap;

use serde::Serialize;

/// Metrics of a classification task.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Classification {
    pub examples: usize,
    pub accuracy: f64,
    /// Mean F1 of the labels that occur in truth or prediction.
    pub macro_f1: f64,
    /// Mean negative log-probability of the right label.
    pub log_loss: f64,
    /// In the order of the task file.
    pub labels: Vec<LabelMetrics>,
    /// `confusion[gold][predicted]`
    pub confusion: Vec<Vec<usize>>,
}

/// Metrics of one label.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LabelMetrics {
    pub label: String,
    pub examples: usize,
    pub precision: f64,
    pub recall: f64,
    pub f1: f64,
}

/// Compares the right labels with predicted probabilities, `[examples][labels]`.
pub fn compare(
    names: &[String],
    gold: &[usize],
    probabilities: &[&[f32]],
    predicted: &[usize],
) -> Classification {
    let count = names.len();
    let mut confusion = vec![vec![0; count]; count];
    for (&gold, &predicted) in gold.iter().zip(predicted) {
        confusion[gold][predicted] += 1;
    }
    let right: usize = (0..count).map(|label| confusion[label][label]).sum();
    let labels: Vec<LabelMetrics> =
        names.iter().enumerate().map(|(at, name)| label_metrics(name, at, &confusion)).collect();
    let seen = labels
        .iter()
        .enumerate()
        .filter(|(at, metrics)| metrics.examples > 0 || confusion.iter().any(|row| row[*at] > 0));
    let f1: Vec<f64> = seen.map(|(_, metrics)| metrics.f1).collect();
    let losses = gold
        .iter()
        .zip(probabilities)
        .map(|(&gold, probabilities)| -f64::from(probabilities[gold]).max(f64::MIN_POSITIVE).ln());
    Classification {
        examples: gold.len(),
        accuracy: ratio(right, gold.len()),
        macro_f1: f1.iter().sum::<f64>() / f1.len().max(1) as f64,
        log_loss: losses.sum::<f64>() / gold.len().max(1) as f64,
        labels,
        confusion,
    }
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
    }
}

/// 0 where there is nothing to divide by.
fn ratio(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

impl Classification {
    /// The figures that a report keeps.
    pub fn summary(&self) -> BTreeMap<String, f64> {
        BTreeMap::from([
            ("accuracy".to_owned(), self.accuracy),
            ("macro_f1".to_owned(), self.macro_f1),
            ("log_loss".to_owned(), self.log_loss),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_follow_their_definitions() {
        let names = ["a", "b", "c"].map(str::to_owned);
        let gold = [0, 0, 0, 1];
        let probabilities = [0, 0, 1, 1].map(|label: usize| {
            let mut row = vec![0.25f32; 3];
            row[label] = 0.5;
            row
        });
        let probabilities: Vec<&[f32]> = probabilities.iter().map(Vec::as_slice).collect();
        let found = compare(&names, &gold, &probabilities, &[0, 0, 1, 1]);
        assert_eq!(found.accuracy, 0.75);
        assert_eq!(found.confusion, [[2, 1, 0], [0, 1, 0], [0, 0, 0]]);
        let a = &found.labels[0];
        assert_eq!((a.examples, a.precision, a.recall, a.f1), (3, 1.0, 2.0 / 3.0, 0.8));
        // Label c occurs nowhere and does not count.
        assert!((found.macro_f1 - (0.8 + 2.0 / 3.0) / 2.0).abs() < 1e-12);
        let expected = (3.0 * 2f64.ln() + 4f64.ln()) / 4.0;
        assert!((found.log_loss - expected).abs() < 1e-7);
    }

    #[test]
    fn no_examples_give_no_nonsense() {
        let found = compare(&["a".to_owned(), "b".to_owned()], &[], &[], &[]);
        assert_eq!((found.accuracy, found.macro_f1, found.log_loss), (0.0, 0.0, 0.0));
    }
}
