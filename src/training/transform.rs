//! The transform of a language-model head under training: dense, activation, layer norm.

use super::{
    ops::{
        ComputeError, Dense, Norm, NormPass, Normalised, activate_and_slope, check_len,
        multiply_by_slope,
    },
    parameter::Parameter,
};
use crate::{architecture::Activation, weights::Array};

/// `norm(activation(x·W + b))`, `[rows, hidden]` to `[rows, width]` (Devlin et al., 2019).
pub struct Transform {
    /// Weight and bias of the dense layer, then of the norm.
    parameters: [Parameter; 4],
    epsilon: f32,
    activation: Activation,
    pass: Option<Pass>,
}

/// What a forward pass leaves for the backward pass.
struct Pass {
    input: Vec<f32>,
    slope: Vec<f32>,
    normalised: Vec<f32>,
    scales: Vec<f32>,
}

impl Transform {
    /// Begins with these weights, `[hidden, width]` and three times `[width]`, under names that begin
    /// with `name`.
    pub fn new(
        name: &str,
        dense: [&Array; 2],
        norm: [&Array; 2],
        epsilon: f32,
        activation: Activation,
    ) -> Self {
        let parameter = |part: &str, array: &Array| {
            Parameter::new(format!("{name}.{part}"), array.shape.clone(), array.data.clone())
        };
        let parameters = [
            parameter("weight", dense[0]),
            parameter("bias", dense[1]),
            parameter("norm.weight", norm[0]),
            parameter("norm.bias", norm[1]),
        ];
        Self { parameters, epsilon, activation, pass: None }
    }

    /// Keeps what [`Self::backward`] needs.
    pub fn forward(&mut self, vectors: &[f32]) -> Result<Vec<f32>, ComputeError> {
        let dense = self.dense(vectors.len());
        let [weight, bias, norm_weight, norm_bias] = &self.parameters;
        let values = dense.rows * dense.outputs;
        let mut slope = vec![0.0; values];
        dense.product(&mut slope, vectors, &weight.values)?;
        let mut normalised = vec![0.0; values];
        activate_and_slope(self.activation, &mut normalised, &mut slope, &bias.values)?;
        let mut output = vec![0.0; values];
        let mut scales = vec![0.0; dense.rows];
        let norm =
            Norm { weight: &norm_weight.values, bias: &norm_bias.values, epsilon: self.epsilon };
        norm.apply(Normalised {
            output: &mut output,
            normalised: &mut normalised,
            scales: &mut scales,
        })?;
        self.pass = Some(Pass { input: vectors.to_vec(), slope, normalised, scales });
        Ok(output)
    }

    /// Adds to the parameters' gradients and turns the gradient of the last forward pass's result
    /// into that of its vectors.
    pub fn backward(&mut self, mut gradient: Vec<f32>) -> Result<Vec<f32>, ComputeError> {
        let pass = self.pass.take().ok_or(ComputeError::NoForward)?;
        let dense = self.dense(pass.input.len());
        check_len("a transform's gradient", gradient.len(), dense.rows * dense.outputs)?;
        let [weight, bias, norm_weight, norm_bias] = &mut self.parameters;
        let norm = NormPass {
            normalised: &pass.normalised,
            scales: &pass.scales,
            weight: &norm_weight.values,
        };
        let of_norm = norm.differentiate(&mut gradient)?;
        norm_weight.add_dense(&of_norm.weight)?;
        norm_bias.add_dense(&of_norm.bias)?;
        bias.add_dense(&multiply_by_slope(&mut gradient, &pass.slope, dense.outputs)?)?;
        let of_weight = weight.dense_gradient();
        dense.weight_gradient(of_weight.values, of_weight.add, &pass.input, &gradient)?;
        let mut by_vectors = pass.input;
        dense.input_gradient(&mut by_vectors, false, &gradient, of_weight.of)?;
        Ok(by_vectors)
    }

    /// Weight and bias of the dense layer, then of the norm.
    pub fn parameters(&self) -> &[Parameter; 4] {
        &self.parameters
    }

    /// The same to change.
    pub fn parameters_mut(&mut self) -> &mut [Parameter; 4] {
        &mut self.parameters
    }

    /// Of the norm.
    pub fn epsilon(&self) -> f32 {
        self.epsilon
    }

    fn dense(&self, values: usize) -> Dense {
        let outputs = self.parameters[1].values.len();
        let inputs = self.parameters[0].values.len() / outputs.max(1);
        Dense { rows: values / inputs.max(1), inputs, outputs }
    }
}
