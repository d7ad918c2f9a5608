//! The tensors of a safetensors file.

use std::{collections::BTreeMap, path::Path};

use half::{bf16, f16};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};

use super::ImportError;
use crate::weights::Array;

pub struct SafetensorsFile {
    path: String,
    bytes: Vec<u8>,
    shapes: BTreeMap<String, Vec<usize>>,
}

impl SafetensorsFile {
    pub fn open(path: &Path) -> Result<Self, ImportError> {
        let path = path.display().to_string();
        let bytes = std::fs::read(&path)
            .map_err(|source| ImportError::Read { path: path.clone(), source })?;
        let tensors = SafeTensors::deserialize(&bytes).map_err(|error| ImportError::Tensors {
            path: path.clone(),
            message: error.to_string(),
        })?;
        let shapes = tensors.iter().map(|(name, view)| (name.to_owned(), view.shape().to_vec()));
        let shapes = shapes.collect();
        Ok(Self { path, bytes, shapes })
    }

    pub fn path(&self) -> &str {
        &self.path
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.shapes.keys().map(String::as_str)
    }

    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.shapes.get(name).map(Vec::as_slice)
    }

    pub fn read(&self, name: &str) -> Result<Option<Array>, ImportError> {
        let tensors = SafeTensors::deserialize(&self.bytes);
        let Some(tensor) = tensors.ok().and_then(|tensors| tensors.tensor(name).ok()) else {
            return Ok(None);
        };
        let data = floats(&tensor).ok_or_else(|| ImportError::Type {
            path: self.path.clone(),
            name: name.to_owned(),
            dtype: format!("{:?}", tensor.dtype()),
        })?;
        Ok(Some(Array { shape: tensor.shape().to_vec(), data }))
    }
}

/// Little-endian bytes to floats; `None` for other types.
fn floats(tensor: &TensorView<'_>) -> Option<Vec<f32>> {
    let bytes = tensor.data();
    match tensor.dtype() {
        Dtype::F32 => {
            let (values, _) = bytes.as_chunks::<4>();
            Some(values.iter().map(|value| f32::from_le_bytes(*value)).collect())
        }
        Dtype::F16 => {
            let (values, _) = bytes.as_chunks::<2>();
            Some(values.iter().map(|value| f16::from_le_bytes(*value).to_f32()).collect())
        }
        Dtype::BF16 => {
            let (values, _) = bytes.as_chunks::<2>();
            Some(values.iter().map(|value| bf16::from_le_bytes(*value).to_f32()).collect())
        }
        _ => None,
    }
}
