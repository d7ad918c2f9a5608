//! Requests and answers of the Open Inference Protocol, put together and taken apart.

use std::collections::BTreeMap;

use dynamar::server::{
    open_inference::proto::{
        InferParameter, InferTensorContents, ModelInferRequest, ModelInferResponse,
        infer_parameter::ParameterChoice,
        model_infer_request::{InferInputTensor, InferRequestedOutputTensor},
    },
    proto,
};

pub fn tensor(name: &str, texts: &[&str]) -> InferInputTensor {
    let bytes_contents = texts.iter().map(|text| text.as_bytes().to_vec()).collect();
    InferInputTensor {
        name: name.to_owned(),
        datatype: "BYTES".to_owned(),
        shape: vec![texts.len() as i64],
        contents: Some(InferTensorContents { bytes_contents, ..Default::default() }),
        ..Default::default()
    }
}

pub fn infer(model: &str, inputs: Vec<InferInputTensor>) -> ModelInferRequest {
    ModelInferRequest {
        model_name: model.to_owned(),
        id: "mine".to_owned(),
        inputs,
        ..Default::default()
    }
}

/// The same with every tensor in one piece.
pub fn raw(mut request: ModelInferRequest) -> ModelInferRequest {
    for input in &mut request.inputs {
        let contents = input.contents.take().expect("typed contents");
        let mut raw = Vec::new();
        for text in contents.bytes_contents {
            raw.extend((text.len() as u32).to_le_bytes());
            raw.extend(text);
        }
        request.raw_input_contents.push(raw);
        // As a column, which means the same.
        input.shape.push(1);
    }
    request
}

pub fn with(
    request: ModelInferRequest,
    parameters: &[(&str, ParameterChoice)],
    outputs: &[&str],
) -> ModelInferRequest {
    let parameters = parameters.iter().map(|(name, choice)| {
        ((*name).to_owned(), InferParameter { parameter_choice: Some(choice.clone()) })
    });
    let output = |name: &&str| InferRequestedOutputTensor {
        name: (*name).to_owned(),
        parameters: BTreeMap::new(),
    };
    ModelInferRequest {
        parameters: parameters.collect(),
        outputs: outputs.iter().map(output).collect(),
        ..request
    }
}

/// Name, data type, shape and bytes of each output, however it travelled.
pub type Told = Vec<(String, String, Vec<i64>, Vec<u8>)>;

pub fn told(answer: &ModelInferResponse) -> Told {
    let is_raw = !answer.raw_output_contents.is_empty();
    let tensors = answer.outputs.iter().enumerate().map(|(at, output)| {
        let bytes = match &output.contents {
            Some(contents) if !is_raw => bytes(contents),
            None if is_raw => answer.raw_output_contents[at].clone(),
            other => panic!("either typed or raw, not {other:?}"),
        };
        (output.name.clone(), output.datatype.clone(), output.shape.clone(), bytes)
    });
    tensors.collect()
}

fn bytes(contents: &InferTensorContents) -> Vec<u8> {
    let mut bytes: Vec<u8> = contents.bool_contents.iter().map(|&one| u8::from(one)).collect();
    bytes.extend(contents.fp32_contents.iter().flat_map(|one| one.to_le_bytes()));
    bytes.extend(contents.fp64_contents.iter().flat_map(|one| one.to_le_bytes()));
    for text in &contents.bytes_contents {
        bytes.extend((text.len() as u32).to_le_bytes());
        bytes.extend(text);
    }
    bytes
}

pub fn output(
    name: &str,
    datatype: &str,
    shape: &[i64],
    bytes: Vec<u8>,
) -> (String, String, Vec<i64>, Vec<u8>) {
    (name.to_owned(), datatype.to_owned(), shape.to_vec(), bytes)
}

fn strings<'t>(texts: impl IntoIterator<Item = &'t String>) -> Vec<u8> {
    let bytes_contents = texts.into_iter().map(|text| text.as_bytes().to_vec()).collect();
    bytes(&InferTensorContents { bytes_contents, ..Default::default() })
}

/// The tensors that say what Classify said, with so many labels of each example.
pub fn as_tensors(names: &[&str], said: &proto::ClassifyResponse, top: usize) -> Told {
    let rows = said.results.len() as i64;
    let probability = |result: &proto::Classification, name: &str| -> f32 {
        let score = result.labels.iter().find(|score| score.label == name);
        score.expect("a label of the task").probability
    };
    let probabilities =
        said.results.iter().flat_map(|one| names.iter().map(|name| probability(one, name)));
    let best = said.results.iter().flat_map(|one| &one.labels[..top.max(1)]);
    let shape: &[i64] = if top == 0 { &[rows] } else { &[rows, top as i64] };
    let truncated = said.results.iter().map(|one| u8::from(one.truncated));
    vec![
        output(
            "probabilities",
            "FP32",
            &[rows, names.len() as i64],
            probabilities.flat_map(f32::to_le_bytes).collect(),
        ),
        output("labels", "BYTES", shape, strings(best.map(|score| &score.label))),
        output("truncated", "BOOL", &[rows], truncated.collect()),
    ]
}
