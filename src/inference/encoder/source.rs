//! An encoder's files, loaded once for any number of sessions.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use ort::{
    session::{
        Session,
        builder::{GraphOptimizationLevel, PrepackedWeights},
    },
    value::{DynValue, Tensor},
};

use super::{Encoder, EncoderError, Runtime, feeds::Feeds, mapped::MappedFile};
use crate::export::{Element, EncoderGraph, ReadError, Stored, floats, halves, inputs};

/// The directory in which a graph that is given as bytes looks for its matrices.
const WEIGHTS_DIRECTORY: &str = "session.model_external_initializers_file_folder_path";

/// Begins the names of what is read by row while serving.
const EMBEDDINGS: &str = "embeddings.";

/// An encoder's graph and weights, of which sessions are made. They share one copy of the weights,
/// also of the layout into which ONNX Runtime packs them.
pub struct EncoderSource {
    runtime: Runtime,
    path: PathBuf,
    graph: Graph,
    prepacked: PrepackedWeights,
    hidden_size: usize,
}

/// Where sessions take the graph from.
enum Graph {
    /// An older format: a file with everything in it, of which each session has its own copy.
    Whole,
    /// The graph alone, and its matrices by name.
    Apart {
        bytes: Vec<u8>,
        matrices: Vec<(String, Arc<DynValue>)>,
        /// What the matrices are lent from, and so after them.
        file: Arc<MappedFile>,
    },
}

impl EncoderSource {
    /// Reads a graph that `export::to_onnx` wrote, and the file of its matrices.
    ///
    /// # Errors
    ///
    /// If a file cannot be read or is no such graph.
    pub fn open(runtime: &Runtime, path: &Path, hidden_size: usize) -> Result<Self, EncoderError> {
        let graph = EncoderGraph::read(path)?;
        let graph = match graph.weights_file()? {
            None => Graph::Whole,
            Some(file) => apart(graph, path, &file)?,
        };
        let prepacked = PrepackedWeights::new();
        Ok(Self { runtime: runtime.clone(), path: path.to_owned(), graph, prepacked, hidden_size })
    }

    /// A new session, which computes with so many threads.
    ///
    /// # Errors
    ///
    /// If ONNX Runtime refuses the graph, or it is none of ours.
    pub fn session(&self, intra_op_threads: usize) -> Result<Encoder, EncoderError> {
        let name = || self.path.display().to_string();
        let session = self
            .commit(intra_op_threads)
            .map_err(|source| EncoderError::Load { path: name(), source })?;
        let has = |input: &str| session.inputs().iter().any(|known| known.name() == input);
        if !has(inputs::SLOT_TOKENS) {
            return Err(EncoderError::Input { path: name(), input: inputs::SLOT_TOKENS });
        }
        let weights = match &self.graph {
            Graph::Whole => None,
            Graph::Apart { file, .. } => {
                // Packed by now.
                file.give_back();
                Some(Arc::clone(file))
            }
        };
        Ok(Encoder {
            session,
            _weights: weights,
            hidden_size: self.hidden_size,
            feeds: Feeds::default(),
        })
    }

    fn commit(&self, intra_op_threads: usize) -> ort::Result<Session> {
        let mut builder = Session::builder(&self.runtime.0)?
            .with_optimization_level(GraphOptimizationLevel::Level3)?
            .with_intra_threads(intra_op_threads)?
            // An idle server must not burn its cores.
            .with_intra_op_spinning(false)?
            // Every batch has another shape; a plan for each would only collect memory.
            .with_memory_pattern(false)?
            .with_env_allocators()?;
        if !has_exact_8_bit_products() {
            builder = builder.with_precise_qmm()?;
        }
        let Graph::Apart { bytes, matrices, .. } = &self.graph else {
            return builder.commit_from_file(&self.path);
        };
        let directory = self.path.parent().unwrap_or(Path::new("")).display().to_string();
        builder = builder
            .with_config_entry(WEIGHTS_DIRECTORY, directory)?
            .with_prepacked_weights(&self.prepacked)?;
        for (name, value) in matrices {
            builder = builder.with_initializer(name, Arc::clone(value))?;
        }
        builder.commit_from_memory(bytes)
    }
}

/// Whether the processor adds up 8-bit products in 32 bits at once (VNNI). Without, the fast way of
/// ONNX Runtime adds pairs of them in 16 bits, which can overflow, and another way is asked for; with
/// it that one would only be slower.
fn has_exact_8_bit_products() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        is_x86_feature_detected!("avx512vnni") || is_x86_feature_detected!("avxvnni")
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        true
    }
}

fn apart(mut graph: EncoderGraph, path: &Path, file: &Path) -> Result<Graph, EncoderError> {
    let name = file.display().to_string();
    let file =
        MappedFile::open(file).map_err(|source| ReadError::Read { path: name.clone(), source })?;
    let file = Arc::new(file);
    let stored = graph.stored(file.bytes().len())?;
    let widened = graph.widen();
    let mut matrices = Vec::with_capacity(stored.len());
    for one in &stored {
        let wide = widened.iter().find(|(stored, _)| *stored == one.name);
        let name = wide.map_or(&one.name, |(_, name)| name).clone();
        let value = matrix(&file, one, wide.is_some())
            .map_err(|source| EncoderError::Load { path: path.display().to_string(), source })?;
        matrices.push((name, Arc::new(value)));
    }
    Ok(Graph::Apart { bytes: graph.to_bytes(), matrices, file })
}

/// A matrix for ONNX Runtime: lent from the file if it is one that gets packed, as it is, and
/// copied otherwise.
fn matrix(file: &MappedFile, stored: &Stored, widen: bool) -> ort::Result<DynValue> {
    let bytes = &file.bytes()[stored.range.clone()];
    let is_aligned = stored.range.start.is_multiple_of(stored.element.bytes());
    if !widen && is_aligned && !stored.name.starts_with(EMBEDDINGS) {
        // SAFETY: `Graph::Apart` and `Encoder` hold the file and drop it last.
        #[allow(unsafe_code)] // as above
        return unsafe { file.lend(stored) };
    }
    let shape = stored.shape.clone();
    Ok(match stored.element {
        Element::F32 => Tensor::from_array((shape, floats(bytes)))?.into_dyn(),
        Element::F16 if widen => Tensor::from_array((shape, halves(bytes)))?.into_dyn(),
        Element::F16 => Tensor::from_array((shape, half_values(bytes)))?.into_dyn(),
        Element::I8 => {
            let values: Vec<i8> = bytes.iter().map(|&byte| byte.cast_signed()).collect();
            Tensor::from_array((shape, values))?.into_dyn()
        }
    })
}

fn half_values(bytes: &[u8]) -> Vec<half::f16> {
    bytes.as_chunks::<2>().0.iter().map(|value| half::f16::from_le_bytes(*value)).collect()
}
