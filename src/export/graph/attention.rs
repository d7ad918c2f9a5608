//! Multi-head attention of the asking rows over their sequences.

use super::{
    Builder,
    nodes::{ONNX_RUNTIME, int, ints},
};
use crate::architecture::{Distances, GraphInput};

impl Builder<'_> {
    /// Multi-head attention of `rows` over their sequences; back in packed rows.
    pub(super) fn attention(
        &mut self,
        layer: usize,
        hidden: &str,
        rows: &str,
        last: bool,
    ) -> String {
        let scope = format!("layers/{layer}/attention");
        let query = self.query(layer, rows, last, &scope);
        let (key, value) = self.key_value(layer, hidden, &scope);
        let key = match self.architecture.distances {
            // Their scores need the keys as rows too.
            Distances::Disentangled { .. } => key,
            _ => self.split_heads(&key, &[0, 2, 3, 1], &format!("{scope}/key")),
        };
        let value = self.split_heads(&value, &[0, 2, 1, 3], &format!("{scope}/value"));
        let scores = match self.architecture.distances {
            Distances::Disentangled { .. } => {
                self.disentangled_scores(layer, &query, &key, last, &scope)
            }
            _ => self.nodes.node("MatMul", &[&query, &key], &format!("{scope}/scores"), vec![]),
        };
        let bias = self.score_bias(layer, last);
        let biased = format!("{scope}/biased_scores");
        let scores = self.nodes.node("Add", &[&scores, &bias], &biased, vec![]);
        let weights = format!("{scope}/weights");
        let weights = self.nodes.node("Softmax", &[&scores], &weights, vec![int("axis", -1)]);
        let context =
            self.nodes.node("MatMul", &[&weights, &value], &format!("{scope}/context"), vec![]);
        self.join_heads(&context, last, &scope)
    }

    /// `[batch, heads, rows, head]`, scaled.
    fn query(&mut self, layer: usize, rows: &str, last: bool, scope: &str) -> String {
        let (heads, head_size) = (self.architecture.heads, self.architecture.head_size());
        let query = self.layer_linear(layer, rows, "query", scope);
        let query = match self.architecture.theta_of(layer) {
            Some(_) => {
                let positions = self.rotary_positions(last);
                self.rotate(layer, &query, &positions, &format!("{scope}/query_rotated"))
            }
            None => query,
        };
        let scale = self.nodes.scalar("attention/scale", self.scale());
        let scaled = format!("{scope}/scaled_query");
        let query = self.nodes.node("Mul", &[&query, &scale], &scaled, vec![]);
        let name = format!("{scope}/query");
        if last {
            // One row a sequence: [batch, hidden] is [batch, heads, 1, head] as it lies.
            let shape = [0, heads as i64, 1, head_size as i64];
            return self.nodes.reshape(&query, "attention/one_row_shape", &shape, &name);
        }
        let slots = GraphInput::SlotTokens.name();
        let query = self.nodes.gather(&query, slots, &format!("{scope}/query_slots"));
        self.split_heads(&query, &[0, 2, 1, 3], &name)
    }

    /// The factor of the scores.
    pub(super) fn scale(&self) -> f32 {
        let head_size = self.architecture.head_size() as f32;
        match self.architecture.distances {
            // Three products are added: content and content, content and distance, either way.
            Distances::Disentangled { .. } => 1.0 / (3.0 * head_size).sqrt(),
            _ => 1.0 / head_size.sqrt(),
        }
    }

    /// Keys and values in slots, `[batch, longest, hidden]` each.
    fn key_value(&mut self, layer: usize, hidden: &str, scope: &str) -> (String, String) {
        let key_value = self.layer_linear(layer, hidden, "key_value", scope);
        let slots = GraphInput::SlotTokens.name();
        let [key, value] = [format!("{scope}/key_half"), format!("{scope}/value_half")];
        let split = format!("{scope}/split");
        if self.architecture.theta_of(layer).is_none() {
            let gathered = format!("{scope}/key_value_slots");
            let key_value = self.nodes.gather(&key_value, slots, &gathered);
            self.nodes.split(&key_value, &split, [&key, &value]);
            return (key, value);
        }
        self.nodes.split(&key_value, &split, [&key, &value]);
        let positions = self.rotary_positions(false);
        let key = self.rotate(layer, &key, &positions, &format!("{scope}/key_rotated"));
        let key = self.nodes.gather(&key, slots, &format!("{scope}/key_slots"));
        let value = self.nodes.gather(&value, slots, &format!("{scope}/value_slots"));
        (key, value)
    }

    /// The positions of all tokens or of the masks, `[rows, 1]`.
    fn rotary_positions(&mut self, last: bool) -> String {
        let name = if last { "rotary/mask_positions" } else { "rotary/positions" };
        if self.nodes.nodes.iter().any(|node| node.name == name) {
            return name.to_owned();
        }
        let ids = GraphInput::PositionIds.name().to_owned();
        let ids = match last {
            true => {
                let masks = GraphInput::MaskTokens.name();
                self.nodes.gather(&ids, masks, "rotary/mask_position_ids")
            }
            false => ids,
        };
        self.nodes.reshape(&ids, "rotary/column", &[-1, 1], name)
    }

    /// `x`, `[rows, hidden]`, with each head's two halves rotated by the angles of the row's position.
    fn rotate(&mut self, layer: usize, x: &str, positions: &str, name: &str) -> String {
        let kind = if self.architecture.span_of(layer).is_some() { "local." } else { "" };
        let [cos, sin] =
            ["cos", "sin"].map(|table| self.nodes.derived(&format!("rotary.{kind}{table}")));
        let hidden = self.architecture.hidden_size as i64;
        let shape = [-1, 1, hidden];
        let rows = self.nodes.reshape(x, "rotary/rows", &shape, &format!("{name}_rows"));
        let rotated = self.nodes.node_of(
            ONNX_RUNTIME,
            "RotaryEmbedding",
            &[&rows, positions, &cos, &sin],
            &format!("{name}_angles"),
            vec![],
        );
        self.nodes.reshape(&rotated, "attention/rows_shape", &[-1, hidden], name)
    }

    /// `[batch, heads, rows, head]` to packed rows.
    fn join_heads(&mut self, context: &str, last: bool, scope: &str) -> String {
        let shape = [-1, self.architecture.hidden_size as i64];
        let joined = format!("{scope}/joined");
        if last {
            return self.nodes.reshape(context, "attention/rows_shape", &shape, &joined);
        }
        let order = vec![ints("perm", &[0, 2, 1, 3])];
        let context = self.nodes.node("Transpose", &[context], &format!("{scope}/by_slot"), order);
        let slots = self.nodes.reshape(&context, "attention/rows_shape", &shape, &joined);
        self.nodes.gather(&slots, GraphInput::TokenSlots.name(), &format!("{scope}/packed"))
    }

    /// `[batch, longest, hidden]` to `[batch, heads, ...]`, the rest in the given order.
    pub(super) fn split_heads(&mut self, slots: &str, order: &[i64], name: &str) -> String {
        let (heads, size) = (self.architecture.heads as i64, self.architecture.head_size() as i64);
        let shape = [0, 0, heads, size];
        let split =
            self.nodes.reshape(slots, "attention/heads_shape", &shape, &format!("{name}_split"));
        self.nodes.node("Transpose", &[&split], name, vec![ints("perm", order)])
    }
}
