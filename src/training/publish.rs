//! A training job from its files to a checkpoint.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use super::{
    Interrupt, Settings, TrainingError, Tune,
    body::{Body, CachedEncoder},
    encoder::TrainableEncoder,
    score::Score,
    trainer::{Observer, Outcome, Trainer},
};
use crate::{
    checkpoint::{Checkpoint, Draft, ENCODER_FILE, EncoderEntry, Manifest, Provenance},
    dataset::{Dataset, check_labels},
    evaluation::Report,
    export,
    inference::{
        Calibration, Encoder, Head, Layer, MaskEncoder, Runtime, Scaling, TaskPredictor,
        encode_all, load_tokenizer,
    },
    prompt::TaskFile,
    tokenization::Prompt,
    weights::{Array, EncoderWeights},
};

/// The exported graph may differ from the trainer's own forward pass by this much, times the
/// largest component of a mask vector where that is above 1.
const PARITY_TOLERANCE: f32 = 1e-4;

/// Prompts on which the two are compared.
const PARITY_PROMPTS: usize = 16;

/// What is to be trained from what, and where to.
pub struct Job<'a> {
    pub task: Arc<TaskFile>,
    /// The task file's path, for messages.
    pub task_path: &'a str,
    pub train: &'a Dataset,
    pub dev: Option<&'a Dataset>,
    pub encoder: &'a Checkpoint,
    pub out: &'a Path,
    /// Whether a checkpoint at `out` may be replaced.
    pub replace: bool,
    pub settings: &'a Settings,
    pub runtime: &'a Runtime,
}

/// What a job ended with.
#[derive(Debug)]
pub struct Trained {
    pub manifest: Manifest,
    /// On the development set, if there is one.
    pub score: Option<Score>,
    /// The step whose weights were kept, and how many there were.
    pub step: usize,
    pub steps: usize,
}

/// Trains and writes the checkpoint. With `Tune::Head` and `out` the encoder's own directory, the
/// task joins that checkpoint.
pub fn train(
    job: &Job<'_>,
    observer: &mut dyn Observer,
    interrupt: &Interrupt,
) -> Result<Trained, TrainingError> {
    job.settings.check()?;
    check_labels(job.train, &job.task.task)?;
    let draft = job.draft()?;
    let predictor = job.predictor()?;
    let mut body = job.body()?;
    let trainer = Trainer {
        settings: job.settings,
        predictor: &predictor,
        train: job.train,
        dev: job.dev,
        interrupt,
    };
    let outcome = trainer.run(&mut body, observer)?;
    job.publish(draft, &predictor, outcome)
}

impl Job<'_> {
    /// Begun before the training, so that a mistake in `out` costs no time.
    fn draft(&self) -> Result<Draft, TrainingError> {
        let joins = self.joins();
        let name = &self.task.task.name;
        let mut draft = Draft::new(self.out, self.replace || joins)?;
        if joins {
            for task in &self.encoder.manifest.tasks {
                if task.name != *name {
                    draft.share_task(self.encoder, task)?;
                } else if !self.replace {
                    return Err(TrainingError::Settings(format!(
                        "{} holds a task {name:?} already; pass --replace to train it anew",
                        self.out.display()
                    )));
                }
            }
        }
        Ok(draft)
    }

    /// Whether the task is to join the checkpoint that its encoder comes from.
    fn joins(&self) -> bool {
        let same = || self.out.canonicalize().ok() == self.encoder.directory.canonicalize().ok();
        self.settings.tune == Tune::Head && self.out.exists() && same()
    }

    fn predictor(&self) -> Result<TaskPredictor, TrainingError> {
        let architecture = &self.encoder.manifest.encoder.architecture;
        let tokenizer = Arc::new(load_tokenizer(self.encoder)?);
        let (hidden, outputs) = (architecture.hidden_size, self.task.task.kind.outputs());
        Ok(TaskPredictor::new(
            Arc::clone(&self.task),
            tokenizer,
            architecture.max_positions,
            blank_head(hidden, outputs),
            self.task_path,
        )?)
    }

    fn body(&self) -> Result<Body, TrainingError> {
        let entry = &self.encoder.manifest.encoder;
        let path = self.encoder.path(&entry.file);
        match self.settings.tune {
            Tune::Full => {
                let weights = export::read_weights(&path, &entry.architecture)?;
                Ok(Body::Trainable(TrainableEncoder::new(&weights)?))
            }
            Tune::Head => {
                let threads = rayon::current_num_threads();
                let hidden = entry.architecture.hidden_size;
                let encoder = Encoder::load(self.runtime, &path, hidden, threads)?;
                Ok(Body::Frozen(CachedEncoder::new(encoder)))
            }
        }
    }

    fn publish(
        &self,
        mut draft: Draft,
        predictor: &TaskPredictor,
        outcome: Outcome,
    ) -> Result<Trained, TrainingError> {
        let from = &self.encoder.manifest;
        match &outcome.weights {
            None => draft.share(self.encoder, &from.encoder.file)?,
            Some(weights) => {
                draft.add(ENCODER_FILE, &export::to_onnx(weights))?;
                self.check_parity(weights, &draft.path(ENCODER_FILE), predictor)?;
            }
        }
        let encoder = EncoderEntry {
            file: match outcome.weights {
                None => from.encoder.file.clone(),
                Some(_) => ENCODER_FILE.to_owned(),
            },
            ..from.encoder.clone()
        };
        draft.share(self.encoder, &from.tokenizer)?;
        let report = serde_json::to_vec_pretty(&self.report(&outcome))
            .map_err(|error| TrainingError::Compute(error.to_string()))?;
        let name = &self.task.task.name;
        draft.add_task(name, &self.task.source, &outcome.head.to_bytes()?, &report)?;
        let provenance = Provenance::new(format!("checkpoint {}", from.id));
        let manifest = draft.publish(encoder, &from.tokenizer, provenance)?;
        let Outcome { score, step, steps, .. } = outcome;
        Ok(Trained { manifest, score, step, steps })
    }

    fn report(&self, outcome: &Outcome) -> Report {
        let mut training = BTreeMap::from([
            ("train_examples".to_owned(), self.train.examples.len().into()),
            ("steps".to_owned(), outcome.steps.into()),
            ("best_step".to_owned(), outcome.step.into()),
        ]);
        if let Ok(serde_json::Value::Object(settings)) = serde_json::to_value(self.settings) {
            training.extend(settings);
        }
        Report {
            metrics: outcome.score.as_ref().map(|s| s.metrics.clone()).unwrap_or_default(),
            dev_examples: self.dev.map_or(0, |dev| dev.examples.len()),
            training,
        }
    }

    /// Compares the exported graph with the trainer's own forward pass.
    fn check_parity(
        &self,
        weights: &EncoderWeights,
        graph: &Path,
        predictor: &TaskPredictor,
    ) -> Result<(), TrainingError> {
        let canonical = self.task.prompts.canonical;
        let examples = self.train.examples.iter().take(PARITY_PROMPTS);
        let prompts: Vec<Prompt> = examples
            .map(|labeled| predictor.prompt(&labeled.example, canonical))
            .collect::<Result<_, _>>()?;
        let mut trained = TrainableEncoder::new(weights)?;
        let hidden = trained.hidden_size();
        let mut exported = Encoder::load(self.runtime, graph, hidden, 1)?;
        let expected = encode_all(&mut trained, &prompts)?.concat();
        let found = encode_all(&mut exported, &prompts)?.concat();
        let largest = expected.iter().fold(1f32, |largest, value| largest.max(value.abs()));
        let tolerance = PARITY_TOLERANCE * largest;
        let differences = || found.iter().zip(&expected).map(|(a, b)| (a - b).abs());
        // Not by the largest: a comparison with NaN must fail.
        if differences().all(|difference| difference <= tolerance) {
            return Ok(());
        }
        Err(TrainingError::Parity { difference: differences().fold(0f32, f32::max), tolerance })
    }
}

/// Stands for the head that is yet to be trained.
fn blank_head(hidden: usize, outputs: usize) -> Head {
    let zeros = |shape: Vec<usize>| {
        let data = vec![0.0; shape.iter().product()];
        Array { shape, data }
    };
    let output = Layer { weight: zeros(vec![hidden, outputs]), bias: zeros(vec![outputs]) };
    Head { dense: None, output, scaling: Scaling::IDENTITY, calibration: Calibration::NONE }
}
