//! Predictions as tensors.

use super::{
    outputs::OutputTensor,
    proto::{
        InferParameter, InferTensorContents, ModelInferResponse, infer_parameter::ParameterChoice,
        model_infer_response::InferOutputTensor,
    },
    request::Form,
    texts::to_raw,
};
use crate::{
    server::{
        call::{Answer, TaskAnswer},
        convert::best_first,
    },
    task::{Kind, Output, Prediction, Task},
};

/// The parameter of an answer that tells the windows.
const WINDOWS: &str = "windows";

/// The elements of a tensor, row by row.
#[derive(Debug, Clone, PartialEq)]
enum Elements {
    Bool(Vec<bool>),
    Fp32(Vec<f32>),
    Fp64(Vec<f64>),
    Bytes(Vec<Vec<u8>>),
}

/// The answer of one task to a request of this name and id.
pub(super) fn response(
    model_name: String,
    id: String,
    form: &Form,
    answer: Answer,
) -> ModelInferResponse {
    let mut response = ModelInferResponse { model_name, id, ..Default::default() };
    response.parameters.extend(windows(&answer));
    for answer in answer.tasks {
        response.model_version = answer.route.checkpoint.clone();
        let task = &answer.route.task.predictor.file.task;
        let decisions = decisions(&answer, form);
        let told = Told { task, predictions: &answer.predictions, decisions: &decisions };
        for &output in &form.outputs {
            add(&mut response, output, told, form);
        }
    }
    response
}

/// Windows that the examples were read in, together, where the task has a stride.
fn windows(answer: &Answer) -> Option<(String, InferParameter)> {
    let windows = i64::try_from(answer.windows()).unwrap_or(i64::MAX);
    let parameter_choice = Some(ParameterChoice::Int64Param(windows));
    (windows > 0).then(|| (WINDOWS.to_owned(), InferParameter { parameter_choice }))
}

/// What one task says of all examples.
#[derive(Clone, Copy)]
struct Told<'a> {
    task: &'a Task,
    predictions: &'a [Prediction],
    /// The label that each decides for; empty where it decides for none.
    decisions: &'a [String],
}

/// The label that each example's answer decides for, if that is asked for.
fn decisions(answer: &TaskAnswer, form: &Form) -> Vec<String> {
    if !form.outputs.contains(&OutputTensor::Decision) {
        return Vec::new();
    }
    let predictor = &answer.route.task.predictor;
    let decision = |prediction: &Prediction| {
        let label = predictor.decide(&prediction.output, form.threshold);
        label.map(|label| predictor.file.labels()[label].clone()).unwrap_or_default()
    };
    answer.predictions.iter().map(decision).collect()
}

fn add(response: &mut ModelInferResponse, output: OutputTensor, told: Told<'_>, form: &Form) {
    let elements = elements(output, told, form.top_k);
    let examples = i64::try_from(told.predictions.len()).unwrap_or(i64::MAX);
    let mut tensor = InferOutputTensor {
        name: output.name().to_owned(),
        datatype: output.datatype().to_owned(),
        shape: output.shape(told.task, examples, form.top_k),
        ..Default::default()
    };
    match form.raw {
        true => response.raw_output_contents.push(elements.into_raw()),
        false => tensor.contents = Some(elements.into_contents()),
    }
    response.outputs.push(tensor);
}

fn elements(output: OutputTensor, told: Told<'_>, top_k: u32) -> Elements {
    let Told { task, predictions, decisions } = told;
    let outputs = predictions.iter().map(|prediction| &prediction.output);
    // A task of the one kind has no output of the other.
    let probabilities = outputs.clone().filter_map(|output| match output {
        Output::Probabilities(probabilities) => Some(probabilities),
        Output::Value(_) => None,
    });
    match output {
        OutputTensor::Probabilities => Elements::Fp32(probabilities.flatten().copied().collect()),
        OutputTensor::Labels => {
            let labels: &[String] = match &task.kind {
                Kind::Classification { labels } => labels,
                Kind::Regression { .. } => &[],
            };
            let best = probabilities.flat_map(|all| best_first(labels, all, top_k.max(1)));
            Elements::Bytes(best.map(|score| score.label.into_bytes()).collect())
        }
        OutputTensor::Decision => {
            Elements::Bytes(decisions.iter().map(|label| label.clone().into_bytes()).collect())
        }
        OutputTensor::Value => {
            let values = outputs.filter_map(|output| match output {
                Output::Value(value) => Some(*value),
                Output::Probabilities(_) => None,
            });
            Elements::Fp64(values.collect())
        }
        OutputTensor::Truncated => {
            Elements::Bool(predictions.iter().map(|prediction| prediction.truncated).collect())
        }
    }
}

impl Elements {
    fn into_contents(self) -> InferTensorContents {
        let mut contents = InferTensorContents::default();
        match self {
            Self::Bool(all) => contents.bool_contents = all,
            Self::Fp32(all) => contents.fp32_contents = all,
            Self::Fp64(all) => contents.fp64_contents = all,
            Self::Bytes(all) => contents.bytes_contents = all,
        }
        contents
    }

    fn into_raw(self) -> Vec<u8> {
        match self {
            Self::Bool(all) => all.into_iter().map(u8::from).collect(),
            Self::Fp32(all) => all.into_iter().flat_map(f32::to_le_bytes).collect(),
            Self::Fp64(all) => all.into_iter().flat_map(f64::to_le_bytes).collect(),
            Self::Bytes(all) => to_raw(all.iter().map(Vec::as_slice)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(kind: Kind) -> Task {
        Task { name: "t".to_owned(), kind, fields: Vec::new() }
    }

    fn predictions(outputs: Vec<Output>) -> Vec<Prediction> {
        let prediction = |(at, output)| Prediction { truncated: at == 1, ..Prediction::of(output) };
        outputs.into_iter().enumerate().map(prediction).collect()
    }

    #[test]
    fn classifications_become_tensors_in_the_order_of_the_task() {
        let labels = ["a", "b", "c"].map(str::to_owned).to_vec();
        let task = task(Kind::Classification { labels });
        let rows = [[0.25, 0.5, 0.25], [0.25, 0.125, 0.625]];
        let all = predictions(rows.map(|row| Output::Probabilities(row.to_vec())).to_vec());
        let of = |output: OutputTensor, top_k| {
            let decisions = ["b".to_owned(), String::new()];
            let told = Told { task: &task, predictions: &all, decisions: &decisions };
            (output.shape(&task, 2, top_k), elements(output, told, top_k))
        };
        let bytes = |texts: &[&str]| {
            Elements::Bytes(texts.iter().map(|text| text.as_bytes().to_vec()).collect())
        };
        let flat = Elements::Fp32(rows.concat());
        assert_eq!(of(OutputTensor::Probabilities, 0), (vec![2, 3], flat.clone()));
        assert_eq!(of(OutputTensor::Probabilities, 1), (vec![2, 3], flat));
        assert_eq!(of(OutputTensor::Labels, 0), (vec![2], bytes(&["b", "c"])));
        assert_eq!(of(OutputTensor::Labels, 1), (vec![2, 1], bytes(&["b", "c"])));
        assert_eq!(of(OutputTensor::Labels, 2), (vec![2, 2], bytes(&["b", "a", "c", "a"])));
        let whole = bytes(&["b", "a", "c", "c", "a", "b"]);
        assert_eq!(of(OutputTensor::Labels, u32::MAX), (vec![2, 3], whole));
        assert_eq!(of(OutputTensor::Decision, 2), (vec![2], bytes(&["b", ""])));
        let cut = Elements::Bool(vec![false, true]);
        assert_eq!(of(OutputTensor::Truncated, 0), (vec![2], cut));
    }

    #[test]
    fn values_become_a_tensor() {
        let task = task(Kind::Regression { min: None, max: None });
        let all = predictions(vec![Output::Value(1.5), Output::Value(-0.25)]);
        assert_eq!(OutputTensor::Value.shape(&task, 2, 7), [2]);
        let told = Told { task: &task, predictions: &all, decisions: &[] };
        let values = elements(OutputTensor::Value, told, 7);
        assert_eq!(values, Elements::Fp64(vec![1.5, -0.25]));
    }

    #[test]
    fn bytes_are_little_endian() {
        assert_eq!(Elements::Bool(vec![true, false]).into_raw(), [1, 0]);
        assert_eq!(Elements::Fp32(vec![1.0]).into_raw(), [0, 0, 0x80, 0x3f]);
        assert_eq!(Elements::Fp64(vec![-2.0]).into_raw(), [0, 0, 0, 0, 0, 0, 0, 0xc0]);
        assert_eq!(Elements::Bytes(vec![b"ab".to_vec()]).into_raw(), [2, 0, 0, 0, b'a', b'b']);
    }
}
