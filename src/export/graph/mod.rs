//! The encoder as an ONNX graph over packed tokens, its last layer for the mask rows alone.
//!
//! Every position-wise product runs on `[tokens, hidden]`, with no padding. For attention the
//! rows are gathered to `[batch, longest, hidden]` and afterwards gathered back. In the last layer
//! nothing but the mask row of each sequence is asked for, so its query, attention output and
//! feed-forward run on `[batch, hidden]`.

mod matrices;
mod nodes;

use prost::Message;

use super::{
    messages::{
        DataType, Dimension, DimensionValue, Graph, Model, Node, OperatorSetId, Shape, TensorType,
        Type, ValueInfo,
    },
    store::EncoderFiles,
};
use crate::weights::{Architecture, EncoderWeights, Precision};
use nodes::{Nodes, int, ints};

pub(super) use matrices::{FP16_SUFFIX, INT8_SUFFIX};
pub(super) use nodes::ONNX_RUNTIME;

/// IR version 9 came with opset 20, which brought the `Gelu` operator.
const IR_VERSION: i64 = 9;
const OPSET: i64 = 20;

/// Names of the graph's inputs.
pub mod inputs {
    /// `[tokens]`, int64: the ids of all sequences, one after the other.
    pub const INPUT_IDS: &str = "input_ids";
    /// `[tokens]`, int64: the text segment of each token.
    pub const SEGMENT_IDS: &str = "segment_ids";
    /// `[tokens]`, int64: each token's position in its sequence.
    pub const POSITION_IDS: &str = "position_ids";
    /// `[batch, longest]`, int64: the token of each slot of the padded batch; any for padding.
    pub const SLOT_TOKENS: &str = "slot_tokens";
    /// `[batch, 1, 1, longest]`, float: 0 for a token's slot, a large negative one for padding.
    pub const SLOT_BIAS: &str = "slot_bias";
    /// `[tokens]`, int64: each token's slot, counted through the padded batch.
    pub const TOKEN_SLOTS: &str = "token_slots";
    /// `[batch]`, int64: the mask token of each sequence.
    pub const MASK_TOKENS: &str = "mask_tokens";
}

/// The graph's output: `[batch, hidden]`, float, the last hidden state at each mask.
pub const OUTPUT: &str = "mask_vectors";

/// The encoder as an ONNX model and the file of its matrices, which the model calls `location`.
pub fn to_onnx(weights: &EncoderWeights, precision: Precision, location: &str) -> EncoderFiles {
    let mut builder = Builder {
        architecture: &weights.architecture,
        nodes: Nodes::new(weights, precision, location),
    };
    let output = builder.encoder();
    let Nodes { nodes, store, .. } = builder.nodes;
    let graph = Graph {
        node: nodes,
        name: "encoder".to_owned(),
        initializer: store.tensors,
        input: graph_inputs(),
        output: vec![value(&output, DataType::Float, &["batch", "hidden"])],
    };
    let opset = |domain: &str, version| OperatorSetId { domain: domain.to_owned(), version };
    let mut opset_import = vec![opset("", OPSET)];
    if precision == Precision::Int8 {
        opset_import.push(opset(ONNX_RUNTIME, 1));
    }
    let model = Model {
        ir_version: IR_VERSION,
        producer_name: env!("CARGO_PKG_NAME").to_owned(),
        producer_version: env!("CARGO_PKG_VERSION").to_owned(),
        doc_string: "Packed tokens in, the last hidden state at each mask out.".to_owned(),
        graph: Some(graph),
        opset_import,
    };
    EncoderFiles { graph: model.encode_to_vec(), weights: store.weights }
}

fn graph_inputs() -> Vec<ValueInfo> {
    use inputs::{
        INPUT_IDS, MASK_TOKENS, POSITION_IDS, SEGMENT_IDS, SLOT_BIAS, SLOT_TOKENS, TOKEN_SLOTS,
    };
    vec![
        value(INPUT_IDS, DataType::Int64, &["tokens"]),
        value(SEGMENT_IDS, DataType::Int64, &["tokens"]),
        value(POSITION_IDS, DataType::Int64, &["tokens"]),
        value(SLOT_TOKENS, DataType::Int64, &["batch", "longest"]),
        value(SLOT_BIAS, DataType::Float, &["batch", "1", "1", "longest"]),
        value(TOKEN_SLOTS, DataType::Int64, &["tokens"]),
        value(MASK_TOKENS, DataType::Int64, &["batch"]),
    ]
}

fn value(name: &str, elem_type: DataType, dimensions: &[&str]) -> ValueInfo {
    let dim = dimensions
        .iter()
        .map(|dimension| Dimension {
            value: Some(match dimension.parse() {
                Ok(number) => DimensionValue::DimValue(number),
                Err(_) => DimensionValue::DimParam((*dimension).to_owned()),
            }),
        })
        .collect();
    let tensor_type = TensorType { elem_type: elem_type as i32, shape: Some(Shape { dim }) };
    let r#type = Some(Type { tensor_type: Some(tensor_type) });
    ValueInfo { name: name.to_owned(), r#type, doc_string: String::new() }
}

/// The encoder, built of nodes. Each method returns the name of its result.
struct Builder<'a> {
    architecture: &'a Architecture,
    nodes: Nodes<'a>,
}

impl Builder<'_> {
    fn encoder(&mut self) -> String {
        let mut hidden = self.embeddings();
        for layer in 0..self.architecture.layers {
            let last = layer + 1 == self.architecture.layers;
            hidden = self.layer(layer, &hidden, last);
        }
        self.nodes.node("Identity", &[&hidden], OUTPUT, vec![])
    }

    /// `[tokens, hidden]`
    fn embeddings(&mut self) -> String {
        let word = self.nodes.words();
        let position = self.nodes.parameter("embeddings.position");
        let position = self.nodes.gather(&position, inputs::POSITION_IDS, "embeddings/position");
        let segment = self.nodes.parameter("embeddings.segment");
        let segment = self.nodes.gather(&segment, inputs::SEGMENT_IDS, "embeddings/segment");
        let sum = self.nodes.node("Add", &[&word, &position], "embeddings/word_position", vec![]);
        let sum = self.nodes.node("Add", &[&sum, &segment], "embeddings/sum", vec![]);
        self.nodes.norm(&sum, "embeddings.norm", "embeddings/norm")
    }

    /// `[tokens, hidden]` to the same, or in the last layer to `[batch, hidden]`.
    fn layer(&mut self, layer: usize, hidden: &str, last: bool) -> String {
        let scope = format!("layers/{layer}");
        let parameter = |name: &str| format!("layers.{layer}.{name}");
        let rows = if last {
            self.nodes.gather(hidden, inputs::MASK_TOKENS, &format!("{scope}/mask_rows"))
        } else {
            hidden.to_owned()
        };
        let attended = self.attention(layer, hidden, &rows, last);
        let attended = self.nodes.linear(&attended, &parameter("attention_output"), &scope);
        let sum =
            self.nodes.node("Add", &[&attended, &rows], &format!("{scope}/attention_sum"), vec![]);
        let attended =
            self.nodes.norm(&sum, &parameter("attention_norm"), &format!("{scope}/attention_norm"));
        let inner = self.nodes.linear(&attended, &parameter("feed_forward"), &scope);
        let inner = self.nodes.node("Gelu", &[&inner], &format!("{scope}/gelu"), vec![]);
        let outer = self.nodes.linear(&inner, &parameter("feed_forward_output"), &scope);
        let sum =
            self.nodes.node("Add", &[&outer, &attended], &format!("{scope}/output_sum"), vec![]);
        self.nodes.norm(&sum, &parameter("output_norm"), &format!("{scope}/output_norm"))
    }

    /// Multi-head attention of `rows` over their sequences; back in packed rows.
    fn attention(&mut self, layer: usize, hidden: &str, rows: &str, last: bool) -> String {
        let scope = format!("layers/{layer}/attention");
        let (heads, width) = (self.architecture.heads, self.architecture.hidden_size);
        let head_width = width / heads;
        let query = self.nodes.linear(rows, &format!("layers.{layer}.query"), &scope);
        let scale = self.nodes.scalar("attention/scale", 1.0 / (head_width as f32).sqrt());
        let query =
            self.nodes.node("Mul", &[&query, &scale], &format!("{scope}/scaled_query"), vec![]);
        let query = if last {
            // One row a sequence: [batch, hidden] is [batch, heads, 1, head] as it lies.
            let shape = [0, heads as i64, 1, head_width as i64];
            self.nodes.reshape(&query, "attention/one_row_shape", &shape, &format!("{scope}/query"))
        } else {
            let query =
                self.nodes.gather(&query, inputs::SLOT_TOKENS, &format!("{scope}/query_slots"));
            self.split_heads(&query, &[0, 2, 1, 3], &format!("{scope}/query"))
        };
        let key_value = self.nodes.linear(hidden, &format!("layers.{layer}.key_value"), &scope);
        let key_value =
            self.nodes.gather(&key_value, inputs::SLOT_TOKENS, &format!("{scope}/key_value_slots"));
        let (key, value) = self.halves(&key_value, &scope);
        let key = self.split_heads(&key, &[0, 2, 3, 1], &format!("{scope}/key"));
        let value = self.split_heads(&value, &[0, 2, 1, 3], &format!("{scope}/value"));
        let scores = self.nodes.node("MatMul", &[&query, &key], &format!("{scope}/scores"), vec![]);
        let scores = self.nodes.node(
            "Add",
            &[&scores, inputs::SLOT_BIAS],
            &format!("{scope}/biased_scores"),
            vec![],
        );
        let weights = self.nodes.node(
            "Softmax",
            &[&scores],
            &format!("{scope}/weights"),
            vec![int("axis", -1)],
        );
        let context =
            self.nodes.node("MatMul", &[&weights, &value], &format!("{scope}/context"), vec![]);
        self.join_heads(&context, last, &scope)
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
        self.nodes.gather(&slots, inputs::TOKEN_SLOTS, &format!("{scope}/packed"))
    }

    /// `[batch, longest, hidden]` to `[batch, heads, ...]`, the rest in the given order.
    fn split_heads(&mut self, slots: &str, order: &[i64], name: &str) -> String {
        let heads = self.architecture.heads as i64;
        let head_width = self.architecture.hidden_size as i64 / heads;
        let shape = [0, 0, heads, head_width];
        let split =
            self.nodes.reshape(slots, "attention/heads_shape", &shape, &format!("{name}_split"));
        self.nodes.node("Transpose", &[&split], name, vec![ints("perm", order)])
    }

    /// The two halves of the last axis.
    fn halves(&mut self, of: &str, scope: &str) -> (String, String) {
        let outputs = [format!("{scope}/key_half"), format!("{scope}/value_half")];
        self.nodes.nodes.push(Node {
            input: vec![of.to_owned()],
            output: outputs.to_vec(),
            name: format!("{scope}/split"),
            op_type: "Split".to_owned(),
            attribute: vec![int("axis", -1), int("num_outputs", 2)],
            domain: String::new(),
        });
        let [key, value] = outputs;
        (key, value)
    }
}
