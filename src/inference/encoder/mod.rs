//! An encoder graph in ONNX Runtime. The only module that names `ort`.

mod arena;
mod cuda;
mod feeds;
mod foreign;
mod lent;
mod padded;
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
    foreign_graph::ForeignGraphError,
    tokenization::{PackedBatch, Prompt},
};
use feeds::Feeds;
use lent::LentWeights;
use padded::Padded;

pub use runtime::Runtime;
pub use source::EncoderSource;

/// Why an encoder cannot be loaded or run.
#[derive(Debug, thiserror::Error)]
pub enum EncoderError {
    #[error("ONNX Runtime cannot load {path}: {source}")]
    Load { path: String, source: ort::Error },
    #[error("{path} is no encoder graph as its checkpoint says: it has no input {input:?}")]
    Input { path: String, input: &'static str },
    #[error(transparent)]
    Graph(#[from] ReadError),
    #[error(transparent)]
    Foreign(#[from] ForeignGraphError),
    #[error(
        "{path} is damaged: the place of the matrix {name:?} is no multiple of its numbers' size"
    )]
    Unaligned { path: String, name: String },
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
    inputs: Inputs,
}

/// What a graph is fed.
enum Inputs {
    /// Our own graphs: tokens one after the other, without padding.
    Packed(Feeds),
    /// Graphs of other exporters.
    Padded(Padded),
}

impl Inputs {
    fn names(&self) -> Vec<&'static str> {
        match self {
            Self::Packed(feeds) => feeds.names().collect(),
            Self::Padded(padded) => padded.names().collect(),
        }
    }
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

    /// Lets prompts of any lengths share a batch from now on, however much of it is padding: to see
    /// whether a graph of another exporter minds.
    pub fn allow_any_padding(&mut self) {
        if let Inputs::Padded(padded) = &mut self.inputs {
            padded.allow_any_padding();
        }
    }

    /// Numbers that a graph of another exporter gives for a prompt. From now on it must give as many.
    ///
    /// # Errors
    ///
    /// If it fails, or gives an output of other dimensions.
    pub fn find_width(&mut self, prompt: &Prompt) -> Result<usize, PredictError> {
        if let Inputs::Padded(padded) = &mut self.inputs {
            let width = padded.width(&mut self.session, prompt);
            self.hidden_size = width.map_err(PredictError::Encoder)?;
        }
        Ok(self.hidden_size)
    }
}

impl MaskEncoder for Encoder {
    fn mask_vectors(&mut self, prompts: &[&Prompt]) -> Result<Vec<f32>, PredictError> {
        if prompts.is_empty() {
            return Ok(Vec::new());
        }
        let (session, width) = (&mut self.session, self.hidden_size);
        let feeds = match &mut self.inputs {
            Inputs::Packed(feeds) => feeds,
            Inputs::Padded(padded) => {
                let vectors = padded.mask_vectors(session, prompts, width);
                return vectors.map_err(PredictError::Encoder);
            }
        };
        let batch = PackedBatch::new(prompts.iter().copied());
        feeds.fill(&batch);
        let failed = |error: ort::Error| PredictError::Encoder(error.to_string());
        let outputs = feeds.run(session).map_err(failed)?;
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
