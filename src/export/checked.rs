//! What a graph from elsewhere may hold: no more than `to_onnx` writes.
//!
//! ONNX has operators that loop, allocate as much as they are told to, or name further files. A
//! checkpoint's hashes say that nothing changed since somebody made it, not who that was.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    graph::{FP16_SUFFIX, INT8_SUFFIX, ONNX_RUNTIME},
    messages::{DataLocation, DataType, Graph, Node, Tensor},
};
use crate::architecture::{Architecture, Role};

/// The operators that `to_onnx` writes or has written.
const OPERATORS: [&str; 22] = [
    "Abs",
    "Add",
    "Cast",
    CONSTANT_OF_SHAPE,
    "Gather",
    "Gelu",
    "Gemm",
    "Identity",
    "LayerNormalization",
    "MatMul",
    "Max",
    "Mul",
    "QuantizeLinear",
    "ReduceMax",
    "ReduceSum",
    "Relu",
    "Reshape",
    SHAPE,
    "Slice",
    "Softmax",
    "Split",
    "Transpose",
];

/// And those of ONNX Runtime's own.
const ONNX_RUNTIME_OPERATORS: [&str; 2] = ["MatMulIntegerToFloat", "RotaryEmbedding"];

const SHAPE: &str = "Shape";
const CONSTANT_OF_SHAPE: &str = "ConstantOfShape";

/// What is in a graph that should not be, if anything.
pub(super) fn fault(graph: &Graph) -> Option<String> {
    let shapes: BTreeSet<&str> = graph
        .node
        .iter()
        .filter(|node| node.op_type == SHAPE)
        .flat_map(|node| node.output.iter().map(String::as_str))
        .collect();
    let mut names = BTreeSet::new();
    let twice = graph.initializer.iter().find(|tensor| !names.insert(tensor.name.as_str()));
    if let Some(tensor) = twice {
        return Some(format!("that it has two matrices {:?}", tensor.name));
    }
    let inside = graph.initializer.iter().filter(|tensor| !is_external(tensor));
    graph
        .node
        .iter()
        .find_map(|node| node_fault(node, &shapes))
        .or_else(|| inside.filter_map(data_fault).next())
}

fn node_fault(node: &Node, shapes: &BTreeSet<&str>) -> Option<String> {
    let (domain, operator) = (node.domain.as_str(), node.op_type.as_str());
    let is_known = match domain {
        "" | "ai.onnx" => OPERATORS.contains(&operator),
        ONNX_RUNTIME => ONNX_RUNTIME_OPERATORS.contains(&operator),
        _ => false,
    };
    if !is_known {
        return Some(format!("the operator {operator:?} of the domain {domain:?}"));
    }
    // Told by a matrix of the file, it would take any amount of memory.
    let is_bounded = || node.input.iter().all(|input| shapes.contains(input.as_str()));
    if operator == CONSTANT_OF_SHAPE && !is_bounded() {
        return Some(format!("the shape that {operator} is given"));
    }
    node.attribute.iter().filter_map(|attribute| attribute.t.as_ref()).find_map(|tensor| {
        if is_external(tensor) {
            return Some(format!("a constant of {operator}, which lies in another file"));
        }
        data_fault(tensor)
    })
}

/// A tensor in the graph itself must hold what its shape says.
fn data_fault(tensor: &Tensor) -> Option<String> {
    let size = match DataType::try_from(tensor.data_type) {
        Ok(DataType::Float) => 4,
        Ok(DataType::Float16) => 2,
        Ok(DataType::Int8 | DataType::Uint8) => 1,
        Ok(DataType::Int64) => 8,
        _ => return Some(format!("the type of {:?}", tensor.name)),
    };
    let bytes = tensor.dims.iter().try_fold(size, |bytes: usize, &dimension| {
        bytes.checked_mul(usize::try_from(dimension).ok()?)
    });
    (bytes != Some(tensor.raw_data.len())).then(|| format!("the size of {:?}", tensor.name))
}

/// The first parameter of another shape than the architecture says, if any; with fewer rows of a table
/// than it says, a prompt would reach beyond them. Names that the architecture does not know are left
/// alone: constants and scales.
pub(super) fn shape_fault(graph: &Graph, architecture: &Architecture) -> Option<String> {
    let parameters = architecture.parameters();
    let tables = parameters.iter().filter(|parameter| parameter.role == Role::Table);
    let mut looked_up: Vec<String> = tables.map(|table| table.name.clone()).collect();
    let parameters = parameters.into_iter().map(|parameter| (parameter.name, parameter.shape));
    let derived = architecture.derived();
    looked_up.extend(derived.iter().map(|(name, _)| name.clone()));
    let parameters: BTreeMap<String, Vec<usize>> = parameters.chain(derived).collect();
    for tensor in &graph.initializer {
        let name = tensor.name.strip_suffix(FP16_SUFFIX);
        let name = name.or_else(|| tensor.name.strip_suffix(INT8_SUFFIX)).unwrap_or(&tensor.name);
        let Some(expected) = parameters.get(name) else { continue };
        let sizes = tensor.dims.iter().map(|&dimension| usize::try_from(dimension).ok());
        if !sizes.eq(expected.iter().map(|&size| Some(size))) {
            return Some(format!("the shape {:?} of {name}, expected {expected:?}", tensor.dims));
        }
        looked_up.retain(|missing| missing != name);
    }
    looked_up.first().map(|missing| format!("that it has no {missing}"))
}

pub(super) fn is_external(tensor: &Tensor) -> bool {
    tensor.data_location == DataLocation::External as i32
}

#[cfg(test)]
mod tests;
