//! An encoder's files, loaded once for any number of sessions.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{self, Read},
    path::Path,
    sync::Arc,
};

use ort::{
    session::builder::PrepackedWeights,
    value::{DynValue, Tensor},
};

use super::{super::device::Device, EncoderError, Runtime, lent::LentWeights};
use crate::{
    architecture::{Architecture, Role},
    checkpoint::{Checkpoint, ForeignGraph},
    export::{Element, EncoderGraph, ReadError, Stored, floats, halves},
};

/// ONNX Runtime wants the file of the matrices to be there although it is given the matrices
/// themselves. This one always is, and there is nothing in it: what was not given is not found.
pub(super) const NOWHERE: (&str, &str) = ("/dev", "null");

/// An encoder's graph and weights, of which sessions are made. They share one copy of the weights,
/// also of the layout into which ONNX Runtime packs them. What that is made of is kept in memory as
/// long as the source is: drop it when there are sessions enough.
pub struct EncoderSource {
    pub(super) runtime: Runtime,
    /// Where the graph was read, for messages.
    pub(super) path: String,
    pub(super) graph: Vec<u8>,
    /// The graph's matrices by name; none in an older format, which has them in the graph.
    pub(super) matrices: Vec<(String, Arc<DynValue>)>,
    /// What the matrices are lent from, and so after them.
    pub(super) weights: Option<Arc<LentWeights>>,
    pub(super) prepacked: PrepackedWeights,
    pub(super) architecture: Architecture,
    pub(super) device: Device,
    pub(super) has_8_bits: bool,
    /// How to run the graph, if another program exported it.
    pub(super) foreign: Option<ForeignGraph>,
}

impl EncoderSource {
    /// Reads the encoder of a checkpoint, and compares what was read with the manifest.
    ///
    /// # Errors
    ///
    /// If a file is not what the manifest says, or neither an encoder that this program has written nor
    /// one that another program exported.
    pub fn of(runtime: &Runtime, checkpoint: &Checkpoint) -> Result<Self, EncoderError> {
        let entry = &checkpoint.manifest.encoder;
        if let Some(foreign) = &entry.graph {
            return Self::of_foreign(runtime, checkpoint, foreign);
        }
        let path = checkpoint.path(&entry.file);
        let graph = EncoderGraph::from_bytes(&checkpoint.read(&entry.file)?, &path)?;
        graph.check_shapes(&entry.architecture)?;
        let weights = match graph.listed_weights_file(checkpoint)? {
            None => None,
            Some(file) => {
                let bytes = checkpoint.entry(file)?.bytes;
                Some(LentWeights::read(memory_size(bytes)?, |memory| {
                    Ok::<_, EncoderError>(checkpoint.read_into(file, memory)?)
                })?)
            }
        };
        Self::new(runtime, graph, weights, &path, &entry.architecture)
    }

    /// Reads a graph that `export::to_onnx` wrote, and the file of its matrices beside it, as they
    /// are: for a checkpoint that has no manifest yet.
    ///
    /// # Errors
    ///
    /// If a file cannot be read or is no such graph.
    pub fn open(
        runtime: &Runtime,
        path: &Path,
        architecture: &Architecture,
    ) -> Result<Self, EncoderError> {
        let unreadable = |path: &Path, source| {
            EncoderError::from(ReadError::Read { path: path.display().to_string(), source })
        };
        let bytes = std::fs::read(path).map_err(|error| unreadable(path, error))?;
        let graph = EncoderGraph::from_bytes(&bytes, path)?;
        let weights = match graph.weights_file()? {
            None => None,
            Some(file) => {
                let path = path.with_file_name(file);
                Some(read_plain(&path).map_err(|error| unreadable(&path, error))?)
            }
        };
        Self::new(runtime, graph, weights, path, architecture)
    }

    fn new(
        runtime: &Runtime,
        mut graph: EncoderGraph,
        weights: Option<LentWeights>,
        path: &Path,
        architecture: &Architecture,
    ) -> Result<Self, EncoderError> {
        let path = path.display().to_string();
        let tables = Tables::of(architecture);
        graph.drop_unread();
        let weights = weights.map(Arc::new);
        let mut has_8_bits = false;
        let matrices = match &weights {
            None => Vec::new(),
            Some(weights) => {
                let mut stored = graph.stored(weights.bytes().len())?;
                has_8_bits = stored.iter().any(|one| one.element == Element::I8);
                stored.retain(|one| {
                    let is_read = is_read_from_graph(one, &tables);
                    if is_read {
                        graph.put_inside(&one.name, &weights.bytes()[one.range.clone()]);
                    }
                    !is_read
                });
                let widened = graph.widen();
                matrices(weights, &stored, &widened, &tables)
                    .map_err(|source| EncoderError::Load { path: path.clone(), source })?
            }
        };
        graph.relocate(NOWHERE.1);
        let (runtime, graph) = (runtime.clone(), graph.to_bytes());
        let prepacked = PrepackedWeights::new();
        let device = Device::Cpu;
        Ok(Self {
            runtime,
            path,
            graph,
            matrices,
            weights,
            prepacked,
            architecture: architecture.clone(),
            device,
            has_8_bits,
            foreign: None,
        })
    }

    /// The same for sessions on this device.
    ///
    /// # Errors
    ///
    /// If a graph in 8 bits is to run on a GPU: ONNX Runtime has no kernels for all of its products.
    pub fn on(mut self, device: Device) -> Result<Self, EncoderError> {
        if self.has_8_bits && device != Device::Cpu {
            return Err(EncoderError::EightBits { path: self.path.clone() });
        }
        self.device = device;
        Ok(self)
    }

    /// Whether its matrices are stored in 8 bits.
    pub fn has_8_bits(&self) -> bool {
        self.has_8_bits
    }
}

impl Drop for EncoderSource {
    fn drop(&mut self) {
        // All sessions that there will be have packed their weights. What those of a graph from elsewhere
        // still look at, nobody knows.
        if let Some(weights) = &self.weights
            && self.foreign.is_none()
        {
            weights.give_back();
        }
    }
}

/// The names of what is read by row while serving, and so is never packed.
struct Tables(BTreeSet<String>);

impl Tables {
    fn of(architecture: &Architecture) -> Self {
        let parameters = architecture.parameters().into_iter();
        let tables = parameters.filter(|parameter| parameter.role == Role::Table);
        let derived = architecture.derived().into_iter().map(|(name, _)| name);
        Self(tables.map(|table| table.name).chain(derived).collect())
    }

    /// Tells whether a stored matrix is one, or holds the scales of one.
    fn has(&self, stored: &str) -> bool {
        let name = stored.rsplit_once('.').map_or(stored, |(name, _)| name);
        self.0.contains(stored) || self.0.contains(name)
    }
}

pub(super) fn memory_size(bytes: u64) -> io::Result<usize> {
    usize::try_from(bytes).map_err(|_| io::ErrorKind::OutOfMemory.into())
}

pub(super) fn read_plain(path: &Path) -> io::Result<LentWeights> {
    let mut file = File::open(path)?;
    let bytes = memory_size(file.metadata()?.len())?;
    LentWeights::read(bytes, |memory| {
        file.read_exact(memory)?;
        Ok(file)
    })
}

/// Whether ONNX Runtime makes another matrix of this one before it looks at what it is given: the
/// precise way of 8-bit products has theirs without signs.
fn is_read_from_graph(stored: &Stored, tables: &Tables) -> bool {
    let is_product = stored.element == Element::I8 && !tables.has(&stored.name);
    is_product && !has_exact_8_bit_products()
}

/// Whether the processor adds up 8-bit products in 32 bits at once (VNNI). Without, the fast way of
/// ONNX Runtime adds pairs of them in 16 bits, which can overflow, and another way is asked for; with
/// it that one would only be slower.
pub(super) fn has_exact_8_bit_products() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        is_x86_feature_detected!("avx512vnni") || is_x86_feature_detected!("avxvnni")
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        true
    }
}

/// The matrices under the names by which the graph asks for them.
fn matrices(
    weights: &LentWeights,
    stored: &[Stored],
    widened: &[(String, String)],
    tables: &Tables,
) -> ort::Result<Vec<(String, Arc<DynValue>)>> {
    let mut matrices = Vec::with_capacity(stored.len());
    for one in stored {
        let wide = widened.iter().find(|(stored, _)| *stored == one.name);
        let name = wide.map_or(&one.name, |(_, name)| name).clone();
        matrices.push((name, Arc::new(matrix(weights, one, wide.is_some(), tables)?)));
    }
    Ok(matrices)
}

/// A matrix for ONNX Runtime: lent if it is one that gets packed, as it is, and
/// copied otherwise.
fn matrix(
    weights: &LentWeights,
    stored: &Stored,
    widen: bool,
    tables: &Tables,
) -> ort::Result<DynValue> {
    let bytes = &weights.bytes()[stored.range.clone()];
    let is_aligned = stored.range.start.is_multiple_of(stored.element.bytes());
    if !widen && is_aligned && !tables.has(&stored.name) {
        // SAFETY: `EncoderSource` and `Encoder` hold the weights and drop them last.
        #[allow(unsafe_code)] // as above
        return unsafe { weights.lend(stored) };
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
        Element::U8 => Tensor::from_array((shape, bytes.to_vec()))?.into_dyn(),
    })
}

fn half_values(bytes: &[u8]) -> Vec<half::f16> {
    bytes.as_chunks::<2>().0.iter().map(|value| half::f16::from_le_bytes(*value)).collect()
}
