//! A head whose parameters can be trained.

use super::{
    encoder::Dropout,
    ops::{ComputeError, Dense, Mask, check_len, column_sums},
    parameter::Parameter,
    random::{hash, normal},
    settings::{HeadShape, Settings},
    transform::Transform,
};
use crate::{
    inference::{Activation, Head, Layer, Scaling},
    weights::Array,
};

/// Spread of the first weights, as in BERT.
const INITIAL_DEVIATION: f32 = 0.02;

/// Keeps the head's random numbers apart from others; no layer of an encoder has this number.
const WEIGHTS: u64 = 1 << 32;

/// Dropout -> linear; dropout -> linear -> tanh -> dropout -> linear; or a language-model head:
/// transform -> linear.
pub struct TrainableHead {
    front: Front,
    output: Affine,
}

/// What comes before the last layer.
enum Front {
    Nothing,
    Dense(Box<Affine>),
    /// Learnt already, so it is trained at the encoder's rate and without dropout.
    Language(Box<Transform>),
}

/// Dropout and an affine map under training.
struct Affine {
    /// Weight and bias.
    parameters: [Parameter; 2],
    /// Tells the layers' dropout apart.
    site: u64,
    pass: Option<Pass>,
}

/// What a layer's forward pass leaves.
struct Pass {
    mask: Mask,
    dropped: Vec<f32>,
    /// What reached the layer, before dropout.
    input: Vec<f32>,
}

impl TrainableHead {
    /// A fresh linear or MLP head; label words need [`Self::of_label_words`].
    pub fn new(shape: HeadShape, hidden: usize, outputs: usize, seed: u64) -> Self {
        let front = match shape {
            HeadShape::Mlp => Front::Dense(Box::new(Affine::fresh(
                "head.dense",
                [hidden, hidden],
                &[seed, WEIGHTS, 0],
                0,
            ))),
            HeadShape::Linear | HeadShape::LabelWords => Front::Nothing,
        };
        let site = u64::from(matches!(front, Front::Dense(_)));
        let output = Affine::fresh("head.output", [hidden, outputs], &[seed, WEIGHTS, 1], site);
        Self { front, output }
    }

    /// A language-model head cut down to some words: `output` is `[hidden, labels]` and `[labels]`.
    pub fn of_label_words(transform: Transform, output: [Array; 2]) -> Self {
        let [weight, bias] = output;
        let output = Affine {
            parameters: [
                Parameter::new("head.output.weight", weight.shape, weight.data),
                Parameter::new("head.output.bias", bias.shape, bias.data),
            ],
            site: 0,
            pass: None,
        };
        Self { front: Front::Language(Box::new(transform)), output }
    }

    /// `[rows, hidden]` to `[rows, outputs]`; keeps what [`Self::backward`] needs.
    pub fn forward(&mut self, vectors: &[f32], dropout: Dropout) -> Result<Vec<f32>, ComputeError> {
        match &mut self.front {
            Front::Nothing => self.output.forward(vectors.to_vec(), dropout),
            Front::Dense(dense) => {
                let mut inner = dense.forward(vectors.to_vec(), dropout)?;
                inner.iter_mut().for_each(|x| *x = x.tanh());
                self.output.forward(inner, dropout)
            }
            Front::Language(transform) => {
                let transformed = transform.forward(vectors)?;
                self.output.forward(transformed, Dropout::OFF)
            }
        }
    }

    /// Adds to the parameters' gradients, given that of the last forward pass's outputs, and returns
    /// the gradient of its vectors.
    pub fn backward(&mut self, d_outputs: &[f32]) -> Result<Vec<f32>, ComputeError> {
        let (mut gradient, input) = self.output.backward(d_outputs)?;
        match &mut self.front {
            Front::Nothing => Ok(gradient),
            Front::Dense(dense) => {
                gradient.iter_mut().zip(&input).for_each(|(dx, y)| *dx *= 1.0 - y * y);
                Ok(dense.backward(&gradient)?.0)
            }
            Front::Language(transform) => transform.backward(gradient),
        }
    }

    /// Every parameter, those next to the encoder first.
    pub fn parameters(&self) -> impl Iterator<Item = &Parameter> {
        let front: &[Parameter] = match &self.front {
            Front::Nothing => &[],
            Front::Dense(dense) => &dense.parameters,
            Front::Language(transform) => transform.parameters(),
        };
        front.iter().chain(&self.output.parameters)
    }

    /// The same to change.
    pub fn parameters_mut(&mut self) -> impl Iterator<Item = &mut Parameter> {
        let front: &mut [Parameter] = match &mut self.front {
            Front::Nothing => &mut [],
            Front::Dense(dense) => &mut dense.parameters,
            Front::Language(transform) => transform.parameters_mut(),
        };
        front.iter_mut().chain(&mut self.output.parameters)
    }

    /// The peak learning rate of the head's parameters.
    pub fn learning_rate(&self, settings: &Settings) -> f64 {
        match self.front {
            Front::Language(_) => settings.learning_rate,
            Front::Nothing | Front::Dense(_) => settings.head_learning_rate,
        }
    }

    /// The number of outputs for each vector.
    pub fn outputs(&self) -> usize {
        self.output.parameters[1].values.len()
    }

    /// The head as it is now, not calibrated.
    pub fn head(&self, scaling: Scaling) -> Head {
        let dense = |layer, activation| crate::inference::Dense { layer, activation };
        let dense = match &self.front {
            Front::Nothing => None,
            Front::Dense(affine) => Some(dense(layer(&affine.parameters), Activation::Tanh)),
            Front::Language(transform) => {
                let [weight, bias, norm_weight, norm_bias] = transform.parameters();
                let activation = Activation::GeluNorm {
                    weight: array(norm_weight),
                    bias: array(norm_bias),
                    epsilon: transform.epsilon(),
                };
                Some(dense(Layer { weight: array(weight), bias: array(bias) }, activation))
            }
        };
        let output = layer(&self.output.parameters);
        Head { dense, ..Head::linear(output, scaling) }
    }
}

impl Affine {
    fn fresh(name: &str, [inputs, outputs]: [usize; 2], seed: &[u64], site: u64) -> Self {
        let weight = normal(inputs * outputs, INITIAL_DEVIATION, seed);
        let parameters = [
            Parameter::new(format!("{name}.weight"), vec![inputs, outputs], weight),
            Parameter::new(format!("{name}.bias"), vec![outputs], vec![0.0; outputs]),
        ];
        Self { parameters, site, pass: None }
    }

    fn forward(&mut self, input: Vec<f32>, dropout: Dropout) -> Result<Vec<f32>, ComputeError> {
        let [weight, bias] = &self.parameters;
        let mask = Mask::new(dropout.probability, hash(&[dropout.seed, WEIGHTS, self.site]))?;
        let dense = dense(weight, input.len());
        let mut dropped = input.clone();
        mask.apply(&mut dropped, dense.inputs);
        let mut y = vec![0.0; dense.rows * dense.outputs];
        dense.affine(&mut y, &dropped, &weight.values, &bias.values)?;
        self.pass = Some(Pass { mask, dropped, input });
        Ok(y)
    }

    /// The gradient of the layer's input, and that input.
    fn backward(&mut self, dy: &[f32]) -> Result<(Vec<f32>, Vec<f32>), ComputeError> {
        let pass = self.pass.take().ok_or(ComputeError::NoForward)?;
        let [weight, bias] = &mut self.parameters;
        let dense = dense(weight, pass.input.len());
        check_len("a head's gradient", dy.len(), dense.rows * dense.outputs)?;
        let gradient = weight.dense_gradient();
        dense.weight_gradient(gradient.values, gradient.add, &pass.dropped, dy)?;
        let mut dx = pass.dropped;
        dense.input_gradient(&mut dx, false, dy, gradient.of)?;
        bias.add_dense(&column_sums(dy, dense.outputs))?;
        pass.mask.apply(&mut dx, dense.inputs);
        Ok((dx, pass.input))
    }
}

/// The work of a layer with this weight on so many values.
fn dense(weight: &Parameter, values: usize) -> Dense {
    let outputs = weight.width();
    let inputs = weight.values.len() / outputs.max(1);
    Dense { rows: values / inputs.max(1), inputs, outputs }
}

fn layer([weight, bias]: &[Parameter; 2]) -> Layer {
    Layer { weight: array(weight), bias: array(bias) }
}

fn array(parameter: &Parameter) -> Array {
    Array { shape: parameter.shape.clone(), data: parameter.values.clone() }
}
