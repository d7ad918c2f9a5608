//! Ways in for fuzzing (`fuzz/fuzz_targets/request.rs` and `open_inference.rs`), compiled for nothing else:
//! what a client sends reaches the domain in `convert` and `open_inference`, which is nobody's business
//! outside the server.

use std::sync::Arc;

use prost::Message;

use super::{
    convert::{self, Limits, Protocol},
    open_inference::{
        Inquiry, from_raw,
        proto::{InferTensorContents, ModelInferRequest},
        read, to_raw,
    },
    proto,
};
use crate::{registry::Registry, task::Task};

/// Examples of a call.
const MAX_EXAMPLES: usize = 8;

/// Reads the bytes as each kind of request, and asks all tasks what it asks of one. Panics where a
/// question that passed the checks has not what the server goes on with.
pub fn ask(registry: &Registry, bytes: &[u8]) {
    if let Ok(asked) = proto::ClassifyRequest::decode(bytes) {
        question(registry, &[asked.task], asked.examples, asked.options.unwrap_or_default());
    }
    if let Ok(asked) = proto::PredictRequest::decode(bytes) {
        question(registry, &asked.tasks, asked.examples, asked.options.unwrap_or_default());
    }
}

fn question(
    registry: &Registry,
    tasks: &[String],
    examples: Vec<proto::Example>,
    options: proto::Options,
) {
    const LIMITS: Limits = Limits { max_examples: MAX_EXAMPLES, max_text_bytes: 64 };
    let named: Vec<_> = tasks.iter().filter_map(|task| registry.route(task)).take(4).collect();
    let all = || registry.routes().filter_map(|route| registry.route(route.name())).collect();
    let routes: Vec<Arc<_>> = if named.is_empty() { all() } else { named };
    match convert::question(routes.clone(), examples, &options, LIMITS, Protocol::Dynamar) {
        Ok(questions) => {
            assert_eq!(questions.len(), routes.len());
            for asked in &questions {
                let fields = asked.route.task.predictor.file.task.fields.len();
                assert!(!asked.templates.is_empty());
                assert!((1..=LIMITS.max_examples).contains(&asked.examples.len()));
                assert!(asked.examples.iter().all(|one| one.values.len() == fields));
            }
        }
        // Said in words, whatever was sent.
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// Reads the bytes as a request of the Open Inference Protocol, and as a tensor in one piece. Panics where
/// what was read is not what was sent.
pub fn infer(task: &Task, bytes: &[u8]) {
    if let Ok(texts) = from_raw(bytes, usize::from(bytes.first().copied().unwrap_or(0))) {
        assert_eq!(to_raw(texts), bytes);
    }
    let Ok(request) = ModelInferRequest::decode(bytes) else { return };
    match read(task, request.clone(), MAX_EXAMPLES) {
        Ok(Inquiry { examples, form, .. }) => {
            assert!((1..=MAX_EXAMPLES).contains(&examples.len()));
            assert_eq!(form.raw, !request.raw_input_contents.is_empty());
            assert!(!form.outputs.is_empty());
            for (at, input) in request.inputs.iter().enumerate() {
                let told = examples.iter().map(|example| example.fields[&input.name].as_bytes());
                match (&input.contents, request.raw_input_contents.get(at)) {
                    (Some(InferTensorContents { bytes_contents, .. }), None) => {
                        assert!(told.eq(bytes_contents.iter().map(Vec::as_slice)));
                    }
                    (None, Some(raw)) => assert_eq!(&to_raw(told), raw),
                    other => panic!("either is taken: {other:?}"),
                }
            }
        }
        Err(violations) => {
            assert!(!violations.is_empty());
            assert!(violations.iter().all(|one| !one.field.is_empty() && one.field.len() < 300));
        }
    }
}
