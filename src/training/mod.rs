//! Trains a task's head, with the encoder or on a frozen one, and writes the checkpoint.

mod body;
mod encoder;
mod head;
mod loss;
mod ops;
mod optimizer;
mod publish;
mod random;
mod sampling;
mod schedule;
mod score;
mod settings;
mod trainer;

use std::sync::atomic::AtomicBool;

use crate::{
    checkpoint::CheckpointError,
    dataset::DatasetError,
    inference::{EncoderError, HeadError, LoadError, PredictError},
    tokenization::TokenizerError,
};

pub use encoder::TrainableEncoder;
pub use publish::{Job, Trained, train};
pub use score::Score;
pub use settings::{HeadShape, Length, Settings, Tune};
pub use trainer::{Observer, StepReport};

/// Set to stop training at the next step.
pub type Interrupt = AtomicBool;

/// Why training gave no checkpoint.
#[derive(Debug, thiserror::Error)]
pub enum TrainingError {
    #[error("interrupted; nothing was written")]
    Interrupted,
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

impl From<candle_core::Error> for TrainingError {
    fn from(error: candle_core::Error) -> Self {
        Self::Compute(error.to_string())
    }
}

#[cfg(test)]
mod tests;
