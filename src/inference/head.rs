//! A task's head: mask vector in, logits or a value out.

mod file;
mod pair_similarity;

use serde::{Deserialize, Serialize};

use super::calibration::Calibration;
use crate::{
    prompt::InferenceMode,
    task::{Example, Kind, Output},
    weights::Array,
};

pub use pair_similarity::PairSimilarity;

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

/// What stands between the two layers of a head.
#[derive(Debug, Clone, PartialEq)]
pub enum Activation {
    Tanh,
    /// GELU and a layer norm: the transform of BERT's language-model head.
    GeluNorm {
        weight: Array,
        bias: Array,
        epsilon: f32,
    },
}

/// A head's first layer, `[hidden, hidden]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Dense {
    pub layer: Layer,
    pub activation: Activation,
}

/// A trained head.
#[derive(Debug, Clone, PartialEq)]
pub struct Head {
    /// Absent in a linear head.
    pub dense: Option<Dense>,
    /// `[hidden, outputs]`
    pub output: Layer,
    /// Regression alone.
    pub scaling: Scaling,
    /// Classification alone.
    pub calibration: Calibration,
    /// Comparison of the fields, if the head was trained with one.
    pub pair_similarity: Option<PairSimilarity>,
    /// Templates that answer by default, where training chose them; they go before the task file's.
    pub inference: Option<InferenceMode>,
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
    #[error("the head's calibration does not fit a task with {outputs} labels")]
    Calibration { outputs: usize },
    #[error("the head compares the field {0:?}, which the task does not have")]
    Field(String),
    #[error("the head compares more than the task's fields make")]
    Pairs,
    #[error("the head compares by similarities of version {0}, which this program does not know")]
    Similarities(u32),
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
    /// Stands for a linear head that is yet to be trained.
    pub fn blank(hidden: usize, outputs: usize) -> Self {
        let zeros = |shape: Vec<usize>| {
            let data = vec![0.0; shape.iter().product()];
            Array { shape, data }
        };
        Self::linear(
            Layer { weight: zeros(vec![hidden, outputs]), bias: zeros(vec![outputs]) },
            Scaling::IDENTITY,
        )
    }

    /// A head that passes its vector on: for a graph that gives the outputs itself.
    pub fn identity(outputs: usize) -> Self {
        let mut head = Self::blank(outputs, outputs);
        (0..outputs).for_each(|at| head.output.weight.data[at * outputs + at] = 1.0);
        head
    }

    /// A head of one layer, not calibrated.
    pub fn linear(output: Layer, scaling: Scaling) -> Self {
        let calibration = Calibration::NONE;
        Self { dense: None, output, scaling, calibration, pair_similarity: None, inference: None }
    }

    /// The head's raw outputs for one mask vector and the [`offsets`](Self::offsets) of its example.
    pub fn logits(&self, mask_vector: &[f32], offsets: &[f32]) -> Vec<f32> {
        let mut logits = match &self.dense {
            None => self.output.apply(mask_vector),
            Some(dense) => self.output.apply(&dense.apply(mask_vector)),
        };
        logits.iter_mut().zip(offsets).for_each(|(logit, offset)| *logit += offset);
        logits
    }

    /// Numbers added to the outputs for an example, whatever its template: `[outputs]`, or empty.
    pub fn offsets(&self, example: &Example) -> Vec<f32> {
        self.pair_similarity.as_ref().map_or_else(Vec::new, |pairs| pairs.outputs(example))
    }

    /// Probabilities for the logits of one mask vector, or a value in the target's unit and inside
    /// its declared range.
    pub fn output(&self, kind: &Kind, logits: &[f32]) -> Output {
        match kind {
            Kind::Classification { .. } => {
                Output::Probabilities(self.calibration.probabilities(logits))
            }
            Kind::Regression { min, max } => {
                let scaled = f64::from(logits[0]);
                let value = self.scaling.mean + scaled * self.scaling.standard_deviation;
                // `max` and `min` of floats keep a value that is no number out of sight, which a
                // head must not: `clamp` passes it on.
                let (min, max) = (min.unwrap_or(f64::NEG_INFINITY), max.unwrap_or(f64::INFINITY));
                Output::Value(if min <= max { value.clamp(min, max) } else { value })
            }
        }
    }

    fn is_finite(&self) -> bool {
        let arrays = self.arrays();
        let mut values = arrays.iter().flat_map(|(_, array)| &array.data);
        values.all(|value| value.is_finite())
            && self.scaling.mean.is_finite()
            && self.scaling.standard_deviation.is_finite()
            && self.dense.as_ref().is_none_or(|dense| match dense.activation {
                Activation::Tanh => true,
                // Added to a variance under a root, by which is divided.
                Activation::GeluNorm { epsilon, .. } => epsilon.is_finite() && epsilon > 0.0,
            })
    }
}

impl Dense {
    fn apply(&self, x: &[f32]) -> Vec<f32> {
        let mut y = self.layer.apply(x);
        match &self.activation {
            Activation::Tanh => y.iter_mut().for_each(|y| *y = y.tanh()),
            Activation::GeluNorm { weight, bias, epsilon } => {
                y.iter_mut().for_each(|y| *y = gelu(*y));
                normalise(&mut y, &weight.data, &bias.data, *epsilon);
            }
        }
        y
    }
}

/// `x·Φ(x)` (Hendrycks and Gimpel, 2016).
fn gelu(x: f32) -> f32 {
    let x = f64::from(x);
    (x * 0.5 * (1.0 + libm::erf(x / std::f64::consts::SQRT_2))) as f32
}

/// Layer norm of one row, in place (Ba et al., 2016).
fn normalise(row: &mut [f32], weight: &[f32], bias: &[f32], epsilon: f32) {
    let count = row.len() as f32;
    let mean = row.iter().sum::<f32>() / count;
    let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / count;
    let scale = 1.0 / (variance + epsilon).sqrt();
    for ((x, weight), bias) in row.iter_mut().zip(weight).zip(bias) {
        *x = (*x - mean) * scale * weight + bias;
    }
}

#[cfg(test)]
mod tests;
