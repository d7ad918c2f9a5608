//! An encoder graph in ONNX Runtime. The only module that names `ort`.

mod arena;
mod cuda;
mod feeds;
mod lent;
mod runtime;
mod session;
mod source;

use std::{io, path::Path, sync::Arc};

use ort::session::Session;

use super::{
    device::Device,
    predictor::{MaskEncoder, PredictError},
};
use crate::{
    architecture::Architecture,
    checkpoint::CheckpointError,
    export::{OUTPUT, ReadError},
    tokenization::{PackedBatch, Prompt},
};
use feeds::Feeds;
use lent::LentWeights;

pub use runtime::Runtime;
pub use source::EncoderSource;

/// Why an encoder cannot be loaded or run.
#[derive(Debug, thiserror::Error)]
pub enum EncoderError {
    #[error("ONNX Runtime cannot load {path}: {source}")]
    Load { path: String, source: ort::Error },
    #[error("{path} is no encoder graph of this program: it has no input {input:?}")]
    Input { path: String, input: &'static str },
    #[error(transparent)]
    Graph(#[from] ReadError),
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error(
        "{path} has its matrices in 8 bits, which are for CPUs alone; import it in 32 or 16 bits, or \
         set inference.execution_provider to \"auto\" or \"cpu\""
    )]
    EightBits { path: String },
    #[error("there is no memory for the weights: {0}")]
    Memory(#[from] io::Error),
}

/// One session of an encoder graph. Sessions run one batch at a time; make one per thread.
pub struct Encoder {
    session: Session,
    /// The session reads its matrices in here, so this is dropped after it.
    _weights: Option<Arc<LentWeights>>,
    hidden_size: usize,
    device: Device,
    feeds: Feeds,
}

impl Encoder {
    /// Loads a graph that `export::to_onnx` wrote, for one session. Several share their weights
    /// when they come from one [`EncoderSource`].
    ///
    /// # Errors
    ///
    /// As [`EncoderSource::open`] and [`EncoderSource::session`].
    pub fn load(
        runtime: &Runtime,
        path: &Path,
        architecture: &Architecture,
        intra_op_threads: usize,
    ) -> Result<Self, EncoderError> {
        EncoderSource::open(runtime, path, architecture)?.session(intra_op_threads)
    }
}

impl MaskEncoder for Encoder {
    fn mask_vectors(&mut self, prompts: &[&Prompt]) -> Result<Vec<f32>, PredictError> {
        if prompts.is_empty() {
            return Ok(Vec::new());
        }
        let batch = PackedBatch::new(prompts.iter().copied());
        self.feeds.fill(&batch);
        let failed = |error: ort::Error| PredictError::Encoder(error.to_string());
        let outputs = self.feeds.run(&mut self.session).map_err(failed)?;
        let (_, vectors) = outputs[OUTPUT].try_extract_tensor::<f32>().map_err(failed)?;
        let expected = batch.len() * self.hidden_size;
        if vectors.len() != expected {
            let found = vectors.len();
            let message = format!("the encoder gave {found} numbers, expected {expected}");
            return Err(PredictError::Encoder(message));
        }
        Ok(vectors.to_vec())
    }

    fn hidden_size(&self) -> usize {
        self.hidden_size
    }

    fn device(&self) -> Device {
        self.device
    }
}
