//! Reasons for refusing a graph, each with what was found and what helps.

use std::fmt::Write;

/// Characters of a name from a graph that a message shows.
const MAX_SHOWN_CHARS: usize = 80;

/// Names in a list of a message; more are counted.
const MAX_LISTED: usize = 5;

/// Call that exports a graph as it is wanted.
const EXPORT: &str = "export it with `optimum-cli export onnx --model MODEL --task \
    feature-extraction DIR`, or with torch.onnx.export(model, (ids, mask), \"model.onnx\", \
    input_names=[\"input_ids\", \"attention_mask\"], output_names=[\"last_hidden_state\"], \
    dynamic_axes={name: {0: \"batch\", 1: \"sequence\"} for name in [\"input_ids\", \
    \"attention_mask\", \"last_hidden_state\"]}, dynamo=False)";

/// Reason why a graph of another exporter is not taken.
#[derive(Debug, thiserror::Error)]
pub enum ForeignGraphError {
    #[error("{path} is no ONNX file: {source}")]
    Decode { path: String, source: prost::DecodeError },
    #[error("{path} has no graph, or more than {limit} parts")]
    Size { path: String, limit: usize },
    #[error(
        "{path} uses the operator {operator}, which is not among those of the ONNX standard and of ONNX \
         Runtime that encoders consist of: export the model with plain operators, without custom ones"
    )]
    Operator { path: String, operator: String },
    #[error(
        "{path} has control flow: the operator {operator} holds a graph of its own; {}",
        EXPORT
    )]
    ControlFlow { path: String, operator: String },
    #[error(
        "{path} has {found} functions of its own; inline them (onnx.inliner.inline_local_functions) and \
         save it again"
    )]
    Functions { path: String, found: usize },
    #[error("{path} has the input {name} {what}; {}", EXPORT)]
    Input { path: String, name: String, what: String },
    #[error("{path} has no input {name}, but {found}; {}", EXPORT)]
    NoInput { path: String, name: &'static str, found: String },
    #[error(
        "{path} has the outputs {found}, and none of them is last_hidden_state or token_embeddings; {}",
        EXPORT
    )]
    Outputs { path: String, found: String },
    #[error("{path} has the output {name} {what}; {}", EXPORT)]
    Output { path: String, name: String, what: String },
    #[error("{path}: {what} of the tensor {name}")]
    Tensor { path: String, name: String, what: &'static str },
    #[error("{path} names the file {file}, which is no path inside the graph's directory")]
    Outside { path: String, file: String },
    #[error(
        "{path} repeats the data of its tensors: they would take {bytes} bytes, its files have {limit}"
    )]
    Repeated { path: String, bytes: u64, limit: u64 },
}

/// A name from a graph, as an error shows it: it may be long and hold control characters.
pub fn shown(name: &str) -> String {
    let mut shown: String =
        name.chars().take(MAX_SHOWN_CHARS).flat_map(char::escape_debug).collect();
    if name.chars().nth(MAX_SHOWN_CHARS).is_some() {
        shown.push('…');
    }
    shown
}

/// Names separated by commas; of many, the first and the count of the others.
pub fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let mut names = names.into_iter();
    let first: Vec<String> = names.by_ref().take(MAX_LISTED).map(shown).collect();
    let mut list = if first.is_empty() { "none".to_owned() } else { first.join(", ") };
    let others = names.count();
    if others > 0 {
        // Writing to a string does not fail.
        let _ = write!(list, " and {others} more");
    }
    list
}
