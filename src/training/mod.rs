//! Trains a task's head, with the encoder or on a frozen one, and writes the checkpoint.

mod adapt;
mod body;
mod calibration;
mod encoder;
mod head;
mod job;
mod job_task;
mod label_words;
mod learner;
mod masking;
mod objective;
mod ops;
mod optimizer;
mod pair_similarity;
mod parameter;
mod parity;
mod plan;
pub mod pretrain;
#[cfg(test)]
mod profile;
mod publish;
mod random;
mod recipe;
mod record;
mod sampling;
mod saving;
mod schedule;
mod score;
mod search;
mod settings;
mod state;
mod trainer;
mod transform;
mod turns;

use std::sync::atomic::AtomicBool;

use crate::{
    checkpoint::CheckpointError,
    dataset::DatasetError,
    inference::{EncoderError, HeadError, LoadError, PredictError},
    tokenization::TokenizerError,
    weights::WeightsError,
};

pub use adapt::adapt;
pub use body::{Body, FrozenEncoder};
pub use encoder::{Dropout, ReadOut, TrainableEncoder};
pub use head::TrainableHead;
pub use job::Job;
pub use job_task::JobTask;
pub use label_words::label_word_head;
pub use learner::Stepper;
pub use masking::{DEFAULT_SHARE, Masked, Masking};
pub use objective::Objective;
pub use ops::ComputeError;
pub use optimizer::{Optimizer, Rates};
pub use parameter::{Gradient, Parameter};
pub use publish::{Trained, train};
pub use recipe::{Adaptation, Choice, Recipe, Requested, recipe};
pub use saving::Unfinished;
pub use score::Score;
pub use search::{Found, SearchObserver, Trial, forget as forget_search, search};
pub use settings::{HeadShape, Length, Settings, Tune};
pub use state::StateError;
pub use trainer::{Observer, Outcome, Quiet, StepReport, Stop, Trainer, TrainerTask};

/// Set to stop training at the next step.
pub type Interrupt = AtomicBool;

/// Why training gave no checkpoint.
#[derive(Debug, thiserror::Error)]
pub enum TrainingError {
    #[error("{}", interrupted(*.step))]
    Interrupted {
        /// The step whose state was kept.
        step: Option<usize>,
    },
    #[error("{0}")]
    Settings(String),
    #[error("the loss is {loss} at step {step}: try a lower learning rate")]
    Diverged { step: usize, loss: f32 },
    #[error("the gradient is not finite at step {step}: try a lower learning rate")]
    Gradient { step: usize },
    #[error("the targets lie too far apart to compute with")]
    Targets,
    #[error("parameter {name} received no gradient")]
    NoGradient { name: String },
    #[error("computation failed: {0}")]
    Compute(String),
    #[error(
        "the exported graph differs from the trained encoder by {difference:e}, more than \
         {tolerance:e}; nothing was written"
    )]
    Parity { difference: f32, tolerance: f32 },
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error(transparent)]
    Weights(#[from] crate::export::ReadError),
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error(transparent)]
    PromptSet(#[from] crate::tokenization::PromptSetError),
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    #[error(transparent)]
    Encoder(#[from] EncoderError),
    #[error(transparent)]
    Predict(#[from] PredictError),
    #[error(transparent)]
    Head(#[from] HeadError),
}

fn interrupted(step: Option<usize>) -> String {
    match step {
        None => "interrupted; nothing was written".to_owned(),
        Some(step) => format!("interrupted after step {step}; pass --resume to go on from there"),
    }
}

impl From<ops::ComputeError> for TrainingError {
    fn from(error: ops::ComputeError) -> Self {
        Self::Compute(error.to_string())
    }
}

impl From<WeightsError> for TrainingError {
    fn from(error: WeightsError) -> Self {
        Self::Compute(error.to_string())
    }
}

#[cfg(test)]
mod tests;
