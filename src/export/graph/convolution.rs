//! The convolution over neighbouring tokens after the first layer.

use super::Builder;
use crate::architecture::{Convolution, GraphInput};

impl Builder<'_> {
    /// Adds the convolution of the embeddings, where the encoder has one, to what the first layer makes of
    /// them, and normalises that; all of them `[tokens, hidden]`.
    pub(super) fn convolution(&mut self, embeddings: &str, hidden: String) -> String {
        let Some(Convolution { kernel, activation }) = self.architecture.convolution else {
            return hidden;
        };
        let name = |part: &str| format!("convolution/{part}");
        let tokens = GraphInput::NeighbourTokens.name();
        let rows = self.nodes.gather(embeddings, tokens, &name("neighbours"));
        let shares = GraphInput::NeighbourShares.name();
        let rows = self.nodes.node("Mul", &[&rows, shares], &name("within"), vec![]);
        let width = (kernel * self.architecture.hidden_size) as i64;
        let shape = [-1, width];
        let rows = self.nodes.reshape(&rows, &name("shape"), &shape, &name("side_by_side"));
        let product = self.nodes.linear(&rows, "convolution", "convolution");
        let activated = self.activation(activation, &product, "convolution");
        let sum = self.nodes.node("Add", &[&activated, &hidden], &name("sum"), vec![]);
        self.nodes.norm(&sum, "convolution_norm", "convolution_norm")
    }
}
