//! The encoder as an ONNX graph over packed tokens, its last layer for the mask rows alone.
//!
//! Every position-wise product runs on `[tokens, hidden]`, with no padding. For attention the
//! rows are gathered to `[batch, longest, hidden]` and afterwards gathered back. In the last layer
//! nothing but the mask row of each sequence is asked for, so its query, attention output and
//! feed-forward run on `[batch, hidden]`.

use prost::Message;

use super::messages::{
    Attribute, AttributeType, DataType, Dimension, DimensionValue, Graph, Model, Node,
    OperatorSetId, Shape, Tensor, TensorType, Type, ValueInfo,
};
use crate::weights::{Architecture, EncoderWeights};

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

/// The encoder as the bytes of an ONNX file.
pub fn to_onnx(weights: &EncoderWeights) -> Vec<u8> {
    let mut builder = Builder::new(&weights.architecture);
    let output = builder.encoder();
    let graph = Graph {
        node: builder.nodes,
        name: "encoder".to_owned(),
        initializer: builder.constants.into_iter().chain(parameters(weights)).collect(),
        input: graph_inputs(),
        output: vec![value(&output, DataType::Float, &["batch", "hidden"])],
    };
    let model = Model {
        ir_version: IR_VERSION,
        producer_name: env!("CARGO_PKG_NAME").to_owned(),
        producer_version: env!("CARGO_PKG_VERSION").to_owned(),
        doc_string: "Packed tokens in, the last hidden state at each mask out.".to_owned(),
        graph: Some(graph),
        opset_import: vec![OperatorSetId { domain: String::new(), version: OPSET }],
    };
    model.encode_to_vec()
}

fn parameters(weights: &EncoderWeights) -> impl Iterator<Item = Tensor> {
    weights.iter().map(|(name, array)| Tensor {
        dims: array.shape.iter().map(|&dimension| dimension as i64).collect(),
        data_type: DataType::Float as i32,
        name,
        raw_data: array.data.iter().flat_map(|value| value.to_le_bytes()).collect(),
    })
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

/// Adds nodes one after the other; each method returns the name of its result.
struct Builder<'a> {
    architecture: &'a Architecture,
    nodes: Vec<Node>,
    constants: Vec<Tensor>,
}

impl<'a> Builder<'a> {
    fn new(architecture: &'a Architecture) -> Self {
        Self { architecture, nodes: Vec::new(), constants: Vec::new() }
    }

    fn encoder(&mut self) -> String {
        let mut hidden = self.embeddings();
        for layer in 0..self.architecture.layers {
            let last = layer + 1 == self.architecture.layers;
            hidden = self.layer(layer, &hidden, last);
        }
        self.node("Identity", &[&hidden], OUTPUT, vec![])
    }

    /// `[tokens, hidden]`
    fn embeddings(&mut self) -> String {
        let word = self.gather("embeddings.word", inputs::INPUT_IDS, "embeddings/word");
        let position =
            self.gather("embeddings.position", inputs::POSITION_IDS, "embeddings/position");
        let segment = self.gather("embeddings.segment", inputs::SEGMENT_IDS, "embeddings/segment");
        let sum = self.node("Add", &[&word, &position], "embeddings/word_position", vec![]);
        let sum = self.node("Add", &[&sum, &segment], "embeddings/sum", vec![]);
        self.norm(&sum, "embeddings.norm", "embeddings/norm")
    }

    /// `[tokens, hidden]` to the same, or in the last layer to `[batch, hidden]`.
    fn layer(&mut self, layer: usize, hidden: &str, last: bool) -> String {
        let scope = format!("layers/{layer}");
        let parameter = |name: &str| format!("layers.{layer}.{name}");
        let rows = if last {
            self.gather(hidden, inputs::MASK_TOKENS, &format!("{scope}/mask_rows"))
        } else {
            hidden.to_owned()
        };
        let attended = self.attention(layer, hidden, &rows, last);
        let attended = self.linear(&attended, &parameter("attention_output"), &scope);
        let sum = self.node("Add", &[&attended, &rows], &format!("{scope}/attention_sum"), vec![]);
        let attended =
            self.norm(&sum, &parameter("attention_norm"), &format!("{scope}/attention_norm"));
        let inner = self.linear(&attended, &parameter("feed_forward"), &scope);
        let inner = self.node("Gelu", &[&inner], &format!("{scope}/gelu"), vec![]);
        let outer = self.linear(&inner, &parameter("feed_forward_output"), &scope);
        let sum = self.node("Add", &[&outer, &attended], &format!("{scope}/output_sum"), vec![]);
        self.norm(&sum, &parameter("output_norm"), &format!("{scope}/output_norm"))
    }

    /// Multi-head attention of `rows` over their sequences; back in packed rows.
    fn attention(&mut self, layer: usize, hidden: &str, rows: &str, last: bool) -> String {
        let scope = format!("layers/{layer}/attention");
        let (heads, width) = (self.architecture.heads, self.architecture.hidden_size);
        let head_width = width / heads;
        let query = self.linear(rows, &format!("layers.{layer}.query"), &scope);
        let scale = self.scalar("attention/scale", 1.0 / (head_width as f32).sqrt());
        let query = self.node("Mul", &[&query, &scale], &format!("{scope}/scaled_query"), vec![]);
        let query = if last {
            // One row a sequence: [batch, hidden] is [batch, heads, 1, head] as it lies.
            let shape = [0, heads as i64, 1, head_width as i64];
            self.reshape(&query, "attention/one_row_shape", &shape, &format!("{scope}/query"))
        } else {
            let query = self.gather(&query, inputs::SLOT_TOKENS, &format!("{scope}/query_slots"));
            self.split_heads(&query, &[0, 2, 1, 3], &format!("{scope}/query"))
        };
        let key_value = self.linear(hidden, &format!("layers.{layer}.key_value"), &scope);
        let key_value =
            self.gather(&key_value, inputs::SLOT_TOKENS, &format!("{scope}/key_value_slots"));
        let (key, value) = self.halves(&key_value, &scope);
        let key = self.split_heads(&key, &[0, 2, 3, 1], &format!("{scope}/key"));
        let value = self.split_heads(&value, &[0, 2, 1, 3], &format!("{scope}/value"));
        let scores = self.node("MatMul", &[&query, &key], &format!("{scope}/scores"), vec![]);
        let scores = self.node(
            "Add",
            &[&scores, inputs::SLOT_BIAS],
            &format!("{scope}/biased_scores"),
            vec![],
        );
        let weights =
            self.node("Softmax", &[&scores], &format!("{scope}/weights"), vec![int("axis", -1)]);
        let context = self.node("MatMul", &[&weights, &value], &format!("{scope}/context"), vec![]);
        self.join_heads(&context, last, &scope)
    }

    /// `[batch, heads, rows, head]` to packed rows.
    fn join_heads(&mut self, context: &str, last: bool, scope: &str) -> String {
        let shape = [-1, self.architecture.hidden_size as i64];
        let joined = format!("{scope}/joined");
        if last {
            return self.reshape(context, "attention/rows_shape", &shape, &joined);
        }
        let order = vec![ints("perm", &[0, 2, 1, 3])];
        let context = self.node("Transpose", &[context], &format!("{scope}/by_slot"), order);
        let slots = self.reshape(&context, "attention/rows_shape", &shape, &joined);
        self.gather(&slots, inputs::TOKEN_SLOTS, &format!("{scope}/packed"))
    }

    /// `[batch, longest, hidden]` to `[batch, heads, ...]`, the rest in the given order.
    fn split_heads(&mut self, slots: &str, order: &[i64], name: &str) -> String {
        let heads = self.architecture.heads as i64;
        let head_width = self.architecture.hidden_size as i64 / heads;
        let shape = [0, 0, heads, head_width];
        let split = self.reshape(slots, "attention/heads_shape", &shape, &format!("{name}_split"));
        self.node("Transpose", &[&split], name, vec![ints("perm", order)])
    }

    /// The two halves of the last axis.
    fn halves(&mut self, of: &str, scope: &str) -> (String, String) {
        let outputs = [format!("{scope}/key_half"), format!("{scope}/value_half")];
        self.nodes.push(Node {
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

    /// `x·W + b` with the parameters `name.weight` and `name.bias`.
    fn linear(&mut self, x: &str, name: &str, scope: &str) -> String {
        let (weight, bias) = (format!("{name}.weight"), format!("{name}.bias"));
        let short = name.rsplit('.').next().unwrap_or(name);
        self.node("Gemm", &[x, &weight, &bias], &format!("{scope}/{short}_linear"), vec![])
    }

    fn norm(&mut self, x: &str, name: &str, output: &str) -> String {
        let (weight, bias) = (format!("{name}.weight"), format!("{name}.bias"));
        let epsilon = float("epsilon", self.architecture.layer_norm_eps as f32);
        let attributes = vec![int("axis", -1), epsilon];
        self.node("LayerNormalization", &[x, &weight, &bias], output, attributes)
    }

    fn gather(&mut self, from: &str, indices: &str, output: &str) -> String {
        self.node("Gather", &[from, indices], output, vec![int("axis", 0)])
    }

    fn reshape(&mut self, x: &str, shape_name: &str, shape: &[i64], output: &str) -> String {
        let dims = vec![shape.len() as i64];
        let raw_data = shape.iter().flat_map(|dimension| dimension.to_le_bytes()).collect();
        self.constant(shape_name, dims, DataType::Int64, raw_data);
        self.node("Reshape", &[x, shape_name], output, vec![])
    }

    fn scalar(&mut self, name: &str, value: f32) -> String {
        self.constant(name, vec![], DataType::Float, value.to_le_bytes().to_vec());
        name.to_owned()
    }

    /// Constants are shared by name between layers.
    fn constant(&mut self, name: &str, dims: Vec<i64>, data_type: DataType, raw_data: Vec<u8>) {
        if self.constants.iter().all(|constant| constant.name != name) {
            let (name, data_type) = (name.to_owned(), data_type as i32);
            self.constants.push(Tensor { dims, data_type, name, raw_data });
        }
    }

    fn node(
        &mut self,
        op_type: &str,
        input: &[&str],
        output: &str,
        attribute: Vec<Attribute>,
    ) -> String {
        self.nodes.push(Node {
            input: input.iter().map(|name| (*name).to_owned()).collect(),
            output: vec![output.to_owned()],
            name: output.to_owned(),
            op_type: op_type.to_owned(),
            attribute,
            domain: String::new(),
        });
        output.to_owned()
    }
}

fn int(name: &str, i: i64) -> Attribute {
    Attribute { name: name.to_owned(), i, r#type: AttributeType::Int as i32, ..Default::default() }
}

fn float(name: &str, f: f32) -> Attribute {
    let r#type = AttributeType::Float as i32;
    Attribute { name: name.to_owned(), f, r#type, ..Default::default() }
}

fn ints(name: &str, ints: &[i64]) -> Attribute {
    let r#type = AttributeType::Ints as i32;
    Attribute { name: name.to_owned(), ints: ints.to_vec(), r#type, ..Default::default() }
}
