//! Heads that were trained elsewhere, in safetensors: our own format, or the layers of PyTorch.
//!
//! A linear head is `weight` `[outputs, hidden]` and `bias` `[outputs]`, also under the names of a last layer
//! (`output`, `out_proj`, `classifier`). A head with a hidden layer is `dense` `[hidden, hidden]`, `tanh`, and
//! one of those; or `0` and `2` of an `nn.Sequential(Linear, Tanh, Linear)`. All names may begin with one
//! prefix, as in the state of a whole model. A bias that is not there is zero.
//!
//! Metadata of the file may say `mean` and `standard_deviation`, by which a regression's targets were
//! z-scored, and `activation`, which is `tanh`.

use std::collections::HashMap;

use safetensors::{SafeTensors, tensor::TensorView};

use super::model_files::{Element, element};
use crate::{
    inference::{Activation, Dense, Head, HeadError, Layer, Scaling},
    task::{Kind, Task},
    weights::Array,
};

/// Names of the first layer and of the last one, where there are two.
const TWO_LAYERS: [(&str, &str); 4] =
    [("dense", "out_proj"), ("dense", "output"), ("dense", "classifier"), ("0", "2")];

/// Names of the only layer; the empty one is a `Linear` by itself.
const ONE_LAYER: [&str; 5] = ["", "output", "out_proj", "classifier", "0"];

/// Tensors of a head.
const MAX_TENSORS: usize = 64;

/// Reason why a head that was trained elsewhere cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum GivenHeadError {
    #[error(transparent)]
    Head(#[from] HeadError),
    #[error("it is no safetensors file: {0}")]
    Format(String),
    #[error(
        "it holds {found}; a head is `weight` and `bias` (also as output, out_proj or classifier), or \
         `dense` and one of these, or `0` and `2` of an nn.Sequential"
    )]
    Names { found: String },
    #[error(
        "tensor {name} has type {dtype} and shape {found:?}, expected floats and {expected:?}{hint}"
    )]
    Shape {
        name: String,
        dtype: String,
        found: Vec<usize>,
        expected: Vec<usize>,
        hint: &'static str,
    },
    #[error("its metadata says {key} {found:?}, expected {expected}")]
    Metadata { key: &'static str, found: String, expected: &'static str },
}

/// Reads a head for vectors of `hidden` numbers and a task.
pub fn from_bytes(bytes: &[u8], hidden: usize, task: &Task) -> Result<Head, GivenHeadError> {
    let format = |error: safetensors::SafeTensorError| GivenHeadError::Format(error.to_string());
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(format)?;
    let metadata = header.metadata().clone().unwrap_or_default();
    if metadata.contains_key(Head::SETTINGS) {
        return Ok(Head::from_bytes(bytes, hidden, task)?);
    }
    let tensors = SafeTensors::deserialize(bytes).map_err(format)?;
    let names: Vec<&str> = tensors.names();
    let prefix = common_prefix(&names);
    let layers = layers(&names, prefix).ok_or_else(|| {
        let mut found: Vec<&str> = names.iter().copied().take(MAX_TENSORS).collect();
        found.sort_unstable();
        let found = if found.is_empty() { "no tensors".to_owned() } else { found.join(", ") };
        GivenHeadError::Names { found: found.chars().take(400).collect() }
    })?;
    let outputs = task.kind.outputs();
    let read = |layer: &str, out, hint| read_layer(&tensors, prefix, layer, [out, hidden], hint);
    let dense = match layers.0 {
        None => None,
        Some(name) => {
            expect_tanh(&metadata)?;
            let hint = "; a hidden layer is as wide as the vector";
            Some(Dense { layer: read(name, hidden, hint)?, activation: Activation::Tanh })
        }
    };
    let output = read(layers.1, outputs, "; one output for each label, or one for a number")?;
    let head = Head { dense, ..Head::linear(output, scaling(&metadata, &task.kind)?) };
    // Also refuses values that are not finite.
    Ok(Head::from_bytes(&head.to_bytes()?, hidden, task)?)
}

/// The layers' names: the first one, where there are two, and the last one. None if a tensor would be
/// left over.
fn layers(names: &[&str], prefix: &str) -> Option<(Option<&'static str>, &'static str)> {
    if names.len() > MAX_TENSORS {
        return None;
    }
    let is_of = |name: &str, layer: &str| {
        let parameter = name.strip_prefix(prefix).unwrap_or(name);
        let parameter = if layer.is_empty() {
            Some(parameter)
        } else {
            parameter.strip_prefix(layer).and_then(|rest| rest.strip_prefix('.'))
        };
        parameter.is_some_and(|parameter| ["weight", "bias"].contains(&parameter))
    };
    let has = |layer: &str| names.iter().any(|name| is_of(name, layer) && name.ends_with("weight"));
    let only = |layers: &[&str]| {
        let is_known = |name: &&str| layers.iter().any(|layer| is_of(name, layer));
        layers.iter().all(|layer| has(layer)) && names.iter().all(is_known)
    };
    let two = TWO_LAYERS.iter().find(|(first, last)| only(&[first, last]));
    let one = || ONE_LAYER.iter().find(|layer| only(&[layer]));
    two.map(|(first, last)| (Some(*first), *last)).or_else(|| one().map(|layer| (None, *layer)))
}

/// What all names begin with, up to a dot, where more than a layer and `weight` follow; otherwise nothing.
fn common_prefix<'n>(names: &[&'n str]) -> &'n str {
    let Some(first) = names.first() else { return "" };
    let dots = first.match_indices('.').map(|(at, _)| at + 1);
    // The part before `weight` is the layer's own.
    let mut ends: Vec<usize> = dots.collect();
    ends.pop();
    let is_common = |end: &usize| names.iter().all(|name| name.starts_with(&first[..*end]));
    let longest = ends.into_iter().rev().find(is_common);
    longest.map_or("", |end| &first[..end])
}

/// A layer of PyTorch, `[out, in]`, as one of ours, `[in, out]`.
fn read_layer(
    tensors: &SafeTensors<'_>,
    prefix: &str,
    layer: &str,
    shape: [usize; 2],
    hint: &'static str,
) -> Result<Layer, GivenHeadError> {
    let stem = if layer.is_empty() { prefix.to_owned() } else { format!("{prefix}{layer}.") };
    let format = |error: safetensors::SafeTensorError| GivenHeadError::Format(error.to_string());
    let [out, inner] = shape;
    let name = format!("{stem}weight");
    let weight = read(&tensors.tensor(&name).map_err(format)?, &name, &shape, hint)?;
    let name = format!("{stem}bias");
    let bias = match tensors.tensor(&name) {
        Ok(tensor) => read(&tensor, &name, &[out], hint)?,
        Err(_) => vec![0.0; out],
    };
    let transposed = (0..inner).flat_map(|row| (0..out).map(move |column| column * inner + row));
    let data = transposed.map(|at| weight[at]).collect();
    Ok(Layer {
        weight: Array { shape: vec![inner, out], data },
        bias: Array { shape: vec![out], data: bias },
    })
}

fn read(
    tensor: &TensorView<'_>,
    name: &str,
    expected: &[usize],
    hint: &'static str,
) -> Result<Vec<f32>, GivenHeadError> {
    let element = element(tensor.dtype());
    if matches!(element, Element::Other(_)) || tensor.shape() != expected {
        return Err(GivenHeadError::Shape {
            name: name.to_owned(),
            dtype: format!("{:?}", tensor.dtype()),
            found: tensor.shape().to_vec(),
            expected: expected.to_vec(),
            hint,
        });
    }
    let mut values = Vec::new();
    element.widen(tensor.data(), &mut values);
    Ok(values)
}

fn expect_tanh(metadata: &HashMap<String, String>) -> Result<(), GivenHeadError> {
    match metadata.get("activation") {
        Some(found) if found != "tanh" => {
            let (key, found) = ("activation", found.chars().take(40).collect());
            Err(GivenHeadError::Metadata { key, found, expected: "\"tanh\"" })
        }
        _ => Ok(()),
    }
}

/// How a regression's values were scaled.
fn scaling(metadata: &HashMap<String, String>, kind: &Kind) -> Result<Scaling, GivenHeadError> {
    let mut scaling = Scaling::IDENTITY;
    if let Kind::Classification { .. } = kind {
        return Ok(scaling);
    }
    for (key, number, least) in [
        ("mean", &mut scaling.mean, f64::MIN),
        ("standard_deviation", &mut scaling.standard_deviation, f64::MIN_POSITIVE),
    ] {
        let Some(text) = metadata.get(key) else { continue };
        match text.parse::<f64>() {
            Ok(value) if value.is_finite() && value >= least => *number = value,
            _ => {
                let found = text.chars().take(40).collect();
                return Err(GivenHeadError::Metadata { key, found, expected: "a number" });
            }
        }
    }
    Ok(scaling)
}

#[cfg(test)]
mod tests;
