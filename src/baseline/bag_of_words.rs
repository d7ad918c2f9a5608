//! TF-IDF of words and characters with logistic or ridge regression.

use super::{
    features::Features,
    limits::{Plan, Size},
    linear::{Answers, Linear, probabilities},
    sparse::SparseRows,
};
use crate::{
    dataset::{Dataset, sample},
    evaluation::{Mismatch, Threshold, fit_threshold},
    task::{Example, Kind, Output, Prediction, Target, Task},
};

/// The seed of the draw of a training set that is too large.
const SAMPLE_SEED: u64 = 0;

/// Parts of the training examples, each of which is answered by a fit on the others, to choose a
/// threshold.
const FOLDS: usize = 5;

/// A positive label with a larger share of the training examples has the threshold 0.5.
const RARE_SHARE: f64 = 0.3;

/// Entries above which one part alone is answered, to save time.
const MAX_ENTRIES_OF_ALL_FOLDS: usize = 1 << 23;

/// A linear model on the words of a text.
#[derive(Debug, Clone, PartialEq)]
pub struct BagOfWords {
    kind: Kind,
    features: Features,
    model: Linear,
    /// Mean of the training targets, which is taken off and added again; 0 of labels.
    mean: f64,
    threshold: Option<Threshold>,
    notes: Vec<String>,
}

impl BagOfWords {
    /// Fits a model to all training examples, or to as many as the limits allow, which
    /// [`notes`](Self::notes) tells. `positive` is the label that is looked for among two; where it
    /// is rare, a threshold for it is chosen by predictions for training examples that were left
    /// out of the fit. The result does not depend on the number of threads.
    ///
    /// # Errors
    ///
    /// `Mismatch` if the targets are not all of the task's kind, or there are none.
    pub fn fit(task: &Task, train: &Dataset, positive: Option<usize>) -> Result<Self, Mismatch> {
        let size = Size::of(train.examples.iter().map(|labeled| &labeled.example));
        let outputs = if task.kind.outputs() == 2 { 1 } else { task.kind.outputs() };
        let plan = size.plan(outputs);
        let drawn = (plan.rows < size.rows).then(|| sample(train, plan.rows, SAMPLE_SEED));
        let taken = drawn.as_ref().unwrap_or(train);
        let examples: Vec<&Example> =
            taken.examples.iter().map(|labeled| &labeled.example).collect();
        let targets = Targets::new(&task.kind, &taken.targets())?;
        let features = Features::fit(&task.fields, &examples, &plan);
        let rows = features.rows(&examples);
        let model = Linear::fit(&rows, targets.answers());
        let threshold = positive.and_then(|positive| threshold(&rows, &targets, positive));
        let notes = notes(&plan, &size, features.grams());
        let mean = targets.mean();
        Ok(Self { kind: task.kind.clone(), features, model, mean, threshold, notes })
    }

    /// Answers examples of the same task.
    pub fn predict(&self, examples: &[Example]) -> Vec<Prediction> {
        let examples: Vec<&Example> = examples.iter().collect();
        let scores = self.model.scores(&self.features.rows(&examples));
        let output = |scores: &[f32]| match &self.kind {
            Kind::Classification { .. } => Output::Probabilities(probabilities(scores)),
            Kind::Regression { min, max } => {
                let value = self.mean + f64::from(scores[0]);
                let value = min.map_or(value, |min| value.max(min));
                Output::Value(max.map_or(value, |max| value.min(max)))
            }
        };
        let rows = scores.chunks_exact(self.model.outputs());
        let predictions = rows.map(|scores| Prediction::of(output(scores)));
        predictions.collect()
    }

    /// The probability from which a rare positive label is said.
    pub fn threshold(&self) -> Option<Threshold> {
        self.threshold
    }

    /// Sentences on the parts of a training set that were left out because it is too large.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }
}

/// Targets as the linear model takes them.
enum Targets {
    Labels {
        gold: Vec<usize>,
        labels: usize,
    },
    /// Less their mean.
    Values {
        values: Vec<f32>,
        mean: f64,
    },
}

impl Targets {
    fn new(kind: &Kind, targets: &[Target]) -> Result<Self, Mismatch> {
        if targets.is_empty() {
            return Err(Mismatch);
        }
        match kind {
            Kind::Classification { labels } => {
                let label = |target: &Target| target.label().filter(|label| *label < labels.len());
                let gold: Option<Vec<usize>> = targets.iter().map(label).collect();
                Ok(Self::Labels { gold: gold.ok_or(Mismatch)?, labels: labels.len() })
            }
            Kind::Regression { .. } => {
                let values: Option<Vec<f64>> = targets.iter().map(Target::value).collect();
                let values = values.ok_or(Mismatch)?;
                let mean = values.iter().sum::<f64>() / values.len() as f64;
                let values = values.iter().map(|value| (value - mean) as f32).collect();
                Ok(Self::Values { values, mean })
            }
        }
    }

    fn answers(&self) -> Answers<'_> {
        match self {
            Self::Labels { gold, labels } => Answers::Labels { gold, labels: *labels },
            Self::Values { values, .. } => Answers::Values(values),
        }
    }

    fn mean(&self) -> f64 {
        match self {
            Self::Labels { .. } => 0.0,
            Self::Values { mean, .. } => *mean,
        }
    }
}

/// A threshold for a rare positive label of two.
fn threshold(rows: &SparseRows, targets: &Targets, positive: usize) -> Option<Threshold> {
    let Targets::Labels { gold, labels: 2 } = targets else { return None };
    let positives = gold.iter().filter(|label| **label == positive).count();
    let is_rare = positives as f64 <= RARE_SHARE * gold.len() as f64;
    if positive > 1 || !is_rare || positives < FOLDS {
        return None;
    }
    let answered = match rows.entries() > MAX_ENTRIES_OF_ALL_FOLDS {
        true => 1,
        false => FOLDS,
    };
    let folds = folds(gold);
    let (mut is_positive, mut probability) = (Vec::new(), Vec::new());
    for fold in 0..answered {
        let rows_of = |is_held_out: bool| -> Vec<usize> {
            (0..gold.len()).filter(|at| (folds[*at] == fold) == is_held_out).collect()
        };
        let (fitted, held_out) = (rows_of(false), rows_of(true));
        let fitted_gold: Vec<usize> = fitted.iter().map(|at| gold[*at]).collect();
        let answers = Answers::Labels { gold: &fitted_gold, labels: 2 };
        let model = Linear::fit(&rows.select(&fitted), answers);
        let scores = model.scores(&rows.select(&held_out));
        is_positive.extend(held_out.iter().map(|at| gold[*at] == positive));
        probability.extend(scores.iter().map(|score| probabilities(&[*score])[positive]));
    }
    Some(Threshold { positive, value: fit_threshold(&is_positive, &probability, None) })
}

/// Deals the examples of each label to the folds in turn.
fn folds(gold: &[usize]) -> Vec<usize> {
    let mut dealt = [0; 2];
    let deal = |label: &usize| {
        dealt[*label] += 1;
        dealt[*label] % FOLDS
    };
    gold.iter().map(deal).collect()
}

fn notes(plan: &Plan, size: &Size, (found, kept): (usize, usize)) -> Vec<String> {
    let mut notes = Vec::new();
    if plan.rows < size.rows {
        notes.push(format!("trained on a draw of {} of {} rows", plan.rows, size.rows));
    }
    if !plan.characters {
        notes
            .push("takes words alone: with n-grams of characters it would be too large".to_owned());
    }
    if kept < found {
        notes.push(format!("takes the {kept} most frequent of {found} n-grams"));
    }
    notes
}
