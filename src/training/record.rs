//! What a checkpoint tells of the job that made it, and whether a job has made the one that stands in its
//! place: a run that is told to go on may have nothing left to do, as when its machine was lost just after it
//! had published.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Job, JobTask, trainer::Outcome};
use crate::{
    checkpoint::{Checkpoint, CheckpointError},
    evaluation::Report,
};

/// Settings that a search changes (`search/candidates.rs`).
const SEARCHED: [&str; 6] = [
    "batch_size",
    "consistency",
    "contrastive",
    "head_learning_rate",
    "layer_decay",
    "learning_rate",
];

/// The report on a task's training.
pub(super) fn report(job: &Job<'_>, task: usize, outcome: &Outcome) -> Report {
    let mut training = circumstances(job, task);
    training.insert("steps".to_owned(), outcome.steps.into());
    training.insert("best_step".to_owned(), outcome.step.into());
    if let Some(share) = outcome.pair_shares[task] {
        training.insert("pair_similarity_share".to_owned(), share.into());
    }
    let score = outcome.scores[task].as_ref();
    Report {
        metrics: score.map(|score| score.metrics.clone()).unwrap_or_default(),
        dev_examples: dev_examples(&job.tasks[task]),
        training,
    }
}

/// What a report tells that is known before the training.
fn circumstances(job: &Job<'_>, task: usize) -> BTreeMap<String, Value> {
    let examples = job.tasks[task].train.examples.len();
    let mut told = BTreeMap::from([("train_examples".to_owned(), examples.into())]);
    if !job.tasks[task].file.labels().is_empty() {
        told.insert("class_weights".to_owned(), job.tasks[task].class_weights.name().into());
    }
    told.insert("metric".to_owned(), job.tasks[task].metric.name().into());
    let JobTask { file, inference, .. } = &job.tasks[task];
    let inference = inference.or(file.prompts.inference).unwrap_or_default();
    told.insert("inference".to_owned(), inference.name().into());
    if let Ok(Value::Object(settings)) = serde_json::to_value(job.settings) {
        told.extend(settings);
    }
    if let Some(recipe) = job.recipe {
        told.insert("chosen".to_owned(), serde_json::json!(recipe.record()));
        let adaptation = recipe.adaptation.as_ref().map(|adaptation| &adaptation.settings);
        told.insert("adaptation".to_owned(), serde_json::json!(adaptation));
    }
    if let Some(budget) = job.budget {
        told.insert("budget_s".to_owned(), budget.as_secs().into());
    }
    if job.tasks.len() > 1 {
        let names = job.tasks.iter().map(|task| task.file.task.name.as_str());
        told.insert("trained_together".to_owned(), names.collect::<Vec<_>>().into());
    }
    told
}

fn dev_examples(task: &JobTask) -> usize {
    task.dev.as_ref().map_or(0, |dev| dev.examples.len())
}

/// What a checkpoint says of the encoder that it began with.
pub(super) fn origin(encoder: &Checkpoint) -> String {
    format!("checkpoint {}", encoder.manifest.id)
}

impl Job<'_> {
    /// The id of the checkpoint at `out`, if as far as it tells this very job has made it: of the same
    /// encoder, with the same task files and settings, from as many examples. Which examples they were it
    /// does not tell.
    pub fn finished(&self) -> Option<String> {
        let there = Checkpoint::open(self.out).ok()?;
        // What joins a checkpoint has changed the one that it came from.
        let is_of_encoder =
            self.joins() || there.manifest.provenance.encoder_from == origin(self.encoder);
        let has_made = |task| self.has_made(&there, task).unwrap_or(false);
        let is_done = is_of_encoder && (0..self.tasks.len()).all(has_made);
        is_done.then_some(there.manifest.id)
    }

    fn has_made(&self, there: &Checkpoint, task: usize) -> Result<bool, CheckpointError> {
        let file = &self.tasks[task].file;
        let entry = there.task(&file.task.name)?;
        let has_same_file = there.read(&entry.task_file)? == file.source.as_bytes();
        let report = serde_json::from_slice(&there.read(&entry.report)?);
        let has_same_training = report.is_ok_and(|report: Report| {
            let is_searched = |name: &str| self.budget.is_some() && SEARCHED.contains(&name);
            let is_told = |(name, value): (&String, &Value)| {
                is_searched(name) || report.training.get(name) == Some(value)
            };
            report.dev_examples == dev_examples(&self.tasks[task])
                && circumstances(self, task).iter().all(is_told)
        });
        Ok(has_same_file && has_same_training)
    }
}
