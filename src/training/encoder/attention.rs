//! The attention of a layer, forward and backward, from its input to the context.

use super::{
    super::{
        ops::{AttentionPass, ComputeError, Turn, attention, attention_gradient, column_sums},
        parameter::Parameter,
    },
    add_bias_gradient,
    distances::DistanceSpace,
    layer::{Forward, Layer},
    layer_gradient::weight_gradient,
    workspace::{GradientSpace, LayerSpace},
};

impl Layer<'_> {
    /// Fills `space.context`, given the rows that are seen and those that ask.
    pub(super) fn attend(
        &self,
        forward: &mut Forward,
        input: &[f32],
        queries: &[f32],
    ) -> Result<(), ComputeError> {
        let Forward { parameters, space, distances, .. } = forward;
        let h = self.hidden;
        let (tokens, rows) = (input.len() / h, queries.len() / h);
        let LayerSpace { query, key_value, context, distance_query, distance_key_value, .. } =
            &mut **space;
        query.resize(rows * h, 0.0);
        key_value.resize(tokens * 2 * h, 0.0);
        context.resize(rows * h, 0.0);
        let (of_query, of_key) = (self.places.query, self.places.key_value);
        let weight = |at: usize| parameters[at].values.as_slice();
        let bias = self.all.bias(parameters, of_query, h);
        self.dense(rows, h, h).affine(query, queries, weight(of_query.weight), bias)?;
        let bias = self.all.bias(parameters, of_key, 2 * h);
        self.dense(tokens, h, 2 * h).affine(key_value, input, weight(of_key.weight), bias)?;
        self.turn(distances, query, key_value, Turn::Forward)?;
        distances.project(self, parameters, distance_query, distance_key_value)?;
        let scores = distances.scores(self, parameters, distance_query, distance_key_value);
        attention(context, query, key_value, h, self.layout, &scores)
    }

    /// Rotates queries and keys, where positions are angles.
    fn turn(
        &self,
        distances: &DistanceSpace,
        query: &mut [f32],
        key_value: &mut [f32],
        turn: Turn,
    ) -> Result<(), ComputeError> {
        let h = self.hidden;
        let Some(angles) = distances.angles(self.span.is_some()) else { return Ok(()) };
        if self.picks {
            let of_row = |row: &u32| self.positions[*row as usize];
            let positions: Vec<u32> = self.rows.iter().map(of_row).collect();
            angles.rotate(query, h, h, &positions, turn)?;
        } else {
            angles.rotate(query, h, h, self.positions, turn)?;
        }
        angles.rotate(key_value, h, 2 * h, self.positions, turn)
    }

    /// From the gradient of the context, `gradients.context`, down to those of the rows that ask,
    /// `to_asking`, and of the rows that are seen, `to_seen`, both added. Where they are the same rows,
    /// `to_asking` gets both.
    #[allow(clippy::too_many_arguments)] // two inputs and their two gradients
    pub(super) fn attend_backward(
        &self,
        parameters: &mut [Parameter],
        space: &LayerSpace,
        input: &[f32],
        queries: &[f32],
        gradients: &mut GradientSpace,
        distances: &mut DistanceSpace,
        to_asking: &mut [f32],
        to_seen: Option<&mut [f32]>,
    ) -> Result<(), ComputeError> {
        let h = self.hidden;
        let (tokens, rows) = (input.len() / h, queries.len() / h);
        let GradientSpace { context, query, key_value, .. } = gradients;
        query.resize(rows * h, 0.0);
        key_value.resize(tokens * 2 * h, 0.0);
        let LayerSpace { distance_query, distance_key_value, .. } = space;
        let scores = distances.scores(self, parameters, distance_query, distance_key_value);
        let pass = AttentionPass { q: &space.query, kv: &space.key_value, dout: context };
        let tables = attention_gradient(query, key_value, pass, h, self.layout, &scores)?;
        distances.backward_of_layer(self, parameters, tables)?;
        self.turn(distances, query, key_value, Turn::Back)?;

        let (of_query, of_key) = (self.places.query, self.places.key_value);
        let dense = self.dense(rows, h, h);
        weight_gradient(&mut parameters[of_query.weight], dense, queries, query)?;
        if of_query.bias.is_some() {
            add_bias_gradient(parameters, of_query, &column_sums(query, h))?;
        }
        dense.input_gradient(to_asking, true, query, &parameters[of_query.weight].values)?;
        let dense = self.dense(tokens, h, 2 * h);
        weight_gradient(&mut parameters[of_key.weight], dense, input, key_value)?;
        if of_key.bias.is_some() {
            add_bias_gradient(parameters, of_key, &column_sums(key_value, 2 * h))?;
        }
        let weight = &parameters[of_key.weight].values;
        match to_seen {
            None => dense.input_gradient(to_asking, true, key_value, weight),
            Some(seen) => dense.input_gradient(seen, false, key_value, weight),
        }
    }
}
