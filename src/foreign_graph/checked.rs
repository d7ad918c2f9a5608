//! Checks of a graph from elsewhere: nothing but known operators, no code or graph within, and tensors
//! that hold what they say.

use std::{
    collections::{BTreeMap, BTreeSet},
    iter,
};

use prost::{bytes::Bytes, encoding::decode_varint};

use super::{
    error::{ForeignGraphError, shown},
    messages::{Attribute, Graph, Model, Node, Tensor},
    operators,
    tensor_type::{FLOAT, INT64, bits, is_external, values},
};

/// Values of an array whose shape the graph itself states, such as a constant one to expand to: 1 GiB of
/// 32-bit floats.
const MAX_CONSTANT_VALUES: i64 = 1 << 28;

/// Operators that make an array as large as they are told, and the place of its sizes among their inputs.
const SHAPED: [(&str, usize); 6] =
    [("ConstantOfShape", 0), ("Expand", 1), ("OneHot", 1), ("Pad", 1), ("Range", 1), ("Tile", 1)];

/// Refuses a model with what encoders do not consist of.
pub fn check(model: &Model, path: &str) -> Result<(), ForeignGraphError> {
    let path = || path.to_owned();
    if !model.functions.is_empty() {
        return Err(ForeignGraphError::Functions { path: path(), found: model.functions.len() });
    }
    let empty = Graph::default();
    let graph = model.graph.as_ref().unwrap_or(&empty);
    if !graph.sparse_initializer.is_empty() {
        let (name, what) = ("(sparse)".to_owned(), "nothing here reads the sparse values");
        return Err(ForeignGraphError::Tensor { path: path(), name, what });
    }
    let constants = Constants::of(graph);
    for node in &graph.node {
        check_node(node, &constants, &path())?;
    }
    let mut names = BTreeSet::new();
    for tensor in &graph.initializer {
        if tensor.name.is_empty() || !names.insert(tensor.name.as_str()) {
            return Err(wrong(&path(), tensor, "there is another of the name"));
        }
        check_tensor(tensor, &path())?;
    }
    Ok(())
}

fn check_node(node: &Node, constants: &Constants<'_>, path: &str) -> Result<(), ForeignGraphError> {
    let path = || path.to_owned();
    let operator = || match node.domain.as_str() {
        "" => shown(&node.op_type),
        domain => format!("{}:{}", shown(domain), shown(&node.op_type)),
    };
    if node.attribute.iter().any(|one| one.g.is_some() || !one.graphs.is_empty()) {
        return Err(ForeignGraphError::ControlFlow { path: path(), operator: operator() });
    }
    let is_known = operators::is_known(&node.domain, &node.op_type);
    if !is_known || node.attribute.iter().any(holds_unread_tensors) {
        return Err(ForeignGraphError::Operator { path: path(), operator: operator() });
    }
    for tensor in node.attribute.iter().filter_map(|attribute| attribute.t.as_ref()) {
        if is_external(tensor) {
            return Err(wrong(
                &path(),
                tensor,
                "a constant cannot lie in another file, as the data",
            ));
        }
        check_tensor(tensor, &path())?;
    }
    let shaped = SHAPED.iter().find(|(name, _)| *name == node.op_type);
    let shape = shaped.and_then(|(_, at)| node.input.get(*at));
    match shape.and_then(|name| Some((name, constants.0.get(name.as_str())?))) {
        Some((name, constant)) if constant.is_too_large() => Err(ForeignGraphError::Tensor {
            path: path(),
            name: shown(name),
            what: "too large is the array",
        }),
        _ => Ok(()),
    }
}

fn holds_unread_tensors(attribute: &Attribute) -> bool {
    let Attribute { tensors, sparse_tensor, sparse_tensors, .. } = attribute;
    !tensors.is_empty() || sparse_tensor.is_some() || !sparse_tensors.is_empty()
}

/// Arrays that stand in the graph itself, by name.
struct Constants<'a>(BTreeMap<&'a str, Constant<'a>>);

/// One of them: a tensor, or the list of integers that a `Constant` node may have instead.
enum Constant<'a> {
    Tensor(&'a Tensor),
    Integers(&'a [i64]),
}

impl<'a> Constants<'a> {
    fn of(graph: &'a Graph) -> Self {
        let tensor = |tensor: &'a Tensor| (tensor.name.as_str(), Constant::Tensor(tensor));
        let constant = |node: &'a Node| {
            // ONNX Runtime takes a node with one attribute.
            let attribute = node.attribute.first()?;
            let integers = Constant::Integers(&attribute.ints);
            Some((
                node.output.first()?.as_str(),
                attribute.t.as_ref().map_or(integers, Constant::Tensor),
            ))
        };
        let nodes = graph.node.iter().filter(|node| node.op_type == "Constant");
        Self(nodes.filter_map(constant).chain(graph.initializer.iter().map(tensor)).collect())
    }
}

impl Constant<'_> {
    /// Tells whether it is the shape of more values than anything in an encoder has.
    fn is_too_large(&self) -> bool {
        let values = match self {
            Self::Integers(sizes) => product(sizes.iter().copied()),
            Self::Tensor(tensor) if tensor.data_type == INT64 => product(integers(tensor)),
            Self::Tensor(_) => Some(1),
        };
        values.is_none_or(|values| values > MAX_CONSTANT_VALUES)
    }
}

/// Yields the 64-bit integers of a tensor, which has them as bytes or packed.
fn integers(tensor: &Tensor) -> impl Iterator<Item = i64> {
    let raw = tensor.raw_data.as_chunks::<8>().0.iter();
    let mut packed = tensor.int64_data.as_ref();
    let packed = iter::from_fn(move || decode_varint(&mut packed).ok());
    raw.map(|size| i64::from_le_bytes(*size)).chain(packed.map(u64::cast_signed))
}

/// Counts the values of an array of this shape. Sizes that are not positive are taken from another array.
fn product(sizes: impl Iterator<Item = i64>) -> Option<i64> {
    sizes.filter(|size| *size > 0).try_fold(1, i64::checked_mul)
}

/// A tensor in the graph must hold what its shape says. One in another file is compared with that.
fn check_tensor(tensor: &Tensor, path: &str) -> Result<(), ForeignGraphError> {
    let wrong = |what| Err(wrong(path, tensor, what));
    let Some(bits) = bits(tensor.data_type) else { return wrong("nothing here reads the type") };
    let Some(values) = values(tensor) else { return wrong("wrong is the shape") };
    let expected = (values as u64).saturating_mul(bits).div_ceil(8);
    // Numbers of a type are in the array of that type or in the raw one, and in no other.
    let (float, int64) = (tensor.data_type == FLOAT, tensor.data_type == INT64);
    let varints = |data: &Bytes| data.iter().filter(|&&byte| byte < 0x80).count() as u64;
    let arrays = [
        (&tensor.raw_data, tensor.raw_data.len() as u64 == expected),
        (&tensor.float_data, float && tensor.float_data.len() as u64 == expected),
        (&tensor.int32_data, !float && !int64 && varints(&tensor.int32_data) == values as u64),
        (&tensor.int64_data, int64 && varints(&tensor.int64_data) == values as u64),
    ];
    let mut held = arrays.iter().filter(|(data, _)| !data.is_empty());
    match (held.next(), held.next()) {
        (None, _) if values == 0 || is_external(tensor) => Ok(()),
        (Some((_, true)), None) if !is_external(tensor) => Ok(()),
        _ => wrong("wrong is the size"),
    }
}

fn wrong(path: &str, tensor: &Tensor, what: &'static str) -> ForeignGraphError {
    ForeignGraphError::Tensor { path: path.to_owned(), name: shown(&tensor.name), what }
}
