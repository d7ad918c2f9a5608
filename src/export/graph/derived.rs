//! Numbers that follow from the parameters and the description alone, and are stored beside them.

use super::nodes::Nodes;
use crate::{
    architecture::{Architecture, Distances},
    weights::{Array, EncoderWeights},
};

impl Nodes<'_> {
    /// The array with this name, which is one of [`Architecture::derived`].
    pub(super) fn derived(&mut self, name: &str) -> String {
        if !self.store.has(name) {
            let array = compute(self.weights, name);
            self.store.fp32(name, &array);
        }
        name.to_owned()
    }
}

fn compute(weights: &EncoderWeights, name: &str) -> Array {
    match name.strip_prefix("rotary.") {
        Some(table) => rotary(&weights.architecture, table),
        None => projected_distances(weights, name),
    }
}

/// Cosine or sine of each position's angles, `[positions, head / 2]`: position times
/// `theta^(-2i / head)` (Su et al., 2021).
fn rotary(architecture: &Architecture, table: &str) -> Array {
    let Distances::Rotary { theta, local_theta } = architecture.distances else {
        return Array { shape: vec![0, 0], data: Vec::new() };
    };
    let (theta, function) = match table.strip_prefix("local.") {
        Some(function) => (local_theta, function),
        None => (theta, table),
    };
    let shape = vec![architecture.max_positions, architecture.head_size() / 2];
    let mut data = Vec::with_capacity(shape[0] * shape[1]);
    for position in 0..shape[0] {
        for pair in 0..shape[1] {
            let angle = architecture.rotary_angle(theta, position, pair);
            data.push(if function == "cos" { angle.cos() } else { angle.sin() } as f32);
        }
    }
    Array { shape, data }
}

/// The distance embeddings, normalised, times a layer's query or key matrix, `[distances, hidden]`. Those
/// of the query are scaled as the scores are.
fn projected_distances(weights: &EncoderWeights, name: &str) -> Array {
    let architecture = &weights.architecture;
    let hidden = architecture.hidden_size;
    let rows = distance_embeddings(weights);
    let count = rows.len() / hidden.max(1);
    let (layer, is_query) = match name.rsplit_once('.') {
        Some((layer, table)) => (layer, table == "distance_query"),
        None => (name, false),
    };
    let (matrix, factor) = match is_query {
        true => ("query", 1.0 / (3.0 * architecture.head_size() as f64).sqrt()),
        false => ("key_value", 1.0),
    };
    let weight = weights.get(&format!("{layer}.{matrix}.weight"));
    let bias = weights.get(&format!("{layer}.{matrix}.bias"));
    let width = if is_query { hidden } else { 2 * hidden };
    let mut data = Vec::with_capacity(count * hidden);
    for row in rows.chunks_exact(hidden) {
        let mut sums = vec![0.0f64; hidden];
        if let Some(bias) = bias {
            sums.iter_mut().zip(&bias.data).for_each(|(sum, bias)| *sum = f64::from(*bias));
        }
        for (x, weights) in row.iter().zip(weight.iter().flat_map(|w| w.data.chunks_exact(width))) {
            sums.iter_mut().zip(weights).for_each(|(sum, w)| *sum += x * f64::from(*w));
        }
        data.extend(sums.into_iter().map(|sum| (sum * factor) as f32));
    }
    Array { shape: vec![count, hidden], data }
}

/// The distance embeddings with their norm, if they have one, `[distances, hidden]`.
fn distance_embeddings(weights: &EncoderWeights) -> Vec<f64> {
    let Some(embeddings) = weights.get("distances.embeddings") else { return Vec::new() };
    let mut rows: Vec<f64> = embeddings.data.iter().map(|value| f64::from(*value)).collect();
    let Some(scale) = weights.get("distances.norm.weight") else { return rows };
    let bias = weights.get("distances.norm.bias");
    let epsilon = weights.architecture.layer_norm_eps;
    for row in rows.chunks_exact_mut(scale.data.len()) {
        let count = row.len() as f64;
        let mean = row.iter().sum::<f64>() / count;
        let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / count;
        let factor = 1.0 / (variance + epsilon).sqrt();
        for (at, x) in row.iter_mut().enumerate() {
            let bias = bias.map_or(0.0, |bias| f64::from(bias.data[at]));
            *x = (*x - mean) * factor * f64::from(scale.data[at]) + bias;
        }
    }
    rows
}
