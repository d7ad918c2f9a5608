use std::path::Path;

use proptest::prelude::*;
use prost::{Message, encoding::encode_varint};

use super::{
    messages::{Attribute, DimensionValue, Graph, Model, Node, StringEntry, Tensor, ValueInfo},
    *,
};
use crate::{
    checkpoint::{ForeignInput, GraphOutput},
    export::{
        Element,
        messages::{Dimension, Shape, TensorType, Type},
    },
    weights::Precision,
};

const FLOAT: i32 = 1;
const INT64: i32 = 7;

fn value(name: &str, elem_type: i32, sizes: &[i64]) -> ValueInfo {
    let dim = sizes.iter().map(|&size| Dimension {
        value: Some(match size {
            0 => DimensionValue::DimParam("any".to_owned()),
            size => DimensionValue::DimValue(size),
        }),
    });
    let shape = Some(Shape { dim: dim.collect() });
    ValueInfo {
        name: name.to_owned(),
        r#type: Some(Type { tensor_type: Some(TensorType { elem_type, shape }) }),
        ..ValueInfo::default()
    }
}

fn node(op_type: &str, inputs: &[&str], output: &str) -> Node {
    Node {
        input: inputs.iter().map(|name| (*name).to_owned()).collect(),
        output: vec![output.to_owned()],
        op_type: op_type.to_owned(),
        ..Node::default()
    }
}

/// `[32, 16]` of 32-bit floats.
fn matrix(name: &str) -> Tensor {
    let raw_data = vec![1u8; 4 * 32 * 16].into();
    Tensor {
        name: name.to_owned(),
        dims: vec![32, 16],
        data_type: FLOAT,
        raw_data,
        ..Tensor::default()
    }
}

fn graph() -> Graph {
    let ids = ["input_ids", "attention_mask"];
    Graph {
        node: vec![node("Gather", &["words", "input_ids"], "last_hidden_state")],
        initializer: vec![matrix("words")],
        input: ids.map(|name| value(name, INT64, &[0, 0])).to_vec(),
        output: vec![value("last_hidden_state", FLOAT, &[0, 0, 16])],
        ..Graph::default()
    }
}

fn read_model(model: &Model) -> Result<ForeignModel, ForeignGraphError> {
    ForeignModel::from_bytes(model.encode_to_vec(), Path::new("model.onnx"))
}

fn read(graph: Graph) -> Result<ForeignModel, ForeignGraphError> {
    read_model(&Model { graph: Some(graph), ..Model::default() })
}

/// Changes a good graph and expects these words.
fn check(change: impl Fn(&mut Graph), words: &str) {
    let mut graph = graph();
    change(&mut graph);
    let found = read(graph).and_then(|model| model.signature().map(drop));
    let error = found.expect_err(words).to_string();
    assert!(error.contains("model.onnx") && error.contains(words), "{error}");
}

#[test]
fn a_plain_encoder_is_taken() {
    let signature = read(graph()).expect("good").signature().expect("an encoder");
    let inputs = vec![ForeignInput::InputIds, ForeignInput::AttentionMask];
    let output = "last_hidden_state".to_owned();
    assert_eq!(signature, Signature { inputs, output, gives: GraphOutput::HiddenStates });
}

#[test]
fn operators_are_those_of_encoders() {
    check(|g| g.node[0].op_type = "Loop".to_owned(), "the operator Loop");
    check(|g| g.node[0].op_type = "RandomNormal".to_owned(), "the operator RandomNormal");
    check(|g| g.node[0].domain = "my.kernels".to_owned(), "the operator my.kernels:Gather");
    check(|g| g.node[0].domain = "com.microsoft".to_owned(), "com.microsoft:Gather");
    let branch = Attribute { g: Some(Default::default()), ..Attribute::default() };
    check(|g| g.node[0].attribute.push(branch.clone()), "control flow: the operator Gather");
    let mut model = Model { graph: Some(graph()), ..Model::default() };
    model.functions.push(Default::default());
    let error = read_model(&model).expect_err("functions").to_string();
    assert!(error.contains("1 functions of its own"), "{error}");
}

#[test]
fn inputs_take_any_number_and_length() {
    check(
        |g| g.input[0] = value("input_ids", INT64, &[1, 0]),
        "input_ids with a fixed batch size of 1",
    );
    check(|g| g.input[0] = value("input_ids", INT64, &[0, 128]), "fixed sequence length of 128");
    check(
        |g| g.input[0] = value("inputs_embeds", FLOAT, &[0, 0, 16]),
        "inputs_embeds of 32-bit floats",
    );
    check(|g| g.input[0] = value("input_ids", 6, &[0, 0]), "input_ids of 32-bit integers");
    check(
        |g| g.input.push(value("pixels", INT64, &[0, 0])),
        "pixels which nothing here can be given to",
    );
    check(|g| drop(g.input.pop()), "no input attention_mask, but input_ids");
    check(|g| g.input.clear(), "no input input_ids, but none");
}

#[test]
fn the_output_is_known_or_the_only_one() {
    let state = value("hidden", FLOAT, &[0, 0, 16]);
    let other = value("pooled", FLOAT, &[0, 16]);
    check(|g| g.output = vec![state.clone(), other.clone()], "the outputs hidden, pooled");
    check(|g| g.output = vec![], "the outputs none");
    check(|g| g.output = vec![other.clone()], "pooled of 2 dimensions, expected [batch, sequence");
    check(|g| g.output = vec![value("logits", FLOAT, &[0, 0, 30])], "expected [batch, labels]");
    check(|g| g.output[0] = value("last_hidden_state", INT64, &[0, 0, 16]), "64-bit integers");
    let outputs = |outputs: Vec<ValueInfo>| {
        let mut model = read(Graph { output: outputs, ..graph() }).expect("good");
        let signature = model.signature().expect("an encoder");
        model.keep_output(&signature.output);
        assert_eq!(model.model.graph.expect("there").output.len(), 1);
        (signature.output, signature.gives)
    };
    let hidden = GraphOutput::HiddenStates;
    assert_eq!(outputs(vec![state.clone()]), ("hidden".to_owned(), hidden));
    let named = value("last_hidden_state", FLOAT, &[0, 0, 16]);
    assert_eq!(outputs(vec![other.clone(), named]), ("last_hidden_state".to_owned(), hidden));
    let of_sentences = value("token_embeddings", FLOAT, &[0, 0, 16]);
    assert_eq!(outputs(vec![other, of_sentences]), ("token_embeddings".to_owned(), hidden));
    let logits = value("logits", FLOAT, &[0, 3]);
    assert_eq!(outputs(vec![logits]), ("logits".to_owned(), GraphOutput::Logits));
}

#[test]
fn tensors_hold_what_they_say() {
    check(|g| g.initializer[0].dims = vec![32, 17], "wrong is the size of the tensor words");
    check(|g| g.initializer[0].dims = vec![i64::MAX, 16], "wrong is the shape");
    check(|g| g.initializer[0].dims = vec![-1], "wrong is the shape");
    check(|g| g.initializer[0].data_type = 8, "nothing here reads the type");
    check(|g| g.initializer.push(matrix("words")), "there is another of the name");
    check(|g| g.initializer[0].int64_data = vec![1u8; 512].into(), "wrong is the size");
    check(|g| g.sparse_initializer.push(Default::default()), "sparse");
}

/// Shapes stand in several places: as bytes, as packed numbers, in a node.
#[test]
fn constants_cannot_ask_for_an_array_that_is_too_large() {
    let sides = [1i64 << 20; 2];
    let shape = || Tensor {
        name: "shape".to_owned(),
        dims: vec![2],
        data_type: INT64,
        ..Tensor::default()
    };
    let bytes = sides.iter().flat_map(|side| side.to_le_bytes()).collect::<Vec<_>>();
    let raw = Tensor { raw_data: bytes.into(), ..shape() };
    let mut varints = Vec::new();
    sides.iter().for_each(|side| encode_varint(side.cast_unsigned(), &mut varints));
    let packed = Tensor { int64_data: varints.into(), ..shape() };
    let words = "too large is the array of the tensor shape";
    for operator in ["Expand", "OneHot", "Pad", "Range", "Tile"] {
        let large = || node(operator, &["words", "shape"], "large");
        for tensor in [&raw, &packed] {
            check(
                |g| {
                    g.initializer.push(tensor.clone());
                    g.node.push(large());
                },
                words,
            );
        }
        let in_a_node = [
            Attribute { t: Some(packed.clone()), ..Attribute::default() },
            Attribute { ints: sides.to_vec(), ..Attribute::default() },
        ];
        for attribute in in_a_node {
            let constant = Node { attribute: vec![attribute], ..node("Constant", &[], "shape") };
            check(|g| g.node.extend([constant.clone(), large()]), words);
        }
    }
}

fn outside(location: &str, length: &str) -> Tensor {
    let entry =
        |key: &str, value: &str| StringEntry { key: key.to_owned(), value: value.to_owned() };
    Tensor {
        raw_data: Default::default(),
        external_data: vec![entry("location", location), entry("length", length)],
        data_location: 1,
        ..matrix("words")
    }
}

#[test]
fn no_file_outside_the_directory_is_named() {
    for location in ["../w", "/etc/passwd", "", "..", "a/../../w", "*/_ORT_MEM_ADDR_/*"] {
        let graph = Graph { initializer: vec![outside(location, "2048")], ..graph() };
        let mut model = read(graph).expect("not looked at yet");
        let gathered = model.gather::<ForeignGraphError>("w", |_| Ok(4096), |_| Ok(vec![0; 2048]));
        let error = gathered.expect_err(location).to_string();
        assert!(error.contains("no path inside the graph's directory"), "{location}: {error}");
    }
}

#[test]
fn matrices_are_gathered_in_one_file() {
    let mut other = outside("./part/one.bin", "2048");
    other.name = "other".to_owned();
    let graph = Graph { initializer: vec![matrix("words"), other], ..graph() };
    let mut model = read(graph).expect("good");
    let gathered = model.gather::<ForeignGraphError>(
        "w",
        |_| Ok(2048),
        |range| {
            assert_eq!(
                *range,
                External { file: "part/one.bin".to_owned(), offset: 0, bytes: 2048 }
            );
            Ok(vec![7; 2048])
        },
    );
    let bytes = gathered.expect("read");
    let again = ForeignModel::from_bytes(model.to_bytes(), Path::new("model.onnx")).expect("good");
    let stored = again.stored("w", bytes.len()).expect("in place");
    let places: Vec<_> = stored.iter().map(|one| (one.name.as_str(), one.range.start)).collect();
    assert_eq!(places, [("words", 4096), ("other", 8192)]);
    assert!(stored.iter().all(|one| one.element == Element::F32 && one.shape == [32, 16]));
    assert_eq!(bytes[stored[0].range.clone()], [1; 2048]);
    assert_eq!(bytes[stored[1].range.clone()], [7; 2048]);
    assert!(again.stored("other", bytes.len()).is_err());
    assert!(again.stored("w", bytes.len() - 1).is_err());
    assert_eq!(again.precision(), Precision::Fp32);
}

#[test]
fn data_are_not_repeated() {
    let mut tensors = vec![outside("w", "2048"), outside("w", "2048")];
    tensors[1].name = "again".to_owned();
    let mut model = read(Graph { initializer: tensors, ..graph() }).expect("good");
    let gathered = model.gather::<ForeignGraphError>("w", |_| Ok(2048), |_| Ok(vec![0; 2048]));
    let error = gathered.expect_err("more than there is").to_string();
    assert!(error.contains("4096 bytes, its files have 2048"), "{error}");
}

/// Repeats `fuzz/fuzz_targets/foreign_graph.rs`: whatever is taken is taken again as it is given to ONNX
/// Runtime, and its matrices lie where it says.
fn stays_good(bytes: Vec<u8>) {
    let path = Path::new("model.onnx");
    let Ok(mut model) = ForeignModel::from_bytes(bytes, path) else { return };
    let gathered = model.gather::<ForeignGraphError>(
        "w",
        |_| Ok(4096),
        |range| Ok(vec![7; usize::try_from(range.bytes).expect("small")]),
    );
    let again = ForeignModel::from_bytes(model.to_bytes(), path).expect("it was good before");
    assert_eq!(again.to_bytes(), model.to_bytes());
    let Ok(content) = gathered else { return };
    for one in again.stored("w", content.len()).expect("where they were put") {
        let numbers: usize = one.shape.iter().product();
        assert_eq!(one.range.len(), numbers * one.element.bytes());
    }
}

proptest! {
    #[test]
    fn damage_is_refused_or_harmless(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        is_outside: bool,
    ) {
        let mut graph = graph();
        if is_outside {
            graph.initializer = vec![outside("w", "2048")];
        }
        let mut bytes = Model { graph: Some(graph), ..Model::default() }.encode_to_vec();
        // Names and sizes lie at both ends; the matrix between them is not interesting.
        let ends = bytes.len().min(160);
        for (at, byte) in changes {
            let at = at.index(2 * ends);
            let at = if at < ends { at } else { bytes.len() - (at - ends) - 1 };
            bytes[at] = byte;
        }
        stays_good(bytes);
    }
}
