//! Addends of attention's scores: nothing for a token of the sequence, a large negative number
//! for padding and for tokens outside a window, and a learned number for each head and distance.

use super::{Builder, nodes::ints};
use crate::architecture::{Distances, GraphInput};

impl Builder<'_> {
    /// `[batch, 1 or heads, 1 or longest, longest]`. Layers of the same kind share it.
    pub(super) fn score_bias(&mut self, layer: usize, last: bool) -> String {
        let has_window = self.architecture.span_of(layer).is_some();
        let has_buckets = matches!(self.architecture.distances, Distances::Buckets { .. });
        if let Some(done) = self.score_biases.get(&(has_window, last)) {
            return done.clone();
        }
        let mut bias = GraphInput::SlotBias.name().to_owned();
        let kind = match (has_window, last) {
            (false, false) => "score_bias",
            (false, true) => "score_bias/mask",
            (true, false) => "score_bias/window",
            (true, true) => "score_bias/window_mask",
        };
        if has_buckets {
            let buckets = self.bucket_bias(last, kind);
            let name = format!("{kind}/with_buckets");
            bias = self.nodes.node("Add", &[&buckets, &bias], &name, vec![]);
        }
        if has_window {
            let window = self.window_bias(last, kind);
            bias =
                self.nodes.node("Add", &[&bias, &window], &format!("{kind}/with_window"), vec![]);
        }
        self.score_biases.insert((has_window, last), bias.clone());
        bias
    }

    /// `[heads, longest, longest]`, or for the masks `[batch, heads, 1, longest]`.
    fn bucket_bias(&mut self, last: bool, kind: &str) -> String {
        let table = self.nodes.parameter("distances.bias");
        let buckets = GraphInput::DistanceBuckets.name();
        if !last {
            let rows = self.nodes.gather(&table, buckets, &format!("{kind}/rows"));
            let order = vec![ints("perm", &[2, 0, 1])];
            return self.nodes.node("Transpose", &[&rows], &format!("{kind}/by_head"), order);
        }
        let positions = GraphInput::MaskPositions.name();
        let buckets = self.nodes.gather(buckets, positions, &format!("{kind}/buckets"));
        let rows = self.nodes.gather(&table, &buckets, &format!("{kind}/rows"));
        let order = vec![ints("perm", &[0, 2, 1])];
        let by_head = self.nodes.node("Transpose", &[&rows], &format!("{kind}/by_head"), order);
        let shape = [0, self.architecture.heads as i64, 1, -1];
        self.nodes.reshape(&by_head, "score_bias/by_head_shape", &shape, &format!("{kind}/row"))
    }

    /// `[longest, longest]`, or for the masks `[batch, 1, 1, longest]`.
    fn window_bias(&mut self, last: bool, kind: &str) -> String {
        let window = GraphInput::WindowBias.name();
        if !last {
            return window.to_owned();
        }
        let positions = GraphInput::MaskPositions.name();
        let rows = self.nodes.gather(window, positions, &format!("{kind}/window_rows"));
        let shape = [0, 1, 1, -1];
        self.nodes.reshape(&rows, "score_bias/row_shape", &shape, &format!("{kind}/window_row"))
    }
}
