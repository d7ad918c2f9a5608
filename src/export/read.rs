//! Reads the weights back from a graph that `to_onnx` wrote, so that a checkpoint holds them once.

use std::{collections::BTreeMap, path::Path};

use prost::Message;

use super::messages::{DataType, Model, Tensor};
use crate::weights::{Architecture, Array, EncoderWeights, WeightsError};

/// Why weights cannot be read from a checkpoint's file.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("cannot read {path}: {source}")]
    Read { path: String, source: std::io::Error },
    #[error("{path} is no ONNX file: {source}")]
    Decode { path: String, source: prost::DecodeError },
    #[error("{path} is no safetensors file: {message}")]
    Tensors { path: String, message: String },
    #[error("{path} has {bytes} bytes, but such a file has no more than {limit}")]
    TooLarge { path: String, bytes: u64, limit: u64 },
    #[error("{path}: {source}")]
    Weights { path: String, source: WeightsError },
}

/// The weights in an encoder graph of our own. A graph of another exporter names its
/// parameters differently and is refused with the first one missing.
pub fn read_weights(path: &Path, architecture: &Architecture) -> Result<EncoderWeights, ReadError> {
    let name = path.display().to_string();
    let bytes =
        std::fs::read(path).map_err(|source| ReadError::Read { path: name.clone(), source })?;
    let model = Model::decode(bytes.as_slice())
        .map_err(|source| ReadError::Decode { path: name.clone(), source })?;
    drop(bytes);
    let initializers = model.graph.unwrap_or_default().initializer;
    let arrays: BTreeMap<String, Array> = initializers.into_iter().filter_map(to_array).collect();
    EncoderWeights::new(architecture.clone(), arrays)
        .map_err(|source| ReadError::Weights { path: name, source })
}

fn to_array(tensor: Tensor) -> Option<(String, Array)> {
    if tensor.data_type != DataType::Float as i32 {
        return None;
    }
    let shape = tensor.dims.iter().map(|&d| usize::try_from(d).ok()).collect::<Option<Vec<_>>>()?;
    let (values, _) = tensor.raw_data.as_chunks::<4>();
    let data = values.iter().map(|value| f32::from_le_bytes(*value)).collect();
    Some((tensor.name, Array { shape, data }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{export::to_onnx, weights::tests::small};

    #[test]
    fn weights_survive_the_graph_bit_for_bit() {
        let weights = small();
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), to_onnx(&weights)).expect("written");
        let read = read_weights(file.path(), &weights.architecture).expect("our own graph");
        assert_eq!(read, weights);
    }

    #[test]
    fn other_files_are_refused() {
        let weights = small();
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), b"\xff\xff\xff\xff not protobuf").expect("written");
        let error = read_weights(file.path(), &weights.architecture).expect_err("no ONNX");
        assert!(error.to_string().contains("no ONNX file"), "{error}");
        std::fs::write(file.path(), b"").expect("written");
        let error = read_weights(file.path(), &weights.architecture).expect_err("empty");
        assert!(error.to_string().contains("no parameter"), "{error}");
    }
}
