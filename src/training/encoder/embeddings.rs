//! The embeddings with their norm, dropout and projection.

use super::{
    super::{
        ops::{
            ComputeError, Dense, EmbeddingIds, EmbeddingTable, NormPass, Normalised, column_sums,
            embed,
        },
        parameter::Parameter,
    },
    add_bias_gradient, add_norm_gradients,
    places::Places,
    workspace::{Batch, NormSpace},
};
use crate::architecture::Architecture;

/// Memory of the forward pass for the backward pass.
#[derive(Default)]
pub(super) struct EmbeddingSpace {
    norm: NormSpace,
    /// `[tokens, embedding size]`: the input of the projection, where there is one.
    narrow: Vec<f32>,
    /// The gradient of that.
    narrow_gradient: Vec<f32>,
}

impl EmbeddingSpace {
    /// Writes `[tokens, hidden]`.
    pub(super) fn forward(
        &mut self,
        architecture: &Architecture,
        places: &Places,
        parameters: &[Parameter],
        batch: &Batch,
        output: &mut Vec<f32>,
    ) -> Result<(), ComputeError> {
        let width = architecture.embedding_size();
        let count = batch.tokens.input_ids.len();
        let Some(projection) = places.projection else {
            return self.narrow(architecture, places, parameters, batch, output);
        };
        let mut narrow = std::mem::take(&mut self.narrow);
        self.narrow(architecture, places, parameters, batch, &mut narrow)?;
        self.narrow = narrow;
        let hidden = architecture.hidden_size;
        output.resize(count * hidden, 0.0);
        let weight = &parameters[projection.weight].values;
        let bias = places.bias(parameters, projection, hidden);
        let dense = Dense { rows: count, inputs: width, outputs: hidden };
        dense.affine(output, &self.narrow, weight, bias)
    }

    /// The sum of the embeddings, normalised, with dropout: `[tokens, embedding size]`.
    fn narrow(
        &mut self,
        architecture: &Architecture,
        places: &Places,
        parameters: &[Parameter],
        batch: &Batch,
        output: &mut Vec<f32>,
    ) -> Result<(), ComputeError> {
        let tokens = &batch.tokens;
        let width = architecture.embedding_size();
        let count = tokens.input_ids.len();
        let NormSpace { normalised, scales } = &mut self.norm;
        output.resize(count * width, 0.0);
        normalised.resize(count * width, 0.0);
        scales.resize(count, 0.0);
        let table = |place: usize| EmbeddingTable { values: &parameters[place].values, width };
        let ids = EmbeddingIds {
            words: &tokens.input_ids,
            positions: &tokens.position_ids,
            segments: &tokens.segment_ids,
        };
        let (positions, segments) = (places.position.map(table), places.segment.map(table));
        embed(normalised, table(places.word), positions, segments, ids)?;
        let epsilon = architecture.layer_norm_eps as f32;
        let norm = places.norm(parameters, places.embedding_norm, epsilon);
        norm.apply(Normalised { output, normalised, scales })?;
        batch.dropout.of_embeddings()?.apply(output, width);
        Ok(())
    }

    /// Adds to the gradients, given that of the output, which it destroys.
    pub(super) fn backward(
        &mut self,
        places: &Places,
        parameters: &mut [Parameter],
        batch: &Batch,
        gradient: &mut [f32],
    ) -> Result<(), ComputeError> {
        let Some(projection) = places.projection else {
            return self.narrow_backward(places, parameters, batch, gradient);
        };
        let count = batch.tokens.input_ids.len();
        let [width, hidden] = [self.narrow.len() / count.max(1), gradient.len() / count.max(1)];
        add_bias_gradient(parameters, projection, &column_sums(gradient, hidden))?;
        let dense = Dense { rows: count, inputs: width, outputs: hidden };
        let weight = parameters[projection.weight].dense_gradient();
        dense.weight_gradient(weight.values, weight.add, &self.narrow, gradient)?;
        let mut narrow = std::mem::take(&mut self.narrow_gradient);
        narrow.resize(count * width, 0.0);
        dense.input_gradient(&mut narrow, false, gradient, weight.of)?;
        let result = self.narrow_backward(places, parameters, batch, &mut narrow);
        self.narrow_gradient = narrow;
        result
    }

    fn narrow_backward(
        &self,
        places: &Places,
        parameters: &mut [Parameter],
        batch: &Batch,
        gradient: &mut [f32],
    ) -> Result<(), ComputeError> {
        let width = parameters[places.word].width();
        batch.dropout.of_embeddings()?.apply(gradient, width);
        let NormSpace { normalised, scales } = &self.norm;
        let weight = &parameters[places.embedding_norm.weight].values;
        let sums = NormPass { normalised, scales, weight }.differentiate(gradient)?;
        add_norm_gradients(parameters, places.embedding_norm, &sums)?;
        parameters[places.word].add_rows(&batch.tokens.input_ids, gradient)?;
        if let Some(position) = places.position {
            parameters[position].add_rows(&batch.tokens.position_ids, gradient)?;
        }
        if let Some(segment) = places.segment {
            parameters[segment].add_rows(&batch.tokens.segment_ids, gradient)?;
        }
        Ok(())
    }
}
