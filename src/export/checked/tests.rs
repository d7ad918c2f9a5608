use std::path::Path;

use prost::Message;

use crate::{
    export::{
        EncoderGraph, ReadError,
        messages::{Attribute, DataLocation, DataType, Graph, Model, Node, StringEntry, Tensor},
        to_onnx,
    },
    weights::{Precision, tests::small},
};

fn read(graph: &Graph) -> Result<(), ReadError> {
    let model = Model { graph: Some(graph.clone()), ..Model::default() };
    let bytes = model.encode_to_vec();
    let graph = EncoderGraph::from_bytes(&bytes, Path::new("encoder.onnx"))?;
    graph.check_shapes(&small().architecture)
}

fn graph(precision: Precision) -> Graph {
    let bytes = to_onnx(&small(), precision, "w").graph;
    Model::decode(bytes.as_slice()).expect("our own").graph.expect("a graph")
}

/// Changes a good graph and expects these words.
fn check(change: impl Fn(&mut Graph), words: &str) {
    for precision in [Precision::Fp32, Precision::Fp16, Precision::Int8] {
        let mut graph = graph(precision);
        assert!(read(&graph).is_ok(), "{precision:?}");
        change(&mut graph);
        let error = read(&graph).expect_err(words).to_string();
        assert!(error.contains("encoder.onnx") && error.contains(words), "{error}");
    }
}

fn outside() -> Tensor {
    let entry =
        |key: &str, value: &str| StringEntry { key: key.to_owned(), value: value.to_owned() };
    Tensor {
        name: "secret".to_owned(),
        dims: vec![16],
        data_type: DataType::Uint8 as i32,
        external_data: vec![entry("location", "/etc/passwd"), entry("length", "16")],
        data_location: DataLocation::External as i32,
        ..Tensor::default()
    }
}

fn node(domain: &str, op_type: &str, constant: Option<Tensor>) -> Node {
    let attribute = Attribute { name: "value".to_owned(), t: constant, ..Attribute::default() };
    Node {
        input: vec!["attention/scale".to_owned()],
        output: vec!["more".to_owned()],
        name: "more".to_owned(),
        op_type: op_type.to_owned(),
        attribute: vec![attribute],
        domain: domain.to_owned(),
    }
}

#[test]
fn a_graph_holds_no_operator_but_our_own() {
    for (domain, operator) in
        [("", "Loop"), ("", "If"), ("", "Constant"), ("com.microsoft", "EPContext"), ("x", "Add")]
    {
        check(|graph| graph.node.push(node(domain, operator, None)), &format!("{operator:?}"));
    }
    // It would make as much as a file says.
    check(|graph| graph.node.push(node("", "ConstantOfShape", None)), "the shape");
}

#[test]
fn a_constant_lies_in_no_other_file() {
    check(|graph| graph.node.push(node("", "Identity", Some(outside()))), "lies in another file");
    let located = |graph: &mut Graph| {
        graph.initializer.push(outside());
        let model = Model { graph: Some(graph.clone()), ..Model::default() };
        EncoderGraph::from_bytes(&model.encode_to_vec(), Path::new("e")).expect("decoded")
    };
    let graph = located(&mut graph(Precision::Fp32));
    let error = graph.weights_file().expect_err("two files").to_string();
    assert!(error.contains("more than one file"), "{error}");
}

#[test]
fn what_is_inside_has_the_size_that_its_shape_says() {
    fn inside(graph: &mut Graph) -> &mut Tensor {
        let of_norm = |tensor: &&mut Tensor| tensor.name == "embeddings.norm.bias";
        graph.initializer.iter_mut().find(of_norm).expect("a vector")
    }
    check(|graph| inside(graph).raw_data.clear(), "the size of \"embeddings.norm.bias\"");
    check(|graph| inside(graph).dims = vec![1 << 62, 1 << 62], "the size");
    check(|graph| inside(graph).dims = vec![-8], "the size");
    check(|graph| inside(graph).data_type = 77, "the type");
    check(|graph| inside(graph).dims = vec![2, 4], "the shape [2, 4] of embeddings.norm.bias");
    check(|graph| graph.initializer.push(graph.initializer[0].clone()), "two matrices");
}

#[test]
fn embeddings_have_a_row_for_all_that_a_prompt_may_hold() {
    for name in ["embeddings.position", "embeddings.segment"] {
        let named = |tensor: &&mut Tensor| tensor.name == name;
        let shorter = |graph: &mut Graph| {
            graph.initializer.iter_mut().find(named).expect("there").dims[0] -= 1;
        };
        check(shorter, name);
        check(|graph| graph.initializer.retain(|tensor| tensor.name != name), name);
    }
}

#[test]
fn no_byte_belongs_to_two_matrices() {
    let mut graph = graph(Precision::Fp32);
    let offset = |tensor: &mut Tensor, value: &str| {
        let entry = tensor.external_data.iter_mut().find(|entry| entry.key == "offset");
        entry.expect("it has one").value = value.to_owned();
    };
    let mut matrices =
        graph.initializer.iter_mut().filter(|tensor| !tensor.external_data.is_empty());
    let second = matrices.nth(1).expect("two");
    let name = second.name.clone();
    for (place, is_good) in [("4", false), ("0", false), ("-4", false), ("1000000", true)] {
        let mut graph = graph.clone();
        let tensor = graph.initializer.iter_mut().find(|tensor| tensor.name == name);
        offset(tensor.expect("there"), place);
        let model = Model { graph: Some(graph), ..Model::default() };
        let read = EncoderGraph::from_bytes(&model.encode_to_vec(), Path::new("e"));
        let stored = read.expect("decoded").stored(1 << 20);
        // A place that is no number is the beginning.
        assert_eq!(stored.is_ok(), is_good, "{place}: {stored:?}");
    }
}
