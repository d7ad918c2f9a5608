//! A training job from its files to a checkpoint.

use std::path::Path;

use super::{
    Interrupt, TrainingError,
    job::Job,
    job_task::JobTask,
    parity, record,
    saving::Saving,
    score::{Score, score},
    trainer::{Observer, Outcome, Stop, Trainer, TrainerTask},
};
use crate::{
    checkpoint::{Draft, ENCODER_FILE, ENCODER_WEIGHTS_FILE, EncoderEntry, Manifest, Provenance},
    export,
    inference::{Encoder, Head, TaskPredictor},
    tokenization::Prompt,
    weights::{EncoderWeights, Precision},
};

/// Prompts of each task on which the exported graph is compared with the trainer's own forward pass.
const PARITY_PROMPTS: usize = 16;

/// Result of a job.
#[derive(Debug)]
pub struct Trained {
    pub manifest: Manifest,
    /// Name of each task and, if it has a development set, its score on it.
    pub scores: Vec<(String, Option<Score>)>,
    /// Share of each task's comparison of pairs in an answer, if its head has one.
    pub pair_shares: Vec<Option<f32>>,
    /// The step whose weights were kept, and how many there were.
    pub step: usize,
    pub steps: usize,
    /// Reason why it ended early, if it did.
    pub stop: Option<Stop>,
}

/// Trains and writes the checkpoint. With `Tune::Head` and `out` the encoder's own directory, the
/// tasks join that checkpoint.
pub fn train(
    job: &Job<'_>,
    observer: &mut dyn Observer,
    interrupt: &Interrupt,
) -> Result<Trained, TrainingError> {
    job.check()?;
    let draft = job.draft()?;
    let saving = Saving::begin(job.out, job.identity(), job.unfinished, job.save_every)?;
    let predictors = job.predictors()?;
    let tasks = job.tasks.iter().zip(&predictors).map(|(task, predictor)| {
        Ok(TrainerTask {
            predictor,
            train: &task.train,
            dev: task.dev.as_ref(),
            head: job.head(job.settings, task, predictor)?,
            class_weights: task.class_weights,
            metric: task.metric,
        })
    });
    let tasks = tasks.collect::<Result<Vec<_>, TrainingError>>()?;
    let trainer = Trainer::new(job.settings, job.body()?, tasks)?;
    let (outcome, _) = trainer.run(Some(&saving), observer, interrupt)?;
    let trained = job.publish(draft, &predictors, outcome)?;
    saving.file.remove()?;
    Ok(trained)
}

impl Job<'_> {
    fn publish(
        &self,
        mut draft: Draft,
        predictors: &[TaskPredictor],
        mut outcome: Outcome,
    ) -> Result<Trained, TrainingError> {
        let from = &self.encoder.manifest;
        match &outcome.weights {
            None => {
                for file in from.encoder.files().chain(&from.encoder.language_head) {
                    draft.share(self.encoder, file)?;
                }
            }
            Some(weights) => {
                let files = export::to_onnx(weights, self.precision, ENCODER_WEIGHTS_FILE);
                draft.add_encoder(&files.graph, &files.weights)?;
                let graph = draft.path(ENCODER_FILE);
                self.check_parity(weights, &graph, predictors)?;
                if self.precision != Precision::Fp32 {
                    outcome.scores = self.score_anew(&graph, predictors, &outcome.heads)?;
                }
            }
        }
        let EncoderEntry { name, architecture, .. } = &from.encoder;
        let encoder = match outcome.weights {
            None => from.encoder.clone(),
            // The language head was trained with the old weights.
            Some(_) => EncoderEntry::new(name, architecture.clone(), self.precision),
        };
        draft.share(self.encoder, &from.tokenizer)?;
        for (at, task) in self.tasks.iter().enumerate() {
            let report = serde_json::to_vec_pretty(&record::report(self, at, &outcome))
                .map_err(|error| TrainingError::Compute(error.to_string()))?;
            let head = outcome.heads[at].to_bytes()?;
            draft.add_task(&task.file.task.name, &task.file.source, &head, &report)?;
        }
        let provenance = Provenance::new(record::origin(self.encoder));
        let manifest = draft.publish(encoder, &from.tokenizer, provenance)?;
        let Outcome { scores, pair_shares, step, steps, stop, .. } = outcome;
        let names = self.tasks.iter().map(|task| task.file.task.name.clone());
        let scores = names.zip(scores).collect();
        Ok(Trained { manifest, scores, pair_shares, step, steps, stop })
    }

    /// Scores the heads on the encoder as it is stored, by task.
    fn score_anew(
        &self,
        graph: &Path,
        predictors: &[TaskPredictor],
        heads: &[Head],
    ) -> Result<Vec<Option<Score>>, TrainingError> {
        let architecture = &self.encoder.manifest.encoder.architecture;
        let threads = rayon::current_num_threads();
        let mut encoder = Encoder::load(self.runtime, graph, architecture, threads)?;
        let tasks = self.tasks.iter().zip(predictors).zip(heads);
        tasks
            .map(|((task, predictor), head)| {
                let predictor = predictor.with_head(head.clone());
                let dev = task.dev.as_ref();
                dev.map(|dev| score(&mut encoder, &predictor, dev, task.metric)).transpose()
            })
            .collect()
    }

    /// Compares the exported graph with the trainer's own forward pass on prompts of every task.
    fn check_parity(
        &self,
        weights: &EncoderWeights,
        graph: &Path,
        predictors: &[TaskPredictor],
    ) -> Result<(), TrainingError> {
        let of_task = |(task, predictor): (&JobTask, &TaskPredictor)| {
            let canonical = task.file.prompts.canonical;
            let examples = task.train.examples.iter().take(PARITY_PROMPTS);
            let prompts = examples.map(|labeled| predictor.prompt(&labeled.example, canonical));
            prompts.collect::<Result<Vec<Prompt>, _>>()
        };
        let prompts = self.tasks.iter().zip(predictors).map(of_task);
        let prompts = prompts.collect::<Result<Vec<_>, _>>()?.concat();
        parity::check_parity(weights, self.precision, graph, self.runtime, &prompts)
    }
}
