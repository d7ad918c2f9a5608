//! From answers to the lines of the prediction log.

use std::time::SystemTime;

use super::{
    call::{Answer, TaskAnswer, TaskQuestion},
    incoming::Incoming,
};
use crate::{
    prediction_log::{self, Entry, PredictionLog},
    task::{Output, Prediction},
};

/// An example that is logged when it is answered.
pub(super) struct Sampled {
    /// Which of the tasks it was asked.
    task: usize,
    /// Which of the examples it is.
    example: usize,
    templates: Vec<String>,
    fields: Vec<(String, String)>,
}

/// Those that are logged; what they need is kept.
pub(super) fn sample(log: &PredictionLog, questions: &[TaskQuestion]) -> Vec<Sampled> {
    let mut sampled = Vec::new();
    for (task, question) in questions.iter().enumerate() {
        let file = &question.route.task.predictor.file;
        let id = |&template: &usize| file.prompts.templates[template].id.clone();
        for (example, texts) in question.examples.iter().enumerate() {
            if !log.takes() {
                continue;
            }
            let names = file.task.fields.iter().map(|field| field.name.clone());
            let fields = names.zip(texts.values.iter().cloned());
            sampled.push(Sampled {
                task,
                example,
                templates: question.templates.iter().map(id).collect(),
                fields: if log.keeps_inputs() { fields.collect() } else { Vec::new() },
            });
        }
    }
    sampled
}

/// Logs them with their answers.
pub(super) fn put(log: &PredictionLog, samples: Vec<Sampled>, answer: &Answer, call: &Incoming) {
    let time = SystemTime::now();
    let trace_id = call.trace.id().unwrap_or_default();
    for Sampled { task, example, templates, fields } in samples {
        let TaskAnswer { route, predictions } = &answer.tasks[task];
        let Prediction { output, truncated, windows, .. } = &predictions[example];
        let labels = route.task.predictor.file.labels().iter().cloned();
        log.put(Entry {
            time,
            request_id: call.id.as_str().to_owned(),
            trace_id: trace_id.clone(),
            caller: call.caller.name().to_owned(),
            task: route.name().to_owned(),
            checkpoint: route.checkpoint.clone(),
            templates,
            fields,
            answer: match output {
                Output::Value(value) => prediction_log::Answer::Value(*value),
                Output::Probabilities(all) => {
                    prediction_log::Answer::Labels(labels.zip(all.iter().copied()).collect())
                }
            },
            truncated: *truncated,
            windows: route.task.predictor.has_windows().then_some(*windows),
        });
    }
}
