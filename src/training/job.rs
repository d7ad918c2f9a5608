//! A training job: its tasks, their encoder and settings, and checks that these fit together.

use std::{
    collections::{HashMap, HashSet},
    path::Path,
    sync::Arc,
    time::Duration,
};

use super::{
    HeadShape, Length, Settings, TrainingError, Tune,
    body::{Body, FrozenEncoder},
    encoder::TrainableEncoder,
    head::TrainableHead,
    job_task::JobTask,
    label_words::label_word_head,
    plan::Plan,
    recipe::Recipe,
    saving::{Unfinished, identity},
};
use crate::{
    checkpoint::{Checkpoint, Draft, GraphOutput},
    dataset::{Dataset, check_labels},
    export,
    inference::{EncoderSource, Head, Runtime, TaskPredictor, language_head, load_tokenizer},
    prompt::{ClassWeights, InferenceMode, Sampling},
    weights::{EncoderWeights, Precision},
};

/// Tasks to train, the encoder to begin with, and the place of the result.
pub struct Job<'a> {
    /// One task or more; several are trained together on one encoder.
    pub tasks: Vec<JobTask>,
    pub encoder: &'a Checkpoint,
    pub out: &'a Path,
    /// Permission to replace a checkpoint at `out`.
    pub replace: bool,
    pub settings: &'a Settings,
    /// The recipe that the settings come from, for the record.
    pub recipe: Option<&'a Recipe>,
    /// Weights to start from instead of the encoder's: those after the recipe's adaptation.
    pub adapted: Option<&'a EncoderWeights>,
    /// The time of a search for the settings, if there is one.
    pub budget: Option<Duration>,
    /// Bits of the trained encoder's matrices, as they are stored.
    pub precision: Precision,
    pub runtime: &'a Runtime,
    pub unfinished: Unfinished,
    /// Steps between two saves of the state.
    pub save_every: usize,
}

impl Job<'_> {
    pub(super) fn check(&self) -> Result<(), TrainingError> {
        self.settings.check()?;
        self.check_foreign()?;
        if self.settings.tune == Tune::Head && self.precision != Precision::Fp32 {
            return Err(TrainingError::Settings(
                "with a frozen encoder nothing is stored anew: `dynamar import --quantize` makes \
                 one with fewer bits, on which heads can be trained"
                    .to_owned(),
            ));
        }
        if let Length::Steps(steps) = self.settings.length
            && steps < self.tasks.len()
        {
            let tasks = self.tasks.len();
            return Err(TrainingError::Settings(format!(
                "{steps} steps are too few for {tasks} tasks"
            )));
        }
        let mut names = HashSet::new();
        for task in &self.tasks {
            check_labels(&task.train, &task.file.task)?;
            let name = &task.file.task.name;
            if !names.insert(name) {
                return Err(TrainingError::Settings(format!("two tasks are called {name:?}")));
            }
            self.check_options(task)?;
        }
        Ok(())
    }

    /// Refuses to train what another program's graph does not give.
    fn check_foreign(&self) -> Result<(), TrainingError> {
        let encoder = &self.encoder.manifest.encoder;
        let Some(graph) = &encoder.graph else { return Ok(()) };
        let path = self.encoder.path(&encoder.file).display().to_string();
        if self.settings.tune == Tune::Full {
            return Err(export::ReadError::Foreign { path }.into());
        }
        if graph.gives == GraphOutput::Logits {
            return Err(TrainingError::Settings(format!(
                "{path} has a classifier in it and gives logits, on which no head can be trained: export \
                 the encoder without it"
            )));
        }
        Ok(())
    }

    /// Refuses options that mean nothing for a task.
    fn check_options(&self, task: &JobTask) -> Result<(), TrainingError> {
        let (settings, file) = (self.settings, &task.file);
        let name = &file.task.name;
        let is_classifier = !file.labels().is_empty();
        let fault = if settings.contrastive > 0.0 && !is_classifier {
            "the contrastive loss is for classification"
        } else if settings.contrastive > 0.0 && settings.tune == Tune::Head {
            "the contrastive loss changes an encoder; with a frozen one it does nothing"
        } else if task.class_weights != ClassWeights::Even && !is_classifier {
            "class weights are for classification"
        } else if settings.views() > 1 && file.prompts.sampling == Sampling::All {
            "with sampling = \"all\" there are no second views for a consistency or contrastive loss"
        } else if settings.patience.is_some() && self.tasks.iter().all(|task| task.dev.is_none()) {
            "patience needs a development set"
        } else {
            return Ok(());
        };
        Err(TrainingError::Settings(format!("task {name:?}: {fault}")))
    }

    /// Begins the checkpoint, before the training, so that a mistake in `out` costs no time.
    pub(super) fn draft(&self) -> Result<Draft, TrainingError> {
        let joins = self.joins();
        let is_new = |name: &str| self.tasks.iter().any(|task| task.file.task.name == name);
        let mut draft = Draft::new(self.out, self.replace || joins)?;
        if joins {
            for task in &self.encoder.manifest.tasks {
                if !is_new(&task.name) {
                    draft.share_task(self.encoder, task)?;
                } else if !self.replace {
                    return Err(TrainingError::Settings(format!(
                        "{} holds a task {:?} already; pass --replace to train it anew",
                        self.out.display(),
                        task.name
                    )));
                }
            }
        }
        Ok(draft)
    }

    /// Tells whether the tasks are to join the checkpoint that their encoder comes from.
    pub(super) fn joins(&self) -> bool {
        let same = || self.out.canonicalize().ok() == self.encoder.directory.canonicalize().ok();
        self.settings.tune == Tune::Head && self.out.exists() && same()
    }

    /// Lists what must be the same for a run to go on from a state.
    pub(super) fn identity(&self) -> HashMap<String, String> {
        let mut identity = identity("train", self.encoder, self.settings);
        if let Some(adaptation) = self.adaptation() {
            let settings = serde_json::to_string(&adaptation.settings).unwrap_or_default();
            identity.insert("adaptation".to_owned(), settings);
        }
        for (at, task) in self.tasks.iter().enumerate() {
            let digest = |data: &Dataset| data.digest();
            identity.insert(format!("task file {}", at + 1), task.file.source.clone());
            identity.insert(format!("training set {}", at + 1), digest(&task.train));
            let dev = task.dev.as_ref().map_or(String::new(), digest);
            identity.insert(format!("development set {}", at + 1), dev);
            let weights = task.class_weights.name().to_owned();
            identity.insert(format!("class weights {}", at + 1), weights);
            let inference = task.inference.map_or("that of the task file", InferenceMode::name);
            identity.insert(format!("inference {}", at + 1), inference.to_owned());
            identity.insert(format!("metric {}", at + 1), task.metric.name().to_owned());
        }
        identity
    }

    /// Lists what must be the same for a search within `budget` to go on from its record.
    pub(super) fn search_identity(&self, budget: Duration) -> HashMap<String, String> {
        let mut identity = self.identity();
        identity.insert("budget".to_owned(), budget.as_secs().to_string());
        identity
    }

    /// Steps of the whole run.
    pub(super) fn steps(&self) -> usize {
        let batches =
            |task: &JobTask| task.train.examples.len().div_ceil(self.settings.batch_size.max(1));
        Plan::new(self.settings, &self.tasks.iter().map(batches).collect::<Vec<_>>()).steps
    }

    /// The predictors of all tasks, with blank heads.
    pub(super) fn predictors(&self) -> Result<Vec<TaskPredictor>, TrainingError> {
        let architecture = &self.encoder.manifest.encoder.architecture;
        let tokenizer = Arc::new(load_tokenizer(self.encoder)?);
        let predictor = |task: &JobTask| {
            let (hidden, outputs) = (architecture.hidden_size, task.file.task.kind.outputs());
            Ok(TaskPredictor::new(
                Arc::clone(&task.file),
                Arc::clone(&tokenizer),
                architecture.max_positions,
                Head { inference: task.inference, ..Head::blank(hidden, outputs) },
                &task.path,
            )?)
        };
        self.tasks.iter().map(predictor).collect()
    }

    /// A fresh head as the settings ask for.
    pub(super) fn head(
        &self,
        settings: &Settings,
        task: &JobTask,
        predictor: &TaskPredictor,
    ) -> Result<TrainableHead, TrainingError> {
        let entry = &self.encoder.manifest.encoder;
        let (hidden, outputs) = (entry.architecture.hidden_size, task.file.task.kind.outputs());
        let Settings { head, seed, .. } = *settings;
        if head != HeadShape::LabelWords {
            return Ok(TrainableHead::new(head, hidden, outputs, seed));
        }
        let Some(language) = language_head(self.encoder)? else {
            return Err(TrainingError::Settings(format!(
                "the encoder {} has no language-model head, which label words need; pretrain gives \
                 it one",
                entry.name
            )));
        };
        let weights = export::read_weights(self.encoder)?;
        label_word_head(&task.file, predictor.tokenizer(), &weights, &language)
    }

    pub(super) fn body(&self) -> Result<Body, TrainingError> {
        match self.settings.tune {
            Tune::Full => Ok(Body::from(match self.adapted {
                Some(weights) => TrainableEncoder::new(weights)?,
                None => TrainableEncoder::new(&export::read_weights(self.encoder)?)?,
            })),
            Tune::Head => {
                let threads = rayon::current_num_threads();
                let encoder = EncoderSource::of(self.runtime, self.encoder)?.session(threads)?;
                Ok(Body::from(FrozenEncoder::new(encoder)))
            }
        }
    }
}
