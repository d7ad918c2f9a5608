//! Predictions against the truth. Pure.

mod classification;
mod regression;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use classification::{Classification, LabelMetrics};
pub use regression::Regression;

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

/// Targets and predictions are not all of the task's kind, or not equally many.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("targets and predictions do not fit the task")]
pub struct Mismatch;

/// Compares the predictions of a task with what they should be.
pub fn evaluate(
    kind: &Kind,
    targets: &[Target],
    predictions: &[Prediction],
) -> Result<Metrics, Mismatch> {
    if targets.len() != predictions.len() {
        return Err(Mismatch);
    }
    match kind {
        Kind::Classification { labels } => {
            let gold = all(targets, |target| match target {
                Target::Label(label) => Some(*label),
                Target::Value(_) => None,
            })?;
            let probabilities = all(predictions, |prediction| match &prediction.output {
                Output::Probabilities(probabilities) => Some(probabilities.as_slice()),
                Output::Value(_) => None,
            })?;
            let predicted = all(predictions, |prediction| prediction.output.best_label())?;
            let metrics = classification::compare(labels, &gold, &probabilities, &predicted);
            Ok(Metrics::Classification(metrics))
        }
        Kind::Regression { .. } => {
            let gold = all(targets, |target| match target {
                Target::Value(value) => Some(*value),
                Target::Label(_) => None,
            })?;
            let predicted = all(predictions, |prediction| match prediction.output {
                Output::Value(value) => Some(value),
                Output::Probabilities(_) => None,
            })?;
            Ok(Metrics::Regression(regression::compare(&gold, &predicted)))
        }
    }
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
