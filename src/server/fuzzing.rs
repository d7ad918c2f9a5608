//! A way in for fuzzing (`fuzz/fuzz_targets/request.rs`), compiled for nothing else: what a client
//! sends reaches the domain in `convert`, which is nobody's business outside the server.

use std::sync::Arc;

use prost::Message;

use super::{
    convert::{self, Limits},
    proto,
};
use crate::registry::Registry;

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
    const LIMITS: Limits = Limits { max_examples: 8, max_text_bytes: 64 };
    let named: Vec<_> = tasks.iter().filter_map(|task| registry.route(task)).take(4).collect();
    let all = || registry.routes().filter_map(|route| registry.route(route.name())).collect();
    let routes: Vec<Arc<_>> = if named.is_empty() { all() } else { named };
    match convert::question(routes.clone(), examples, &options, LIMITS) {
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
