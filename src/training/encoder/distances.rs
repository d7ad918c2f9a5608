//! Distances between tokens in attention: the tables of a pass, and their gradients.

use super::{
    super::{
        ops::{
            Angles, ByDistance, ComputeError, Dense, NormPass, Scores, accumulate_all, column_sums,
        },
        parameter::Parameter,
    },
    add_bias_gradient, add_norm_gradients,
    layer::Layer,
    layer_gradient::weight_gradient,
    places::Places,
    workspace::NormSpace,
};
use crate::architecture::{Architecture, DistanceRows, Distances};

/// Memory that all layers of a pass share.
#[derive(Default)]
pub(super) struct DistanceSpace {
    kind: Distances,
    rows: DistanceRows,
    /// Angles of layers that see the whole sequence, and of those with a window.
    angles: [Angles; 2],
    /// `[count, hidden]`: the distance embeddings of the pass, normalised where they have a norm.
    embeddings: Vec<f32>,
    norm: NormSpace,
    /// The gradient of `embeddings`.
    gradient: Vec<f32>,
    /// The first row of the table that the pass needs.
    first: usize,
    /// Positions that have angles.
    longest: usize,
}

impl DistanceSpace {
    /// Prepares the tables for sequences of up to `longest` tokens.
    pub(super) fn forward(
        &mut self,
        architecture: &Architecture,
        places: &Places,
        parameters: &[Parameter],
        longest: usize,
    ) -> Result<(), ComputeError> {
        self.kind = architecture.distances;
        match self.kind {
            Distances::None => {}
            Distances::Buckets { .. } => self.rows.reach(self.kind, longest),
            Distances::Rotary { theta, local_theta } => {
                if longest > self.longest {
                    self.angles = [theta, local_theta].map(|t| angles(architecture, t, longest));
                    self.longest = longest;
                }
            }
            Distances::Disentangled { .. } => {
                self.rows.reach(self.kind, longest);
                self.embed(architecture, places, parameters, longest)?;
            }
        }
        Ok(())
    }

    /// Picks the distance embeddings that sequences of this length need.
    fn embed(
        &mut self,
        architecture: &Architecture,
        places: &Places,
        parameters: &[Parameter],
        longest: usize,
    ) -> Result<(), ComputeError> {
        let Some(last) = longest.checked_sub(1) else { return Ok(()) };
        let Some(table) = places.distance_table else { return Ok(()) };
        let needed = self.rows.between(last, last);
        let lowest = needed.iter().min().map_or(0, |row| *row as usize);
        let highest = needed.iter().max().map_or(0, |row| *row as usize);
        let hidden = architecture.hidden_size;
        let rows = &parameters[table].values[lowest * hidden..(highest + 1) * hidden];
        self.first = lowest;
        let Some(norm) = places.distance_norm else {
            self.embeddings.clear();
            self.embeddings.extend_from_slice(rows);
            return Ok(());
        };
        let norm = places.norm(parameters, norm, architecture.layer_norm_eps as f32);
        let count = highest + 1 - lowest;
        let normalised = self.norm.rows(&mut self.embeddings, count, hidden);
        normalised.normalised.copy_from_slice(rows);
        norm.apply(normalised)
    }

    /// The angles of a layer, with a window or without; none where positions are no angles.
    pub(super) fn angles(&self, has_window: bool) -> Option<&Angles> {
        matches!(self.kind, Distances::Rotary { .. }).then(|| &self.angles[usize::from(has_window)])
    }

    /// Writes the distances' queries, `[count, hidden]`, and keys, `[count, 2·hidden]`, in a layer that
    /// has them.
    pub(super) fn project(
        &self,
        layer: &Layer,
        parameters: &[Parameter],
        query: &mut Vec<f32>,
        key_value: &mut Vec<f32>,
    ) -> Result<(), ComputeError> {
        if !matches!(self.kind, Distances::Disentangled { .. }) {
            return Ok(());
        }
        let h = layer.hidden;
        let count = self.embeddings.len() / h;
        for (place, out, width) in
            [(layer.places.query, query, h), (layer.places.key_value, key_value, 2 * h)]
        {
            out.resize(count * width, 0.0);
            let weight = &parameters[place.weight].values;
            let bias = layer.all.bias(parameters, place, width);
            layer.dense(count, h, width).affine(out, &self.embeddings, weight, bias)?;
        }
        Ok(())
    }

    /// Terms of a layer's scores beside the product of query and key.
    pub(super) fn scores<'a>(
        &'a self,
        layer: &Layer,
        parameters: &'a [Parameter],
        query: &'a [f32],
        key_value: &'a [f32],
    ) -> Scores<'a> {
        let rows = &self.rows;
        let table = layer.all.distance_table;
        let by_distance = match (self.kind, table) {
            (Distances::Buckets { .. }, Some(table)) => {
                ByDistance::Buckets { table: &parameters[table].values, rows }
            }
            (Distances::Disentangled { .. }, Some(_)) => {
                let (queries, keys) = (query, key_value);
                ByDistance::Disentangled { queries, keys, first: self.first, rows }
            }
            _ => ByDistance::None,
        };
        Scores { by_distance, span: layer.span }
    }

    /// Clears what the layers of a backward pass add up.
    pub(super) fn begin_gradients(&mut self) {
        self.gradient.clear();
        self.gradient.resize(self.embeddings.len(), 0.0);
    }

    /// Adds a layer's share, given the gradients of the tables in its scores.
    pub(super) fn backward_of_layer(
        &mut self,
        layer: &Layer,
        parameters: &mut [Parameter],
        tables: Vec<f32>,
    ) -> Result<(), ComputeError> {
        match (self.kind, layer.all.distance_table) {
            (Distances::Buckets { .. }, Some(table)) => parameters[table].add_dense(&tables),
            (Distances::Disentangled { .. }, Some(_)) => {
                let h = layer.hidden;
                let count = self.embeddings.len() / h;
                let (query, key_value) = tables.split_at(count * h);
                for (place, gradient, width) in
                    [(layer.places.query, query, h), (layer.places.key_value, key_value, 2 * h)]
                {
                    let dense = Dense { rows: count, inputs: h, outputs: width };
                    let weight = &mut parameters[place.weight];
                    weight_gradient(weight, dense, &self.embeddings, gradient)?;
                    dense.input_gradient(&mut self.gradient, true, gradient, &weight.values)?;
                    add_bias_gradient(parameters, place, &column_sums(gradient, width))?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Adds to the gradients of the distance embeddings and of their norm, once all layers have.
    pub(super) fn backward(
        &mut self,
        places: &Places,
        parameters: &mut [Parameter],
    ) -> Result<(), ComputeError> {
        let (Distances::Disentangled { .. }, Some(table)) = (self.kind, places.distance_table)
        else {
            return Ok(());
        };
        if let Some(norm) = places.distance_norm {
            let NormSpace { normalised, scales } = &self.norm;
            let pass = NormPass { normalised, scales, weight: &parameters[norm.weight].values };
            let sums = pass.differentiate(&mut self.gradient)?;
            add_norm_gradients(parameters, norm, &sums)?;
        }
        let hidden = parameters[table].width();
        let mut all = vec![0.0; parameters[table].values.len()];
        let start = self.first * hidden;
        accumulate_all(&mut all[start..start + self.gradient.len()], &self.gradient);
        parameters[table].add_dense(&all)
    }
}

fn angles(architecture: &Architecture, theta: f64, positions: usize) -> Angles {
    let half = architecture.head_size() / 2;
    let all = (0..positions).flat_map(|position| {
        (0..half).map(move |pair| architecture.rotary_angle(theta, position, pair))
    });
    let (sin, cos) = all.map(|angle| (angle.sin() as f32, angle.cos() as f32)).unzip();
    Angles { cos, sin, half }
}
