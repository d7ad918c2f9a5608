//! How good a head is on the development set, in the mode that serves.

use std::collections::BTreeMap;

use super::TrainingError;
use crate::{
    dataset::Dataset,
    evaluation::{Metrics, evaluate},
    inference::{MaskEncoder, TaskPredictor, TemplateChoice, predict},
};

/// Metrics, and the one by which the best is chosen.
#[derive(Debug, Clone, PartialEq)]
pub struct Score {
    pub metrics: BTreeMap<String, f64>,
    /// Larger is better; compared in order.
    rank: [f64; 2],
}

impl Score {
    /// Whether this is better than the other.
    pub fn beats(&self, other: &Self) -> bool {
        self.rank > other.rank
    }
}

/// Predicts the set as the server would and compares.
pub fn score(
    encoder: &mut dyn MaskEncoder,
    predictor: &TaskPredictor,
    data: &Dataset,
) -> Result<Score, TrainingError> {
    let templates = predictor
        .select(&TemplateChoice::Default)
        .map_err(|error| TrainingError::Settings(error.to_string()))?;
    let predictions = predict(encoder, predictor, &data.inputs(), &templates)?;
    let kind = &predictor.file.task.kind;
    let metrics = evaluate(kind, &data.targets(), &predictions)
        .map_err(|error| TrainingError::Settings(error.to_string()))?;
    let rank = match &metrics {
        // Among equally accurate ones the surer is better.
        Metrics::Classification(metrics) => [metrics.accuracy, -metrics.log_loss],
        Metrics::Regression(metrics) => [-metrics.rmse, metrics.spearman],
    };
    Ok(Score { metrics: metrics.summary(), rank })
}
