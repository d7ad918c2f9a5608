//! The source of an encoder whose graph another program exported.

use std::{fs, path::Path, sync::Arc};

use ort::session::builder::PrepackedWeights;

use super::{
    super::device::Device,
    EncoderError, EncoderSource, Runtime,
    lent::LentWeights,
    source::{NOWHERE, memory_size, read_plain},
};
use crate::{
    architecture::Architecture,
    checkpoint::{Checkpoint, ENCODER_WEIGHTS_FILE, ForeignGraph},
    export::{Element, ReadError},
    foreign_graph::ForeignModel,
};

impl EncoderSource {
    /// Reads the graph of a checkpoint, which another program exported.
    pub(super) fn of_foreign(
        runtime: &Runtime,
        checkpoint: &Checkpoint,
        foreign: &ForeignGraph,
    ) -> Result<Self, EncoderError> {
        let entry = &checkpoint.manifest.encoder;
        let path = checkpoint.path(&entry.file);
        let model = ForeignModel::from_bytes(checkpoint.read(&entry.file)?, &path)?;
        let weights = match &entry.weights {
            None => None,
            Some(file) => {
                let bytes = checkpoint.entry(file)?.bytes;
                Some(LentWeights::read(memory_size(bytes)?, |memory| {
                    Ok::<_, EncoderError>(checkpoint.read_into(file, memory)?)
                })?)
            }
        };
        let location = entry.weights.as_deref().unwrap_or_default();
        Self::new_foreign(runtime, model, weights, location, &path, foreign, &entry.architecture)
    }

    /// Reads a graph of another program and the file of its matrices beside it, as they are: for a
    /// checkpoint that has no manifest yet. `origin` is where the graph comes from, for messages.
    ///
    /// # Errors
    ///
    /// If a file cannot be read or is no such graph.
    pub fn open_foreign(
        runtime: &Runtime,
        path: &Path,
        origin: &Path,
        foreign: &ForeignGraph,
        architecture: &Architecture,
    ) -> Result<Self, EncoderError> {
        let unreadable = |path: &Path, source| {
            EncoderError::from(ReadError::Read { path: path.display().to_string(), source })
        };
        let bytes = fs::read(path).map_err(|error| unreadable(path, error))?;
        let model = ForeignModel::from_bytes(bytes, origin)?;
        let beside = path.with_file_name(ENCODER_WEIGHTS_FILE);
        let weights = read_plain(&beside).map_err(|error| unreadable(&beside, error))?;
        let location = ENCODER_WEIGHTS_FILE;
        Self::new_foreign(runtime, model, Some(weights), location, origin, foreign, architecture)
    }

    fn new_foreign(
        runtime: &Runtime,
        mut model: ForeignModel,
        weights: Option<LentWeights>,
        location: &str,
        path: &Path,
        foreign: &ForeignGraph,
        architecture: &Architecture,
    ) -> Result<Self, EncoderError> {
        let weights = weights.map(Arc::new);
        let bytes = weights.as_ref().map_or(0, |weights| weights.bytes().len());
        let stored = model.stored(location, bytes)?;
        let path = path.display().to_string();
        let mut matrices = Vec::with_capacity(stored.len());
        for (one, weights) in stored.iter().zip(std::iter::repeat(&weights)) {
            let Some(weights) = weights else { continue };
            if !one.range.start.is_multiple_of(one.element.bytes()) {
                return Err(EncoderError::Unaligned { path, name: one.name.clone() });
            }
            // SAFETY: `EncoderSource` and `Encoder` hold the weights and drop them last.
            #[allow(unsafe_code)] // as above
            let value = unsafe { weights.lend(one) };
            let value =
                value.map_err(|source| EncoderError::Load { path: path.clone(), source })?;
            matrices.push((one.name.clone(), Arc::new(value)));
        }
        let is_8_bits = |element| matches!(element, Element::I8 | Element::U8);
        let has_8_bits =
            model.is_scaled_together() || stored.iter().any(|one| is_8_bits(one.element));
        model.relocate(NOWHERE.1);
        Ok(Self {
            runtime: runtime.clone(),
            path,
            graph: model.to_bytes(),
            matrices,
            weights,
            prepacked: PrepackedWeights::new(),
            architecture: architecture.clone(),
            device: Device::Cpu,
            has_8_bits,
            foreign: Some(foreign.clone()),
        })
    }
}
