//! The weights of an encoder: a value for each parameter of its description, in the layout that import,
//! training and export share.

mod language_head;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::architecture::{Architecture, ArchitectureError};
pub use language_head::{Affine, LanguageHead};

/// A dense array of 32-bit floats, row-major.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    pub shape: Vec<usize>,
    pub data: Vec<f32>,
}

/// How the numbers of an encoder's large matrices are stored: the word embeddings and the weights of
/// linear layers. All other parameters are 32-bit floats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// As they were trained.
    #[default]
    Fp32,
    /// As 16-bit floats, computed with as 32-bit ones.
    Fp16,
    /// As 8-bit integers with a scale for each output (for each word, of the embeddings). Products
    /// are computed in 8 bits too, each row of activations with a scale of its own.
    Int8,
}

impl Precision {
    /// As it is written in commands and manifests.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fp32 => "fp32",
            Self::Fp16 => "fp16",
            Self::Int8 => "int8",
        }
    }
}

/// An architecture and a value for each of its parameters.
#[derive(Debug, Clone, PartialEq)]
pub struct EncoderWeights {
    pub architecture: Architecture,
    arrays: BTreeMap<String, Array>,
}

/// Why numbers do not make an encoder.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    #[error(transparent)]
    Architecture(#[from] ArchitectureError),
    #[error("the encoder has no parameter {name}")]
    Missing { name: String },
    #[error("parameter {name} has shape {found:?}, expected {expected:?}")]
    Shape { name: String, found: Vec<usize>, expected: Vec<usize> },
    #[error("parameter {name} holds a value that is not finite")]
    NotFinite { name: String },
}

impl EncoderWeights {
    /// Takes an encoder's parameters; each must be there, in its shape, and finite. What else
    /// `arrays` holds is left out.
    pub fn new(
        architecture: Architecture,
        mut arrays: BTreeMap<String, Array>,
    ) -> Result<Self, WeightsError> {
        architecture.check()?;
        let mut checked = BTreeMap::new();
        for parameter in architecture.parameters() {
            let array = take(&mut arrays, &parameter.name, &parameter.shape)?;
            checked.insert(parameter.name, array);
        }
        Ok(Self { architecture, arrays: checked })
    }

    /// The parameters in the order of a forward pass.
    pub fn iter(&self) -> impl Iterator<Item = (String, &Array)> {
        self.architecture.parameters().into_iter().filter_map(|parameter| {
            let array = self.arrays.get(&parameter.name)?;
            Some((parameter.name, array))
        })
    }

    /// The embeddings of the tokens, `[vocabulary, embedding size]`.
    pub fn word_embeddings(&self) -> &Array {
        // `new` made sure that every parameter is there.
        &self.arrays[Architecture::WORD_EMBEDDINGS]
    }

    /// The parameter with this name, if the architecture has it.
    pub fn get(&self, name: &str) -> Option<&Array> {
        self.arrays.get(name)
    }

    /// The number of weights.
    pub fn count(&self) -> usize {
        self.arrays.values().map(|array| array.data.len()).sum()
    }
}

/// Takes the array with this name out of `arrays`; it must have this shape and be finite.
fn take(
    arrays: &mut BTreeMap<String, Array>,
    name: &str,
    expected: &[usize],
) -> Result<Array, WeightsError> {
    let named = || name.to_owned();
    let Some(array) = arrays.remove(name) else {
        return Err(WeightsError::Missing { name: named() });
    };
    if array.shape != expected || array.data.len() != expected.iter().product::<usize>() {
        let (found, expected) = (array.shape, expected.to_vec());
        return Err(WeightsError::Shape { name: named(), found, expected });
    }
    if array.data.iter().any(|value| !value.is_finite()) {
        return Err(WeightsError::NotFinite { name: named() });
    }
    Ok(array)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::architecture::{ALL, ParameterSpec, Role};
    pub(crate) use language_head::tests::small_head;

    /// A small BERT with weights from a fixed sequence.
    pub(crate) fn small() -> EncoderWeights {
        small_of((ALL[0].tiny)())
    }

    /// An encoder of this shape with weights from a fixed sequence.
    pub(crate) fn small_of(architecture: Architecture) -> EncoderWeights {
        let mut state = 7u64;
        let mut next = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            ((state >> 40) as f32 / (1u64 << 24) as f32 - 0.5) * 0.8
        };
        let arrays = architecture
            .parameters()
            .into_iter()
            .map(|ParameterSpec { name, shape, role, .. }| {
                // Norms near 1, as in a trained encoder.
                let centre = if role == Role::Scale { 1.0 } else { 0.0 };
                let data = (0..shape.iter().product()).map(|_| centre + next()).collect();
                (name, Array { shape, data })
            })
            .collect();
        EncoderWeights::new(architecture, arrays).expect("a complete encoder")
    }

    #[test]
    fn parameters_must_be_there_in_shape_and_finite() {
        let good = small();
        let check = |change: &dyn Fn(&mut BTreeMap<String, Array>), words: &str| {
            let mut arrays = good.arrays.clone();
            change(&mut arrays);
            let error = EncoderWeights::new(good.architecture.clone(), arrays).expect_err(words);
            assert!(error.to_string().contains(words), "{error}");
        };
        check(&|a| drop(a.remove("layers.1.query.bias")), "no parameter layers.1.query.bias");
        check(&|a| a.get_mut("embeddings.word").expect("there").shape.reverse(), "[8, 20]");
        check(&|a| a.get_mut("embeddings.word").expect("there").data[3] = f32::NAN, "not finite");
    }
}
