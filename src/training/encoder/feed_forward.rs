//! The feed-forward network of a layer, forward and backward.

use super::{
    super::{
        ops::{
            ComputeError, activate_and_slope, activate_in_place, column_sums, gate, gate_gradient,
            multiply_by_slope,
        },
        parameter::Parameter,
    },
    add_bias_gradient,
    layer::{Forward, Layer},
    layer_gradient::weight_gradient,
    workspace::{GradientSpace, LayerSpace},
};

impl Layer<'_> {
    /// Fills `forward.scratch` with what the network makes of `space.attended_output`, without its last
    /// bias.
    pub(super) fn feed_forward(&self, forward: &mut Forward) -> Result<(), ComputeError> {
        let Forward { parameters, space, scratch, tracked, .. } = forward;
        let LayerSpace { slope, activation, attended_output, .. } = &mut **space;
        let (h, i) = (self.hidden, self.inner);
        let rows = attended_output.len() / h;
        let width = if self.gated { 2 * i } else { i };
        let weight = &parameters[self.places.feed_forward.weight].values;
        let bias = self.all.bias(parameters, self.places.feed_forward, width);
        slope.resize(rows * width, 0.0);
        let dense = self.dense(rows, h, width);
        let inner = if self.gated {
            dense.affine(slope, attended_output, weight, bias)?;
            activation.resize(rows * i, 0.0);
            gate(self.activation, activation, slope, i)?;
            &*activation
        } else {
            dense.product(slope, attended_output, weight)?;
            if *tracked {
                activation.resize(rows * i, 0.0);
                activate_and_slope(self.activation, activation, slope, bias)?;
                &*activation
            } else {
                activate_in_place(self.activation, slope, bias);
                &*slope
            }
        };
        scratch.resize(rows * h, 0.0);
        let weight = &parameters[self.places.feed_forward_output.weight].values;
        self.dense(rows, i, h).product(scratch, inner, weight)
    }

    /// Adds to the gradients of the network's matrices and of its first bias, given that of its result
    /// in `gradients.branch`; adds that of its input to
    /// `gradients.hidden`, or writes it to `gradients.branch`.
    pub(super) fn feed_forward_backward(
        &self,
        parameters: &mut [Parameter],
        space: &LayerSpace,
        gradients: &mut GradientSpace,
        add: bool,
    ) -> Result<(), ComputeError> {
        let (h, i) = (self.hidden, self.inner);
        let GradientSpace { hidden, branch, inner, gate, .. } = gradients;
        let rows = branch.len() / h;
        let (first, last) = (self.places.feed_forward, self.places.feed_forward_output);
        let dense = self.dense(rows, i, h);
        weight_gradient(&mut parameters[last.weight], dense, &space.activation, branch)?;
        inner.resize(rows * i, 0.0);
        dense.input_gradient(inner, false, branch, &parameters[last.weight].values)?;
        let (width, inner) = if self.gated {
            gate.clone_from(&space.slope);
            gate_gradient(self.activation, gate, inner, i)?;
            if first.bias.is_some() {
                add_bias_gradient(parameters, first, &column_sums(gate, 2 * i))?;
            }
            (2 * i, &*gate)
        } else {
            let bias = multiply_by_slope(inner, &space.slope, i)?;
            add_bias_gradient(parameters, first, &bias)?;
            (i, &*inner)
        };
        let dense = self.dense(rows, h, width);
        let weight = &mut parameters[first.weight];
        weight_gradient(weight, dense, &space.attended_output, inner)?;
        let to = if add { hidden } else { branch };
        dense.input_gradient(to, add, inner, &weight.values)
    }
}
