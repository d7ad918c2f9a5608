//! The encoder as an ONNX graph over packed tokens, its last layer for the mask rows alone.
//!
//! Every position-wise product runs on `[tokens, hidden]`, with no padding. For attention the
//! rows are gathered to `[batch, longest, hidden]` and afterwards gathered back. In the last layer
//! nothing but the mask row of each sequence is asked for, so its query, attention output and
//! feed-forward run on `[batch, hidden]`.

mod attention;
mod convolution;
mod derived;
mod disentangled;
mod layer;
mod matrices;
mod nodes;
mod score_bias;

use std::collections::BTreeMap;

use prost::Message;

use super::{
    messages::{
        DataType, Dimension, DimensionValue, Graph, Model, OperatorSetId, Shape, TensorType, Type,
        ValueInfo,
    },
    store::EncoderFiles,
};
use crate::{
    architecture::{Architecture, Distances, Element, GraphInput, Norms},
    weights::{EncoderWeights, Precision},
};
use nodes::Nodes;

pub(super) use matrices::{FP16_SUFFIX, INT8_SUFFIX};
pub(super) use nodes::ONNX_RUNTIME;

/// IR version 9 came with opset 20, which brought the `Gelu` operator.
const IR_VERSION: i64 = 9;
const OPSET: i64 = 20;

/// The graph's output: `[batch, hidden]`, float, the last hidden state at each mask.
pub const OUTPUT: &str = "mask_vectors";

/// The encoder as an ONNX model and the file of its matrices, which the model calls `location`.
pub fn to_onnx(weights: &EncoderWeights, precision: Precision, location: &str) -> EncoderFiles {
    let mut builder = Builder {
        architecture: &weights.architecture,
        nodes: Nodes::new(weights, precision, location),
        score_biases: BTreeMap::new(),
    };
    let output = builder.encoder();
    let Nodes { nodes, store, .. } = builder.nodes;
    let uses_onnx_runtime = nodes.iter().any(|node| node.domain == ONNX_RUNTIME);
    let graph = Graph {
        node: nodes,
        name: "encoder".to_owned(),
        initializer: store.tensors,
        input: weights.architecture.inputs().into_iter().map(input).collect(),
        output: vec![value(&output, DataType::Float, &["batch", "hidden"])],
    };
    let opset = |domain: &str, version| OperatorSetId { domain: domain.to_owned(), version };
    let mut opset_import = vec![opset("", OPSET)];
    if uses_onnx_runtime {
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

fn input(input: GraphInput) -> ValueInfo {
    let element = match input.element() {
        Element::Int64 => DataType::Int64,
        Element::Float => DataType::Float,
    };
    value(input.name(), element, input.dimensions())
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
    /// The addends of attention's scores, by whether the layer has a window and whether it is the last.
    score_biases: BTreeMap<(bool, bool), String>,
}

impl Builder<'_> {
    fn encoder(&mut self) -> String {
        let mut hidden = self.embeddings();
        for layer in 0..self.architecture.layers {
            let last = layer + 1 == self.architecture.layers;
            let input = hidden.clone();
            hidden = self.layer(layer, &input, last);
            if layer == 0 {
                hidden = self.convolution(&input, hidden);
            }
        }
        self.store_what_was_derived_from();
        if self.architecture.norms == Norms::Pre {
            hidden = self.nodes.norm(&hidden, "final_norm", "final_norm");
        }
        self.nodes.node("Identity", &[&hidden], OUTPUT, vec![])
    }

    /// Stores the parameters that no node reads, because it reads what follows from them: training
    /// goes on from these.
    fn store_what_was_derived_from(&mut self) {
        if matches!(self.architecture.distances, Distances::Disentangled { .. }) {
            self.nodes.parameter("distances.embeddings");
            self.nodes.parameter("distances.norm.weight");
            self.nodes.parameter("distances.norm.bias");
        }
    }

    /// `[tokens, hidden]`
    fn embeddings(&mut self) -> String {
        let mut sum = self.nodes.words();
        let mut addends = Vec::new();
        if !self.architecture.no_learned_positions {
            let table = self.nodes.parameter("embeddings.position");
            let ids = GraphInput::PositionIds.name();
            let rows = self.nodes.gather(&table, ids, "embeddings/position");
            addends.push((rows, "embeddings/word_position"));
        }
        if self.architecture.segment_types > 0 {
            let table = self.nodes.parameter("embeddings.segment");
            let ids = GraphInput::SegmentIds.name();
            let rows = self.nodes.gather(&table, ids, "embeddings/segment");
            addends.push((rows, "embeddings/sum"));
        }
        for (rows, name) in addends {
            sum = self.nodes.node("Add", &[&sum, &rows], name, vec![]);
        }
        let normalised = self.nodes.norm(&sum, "embeddings.norm", "embeddings/norm");
        if self.architecture.embedding_size.is_none() {
            return normalised;
        }
        self.nodes.linear(&normalised, "embeddings.projection", "embeddings")
    }
}
