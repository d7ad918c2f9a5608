//! A head whose parameters can be trained.

use candle_core::{Device, Result, Tensor, Var};

use super::{
    encoder::Dropout,
    ops::{dropout, linear},
    random::{hash, normal},
    settings::HeadShape,
};
use crate::{
    inference::{Activation, Calibration, Dense, Head, Layer, Scaling},
    weights::Array,
};

/// Spread of the first weights, as in BERT.
const INITIAL_DEVIATION: f32 = 0.02;

/// Keeps the head's random numbers apart from others; no layer of an encoder has this number.
const WEIGHTS: u64 = 1 << 32;

struct TrainableLayer {
    name: &'static str,
    weight: Var,
    bias: Var,
}

/// Dropout -> linear, or dropout -> linear -> tanh -> dropout -> linear.
pub struct TrainableHead {
    layers: Vec<TrainableLayer>,
}

impl TrainableHead {
    /// A fresh head.
    pub fn new(shape: HeadShape, hidden: usize, outputs: usize, seed: u64) -> Result<Self> {
        let mut layers = Vec::new();
        if shape == HeadShape::Mlp {
            layers.push(TrainableLayer::new("head.dense", hidden, hidden, &[seed, WEIGHTS, 0])?);
        }
        layers.push(TrainableLayer::new("head.output", hidden, outputs, &[seed, WEIGHTS, 1])?);
        Ok(Self { layers })
    }

    /// `[batch, hidden]` to `[batch, outputs]`.
    pub fn forward(&self, vectors: &Tensor, dropping: Dropout) -> Result<Tensor> {
        let mut x = vectors.clone();
        for (at, layer) in self.layers.iter().enumerate() {
            if at > 0 {
                x = x.tanh()?;
            }
            let seed = hash(&[dropping.seed, WEIGHTS, at as u64]);
            x = dropout(&x, dropping.probability, seed)?;
            x = linear(&x, &layer.weight, &layer.bias)?;
        }
        Ok(x)
    }

    /// Every parameter with its name.
    pub fn parameters(&self) -> Vec<(String, Var)> {
        let pairs = self.layers.iter().flat_map(|layer| {
            [("weight", &layer.weight), ("bias", &layer.bias)]
                .map(|(part, var)| (format!("{}.{part}", layer.name), var.clone()))
        });
        pairs.collect()
    }

    /// The head as it is now.
    pub fn head(&self, scaling: Scaling) -> Result<Head> {
        let mut layers =
            self.layers.iter().map(TrainableLayer::layer).collect::<Result<Vec<_>>>()?;
        let Some(output) = layers.pop() else { candle_core::bail!("a head has an output layer") };
        let dense = layers.pop().map(|layer| Dense { layer, activation: Activation::Tanh });
        Ok(Head { dense, output, scaling, calibration: Calibration::NONE })
    }
}

impl TrainableLayer {
    fn new(name: &'static str, rows: usize, columns: usize, seed: &[u64]) -> Result<Self> {
        let weight = normal(rows * columns, INITIAL_DEVIATION, seed);
        Ok(Self {
            name,
            weight: Var::from_vec(weight, (rows, columns), &Device::Cpu)?,
            bias: Var::from_vec(vec![0f32; columns], columns, &Device::Cpu)?,
        })
    }

    fn layer(&self) -> Result<Layer> {
        Ok(Layer { weight: array(&self.weight)?, bias: array(&self.bias)? })
    }
}

fn array(var: &Var) -> Result<Array> {
    Ok(Array { shape: var.dims().to_vec(), data: var.flatten_all()?.to_vec1()? })
}
