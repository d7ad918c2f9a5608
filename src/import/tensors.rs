//! Reads model.safetensors and turns its tensors into our arrays.

use std::{collections::BTreeMap, path::Path};

use half::{bf16, f16};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};

use super::{
    ImportError,
    names::{self, Source},
};
use crate::weights::{Architecture, Array, EncoderWeights, LanguageHead, WeightsError};

/// What a safetensors file holds of a model.
pub struct Found {
    pub weights: EncoderWeights,
    pub language_head: Option<LanguageHead>,
    /// Why a language head that is there was left out.
    pub note: Option<String>,
}

/// The encoder of this architecture in a safetensors file, and its language head.
pub fn read(path: &Path, architecture: &Architecture) -> Result<Found, ImportError> {
    let name = path.display().to_string();
    let bytes =
        std::fs::read(path).map_err(|source| ImportError::Read { path: name.clone(), source })?;
    let tensors = SafeTensors::deserialize(&bytes)
        .map_err(|error| ImportError::Tensors { path: name.clone(), message: error.to_string() })?;
    let file = File { path: name, tensors };
    let arrays = file.parameters(architecture.parameters(), names::source)?;
    let weights = EncoderWeights::new(architecture.clone(), arrays).map_err(|s| file.fault(s))?;
    let (language_head, note) = match file.language_head(&weights) {
        Ok(head) => (head, None),
        Err(why) => (None, Some(format!("{why}; the language head is left out"))),
    };
    Ok(Found { weights, language_head, note })
}

struct File<'a> {
    path: String,
    tensors: SafeTensors<'a>,
}

impl File<'_> {
    fn parameters(
        &self,
        parameters: Vec<(String, Vec<usize>)>,
        source: fn(&str) -> Source,
    ) -> Result<BTreeMap<String, Array>, ImportError> {
        let mut arrays = BTreeMap::new();
        for (parameter, shape) in parameters {
            let array = self.parameter(source(&parameter), &shape)?;
            arrays.insert(parameter, array);
        }
        Ok(arrays)
    }

    /// `None` when the file has none. The encoder can do without it, so no fault of it is fatal.
    fn language_head(&self, encoder: &EncoderWeights) -> Result<Option<LanguageHead>, ImportError> {
        if !self.tensors.names().iter().any(|name| name.contains("cls.predictions.")) {
            return Ok(None);
        }
        let embeddings = encoder.word_embeddings();
        if self.tensor(names::DECODER).is_some()
            && self.array(names::DECODER, &embeddings.shape)? != *embeddings
        {
            return Err(ImportError::Untied { path: self.path.clone() });
        }
        let parameters = LanguageHead::parameters(&encoder.architecture);
        let arrays = self.parameters(parameters, names::language_head_source)?;
        let head = LanguageHead::new(&encoder.architecture, arrays).map_err(|s| self.fault(s))?;
        Ok(Some(head))
    }

    fn fault(&self, source: WeightsError) -> ImportError {
        ImportError::Weights { path: self.path.clone(), source }
    }

    fn tensor(&self, name: &str) -> Option<TensorView<'_>> {
        let mut spellings = names::spellings(name).into_iter();
        spellings.find_map(|spelling| self.tensors.tensor(&spelling).ok())
    }

    fn parameter(&self, source: Source, shape: &[usize]) -> Result<Array, ImportError> {
        match source {
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
        let Some(tensor) = self.tensor(name) else {
            return Err(self.fault(WeightsError::Missing { name: name.to_owned() }));
        };
        if tensor.shape() != expected {
            return Err(self.fault(WeightsError::Shape {
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
