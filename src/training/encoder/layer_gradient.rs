//! One transformer layer, backward.

use super::{
    super::{
        ops::{ComputeError, Dense, Mask, NormPass, accumulate_all, add_rows_at, branch_gradient},
        parameter::Parameter,
    },
    add_bias_gradient, add_norm_gradients,
    distances::DistanceSpace,
    layer::Layer,
    places::Affine,
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
        distances: &mut DistanceSpace,
    ) -> Result<(), ComputeError> {
        let (h, rows) = (self.hidden, queries.len() / self.hidden);
        let linear = self.places.feed_forward_output;
        let mask = self.output_mask()?;
        self.end_of_branch(parameters, linear, self.places.after, &space.output, gradients, mask)?;
        self.feed_forward_backward(parameters, space, gradients, !self.norms_come_first())?;
        let mask = self.attention_mask()?;
        let linear = self.places.attention_output;
        let between = self.places.between;
        if self.norms_come_first() {
            // The network's input was the norm of the sum, which also went round it.
            norm_gradient(parameters, between, &space.attended, &mut gradients.branch)?;
            accumulate_all(&mut gradients.hidden, &gradients.branch);
            self.end_of_branch(parameters, linear, None, &space.attended, gradients, mask)?;
        } else {
            let norm = Some(between);
            self.end_of_branch(parameters, linear, norm, &space.attended, gradients, mask)?;
        }
        let GradientSpace { branch, context, .. } = gradients;
        let dense = self.dense(rows, h, h);
        weight_gradient(&mut parameters[linear.weight], dense, &space.context, branch)?;
        context.resize(rows * h, 0.0);
        dense.input_gradient(context, false, branch, &parameters[linear.weight].values)?;
        match self.places.before_attention {
            None => self.input_backward(parameters, space, input, queries, gradients, distances),
            Some(norm) => {
                self.normalised_input_backward(parameters, space, norm, gradients, distances)
            }
        }
    }

    /// Backward through the end of a residual branch: a norm, if one follows the sum, and the dropout
    /// before it. The bias of the linear layer that ends the branch gets its gradient.
    fn end_of_branch(
        &self,
        parameters: &mut [Parameter],
        linear: Affine,
        norm: Option<Affine>,
        space: &NormSpace,
        gradients: &mut GradientSpace,
        mask: Mask,
    ) -> Result<(), ComputeError> {
        let GradientSpace { hidden, branch, .. } = gradients;
        branch.resize(hidden.len(), 0.0);
        let Some(norm) = norm else {
            let bias = branch_gradient(branch, hidden, self.hidden, mask)?;
            return add_bias_gradient(parameters, linear, &bias);
        };
        let NormSpace { normalised, scales } = space;
        let pass = NormPass { normalised, scales, weight: &parameters[norm.weight].values };
        let sums = pass.differentiate_branch(hidden, branch, mask)?;
        add_norm_gradients(parameters, norm, &sums)?;
        add_bias_gradient(parameters, linear, &sums.branch_bias)
    }

    /// From the gradient of the context to the layer's input, which is what attention saw.
    fn input_backward(
        &self,
        parameters: &mut [Parameter],
        space: &LayerSpace,
        input: &[f32],
        queries: &[f32],
        gradients: &mut GradientSpace,
        distances: &mut DistanceSpace,
    ) -> Result<(), ComputeError> {
        let mut asking = std::mem::take(&mut gradients.hidden);
        let mut seen = std::mem::take(&mut gradients.input);
        seen.resize(input.len(), 0.0);
        let to_seen = self.picks.then_some(&mut seen[..]);
        let result = self.attend_backward(
            parameters,
            space,
            input,
            queries,
            gradients,
            distances,
            &mut asking,
            to_seen,
        );
        (gradients.hidden, gradients.input) = (asking, seen);
        result
    }

    /// From the gradient of the context through the norm before attention to the layer's input.
    fn normalised_input_backward(
        &self,
        parameters: &mut [Parameter],
        space: &LayerSpace,
        norm: Affine,
        gradients: &mut GradientSpace,
        distances: &mut DistanceSpace,
    ) -> Result<(), ComputeError> {
        let input = &space.before_output[..];
        let queries = if self.picks { &space.asking[..] } else { input };
        let mut seen = std::mem::take(&mut gradients.input);
        seen.resize(input.len(), 0.0);
        if self.picks {
            let mut asking = vec![0.0; queries.len()];
            self.attend_backward(
                parameters,
                space,
                input,
                queries,
                gradients,
                distances,
                &mut asking,
                Some(&mut seen),
            )?;
            add_rows_at(&mut seen, self.rows, &asking, self.hidden)?;
        } else {
            seen.fill(0.0);
            self.attend_backward(
                parameters, space, input, queries, gradients, distances, &mut seen, None,
            )?;
        }
        norm_gradient(parameters, norm, &space.before, &mut seen)?;
        if !self.picks {
            accumulate_all(&mut gradients.hidden, &seen);
        }
        gradients.input = seen;
        Ok(())
    }
}

/// Turns the gradient of a norm's result into that of its input, and adds to those of its parameters.
fn norm_gradient(
    parameters: &mut [Parameter],
    place: Affine,
    space: &NormSpace,
    gradient: &mut [f32],
) -> Result<(), ComputeError> {
    let NormSpace { normalised, scales } = space;
    let pass = NormPass { normalised, scales, weight: &parameters[place.weight].values };
    let sums = pass.differentiate(gradient)?;
    add_norm_gradients(parameters, place, &sums)
}

/// Adds `xᵀ·dy` to a weight's gradient.
pub(super) fn weight_gradient(
    weight: &mut Parameter,
    dense: Dense,
    x: &[f32],
    dy: &[f32],
) -> Result<(), ComputeError> {
    let gradient = weight.dense_gradient();
    dense.weight_gradient(gradient.values, gradient.add, x, dy)
}
