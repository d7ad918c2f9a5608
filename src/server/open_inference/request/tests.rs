use std::collections::BTreeMap;

use super::{super::texts::to_raw, *};
use crate::task::{Field, Kind, Truncate};

/// Two fields, one of them optional.
fn task() -> Task {
    let field = |name: &str, optional| Field {
        name: name.to_owned(),
        min_tokens: 1,
        truncate: Truncate::Tail,
        priority: 1,
        optional,
    };
    let labels = ["no", "yes"].map(str::to_owned).to_vec();
    Task {
        name: "match".to_owned(),
        kind: Kind::Classification { labels },
        fields: vec![field("title", false), field("brand", true)],
    }
}

fn input(name: &str, shape: &[i64], texts: &[&str]) -> InferInputTensor {
    let bytes_contents = texts.iter().map(|text| text.as_bytes().to_vec()).collect();
    InferInputTensor {
        name: name.to_owned(),
        datatype: "BYTES".to_owned(),
        shape: shape.to_vec(),
        contents: Some(InferTensorContents { bytes_contents, ..Default::default() }),
        ..Default::default()
    }
}

/// The same with raw contents.
fn in_one_piece(request: ModelInferRequest) -> ModelInferRequest {
    let raw_of = |input: &InferInputTensor| {
        let contents = input.contents.clone().unwrap_or_default();
        to_raw(contents.bytes_contents.iter().map(Vec::as_slice))
    };
    let raw_input_contents = request.inputs.iter().map(raw_of).collect();
    let bare = |input| InferInputTensor { contents: None, ..input };
    let inputs = request.inputs.into_iter().map(bare).collect();
    ModelInferRequest { inputs, raw_input_contents, ..request }
}

fn with(inputs: Vec<InferInputTensor>) -> ModelInferRequest {
    ModelInferRequest { inputs, ..Default::default() }
}

/// The paths of what is wrong, with their descriptions.
fn faults(request: ModelInferRequest) -> Vec<(String, String)> {
    let violations = read(&task(), request, 3).expect_err("something is wrong");
    violations.into_iter().map(|violation| (violation.field, violation.description)).collect()
}

/// One thing is wrong, at this path, and these words say what.
#[track_caller]
fn check(request: ModelInferRequest, path: &str, words: &str) {
    let found = faults(request);
    let [(field, description)] = &found[..] else { panic!("one fault: {found:?}") };
    assert_eq!(field, path, "{description}");
    assert!(description.contains(words), "{description}");
}

#[test]
fn tensors_of_either_kind_become_examples() {
    let inputs = vec![input("brand", &[2, 1], &["", "b"]), input("title", &[2], &["ä", "t"])];
    for request in [with(inputs.clone()), in_one_piece(with(inputs))] {
        let raw = !request.raw_input_contents.is_empty();
        let inquiry = read(&task(), request, 3).expect("good");
        let told: Vec<Vec<(&str, &str)>> = inquiry
            .examples
            .iter()
            .map(|one| one.fields.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect())
            .collect();
        let expected = [[("brand", ""), ("title", "ä")], [("brand", "b"), ("title", "t")]];
        assert_eq!(told, expected);
        let outputs = OutputTensor::usual(&task().kind).collect();
        assert_eq!(inquiry.form, Form { outputs, top_k: 0, threshold: None, raw });
    }
    let inquiry = read(&task(), with(vec![input("title", &[1], &["t"])]), 3).expect("good");
    assert!(!inquiry.examples[0].fields.contains_key("brand"), "it may be left out");
}

#[test]
fn faults_of_inputs_are_named() {
    let title = || input("title", &[2], &["a", "b"]);
    check(with(vec![]), "inputs.title", "missing");
    check(with(vec![input("brand", &[1], &["b"])]), "inputs.title", "missing");
    check(with(vec![title(), title()]), "inputs[1].name", "twice");
    check(with(vec![title(), input("price", &[2], &["", ""])]), "inputs[1].name", "title, brand");
    check(with(vec![title(); 100]), "inputs", "100 inputs; the task has 2 fields");
    let typed = InferInputTensor { datatype: "FP32".to_owned(), ..title() };
    check(with(vec![typed]), "inputs.title.datatype", "\"FP32\" is not BYTES");
    for (shape, words) in [
        (&[][..], "[]: [n] or [n, 1]"),
        (&[2, 2], "[2, 2]"),
        (&[1, 2], "[1, 2]"),
        (&[-1], "[-1]"),
        (&[2, 1, 1], "[2, 1, 1]"),
        (&[2; 50], "50 dimensions"),
        (&[0], "at least one"),
        (&[4], "4 examples; at most 3"),
        (&[i64::MAX], "at most 3"),
    ] {
        check(with(vec![input("title", shape, &["a", "b"])]), "inputs.title.shape", words);
    }
    let brand = input("brand", &[1], &["b"]);
    check(with(vec![title(), brand]), "inputs.brand.shape", "1 examples; the input title has 2");
}

#[test]
fn faults_of_contents_are_named() {
    let title = || input("title", &[2], &["a", "b"]);
    let of = |contents| with(vec![InferInputTensor { contents, ..title() }]);
    check(of(None), "inputs.title.contents", "missing");
    let one = vec![b"a".to_vec()];
    let one = InferTensorContents { bytes_contents: one, ..Default::default() };
    check(of(Some(one)), "inputs.title.contents", "1 bytes_contents; the shape says 2");
    let mut mixed = title().contents.expect("some");
    mixed.fp32_contents = vec![1.0];
    check(of(Some(mixed)), "inputs.title.contents", "bytes_contents alone");
    let latin = vec![b"a".to_vec(), b"a\xe4".to_vec()];
    let latin = of(Some(InferTensorContents { bytes_contents: latin, ..Default::default() }));
    check(latin.clone(), "inputs.title[1]", "not UTF-8 at byte 1");
    check(in_one_piece(latin), "inputs.title[1]", "not UTF-8 at byte 1");
    let raw = in_one_piece(with(vec![title()]));
    let with_raw = |raw_input_contents| ModelInferRequest { raw_input_contents, ..raw.clone() };
    let bytes = &raw.raw_input_contents[0];
    let cut = with_raw(vec![bytes[..bytes.len() - 1].to_vec()]);
    check(cut, "raw_input_contents[0]", "element 1 of 2");
    let more = with_raw(vec![[bytes.as_slice(), b"x"].concat()]);
    check(more, "raw_input_contents[0]", "1 bytes after the last of 2");
    check(with_raw(vec![bytes.clone(); 2]), "raw_input_contents", "one for each of the 1 inputs");
    let both = ModelInferRequest { inputs: vec![title()], ..raw.clone() };
    check(both, "inputs.title.contents", "not both");
}

#[test]
fn outputs_are_those_asked_for_and_wrong_ones_are_named() {
    let asking = |names: &[&str]| {
        let output = |name: &&str| InferRequestedOutputTensor {
            name: (*name).to_owned(),
            ..Default::default()
        };
        let outputs = names.iter().map(output).collect();
        ModelInferRequest { outputs, ..with(vec![input("title", &[1], &["t"])]) }
    };
    let inquiry = read(&task(), asking(&["truncated", "labels"]), 3).expect("good");
    assert_eq!(inquiry.form.outputs, [OutputTensor::Truncated, OutputTensor::Labels]);
    check(asking(&["labels", "value"]), "outputs[1].name", "probabilities, labels, truncated");
    check(asking(&["labels", "labels"]), "outputs[1].name", "twice");
    check(asking(&["labels"; 100]), "outputs", "100 outputs");
}

#[test]
fn parameters_of_tensors_are_known_or_named() {
    let parameters = |names: &[&str]| {
        let named = names.iter().map(|name| ((*name).to_owned(), Default::default()));
        named.collect::<BTreeMap<_, _>>()
    };
    let asking = |of_input: &[&str], of_output: &[&str]| {
        let mut title = input("title", &[1], &["t"]);
        title.parameters = parameters(of_input);
        let labels = InferRequestedOutputTensor {
            name: "labels".to_owned(),
            parameters: parameters(of_output),
        };
        ModelInferRequest { outputs: vec![labels], ..with(vec![title]) }
    };
    read(&task(), asking(&["binary_data_size"], &["binary_data"]), 3).expect("let pass");
    let shared = "shared_memory_region";
    check(asking(&[shared], &[]), &format!("inputs.title.parameters.{shared}"), "in the call");
    check(asking(&[], &["classification"]), "outputs[0].parameters.classification", "top_k");
    check(asking(&[], &["odd"]), "outputs[0].parameters.odd", "unknown");
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let request = ModelInferRequest {
        inputs: vec![input("title", &[2], &["a"]), input("brand", &[3, 3], &[])],
        outputs: vec![InferRequestedOutputTensor::default()],
        parameters: [("odd".to_owned(), Default::default())].into(),
        ..Default::default()
    };
    let paths: Vec<String> = faults(request).into_iter().map(|(path, _)| path).collect();
    let expected =
        ["inputs.title.contents", "inputs.brand.shape", "parameters.odd", "outputs[0].name"];
    assert_eq!(paths, expected);
}
