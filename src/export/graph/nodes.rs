//! Nodes and initialisers, added one after the other. Each method that adds a node returns the
//! name of its result.

use std::collections::BTreeMap;

use super::super::{
    messages::{Attribute, AttributeType, DataType, Node, Tensor},
    store::Store,
};
use crate::weights::{EncoderWeights, Precision};

/// The domain of ONNX Runtime's own operators.
pub(in super::super) const ONNX_RUNTIME: &str = "com.microsoft";

/// A graph in the making.
pub(super) struct Nodes<'a> {
    pub weights: &'a EncoderWeights,
    pub precision: Precision,
    pub nodes: Vec<Node>,
    pub store: Store<'a>,
    /// What was quantised before: the 8-bit rows and their scales, by the name of the floats.
    pub quantized: BTreeMap<String, (String, String)>,
}

impl<'a> Nodes<'a> {
    pub fn new(weights: &'a EncoderWeights, precision: Precision, location: &'a str) -> Self {
        let store = Store::new(location);
        Self { weights, precision, nodes: Vec::new(), store, quantized: BTreeMap::new() }
    }

    /// The parameter with this name as 32-bit floats.
    pub fn parameter(&mut self, name: &str) -> String {
        if let Some(array) = self.weights.get(name)
            && !self.store.has(name)
        {
            self.store.fp32(name, array);
        }
        name.to_owned()
    }

    pub fn norm(&mut self, x: &str, name: &str, output: &str) -> String {
        let weight = self.parameter(&format!("{name}.weight"));
        let bias = self.bias(name);
        let epsilon = float("epsilon", self.weights.architecture.layer_norm_eps as f32);
        let attributes = vec![int("axis", -1), epsilon];
        let inputs: Vec<&str> = [x, &weight].into_iter().chain(bias.as_deref()).collect();
        self.node("LayerNormalization", &inputs, output, attributes)
    }

    /// The bias of a linear layer or a norm, where the encoder has one.
    pub fn bias(&mut self, name: &str) -> Option<String> {
        let name = format!("{name}.bias");
        self.weights.get(&name)?;
        Some(self.parameter(&name))
    }

    pub fn gather(&mut self, from: &str, indices: &str, output: &str) -> String {
        self.node("Gather", &[from, indices], output, vec![int("axis", 0)])
    }

    pub fn reshape(&mut self, x: &str, shape_name: &str, shape: &[i64], output: &str) -> String {
        let shape = self.integers(shape_name, shape);
        self.node("Reshape", &[x, &shape], output, vec![])
    }

    /// A constant vector of integers. Constants are shared by name between layers.
    pub fn integers(&mut self, name: &str, values: &[i64]) -> String {
        let raw_data = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constant(name, vec![values.len() as i64], DataType::Int64, raw_data)
    }

    /// A constant number.
    pub fn scalar(&mut self, name: &str, value: f32) -> String {
        self.constant(name, vec![], DataType::Float, value.to_le_bytes().to_vec())
    }

    pub fn constant(
        &mut self,
        name: &str,
        dims: Vec<i64>,
        data_type: DataType,
        raw_data: Vec<u8>,
    ) -> String {
        if !self.store.has(name) {
            self.store.inline(name, dims, data_type, raw_data);
        }
        name.to_owned()
    }

    /// A node of the standard.
    pub fn node(
        &mut self,
        op_type: &str,
        input: &[&str],
        output: &str,
        attribute: Vec<Attribute>,
    ) -> String {
        self.node_of("", op_type, input, output, attribute)
    }

    /// A node of a domain.
    pub fn node_of(
        &mut self,
        domain: &str,
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
            domain: domain.to_owned(),
        });
        output.to_owned()
    }
}

pub(super) fn int(name: &str, i: i64) -> Attribute {
    Attribute { name: name.to_owned(), i, r#type: AttributeType::Int as i32, ..Default::default() }
}

pub(super) fn text(name: &str, value: &str) -> Attribute {
    let (r#type, s) = (AttributeType::String as i32, value.as_bytes().to_vec());
    Attribute { name: name.to_owned(), s, r#type, ..Default::default() }
}

pub(super) fn float(name: &str, f: f32) -> Attribute {
    let r#type = AttributeType::Float as i32;
    Attribute { name: name.to_owned(), f, r#type, ..Default::default() }
}

pub(super) fn ints(name: &str, ints: &[i64]) -> Attribute {
    let r#type = AttributeType::Ints as i32;
    Attribute { name: name.to_owned(), ints: ints.to_vec(), r#type, ..Default::default() }
}

pub(super) fn tensor(name: &str, t: Tensor) -> Attribute {
    let r#type = AttributeType::Tensor as i32;
    Attribute { name: name.to_owned(), t: Some(t), r#type, ..Default::default() }
}
