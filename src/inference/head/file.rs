//! A head's file, in safetensors: its layers, and settings in the file's metadata.

use std::collections::HashMap;

use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde::{Deserialize, Serialize};

use super::{
    Activation, Dense, Head, HeadError, Layer, PairSimilarity, Scaling,
    pair_similarity::Description,
};
use crate::{inference::Calibration, prompt::InferenceMode, task::Task, weights::Array};

/// Settings that a head file holds beside its layers.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    mean: f64,
    standard_deviation: f64,
    /// Heads of older files have none.
    #[serde(default)]
    calibration: Option<Calibration>,
    /// Of the layer norm, where the first layer is followed by one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    epsilon: Option<f32>,
    /// Comparison of fields; its map is a layer of the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pair_similarity: Option<Description>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    inference: Option<InferenceMode>,
}

impl Head {
    /// The key under which a head file holds its settings.
    pub const SETTINGS: &str = "dynamar.head";

    /// The bytes of a head file (safetensors).
    pub fn to_bytes(&self) -> Result<Vec<u8>, HeadError> {
        if !self.is_finite() {
            return Err(HeadError::NotFinite);
        }
        let format = |error: safetensors::SafeTensorError| HeadError::Format(error.to_string());
        let settings = Settings {
            mean: self.scaling.mean,
            standard_deviation: self.scaling.standard_deviation,
            calibration: Some(self.calibration.clone()),
            epsilon: self.dense.as_ref().and_then(|dense| match &dense.activation {
                Activation::Tanh => None,
                Activation::GeluNorm { epsilon, .. } => Some(*epsilon),
            }),
            pair_similarity: self.pair_similarity.as_ref().map(PairSimilarity::description),
            inference: self.inference,
        };
        let settings = serde_json::to_string(&settings)
            .map_err(|error| HeadError::Format(error.to_string()))?;
        let arrays = self.arrays();
        let bytes: Vec<Vec<u8>> = arrays.iter().map(|(_, array)| little_endian(array)).collect();
        let mut views = Vec::new();
        for ((name, array), bytes) in arrays.iter().zip(&bytes) {
            let view = TensorView::new(Dtype::F32, array.shape.clone(), bytes).map_err(format)?;
            views.push((name, view));
        }
        let metadata = HashMap::from([(Self::SETTINGS.to_owned(), settings)]);
        safetensors::serialize(views, Some(metadata)).map_err(format)
    }

    /// Reads a head for vectors of `hidden` numbers and a task.
    pub fn from_bytes(bytes: &[u8], hidden: usize, task: &Task) -> Result<Self, HeadError> {
        let outputs = task.kind.outputs();
        let format = |error: safetensors::SafeTensorError| HeadError::Format(error.to_string());
        let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(format)?;
        let settings = metadata.metadata().as_ref().and_then(|map| map.get(Self::SETTINGS));
        let settings = settings.ok_or(HeadError::Missing("its settings"))?;
        let settings: Settings =
            serde_json::from_str(settings).map_err(|error| HeadError::Format(error.to_string()))?;
        let tensors = SafeTensors::deserialize(bytes).map_err(format)?;
        let has_dense = tensors.tensor("dense.weight").is_ok();
        let dense = has_dense.then(|| dense(&tensors, hidden, settings.epsilon)).transpose()?;
        let Settings { mean, standard_deviation, calibration, pair_similarity, inference, .. } =
            settings;
        let pair_similarity = pair_similarity.map(|description| {
            let similarities = description.similarities();
            let map = layer(&tensors, "pair_similarity", similarities, outputs)?;
            description.bind(&task.fields, map)
        });
        let head = Self {
            dense,
            output: layer(&tensors, "output", hidden, outputs)?,
            scaling: Scaling { mean, standard_deviation },
            calibration: calibration.unwrap_or(Calibration::NONE),
            pair_similarity: pair_similarity.transpose()?,
            inference,
        };
        if !head.calibration.fits(outputs) {
            return Err(HeadError::Calibration { outputs });
        }
        if head.is_finite() { Ok(head) } else { Err(HeadError::NotFinite) }
    }

    /// The arrays that a head file holds, by their names.
    pub(super) fn arrays(&self) -> Vec<(String, &Array)> {
        let mut pairs = vec![("output", &self.output.weight, &self.output.bias)];
        if let Some(dense) = &self.dense {
            pairs.push(("dense", &dense.layer.weight, &dense.layer.bias));
            if let Activation::GeluNorm { weight, bias, .. } = &dense.activation {
                pairs.push(("dense.norm", weight, bias));
            }
        }
        if let Some(pair_similarity) = &self.pair_similarity {
            let Layer { weight, bias } = pair_similarity.layer();
            pairs.push(("pair_similarity", weight, bias));
        }
        let arrays = pairs.into_iter().flat_map(|(name, weight, bias)| {
            [(format!("{name}.weight"), weight), (format!("{name}.bias"), bias)]
        });
        arrays.collect()
    }
}

pub(super) fn little_endian(array: &Array) -> Vec<u8> {
    array.data.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn dense(
    tensors: &SafeTensors<'_>,
    hidden: usize,
    epsilon: Option<f32>,
) -> Result<Dense, HeadError> {
    let activation = match epsilon {
        None => Activation::Tanh,
        Some(epsilon) => Activation::GeluNorm {
            weight: array(tensors, "dense.norm.weight", &[hidden])?,
            bias: array(tensors, "dense.norm.bias", &[hidden])?,
            epsilon,
        },
    };
    Ok(Dense { layer: layer(tensors, "dense", hidden, hidden)?, activation })
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
