//! How good heads are on their development sets, in the mode that serves.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{TrainingError, calibration::importance};
use crate::{
    dataset::Dataset,
    evaluation::{Metric, Metrics, Options, evaluate_with},
    inference::{MaskEncoder, TaskPredictor, TemplateChoice, predict},
    task::{Prediction, Target},
};

/// Metrics, and the ones by which the best is chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Score {
    pub metrics: BTreeMap<String, f64>,
    /// All of them; a state that a run goes on from does not keep them.
    #[serde(skip)]
    pub whole: Option<Metrics>,
    /// Larger is better; compared in order.
    rank: [f64; 2],
}

impl Score {
    /// Whether it can be compared.
    pub fn is_finite(&self) -> bool {
        self.rank.iter().all(|value| value.is_finite())
    }
}

/// Whether one look at the development sets found more than another: on average over the tasks that
/// have one.
pub fn beats(scores: &[Option<Score>], others: &[Option<Score>]) -> bool {
    mean_rank(scores) > mean_rank(others)
}

/// The mean over the tasks that have a score.
pub fn mean_rank(scores: &[Option<Score>]) -> [f64; 2] {
    let known = scores.iter().flatten();
    let count = known.clone().count().max(1) as f64;
    known.fold([0.0; 2], |[first, second], score| {
        [first + score.rank[0] / count, second + score.rank[1] / count]
    })
}

/// Predicts the set as the server would and compares.
pub fn score(
    encoder: &mut dyn MaskEncoder,
    predictor: &TaskPredictor,
    data: &Dataset,
    metric: Metric,
) -> Result<Score, TrainingError> {
    let templates = predictor
        .select(&TemplateChoice::Default)
        .map_err(|error| TrainingError::Settings(error.to_string()))?;
    let predictions = predict(encoder, predictor, &data.inputs(), &templates)?;
    score_of(predictor, data, &predictions, metric)
}

/// Compares predictions for the set.
pub fn score_of(
    predictor: &TaskPredictor,
    data: &Dataset,
    predictions: &[Prediction],
    metric: Metric,
) -> Result<Score, TrainingError> {
    let kind = &predictor.file.task.kind;
    let priors = predictor.file.priors.as_deref();
    let weights = priors.map(|priors| importance(priors, &labels(data)));
    let options = Options { threshold: predictor.threshold(), weights: weights.as_deref() };
    let metrics = evaluate_with(kind, &data.targets(), predictions, &options)
        .map_err(|error| TrainingError::Settings(error.to_string()))?;
    let spread = predictor.head.scaling.standard_deviation;
    let rank = rank(&metrics, metric, weights.is_some(), spread);
    Ok(Score { metrics: metrics.summary(), whole: Some(metrics), rank })
}

/// What two looks are compared by: the metric, and among equals the loss. `spread` is that of the
/// training targets.
fn rank(metrics: &Metrics, metric: Metric, is_weighted: bool, spread: f64) -> [f64; 2] {
    match metrics {
        // The set stands for other shares than it has, which the metric does not know.
        Metrics::Classification(metrics) if is_weighted => [-metrics.log_loss, metrics.accuracy],
        Metrics::Classification(classification) => {
            // A development set that does not define the metric is compared by accuracy.
            let value = metric.value(metrics).unwrap_or(classification.accuracy);
            [value, -classification.log_loss]
        }
        // In units of the training targets' spread, to be comparable with other tasks.
        Metrics::Regression(regression) => {
            let error = -regression.rmse / spread;
            match metric {
                Metric::Spearman => [regression.spearman, error],
                _ => [error, regression.spearman],
            }
        }
    }
}

fn labels(data: &Dataset) -> Vec<usize> {
    data.targets().iter().filter_map(Target::label).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_rank(rank: [f64; 2]) -> Option<Score> {
        Some(Score { metrics: BTreeMap::new(), whole: None, rank })
    }

    #[test]
    fn several_tasks_are_compared_on_average() {
        let [a, b] = [with_rank([0.5, 0.0]), with_rank([0.9, 0.0])];
        assert!(beats(std::slice::from_ref(&b), std::slice::from_ref(&a)));
        assert!(!beats(std::slice::from_ref(&a), std::slice::from_ref(&a)));
        assert!(beats(&[a.clone(), None, b.clone()], &[a.clone(), None, a.clone()]));
        assert!(beats(&[with_rank([0.5, 0.1])], &[a]));
    }
}
