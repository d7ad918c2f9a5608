//! The weights of an encoder in the layout that import, training and export share.
//!
//! Products are written `x·W`, so a linear layer's weight is `[in, out]`. Keys and values of a
//! layer are one matrix, `[hidden, 2·hidden]`, keys first; the query stays apart because the
//! last layer needs it for the mask row alone.

mod language_head;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use language_head::{Affine, LanguageHead};

/// The shape of a BERT encoder (Devlin et al., 2019).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Architecture {
    pub hidden_size: usize,
    pub layers: usize,
    pub heads: usize,
    pub intermediate_size: usize,
    pub vocabulary_size: usize,
    pub max_positions: usize,
    pub segment_types: usize,
    pub layer_norm_eps: f64,
}

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

const WORD_EMBEDDINGS: &str = "embeddings.word";

/// Why numbers do not make an encoder.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    #[error("{what} = {found}, but it must lie between {low} and {high}")]
    OutOfRange { what: &'static str, found: usize, low: usize, high: usize },
    #[error("hidden_size {hidden_size} is not a multiple of the {heads} attention heads")]
    Heads { hidden_size: usize, heads: usize },
    #[error("layer_norm_eps = {found}, but it must lie between 0 and 0.1")]
    Epsilon { found: f64 },
    #[error("the encoder has no parameter {name}")]
    Missing { name: String },
    #[error("parameter {name} has shape {found:?}, expected {expected:?}")]
    Shape { name: String, found: Vec<usize>, expected: Vec<usize> },
    #[error("parameter {name} holds a value that is not finite")]
    NotFinite { name: String },
}

impl Architecture {
    /// Refuses numbers that make no encoder, or one too large to be meant.
    pub fn check(&self) -> Result<(), WeightsError> {
        for (what, found, low, high) in [
            ("hidden_size", self.hidden_size, 1, 16_384),
            ("layers", self.layers, 1, 128),
            ("heads", self.heads, 1, 256),
            ("intermediate_size", self.intermediate_size, 1, 65_536),
            ("vocabulary_size", self.vocabulary_size, 1, 2_000_000),
            ("max_positions", self.max_positions, 1, 65_536),
            // A prompt with a separator has two segments.
            ("segment_types", self.segment_types, 2, 64),
        ] {
            if !(low..=high).contains(&found) {
                return Err(WeightsError::OutOfRange { what, found, low, high });
            }
        }
        if !self.hidden_size.is_multiple_of(self.heads) {
            let (hidden_size, heads) = (self.hidden_size, self.heads);
            return Err(WeightsError::Heads { hidden_size, heads });
        }
        if !(self.layer_norm_eps > 0.0 && self.layer_norm_eps < 0.1) {
            return Err(WeightsError::Epsilon { found: self.layer_norm_eps });
        }
        Ok(())
    }

    /// Name and shape of every parameter, in the order of a forward pass.
    pub fn parameters(&self) -> Vec<(String, Vec<usize>)> {
        let (h, i) = (self.hidden_size, self.intermediate_size);
        let mut all = vec![
            (WORD_EMBEDDINGS.to_owned(), vec![self.vocabulary_size, h]),
            ("embeddings.position".to_owned(), vec![self.max_positions, h]),
            ("embeddings.segment".to_owned(), vec![self.segment_types, h]),
            ("embeddings.norm.weight".to_owned(), vec![h]),
            ("embeddings.norm.bias".to_owned(), vec![h]),
        ];
        for layer in 0..self.layers {
            for (name, shape) in [
                ("query.weight", vec![h, h]),
                ("query.bias", vec![h]),
                ("key_value.weight", vec![h, 2 * h]),
                ("key_value.bias", vec![2 * h]),
                ("attention_output.weight", vec![h, h]),
                ("attention_output.bias", vec![h]),
                ("attention_norm.weight", vec![h]),
                ("attention_norm.bias", vec![h]),
                ("feed_forward.weight", vec![h, i]),
                ("feed_forward.bias", vec![i]),
                ("feed_forward_output.weight", vec![i, h]),
                ("feed_forward_output.bias", vec![h]),
                ("output_norm.weight", vec![h]),
                ("output_norm.bias", vec![h]),
            ] {
                all.push((format!("layers.{layer}.{name}"), shape));
            }
        }
        all
    }
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
        for (name, expected) in architecture.parameters() {
            let array = take(&mut arrays, &name, &expected)?;
            checked.insert(name, array);
        }
        Ok(Self { architecture, arrays: checked })
    }

    /// The parameters in the order of a forward pass.
    pub fn iter(&self) -> impl Iterator<Item = (String, &Array)> {
        self.architecture.parameters().into_iter().filter_map(|(name, _)| {
            let array = self.arrays.get(&name)?;
            Some((name, array))
        })
    }

    /// The embeddings of the tokens, `[vocabulary, hidden]`.
    pub fn word_embeddings(&self) -> &Array {
        // `new` made sure that every parameter is there.
        &self.arrays[WORD_EMBEDDINGS]
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
    pub(crate) use language_head::tests::small_head;

    /// A small encoder with weights from a fixed sequence.
    pub(crate) fn small() -> EncoderWeights {
        let architecture = Architecture {
            hidden_size: 8,
            layers: 2,
            heads: 2,
            intermediate_size: 12,
            vocabulary_size: 20,
            max_positions: 16,
            segment_types: 2,
            layer_norm_eps: 1e-12,
        };
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
            .map(|(name, shape)| {
                // Norms near 1, as in a trained encoder.
                let centre = if name.ends_with("norm.weight") { 1.0 } else { 0.0 };
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

    #[test]
    fn absurd_architectures_are_refused() {
        let good = small().architecture;
        let check = |change: &dyn Fn(&mut Architecture), words: &str| {
            let mut architecture = good.clone();
            change(&mut architecture);
            let error = architecture.check().expect_err(words);
            assert!(error.to_string().contains(words), "{error}");
        };
        check(&|a| a.hidden_size = 0, "hidden_size = 0");
        check(&|a| a.vocabulary_size = usize::MAX, "vocabulary_size");
        check(&|a| a.segment_types = 1, "segment_types = 1");
        check(&|a| a.heads = 3, "not a multiple of the 3");
        check(&|a| a.layer_norm_eps = f64::NAN, "layer_norm_eps");
    }
}
