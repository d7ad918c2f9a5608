//! The scores of disentangled attention (He et al., 2021): content meets content, content meets the
//! distance's key, and the distance's query meets content.
//!
//! A query at position `i` and a key at `j` need the scores by distance at `j - i`. Computed for every
//! distance from `1 - longest` to `longest - 1`, each query's begin one place before those of the query
//! before it. Read as one row and cut anew one shorter, they stand under each other.

use super::{
    Builder,
    nodes::{int, ints},
};
use crate::architecture::GraphInput;

impl Builder<'_> {
    /// `[batch, heads, 1 or longest, longest]` of a scaled query, `[batch, heads, rows, head]`, and keys
    /// in slots, `[batch, longest, hidden]`.
    pub(super) fn disentangled_scores(
        &mut self,
        layer: usize,
        query: &str,
        keys: &str,
        last: bool,
        scope: &str,
    ) -> String {
        let key = self.split_heads(keys, &[0, 2, 3, 1], &format!("{scope}/key"));
        if last {
            return self.scores_of_masks(layer, query, &key, scope);
        }
        let content = format!("{scope}/content_scores");
        let content = self.nodes.node("MatMul", &[query, &key], &content, vec![]);

        let name = format!("{scope}/distance_key");
        let distances = self.by_distance(layer, "distance_key", GraphInput::RelativeRows, &name);
        let to_distance = format!("{scope}/to_distance");
        let scores = self.nodes.node("MatMul", &[query, &distances], &to_distance, vec![]);
        let to_distance = self.shift(&scores, &to_distance);

        let name = format!("{scope}/distance_query");
        let distances = self.by_distance(layer, "distance_query", GraphInput::ReversedRows, &name);
        let rows = self.split_heads(keys, &[0, 2, 1, 3], &format!("{scope}/key_rows"));
        let from_distance = format!("{scope}/from_distance");
        let scores = self.nodes.node("MatMul", &[&rows, &distances], &from_distance, vec![]);
        let by_key = self.shift(&scores, &from_distance);
        let order = vec![ints("perm", &[0, 1, 3, 2])];
        let by_query = format!("{from_distance}_by_query");
        let from_distance = self.nodes.node("Transpose", &[&by_key], &by_query, order);

        let sum = format!("{scope}/content_and_distance");
        let sum = self.nodes.node("Add", &[&content, &to_distance], &sum, vec![]);
        self.nodes.node("Add", &[&sum, &from_distance], &format!("{scope}/scores"), vec![])
    }

    /// The projected embeddings of every distance in a batch, `[heads, head, distances]`.
    fn by_distance(&mut self, layer: usize, table: &str, rows: GraphInput, name: &str) -> String {
        let table = self.nodes.derived(&self.architecture.layer_parameter(layer, table));
        let rows = self.nodes.gather(&table, rows.name(), &format!("{name}_rows"));
        let (heads, size) = (self.architecture.heads as i64, self.architecture.head_size() as i64);
        let shape = [0, heads, size];
        let split = format!("{name}_split");
        let split = self.nodes.reshape(&rows, "distances/heads_shape", &shape, &split);
        self.nodes.node("Transpose", &[&split], name, vec![ints("perm", &[1, 2, 0])])
    }

    /// `[batch, heads, longest, distances]` to `[batch, heads, longest, longest]`.
    fn shift(&mut self, scores: &str, name: &str) -> String {
        let flat = format!("{name}_flat");
        let flat = self.nodes.reshape(scores, "distances/flat_shape", &[0, 0, -1], &flat);
        let (start, end) = (GraphInput::ShiftStart.name(), GraphInput::ShiftEnd.name());
        let axis = self.nodes.integers("distances/flat_axis", &[2]);
        let part = format!("{name}_part");
        let part = self.nodes.node("Slice", &[&flat, start, end, &axis], &part, vec![]);
        let cut = format!("{name}_cut");
        let cut = self.nodes.node("Reshape", &[&part, GraphInput::ShiftShape.name()], &cut, vec![]);
        let zero = self.nodes.integers("distances/zero", &[0]);
        let axis = self.nodes.integers("distances/axis", &[3]);
        let longest = GraphInput::Longest.name();
        let shifted = format!("{name}_shifted");
        self.nodes.node("Slice", &[&cut, &zero, longest, &axis], &shifted, vec![])
    }

    /// The scores of one query for each sequence: its distances are rows of their own.
    fn scores_of_masks(&mut self, layer: usize, query: &str, key: &str, scope: &str) -> String {
        let mut of_masks = |table: &str| {
            let stored = self.nodes.derived(&self.architecture.layer_parameter(layer, table));
            let rows = format!("{scope}/{table}_rows");
            let rows = self.nodes.gather(&stored, GraphInput::MaskRows.name(), &rows);
            self.split_heads(&rows, &[0, 2, 3, 1], &format!("{scope}/{table}"))
        };
        let distance_key = of_masks("distance_key");
        let distance_query = of_masks("distance_query");
        let sum = format!("{scope}/content_and_distance");
        let sum = self.nodes.node("Add", &[key, &distance_key], &sum, vec![]);
        let to_both = format!("{scope}/to_content_and_distance");
        let to_both = self.nodes.node("MatMul", &[query, &sum], &to_both, vec![]);
        let products = format!("{scope}/from_distance_products");
        let products = self.nodes.node("Mul", &[key, &distance_query], &products, vec![]);
        let axis = self.nodes.integers("distances/head_axis", &[2]);
        let from_distance = self.nodes.node(
            "ReduceSum",
            &[&products, &axis],
            &format!("{scope}/from_distance"),
            vec![int("keepdims", 1)],
        );
        self.nodes.node("Add", &[&to_both, &from_distance], &format!("{scope}/scores"), vec![])
    }
}
