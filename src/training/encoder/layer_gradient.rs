//! One transformer layer, backward.

use super::{
    super::{
        ops::{
            AttentionPass, ComputeError, Dense, Mask, NormPass, attention_gradient, column_sums,
            multiply_by_slope,
        },
        parameter::Parameter,
    },
    layer::{
        ATTENTION_NORM, ATTENTION_OUTPUT, FEED_FORWARD, FEED_FORWARD_OUTPUT, KEY_VALUE, Layer,
        OUTPUT_NORM, QUERY,
    },
    workspace::{GradientSpace, LayerSpace, NormSpace},
};

impl Layer<'_> {
    /// Adds to the parameters' gradients. `gradients.hidden` is that of the output when this begins;
    /// when it ends, that of the layer's input, or where the queries are but some of the input's
    /// rows, that of these rows, and `gradients.input` is what else the input gets.
    pub(super) fn backward(
        &self,
        parameters: &mut [Parameter],
        space: &LayerSpace,
        input: &[f32],
        queries: &[f32],
        gradients: &mut GradientSpace,
    ) -> Result<(), ComputeError> {
        let (h, i) = (self.hidden, self.inner);
        let rows = queries.len() / h;
        let GradientSpace { hidden, branch, inner, context, .. } = gradients;

        branch.resize(rows * h, 0.0);
        self.end_of_branch(parameters, OUTPUT_NORM, &space.output, hidden, branch)?;
        let dense = self.dense(rows, i, h);
        weight_gradient(&mut parameters[FEED_FORWARD_OUTPUT], dense, &space.activation, branch)?;
        inner.resize(rows * i, 0.0);
        dense.input_gradient(inner, false, branch, &parameters[FEED_FORWARD_OUTPUT].values)?;
        let bias = multiply_by_slope(inner, &space.slope, i)?;
        parameters[FEED_FORWARD + 1].add_dense(&bias)?;
        let dense = self.dense(rows, h, i);
        weight_gradient(&mut parameters[FEED_FORWARD], dense, &space.attended_output, inner)?;
        dense.input_gradient(hidden, true, inner, &parameters[FEED_FORWARD].values)?;

        self.end_of_branch(parameters, ATTENTION_NORM, &space.attended, hidden, branch)?;
        let dense = self.dense(rows, h, h);
        weight_gradient(&mut parameters[ATTENTION_OUTPUT], dense, &space.context, branch)?;
        context.resize(rows * h, 0.0);
        dense.input_gradient(context, false, branch, &parameters[ATTENTION_OUTPUT].values)?;
        self.attention_backward(parameters, space, input, queries, gradients)
    }

    /// Backward through a norm and the dropout before it. The bias of the linear layer that ends the
    /// branch gets its gradient; its weight lies two places before the norm's.
    fn end_of_branch(
        &self,
        parameters: &mut [Parameter],
        norm: usize,
        space: &NormSpace,
        hidden: &mut [f32],
        branch: &mut [f32],
    ) -> Result<(), ComputeError> {
        let mask: Mask =
            if norm == OUTPUT_NORM { self.output_mask()? } else { self.attention_mask()? };
        let NormSpace { normalised, scales } = space;
        let pass = NormPass { normalised, scales, weight: &parameters[norm].values };
        let sums = pass.differentiate_branch(hidden, branch, mask)?;
        parameters[norm].add_dense(&sums.weight)?;
        parameters[norm + 1].add_dense(&sums.bias)?;
        parameters[norm - 1].add_dense(&sums.branch_bias)
    }

    /// From the gradient of the context down to the layer's input.
    fn attention_backward(
        &self,
        parameters: &mut [Parameter],
        space: &LayerSpace,
        input: &[f32],
        queries: &[f32],
        gradients: &mut GradientSpace,
    ) -> Result<(), ComputeError> {
        let h = self.hidden;
        let (tokens, rows) = (input.len() / h, queries.len() / h);
        let GradientSpace { hidden, input: d_input, context, query, key_value, .. } = gradients;
        query.resize(rows * h, 0.0);
        key_value.resize(tokens * 2 * h, 0.0);
        let pass = AttentionPass { q: &space.query, kv: &space.key_value, dout: context };
        attention_gradient(query, key_value, pass, h, self.layout)?;

        let dense = self.dense(rows, h, h);
        weight_gradient(&mut parameters[QUERY], dense, queries, query)?;
        parameters[QUERY + 1].add_dense(&column_sums(query, h))?;
        dense.input_gradient(hidden, true, query, &parameters[QUERY].values)?;
        let dense = self.dense(tokens, h, 2 * h);
        weight_gradient(&mut parameters[KEY_VALUE], dense, input, key_value)?;
        parameters[KEY_VALUE + 1].add_dense(&column_sums(key_value, 2 * h))?;
        let weight = &parameters[KEY_VALUE].values;
        if !self.picks {
            return dense.input_gradient(hidden, true, key_value, weight);
        }
        d_input.resize(tokens * h, 0.0);
        dense.input_gradient(d_input, false, key_value, weight)
    }
}

/// Adds `xᵀ·dy` to a weight's gradient.
fn weight_gradient(
    weight: &mut Parameter,
    dense: Dense,
    x: &[f32],
    dy: &[f32],
) -> Result<(), ComputeError> {
    let gradient = weight.dense_gradient();
    dense.weight_gradient(gradient.values, gradient.add, x, dy)
}
