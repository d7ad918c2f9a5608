//! A task's head: mask vector in, logits or a value out.

use std::collections::HashMap;

use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde::{Deserialize, Serialize};

use crate::{
    task::{Kind, Output},
    weights::Array,
};

/// The key under which a head file holds its settings.
const SETTINGS: &str = "dynamar.head";

/// An affine map `x·W + b`.
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    /// `[in, out]`
    pub weight: Array,
    /// `[out]`
    pub bias: Array,
}

/// Undoes the z-scoring of regression targets.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scaling {
    pub mean: f64,
    pub standard_deviation: f64,
}

impl Scaling {
    /// Leaves values as they are.
    pub const IDENTITY: Self = Self { mean: 0.0, standard_deviation: 1.0 };
}

/// A trained head.
#[derive(Debug, Clone, PartialEq)]
pub struct Head {
    /// `[hidden, hidden]`, followed by tanh: the MLP head's first layer.
    pub dense: Option<Layer>,
    /// `[hidden, outputs]`
    pub output: Layer,
    /// Regression alone.
    pub scaling: Scaling,
}

/// Why a head file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HeadError {
    #[error("no head file: {0}")]
    Format(String),
    #[error("the head lacks {0}")]
    Missing(&'static str),
    #[error("tensor {name} has type {dtype} and shape {found:?}, expected F32 and {expected:?}")]
    Shape { name: String, dtype: String, found: Vec<usize>, expected: Vec<usize> },
    #[error("the head holds a value that is not finite")]
    NotFinite,
}

impl Layer {
    /// `x·W + b`
    fn apply(&self, x: &[f32]) -> Vec<f32> {
        let mut y = self.bias.data.clone();
        let columns = y.len();
        for (value, row) in x.iter().zip(self.weight.data.chunks_exact(columns)) {
            for (sum, weight) in y.iter_mut().zip(row) {
                *sum += value * weight;
            }
        }
        y
    }
}

impl Head {
    /// The head's raw outputs for one mask vector.
    pub fn logits(&self, mask_vector: &[f32]) -> Vec<f32> {
        match &self.dense {
            None => self.output.apply(mask_vector),
            Some(dense) => {
                let inner: Vec<f32> = dense.apply(mask_vector).iter().map(|x| x.tanh()).collect();
                self.output.apply(&inner)
            }
        }
    }

    /// Probabilities, or a value in the target's unit.
    pub fn output(&self, kind: &Kind, mask_vector: &[f32]) -> Output {
        let logits = self.logits(mask_vector);
        match kind {
            Kind::Classification { .. } => Output::Probabilities(softmax(&logits)),
            Kind::Regression { .. } => {
                let scaled = f64::from(logits[0]);
                Output::Value(self.scaling.mean + scaled * self.scaling.standard_deviation)
            }
        }
    }

    /// The bytes of a head file (safetensors).
    pub fn to_bytes(&self) -> Result<Vec<u8>, HeadError> {
        if !self.is_finite() {
            return Err(HeadError::NotFinite);
        }
        let format = |error: safetensors::SafeTensorError| HeadError::Format(error.to_string());
        let settings = serde_json::to_string(&self.scaling)
            .map_err(|error| HeadError::Format(error.to_string()))?;
        let mut arrays = vec![];
        for (name, layer) in [("dense", self.dense.as_ref()), ("output", Some(&self.output))] {
            if let Some(layer) = layer {
                arrays.push((format!("{name}.weight"), &layer.weight));
                arrays.push((format!("{name}.bias"), &layer.bias));
            }
        }
        let bytes: Vec<Vec<u8>> = arrays.iter().map(|(_, array)| little_endian(array)).collect();
        let mut views = Vec::new();
        for ((name, array), bytes) in arrays.iter().zip(&bytes) {
            let view = TensorView::new(Dtype::F32, array.shape.clone(), bytes).map_err(format)?;
            views.push((name, view));
        }
        let metadata = HashMap::from([(SETTINGS.to_owned(), settings)]);
        safetensors::serialize(views, Some(metadata)).map_err(format)
    }

    /// Reads a head for vectors of `hidden` numbers and a task with `outputs` outputs.
    pub fn from_bytes(bytes: &[u8], hidden: usize, outputs: usize) -> Result<Self, HeadError> {
        let format = |error: safetensors::SafeTensorError| HeadError::Format(error.to_string());
        let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(format)?;
        let settings = metadata.metadata().as_ref().and_then(|map| map.get(SETTINGS));
        let settings = settings.ok_or(HeadError::Missing("its settings"))?;
        let scaling: Scaling =
            serde_json::from_str(settings).map_err(|error| HeadError::Format(error.to_string()))?;
        let tensors = SafeTensors::deserialize(bytes).map_err(format)?;
        let has_dense = tensors.tensor("dense.weight").is_ok();
        let dense = has_dense.then(|| layer(&tensors, "dense", hidden, hidden)).transpose()?;
        let head = Self { dense, output: layer(&tensors, "output", hidden, outputs)?, scaling };
        if head.is_finite() { Ok(head) } else { Err(HeadError::NotFinite) }
    }

    fn is_finite(&self) -> bool {
        let layers = self.dense.iter().chain([&self.output]);
        let mut values = layers.flat_map(|l| l.weight.data.iter().chain(&l.bias.data));
        values.all(|value| value.is_finite())
            && self.scaling.mean.is_finite()
            && self.scaling.standard_deviation.is_finite()
    }
}

/// Numerically stable softmax.
fn softmax(logits: &[f32]) -> Vec<f32> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut exponentials: Vec<f32> = logits.iter().map(|x| (x - largest).exp()).collect();
    let sum: f32 = exponentials.iter().sum();
    exponentials.iter_mut().for_each(|x| *x /= sum);
    exponentials
}

fn little_endian(array: &Array) -> Vec<u8> {
    array.data.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn layer(
    tensors: &SafeTensors<'_>,
    name: &str,
    rows: usize,
    columns: usize,
) -> Result<Layer, HeadError> {
    Ok(Layer {
        weight: array(tensors, &format!("{name}.weight"), &[rows, columns])?,
        bias: array(tensors, &format!("{name}.bias"), &[columns])?,
    })
}

fn array(tensors: &SafeTensors<'_>, name: &str, expected: &[usize]) -> Result<Array, HeadError> {
    let tensor = tensors.tensor(name).map_err(|error| HeadError::Format(error.to_string()))?;
    if tensor.dtype() != Dtype::F32 || tensor.shape() != expected {
        return Err(HeadError::Shape {
            name: name.to_owned(),
            dtype: format!("{:?}", tensor.dtype()),
            found: tensor.shape().to_vec(),
            expected: expected.to_vec(),
        });
    }
    let (values, _) = tensor.data().as_chunks::<4>();
    let data = values.iter().map(|value| f32::from_le_bytes(*value)).collect();
    Ok(Array { shape: expected.to_vec(), data })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix(shape: &[usize], data: &[f32]) -> Array {
        Array { shape: shape.to_vec(), data: data.to_vec() }
    }

    fn mlp() -> Head {
        Head {
            dense: Some(Layer {
                weight: matrix(&[2, 2], &[1.0, 0.5, -2.0, 0.25]),
                bias: matrix(&[2], &[0.1, -0.1]),
            }),
            output: Layer {
                weight: matrix(&[2, 3], &[1.0, 2.0, 3.0, -1.0, 0.5, 0.0]),
                bias: matrix(&[3], &[0.0, 0.1, 0.2]),
            },
            scaling: Scaling { mean: 3.5, standard_deviation: 0.5 },
        }
    }

    #[test]
    fn heads_compute_what_they_say() {
        let head = mlp();
        let inner = [(1.0f32 - 4.0 + 0.1).tanh(), (0.5f32 + 0.5 - 0.1).tanh()];
        let expected =
            [inner[0] - inner[1], 2.0 * inner[0] + 0.5 * inner[1] + 0.1, 3.0 * inner[0] + 0.2];
        for (found, expected) in head.logits(&[1.0, 2.0]).iter().zip(expected) {
            assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        }
        let linear = Head { dense: None, ..head };
        assert_eq!(linear.logits(&[2.0, 1.0]), [1.0, 4.6, 6.2]);
        let kind = Kind::Regression { min: None, max: None };
        assert_eq!(linear.output(&kind, &[2.0, 1.0]), Output::Value(4.0));
    }

    #[test]
    fn probabilities_sum_to_one_even_for_large_logits() {
        for logits in [[1000.0, 999.0], [-1000.0, -1000.0], [0.0, 80.0]] {
            let probabilities = softmax(&logits);
            assert!((probabilities.iter().sum::<f32>() - 1.0).abs() < 1e-6, "{probabilities:?}");
        }
    }

    #[test]
    fn head_files_survive_and_are_checked() {
        let head = mlp();
        let bytes = head.to_bytes().expect("serialised");
        assert_eq!(Head::from_bytes(&bytes, 2, 3).expect("intact"), head);
        for (hidden, outputs, words) in [(3, 3, "dense.weight"), (2, 2, "output.weight")] {
            let error = Head::from_bytes(&bytes, hidden, outputs).expect_err(words).to_string();
            assert!(error.contains(words), "{error}");
        }
        assert!(Head::from_bytes(b"", 2, 3).is_err());
        let mut bad = head;
        bad.output.bias.data[0] = f32::INFINITY;
        assert!(matches!(bad.to_bytes(), Err(HeadError::NotFinite)));
        let one = 1f32.to_le_bytes();
        let infinite = f32::INFINITY.to_le_bytes();
        bad.output.bias.data[0] = 1.0;
        bad.output.weight.data.fill(0.5);
        let mut bytes = bad.to_bytes().expect("serialised");
        let at = bytes.windows(4).rposition(|window| window == one).expect("the one");
        bytes[at..at + 4].copy_from_slice(&infinite);
        assert!(matches!(Head::from_bytes(&bytes, 2, 3), Err(HeadError::NotFinite)));
    }
}
