//! One layer: attention and a feed-forward network, each with a residual sum and a norm.

use super::{
    Builder,
    nodes::{int, text},
};
use crate::architecture::{Activation, GraphInput, Norms};

impl Builder<'_> {
    /// `[tokens, hidden]` to the same, or in the last layer to `[batch, hidden]`.
    pub(super) fn layer(&mut self, layer: usize, hidden: &str, last: bool) -> String {
        match self.architecture.norms {
            Norms::Post => self.post_norm_layer(layer, hidden, last),
            Norms::Pre => self.pre_norm_layer(layer, hidden, last),
        }
    }

    fn post_norm_layer(&mut self, layer: usize, hidden: &str, last: bool) -> String {
        let scope = format!("layers/{layer}");
        let rows = self.asking_rows(hidden, &format!("{scope}/mask_rows"), last);
        let attended = self.attention(layer, hidden, &rows, last);
        let attended = self.layer_linear(layer, &attended, "attention_output", &scope);
        let sum = format!("{scope}/attention_sum");
        let sum = self.nodes.node("Add", &[&attended, &rows], &sum, vec![]);
        let attended = self.layer_norm(layer, &sum, "attention_norm");
        let outer = self.feed_forward(layer, &attended);
        let sum = format!("{scope}/output_sum");
        let sum = self.nodes.node("Add", &[&outer, &attended], &sum, vec![]);
        self.layer_norm(layer, &sum, "output_norm")
    }

    fn pre_norm_layer(&mut self, layer: usize, hidden: &str, last: bool) -> String {
        let scope = format!("layers/{layer}");
        let normalised = match self.architecture.normalises_before_attention(layer) {
            true => self.layer_norm(layer, hidden, "attention_norm"),
            false => hidden.to_owned(),
        };
        let rows = self.asking_rows(hidden, &format!("{scope}/mask_rows"), last);
        let asking = match normalised == hidden {
            true => rows.clone(),
            false => self.asking_rows(&normalised, &format!("{scope}/asking_rows"), last),
        };
        let attended = self.attention(layer, &normalised, &asking, last);
        let attended = self.layer_linear(layer, &attended, "attention_output", &scope);
        let sum = format!("{scope}/attention_sum");
        let attended = self.nodes.node("Add", &[&attended, &rows], &sum, vec![]);
        let normalised = self.layer_norm(layer, &attended, "feed_forward_norm");
        let outer = self.feed_forward(layer, &normalised);
        self.nodes.node("Add", &[&outer, &attended], &format!("{scope}/output_sum"), vec![])
    }

    /// The rows that attention is computed for: all, or in the last layer those of the masks.
    fn asking_rows(&mut self, hidden: &str, name: &str, last: bool) -> String {
        match last {
            true => self.nodes.gather(hidden, GraphInput::MaskTokens.name(), name),
            false => hidden.to_owned(),
        }
    }

    /// The product with a matrix of this layer.
    pub(super) fn layer_linear(
        &mut self,
        layer: usize,
        x: &str,
        name: &str,
        scope: &str,
    ) -> String {
        self.nodes.linear(x, &self.architecture.layer_parameter(layer, name), scope)
    }

    fn layer_norm(&mut self, layer: usize, x: &str, name: &str) -> String {
        let parameter = self.architecture.layer_parameter(layer, name);
        self.nodes.norm(x, &parameter, &format!("layers/{layer}/{name}"))
    }

    fn feed_forward(&mut self, layer: usize, x: &str) -> String {
        let scope = format!("layers/{layer}");
        let inner = self.layer_linear(layer, x, "feed_forward", &scope);
        let inner = if self.architecture.gated {
            let [input, gate] = [format!("{scope}/gate_input"), format!("{scope}/gate")];
            self.nodes.split(&inner, &format!("{scope}/gate_split"), [&input, &gate]);
            let input = self.activation(self.architecture.activation, &input, &scope);
            self.nodes.node("Mul", &[&input, &gate], &format!("{scope}/gated"), vec![])
        } else {
            self.activation(self.architecture.activation, &inner, &scope)
        };
        self.layer_linear(layer, &inner, "feed_forward_output", &scope)
    }

    pub(super) fn activation(&mut self, activation: Activation, x: &str, scope: &str) -> String {
        let (operator, attributes) = match activation {
            Activation::Gelu => ("Gelu", vec![]),
            Activation::GeluTanh => ("Gelu", vec![text("approximate", "tanh")]),
            Activation::Relu => ("Relu", vec![]),
        };
        self.nodes.node(operator, &[x], &format!("{scope}/gelu"), attributes)
    }
}

impl super::Nodes<'_> {
    /// Cuts the last axis into two halves with these names.
    pub(super) fn split(&mut self, of: &str, name: &str, halves: [&str; 2]) {
        self.nodes.push(crate::export::messages::Node {
            input: vec![of.to_owned()],
            output: halves.map(str::to_owned).to_vec(),
            name: name.to_owned(),
            op_type: "Split".to_owned(),
            attribute: vec![int("axis", -1), int("num_outputs", 2)],
            domain: String::new(),
        });
    }
}
