//! Why checkpoints do not serve.

use std::io;

use crate::{
    checkpoint::CheckpointError,
    inference::{CudaRefused, EncoderError, LoadError, RuntimeNotFound},
};

/// Why there is nothing to serve, or why a checkpoint is refused.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// No checkpoint with a task.
    #[error(
        "there is no task to serve in {directory}: {found}; `make serve` trains two on public \
         data and serves them, `dynamar train --out {directory}/NAME` makes one of your own data"
    )]
    Empty {
        /// Where was looked.
        directory: String,
        /// What is there instead.
        found: &'static str,
    },
    /// Tasks were served from there, and now there is none.
    #[error(
        "there is no task left in {directory}: {found}; if its disk is gone, bring it back: what \
         was served is served on from memory"
    )]
    Gone {
        /// The directory of the checkpoints.
        directory: String,
        /// What is there instead.
        found: &'static str,
    },
    /// The directory of the checkpoints cannot be listed.
    #[error("cannot read the models directory {directory}: {source}")]
    Directory {
        /// The directory.
        directory: String,
        /// Why not.
        source: io::Error,
    },
    /// ONNX Runtime cannot be loaded.
    #[error(transparent)]
    Runtime(#[from] RuntimeNotFound),
    /// A GPU is asked for and cannot be used.
    #[error(transparent)]
    Cuda(#[from] CudaRefused),
    /// A checkpoint is damaged or does not fit this program.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The name of a checkpoint's directory.
    #[error(
        "{directory}: {version:?} is no version; after the @ of a directory's name there are 1 to \
         {} letters, digits, '-', '_' or '.'",
        super::name::MAX_VERSION_BYTES
    )]
    Version {
        /// The directory.
        directory: String,
        /// What is after the `@`.
        version: String,
    },
    /// It cannot be seen what a checkpoint's directory holds.
    #[error("cannot read {directory}: {message}")]
    Unreadable {
        /// The directory.
        directory: String,
        /// Why not.
        message: String,
    },
    /// Somebody writes to it.
    #[error("{directory} changed while it was being loaded: rename checkpoints into their place")]
    Changed {
        /// The directory.
        directory: String,
    },
    /// A task's name must say who answers.
    #[error(
        "the task {task:?} is in two checkpoints, {first} and {second}, and a server that starts \
         with both serves that of {first}: take one of them out of the models directory, or make \
         them versions of one name, such as NAME@1 and NAME@2"
    )]
    Duplicate {
        /// The task.
        task: String,
        /// Directory of the checkpoint that holds it and whose name comes first.
        first: String,
        /// Directory of another.
        second: String,
    },
    /// A checkpoint is whole but gives no usable prediction.
    #[error("the task {task:?} of {directory} cannot predict: {message}")]
    WarmUp {
        /// The task.
        task: String,
        /// Directory of its checkpoint.
        directory: String,
        /// What is wrong.
        message: String,
        /// Whether the encoder failed, which others may have brought about.
        is_of_encoder: bool,
    },
    /// The system gives no more threads.
    #[error("cannot start the workers: {0}")]
    Workers(io::Error),
}

impl RegistryError {
    /// Whether it is a fault of the directory's order and not of a checkpoint: a server that starts
    /// goes on without the checkpoint that is refused.
    pub(super) fn spares_a_start(&self) -> bool {
        matches!(self, Self::Duplicate { .. })
    }

    /// Whether the same checkpoint may be taken at another time.
    pub(super) fn is_passing(&self) -> bool {
        matches!(
            self,
            Self::Workers(_) | Self::Changed { .. } | Self::WarmUp { is_of_encoder: true, .. }
        )
    }
}

impl From<EncoderError> for RegistryError {
    fn from(error: EncoderError) -> Self {
        LoadError::from(error).into()
    }
}

impl From<CheckpointError> for RegistryError {
    fn from(error: CheckpointError) -> Self {
        LoadError::from(error).into()
    }
}
