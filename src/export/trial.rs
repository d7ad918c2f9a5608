//! The smallest graph that multiplies, to see whether a device computes.

use prost::Message;

use super::messages::{
    DataType, Dimension, DimensionValue, Graph, Model, Node, OperatorSetId, Shape, TensorType,
    Type, ValueInfo,
};

/// What the trial graph calls its input and its output, both `[1, 1]` of 32 bits.
pub const TRIAL: (&str, &str) = ("x", "y");

/// A graph that multiplies `x`, a matrix of one number, by itself.
pub fn trial_graph() -> Vec<u8> {
    let (x, y) = TRIAL;
    let node = Node {
        input: vec![x.to_owned(), x.to_owned()],
        output: vec![y.to_owned()],
        name: y.to_owned(),
        op_type: "MatMul".to_owned(),
        ..Node::default()
    };
    let graph = Graph {
        node: vec![node],
        name: "trial".to_owned(),
        initializer: Vec::new(),
        input: vec![matrix(x)],
        output: vec![matrix(y)],
    };
    let opset = OperatorSetId { domain: String::new(), version: 17 };
    let model =
        Model { ir_version: 8, graph: Some(graph), opset_import: vec![opset], ..Model::default() };
    model.encode_to_vec()
}

fn matrix(name: &str) -> ValueInfo {
    let one = Dimension { value: Some(DimensionValue::DimValue(1)) };
    let shape = Some(Shape { dim: vec![one.clone(), one] });
    let tensor_type = Some(TensorType { elem_type: DataType::Float as i32, shape });
    ValueInfo { name: name.to_owned(), r#type: Some(Type { tensor_type }), ..ValueInfo::default() }
}
