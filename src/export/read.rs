//! Reads the weights back from a graph that `to_onnx` wrote, so that a checkpoint holds them once.

use std::collections::BTreeMap;

use half::f16;

use super::{
    graph::{FP16_SUFFIX, INT8_SUFFIX},
    messages::{DataType, Tensor},
    stored::{Element, EncoderGraph, Stored},
};
use crate::{
    checkpoint::{Checkpoint, CheckpointError},
    weights::{Array, EncoderWeights, WeightsError},
};

/// Why weights cannot be read from a checkpoint's file.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("cannot read {path}: {source}")]
    Read { path: String, source: std::io::Error },
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error("{path} is no ONNX file: {source}")]
    Decode { path: String, source: prost::DecodeError },
    #[error("{path} is no encoder graph of this program: wrong is {message}")]
    Graph { path: String, message: String },
    #[error(
        "{path} holds 8-bit integers, from which no encoder can be trained, exported or quantised \
         again: take the checkpoint that it was made from"
    )]
    Quantized { path: String },
    #[error(
        "{path} is a graph that another program exported: heads can be trained on it (--tune head), but \
         the encoder itself cannot be trained, pretrained or stored otherwise here; do that where it \
         comes from, and export it again"
    )]
    Foreign { path: String },
    #[error("{path} is no safetensors file: {message}")]
    Tensors { path: String, message: String },
    #[error("{path} has {bytes} bytes, but such a file has no more than {limit}")]
    TooLarge { path: String, bytes: u64, limit: u64 },
    #[error("{path}: {source}")]
    Weights { path: String, source: WeightsError },
}

/// The weights of a checkpoint's encoder, 16-bit ones as the 32-bit ones that are computed with. A
/// graph of another exporter is refused.
pub fn read_weights(checkpoint: &Checkpoint) -> Result<EncoderWeights, ReadError> {
    let entry = &checkpoint.manifest.encoder;
    let path = checkpoint.path(&entry.file);
    let name = path.display().to_string();
    if entry.graph.is_some() {
        return Err(ReadError::Foreign { path: name });
    }
    let graph = EncoderGraph::from_bytes(&checkpoint.read(&entry.file)?, &path)?;
    let mut arrays = BTreeMap::new();
    if let Some(file) = graph.listed_weights_file(checkpoint)? {
        let bytes = checkpoint.read(file)?;
        let stored = graph.stored(bytes.len())?;
        if stored.iter().any(|one| one.name.ends_with(INT8_SUFFIX)) {
            return Err(ReadError::Quantized { path: name });
        }
        arrays.extend(stored.iter().filter_map(|one| widened(one, &bytes[one.range.clone()])));
    }
    arrays.extend(graph.initializers().into_iter().filter_map(to_array));
    EncoderWeights::new(entry.architecture.clone(), arrays)
        .map_err(|source| ReadError::Weights { path: name, source })
}

/// A matrix from the file beside the graph, by the parameter's name.
fn widened(stored: &Stored, bytes: &[u8]) -> Option<(String, Array)> {
    let data = match stored.element {
        Element::F32 => floats(bytes),
        Element::F16 => halves(bytes),
        Element::I8 | Element::U8 => return None,
    };
    let name = stored.name.strip_suffix(FP16_SUFFIX).unwrap_or(&stored.name);
    Some((name.to_owned(), Array { shape: stored.shape.clone(), data }))
}

/// Little-endian 32-bit floats.
pub(crate) fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks::<4>().0.iter().map(|value| f32::from_le_bytes(*value)).collect()
}

/// Little-endian 16-bit floats, as 32-bit ones.
pub(crate) fn halves(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks::<2>().0.iter().map(|value| f16::from_le_bytes(*value).to_f32()).collect()
}

fn to_array(tensor: Tensor) -> Option<(String, Array)> {
    if tensor.data_type != DataType::Float as i32 || !tensor.external_data.is_empty() {
        return None;
    }
    let shape = tensor.dims.iter().map(|&d| usize::try_from(d).ok()).collect::<Option<Vec<_>>>()?;
    Some((tensor.name, Array { shape, data: floats(&tensor.raw_data) }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        checkpoint::{Draft, ENCODER_WEIGHTS_FILE, EncoderEntry, Provenance},
        export::to_onnx,
        weights::{Precision, tests::small},
    };

    fn read_back_from(graph: &[u8], weights: &[u8]) -> Result<EncoderWeights, ReadError> {
        let home = tempfile::tempdir().expect("a directory");
        let place = home.path().join("small");
        let mut draft = Draft::new(&place, false).expect("begun");
        draft.add_encoder(graph, weights).expect("written");
        draft.add("tokenizer.json", b"{}").expect("written");
        let entry = EncoderEntry::new("small", small().architecture, Precision::Fp32);
        draft.publish(entry, "tokenizer.json", Provenance::new("here")).expect("written");
        read_weights(&Checkpoint::open(&place).expect("intact"))
    }

    fn read_back(precision: Precision) -> Result<EncoderWeights, ReadError> {
        let files = to_onnx(&small(), precision, ENCODER_WEIGHTS_FILE);
        read_back_from(&files.graph, &files.weights)
    }

    #[test]
    fn weights_survive_the_graph_bit_for_bit() {
        assert_eq!(read_back(Precision::Fp32).expect("our own graph"), small());
    }

    #[test]
    fn halves_come_back_rounded_and_bytes_not_at_all() {
        let read = read_back(Precision::Fp16).expect("our own graph");
        for ((name, before), (_, after)) in small().iter().zip(read.iter()) {
            let is_half = name == "embeddings.word" || name.ends_with(".weight");
            for (before, after) in before.data.iter().zip(&after.data) {
                let rounded = if is_half && before != after {
                    f16::from_f32(*before).to_f32()
                } else {
                    *before
                };
                assert_eq!(*after, rounded, "{name}");
            }
        }
        let error = read_back(Precision::Int8).expect_err("lossy");
        assert!(error.to_string().contains("8-bit integers"), "{error}");
    }

    #[test]
    fn other_files_are_refused() {
        let check = |graph: &[u8], words: &str| {
            let error = read_back_from(graph, b"").expect_err(words).to_string();
            assert!(error.contains(words), "{error}");
        };
        check(b"\xff\xff\xff\xff not protobuf", "no ONNX file");
        check(b"", "elsewhere than the manifest says");
        let other = to_onnx(&small(), Precision::Fp32, "tokenizer.json");
        check(&other.graph, "elsewhere than the manifest says");
    }
}
