//! Reads model.safetensors and turns its tensors into our arrays.

use std::{collections::BTreeMap, path::Path};

use half::{bf16, f16};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};

use super::{
    ImportError,
    names::{self, Source},
};
use crate::weights::{Architecture, Array, WeightsError};

/// The arrays that the architecture asks for, read from a safetensors file.
pub fn read(
    path: &Path,
    architecture: &Architecture,
) -> Result<BTreeMap<String, Array>, ImportError> {
    let name = path.display().to_string();
    let bytes =
        std::fs::read(path).map_err(|source| ImportError::Read { path: name.clone(), source })?;
    let tensors = SafeTensors::deserialize(&bytes)
        .map_err(|error| ImportError::Tensors { path: name.clone(), message: error.to_string() })?;
    let file = File { path: name, tensors };
    let mut arrays = BTreeMap::new();
    for (parameter, shape) in architecture.parameters() {
        let array = file.parameter(&parameter, &shape)?;
        arrays.insert(parameter, array);
    }
    Ok(arrays)
}

struct File<'a> {
    path: String,
    tensors: SafeTensors<'a>,
}

impl File<'_> {
    fn parameter(&self, parameter: &str, shape: &[usize]) -> Result<Array, ImportError> {
        match names::source(parameter) {
            Source::Copy(name) => self.array(&name, shape),
            Source::Transpose(name) => {
                let array = self.array(&name, &[shape[1], shape[0]])?;
                Ok(transposed_beside(&[&array]))
            }
            Source::TransposePair(first, second) => {
                let half = [shape[1] / 2, shape[0]];
                let arrays = [self.array(&first, &half)?, self.array(&second, &half)?];
                Ok(transposed_beside(&[&arrays[0], &arrays[1]]))
            }
            Source::Pair(first, second) => {
                let mut array = self.array(&first, &[shape[0] / 2])?;
                array.data.extend(self.array(&second, &[shape[0] / 2])?.data);
                Ok(Array { shape: shape.to_vec(), data: array.data })
            }
        }
    }

    fn array(&self, name: &str, expected: &[usize]) -> Result<Array, ImportError> {
        let weights = |source| ImportError::Weights { path: self.path.clone(), source };
        let found = names::spellings(name)
            .into_iter()
            .find_map(|spelling| self.tensors.tensor(&spelling).ok());
        let Some(tensor) = found else {
            return Err(weights(WeightsError::Missing { name: name.to_owned() }));
        };
        if tensor.shape() != expected {
            return Err(weights(WeightsError::Shape {
                name: name.to_owned(),
                found: tensor.shape().to_vec(),
                expected: expected.to_vec(),
            }));
        }
        let data = floats(&tensor).ok_or_else(|| ImportError::Type {
            path: self.path.clone(),
            name: name.to_owned(),
            dtype: format!("{:?}", tensor.dtype()),
        })?;
        Ok(Array { shape: expected.to_vec(), data })
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

/// Matrices `[out, in]`, each transposed, side by side: `[in, n·out]`.
fn transposed_beside(matrices: &[&Array]) -> Array {
    let (rows, columns) = (matrices[0].shape[0], matrices[0].shape[1]);
    let mut data = Vec::with_capacity(matrices.len() * rows * columns);
    for column in 0..columns {
        for matrix in matrices {
            data.extend((0..rows).map(|row| matrix.data[row * columns + column]));
        }
    }
    Array { shape: vec![columns, matrices.len() * rows], data }
}
