//! The convolution over neighbouring tokens after the first layer, forward and backward.

use super::{
    super::{
        ops::{
            Branch, ComputeError, Dense, Mask, NormPass, Normalised, accumulate_all,
            activate_and_slope, add_neighbours, column_sums, lay_side_by_side, multiply_by_slope,
        },
        parameter::Parameter,
    },
    add_bias_gradient, add_norm_gradients,
    layer_gradient::weight_gradient,
    places::{Affine, Places},
    workspace::{Batch, NormSpace},
};
use crate::architecture::{Architecture, Convolution};

/// The number of the dropout before the activation, among those of the first layer.
const DROPOUT: u64 = 16;

/// Memory of the forward pass for the backward pass. `T` are the tokens, `K` the kernel's, `H` the hidden
/// size.
#[derive(Default)]
pub(super) struct ConvolutionSpace {
    /// The tokens round each token.
    neighbours: Vec<Option<u32>>,
    /// `[T, K·H]`: their embeddings.
    side_by_side: Vec<f32>,
    /// `[T, H]`: the activation's slope.
    slope: Vec<f32>,
    /// `[T, H]`
    activation: Vec<f32>,
    /// `[T, H]`: the result on its way.
    output: Vec<f32>,
    norm: NormSpace,
    gradients: Gradients,
}

/// Gradients on their way down.
#[derive(Default)]
struct Gradients {
    /// `[T, H]`: of the activation, then of the product.
    branch: Vec<f32>,
    /// `[T, K·H]`
    side_by_side: Vec<f32>,
    /// `[T, H]`: of the embeddings by way of the convolution.
    embeddings: Vec<f32>,
}

/// The places of the convolution's parameters.
#[derive(Clone, Copy, Debug)]
pub(super) struct ConvolutionPlaces {
    pub(super) kernel: Affine,
    pub(super) norm: Affine,
}

impl ConvolutionSpace {
    /// Adds the convolution of the embeddings to what the first layer gives, `[tokens, hidden]`, and
    /// normalises that. Does nothing to an encoder without one.
    pub(super) fn forward(
        &mut self,
        architecture: &Architecture,
        places: &Places,
        parameters: &[Parameter],
        batch: &Batch,
        embeddings: &[f32],
        hidden: &mut Vec<f32>,
    ) -> Result<(), ComputeError> {
        let (Some(convolution), Some(at)) = (architecture.convolution, places.convolution) else {
            return Ok(());
        };
        let Convolution { kernel, activation } = convolution;
        let width = architecture.hidden_size;
        let dense = dense(embeddings.len() / width, kernel, width);
        self.neighbours.clear();
        let row = |neighbour: usize| u32::try_from(neighbour).unwrap_or(u32::MAX);
        let neighbours = batch.tokens.neighbours(kernel);
        self.neighbours.extend(neighbours.map(|(_, neighbour)| neighbour.map(row)));
        self.side_by_side.resize(dense.rows * dense.inputs, 0.0);
        lay_side_by_side(&mut self.side_by_side, embeddings, &self.neighbours, width)?;
        for buffer in
            [&mut self.slope, &mut self.activation, &mut self.output, &mut self.norm.normalised]
        {
            buffer.resize(embeddings.len(), 0.0);
        }
        self.norm.scales.resize(dense.rows, 0.0);
        let weight = &parameters[at.kernel.weight].values;
        let bias = places.bias(parameters, at.kernel, width);
        dense.affine(&mut self.slope, &self.side_by_side, weight, bias)?;
        batch.dropout.at(0, DROPOUT)?.apply(&mut self.slope, width);
        let zeros = places.zeros(width);
        activate_and_slope(activation, &mut self.activation, &mut self.slope, zeros)?;
        let NormSpace { normalised, scales } = &mut self.norm;
        let rows = Normalised { output: &mut self.output, normalised, scales };
        let mask = Mask::OFF;
        let branch = Branch { x: &self.activation, bias: zeros, residual: hidden, mask };
        let norm = places.norm(parameters, at.norm, architecture.layer_norm_eps as f32);
        norm.apply_to_branch(rows, branch)?;
        std::mem::swap(hidden, &mut self.output);
        Ok(())
    }

    /// Turns the gradient of the result into that of what the first layer gave, and adds to those of the
    /// parameters. [`Self::add_to_embeddings`] has the embeddings' share.
    pub(super) fn backward(
        &mut self,
        architecture: &Architecture,
        places: &Places,
        parameters: &mut [Parameter],
        batch: &Batch,
        hidden: &mut [f32],
    ) -> Result<(), ComputeError> {
        let (Some(convolution), Some(at)) = (architecture.convolution, places.convolution) else {
            return Ok(());
        };
        let width = architecture.hidden_size;
        let dense = dense(hidden.len() / width, convolution.kernel, width);
        let Gradients { branch, side_by_side, embeddings } = &mut self.gradients;
        branch.resize(hidden.len(), 0.0);
        let NormSpace { normalised, scales } = &self.norm;
        let pass = NormPass { normalised, scales, weight: &parameters[at.norm.weight].values };
        let sums = pass.differentiate_branch(hidden, branch, Mask::OFF)?;
        add_norm_gradients(parameters, at.norm, &sums)?;
        multiply_by_slope(branch, &self.slope, width)?;
        batch.dropout.at(0, DROPOUT)?.apply(branch, width);
        add_bias_gradient(parameters, at.kernel, &column_sums(branch, width))?;
        let weight = &mut parameters[at.kernel.weight];
        weight_gradient(weight, dense, &self.side_by_side, branch)?;
        side_by_side.resize(self.side_by_side.len(), 0.0);
        dense.input_gradient(side_by_side, false, branch, &weight.values)?;
        embeddings.clear();
        embeddings.resize(hidden.len(), 0.0);
        add_neighbours(embeddings, side_by_side, &self.neighbours, width)
    }

    /// Adds the gradient by way of the convolution to that of the embeddings.
    pub(super) fn add_to_embeddings(&self, places: &Places, gradient: &mut [f32]) {
        if places.convolution.is_some() {
            accumulate_all(gradient, &self.gradients.embeddings);
        }
    }
}

fn dense(rows: usize, kernel: usize, width: usize) -> Dense {
    Dense { rows, inputs: kernel * width, outputs: width }
}
