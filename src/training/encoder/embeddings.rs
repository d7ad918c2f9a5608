//! The embeddings with their norm and dropout.

use super::{
    super::{
        ops::{ComputeError, EmbeddingIds, EmbeddingTables, Norm, NormPass, Normalised, embed},
        parameter::Parameter,
    },
    workspace::{Batch, NormSpace},
};

const WORD: usize = 0;
const POSITION: usize = 1;
const SEGMENT: usize = 2;
const NORM_WEIGHT: usize = 3;
const NORM_BIAS: usize = 4;

/// What the forward pass leaves for the backward pass.
#[derive(Default)]
pub(super) struct EmbeddingSpace {
    norm: NormSpace,
}

impl EmbeddingSpace {
    /// Writes `[tokens, hidden]`.
    pub(super) fn forward(
        &mut self,
        parameters: &[Parameter],
        batch: &Batch,
        epsilon: f32,
        output: &mut Vec<f32>,
    ) -> Result<(), ComputeError> {
        let tokens = &batch.tokens;
        let width = parameters[WORD].width();
        let count = tokens.input_ids.len();
        let NormSpace { normalised, scales } = &mut self.norm;
        output.resize(count * width, 0.0);
        normalised.resize(count * width, 0.0);
        scales.resize(count, 0.0);
        let tables = EmbeddingTables {
            words: &parameters[WORD].values,
            positions: &parameters[POSITION].values,
            segments: &parameters[SEGMENT].values,
            width,
        };
        let ids = EmbeddingIds {
            words: &tokens.input_ids,
            positions: &tokens.position_ids,
            segments: &tokens.segment_ids,
        };
        embed(normalised, tables, ids)?;
        let (weight, bias) = (&parameters[NORM_WEIGHT].values, &parameters[NORM_BIAS].values);
        Norm { weight, bias, epsilon }.apply(Normalised { output, normalised, scales })?;
        batch.dropout.of_embeddings()?.apply(output, width);
        Ok(())
    }

    /// Adds to the gradients, given that of the output, which it destroys.
    pub(super) fn backward(
        &self,
        parameters: &mut [Parameter],
        batch: &Batch,
        gradient: &mut [f32],
    ) -> Result<(), ComputeError> {
        let width = parameters[WORD].width();
        batch.dropout.of_embeddings()?.apply(gradient, width);
        let NormSpace { normalised, scales } = &self.norm;
        let pass = NormPass { normalised, scales, weight: &parameters[NORM_WEIGHT].values };
        let sums = pass.differentiate(gradient)?;
        parameters[NORM_WEIGHT].add_dense(&sums.weight)?;
        parameters[NORM_BIAS].add_dense(&sums.bias)?;
        parameters[WORD].add_rows(&batch.tokens.input_ids, gradient)?;
        parameters[POSITION].add_rows(&batch.tokens.position_ids, gradient)?;
        parameters[SEGMENT].add_rows(&batch.tokens.segment_ids, gradient)
    }
}
