//! Between what travels on the wire and what the program thinks in. The only place that knows
//! both.

use std::time::Duration;

use super::{
    proto::{self, options::TemplateMode},
    status::{CallError, list, shown},
};
use crate::{
    batching::Encoded,
    inference::TemplateChoice,
    prompt::{InferenceMode, PromptPool},
    registry::Route,
    task::{Example, FieldViolation, Kind, Output, Prediction, Task},
};

/// More wrong names than this in one list are counted, not looked at one by one: saying what is
/// wrong with each would take many times the memory of the request.
const MAX_UNKNOWN_NAMES: usize = 16;

/// What a call may ask for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Examples of a call.
    pub max_examples: usize,
    /// Bytes of a field's text.
    pub max_text_bytes: usize,
}

/// What a call asks for, checked.
#[derive(Debug, PartialEq)]
pub(super) struct Question {
    /// At least one.
    pub examples: Vec<Example>,
    pub templates: TemplateChoice,
}

/// What a call was answered with, and what it cost.
pub(super) struct Answer {
    pub predictions: Vec<Prediction>,
    pub metadata: proto::Metadata,
}

/// Checks a request against its task; the error names everything that is wrong with it.
pub(super) fn question(
    route: &Route,
    examples: Vec<proto::Example>,
    options: &proto::Options,
    limits: Limits,
) -> Result<Question, CallError> {
    let file = &route.task.predictor.file;
    let mut violations = Vec::new();
    let examples = check_examples(&file.task, examples, limits, &mut violations);
    let templates = check_templates(&file.prompts, options, &mut violations);
    if violations.is_empty() {
        Ok(Question { examples, templates })
    } else {
        Err(CallError::Invalid(violations))
    }
}

fn check_examples(
    task: &Task,
    wire: Vec<proto::Example>,
    limits: Limits,
    violations: &mut Vec<FieldViolation>,
) -> Vec<Example> {
    let Limits { max_examples, max_text_bytes } = limits;
    let mut examples = Vec::with_capacity(wire.len().min(max_examples));
    if wire.is_empty() {
        violations.push(violation("examples", "missing: at least one is needed"));
    }
    if wire.len() > max_examples {
        let count = wire.len();
        let description = format!("{count} examples; at most {max_examples} are taken in a call");
        violations.push(violation("examples", description));
        // They are not looked at one by one: nothing else limits how many there are.
        return examples;
    }
    for (at, example) in wire.into_iter().enumerate() {
        let (count, known) = (example.fields.len(), task.fields.len());
        if count > known + MAX_UNKNOWN_NAMES {
            let description = format!("{count} fields; the task has {known}");
            violations.push(violation(format!("examples[{at}].fields"), description));
            continue;
        }
        match task.example(example.fields.into_iter().collect(), max_text_bytes) {
            Ok(example) => examples.push(example),
            Err(faults) => violations.extend(faults.into_iter().map(|fault| {
                let field = plain(&fault.field);
                violation(format!("examples[{at}].fields.{field}"), fault.description)
            })),
        }
    }
    examples
}

/// A field's name in a path: of a task's own it is the name itself.
fn plain(name: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    if !name.is_empty() && name.len() <= 64 && name.chars().all(is_plain) {
        name.to_owned()
    } else {
        shown(name)
    }
}

/// DEFAULT is what the task file says, so template ids mean with it what they mean with that.
fn check_templates(
    prompts: &PromptPool,
    options: &proto::Options,
    violations: &mut Vec<FieldViolation>,
) -> TemplateChoice {
    let ids = &options.template_ids;
    let known = || prompts.templates.iter().map(|template| template.id.as_str());
    if ids.len() > prompts.templates.len() + MAX_UNKNOWN_NAMES {
        let (count, known) = (ids.len(), prompts.templates.len());
        let description = format!("{count} ids; the task has {known} templates");
        violations.push(violation("options.template_ids", description));
        return TemplateChoice::Default;
    }
    for (at, id) in ids.iter().enumerate() {
        if !known().any(|known| known == id) {
            let known: Vec<&str> = known().collect();
            let known = list(known.into_iter());
            let description = format!("no template {}; the task has: {known}", shown(id));
            violations.push(violation(format!("options.template_ids[{at}]"), description));
        }
    }
    let is_ensemble = match TemplateMode::try_from(options.template_mode) {
        Ok(TemplateMode::Default) if ids.is_empty() => return TemplateChoice::Default,
        Ok(TemplateMode::Default) => prompts.inference == InferenceMode::Ensemble,
        Ok(TemplateMode::Single) => false,
        Ok(TemplateMode::Ensemble) => true,
        Err(_) => {
            let mode = options.template_mode;
            let description = format!("{mode} is none of DEFAULT (0), SINGLE (1), ENSEMBLE (2)");
            violations.push(violation("options.template_mode", description));
            return TemplateChoice::Default;
        }
    };
    if is_ensemble {
        return TemplateChoice::Ensemble(ids.clone());
    }
    if ids.len() > 1 {
        let description = format!("{} templates; SINGLE takes one at most", ids.len());
        violations.push(violation("options.template_ids", description));
    }
    TemplateChoice::Single(ids.first().cloned())
}

fn violation(field: impl Into<String>, description: impl Into<String>) -> FieldViolation {
    FieldViolation { field: field.into(), description: description.into() }
}

/// What a call cost. `tokens` is the number of all prompts together.
pub(super) fn metadata(route: &Route, tokens: usize, encoded: &[Encoded]) -> proto::Metadata {
    let longest = |time: fn(&Encoded) -> Duration| {
        let longest = encoded.iter().map(time).max().unwrap_or_default();
        // Only times beyond the age of the universe do not fit.
        prost_types::Duration::try_from(longest).ok()
    };
    proto::Metadata {
        model: route.checkpoint.clone(),
        tokens: u32::try_from(tokens).unwrap_or(u32::MAX),
        queue_time: longest(|one| one.queue_time),
        inference_time: longest(|one| one.inference_time),
    }
}

/// The answer of Classify. Of the labels the `top_k` best are told, 0 tells all; a classification
/// task gives no values, and they would be left out.
pub(super) fn classify_response(
    labels: &[String],
    answer: Answer,
    top_k: u32,
) -> proto::ClassifyResponse {
    let results = answer.predictions.into_iter().map(|prediction| {
        let probabilities = match prediction.output {
            Output::Probabilities(probabilities) => probabilities,
            Output::Value(_) => Vec::new(),
        };
        proto::Classification {
            labels: best_first(labels, &probabilities, top_k),
            truncated: prediction.truncated,
            template_spread: prediction.template_spread,
        }
    });
    proto::ClassifyResponse { results: results.collect(), metadata: Some(answer.metadata) }
}

/// Equals keep the order of the task, so that the first is the same as anywhere else.
fn best_first(labels: &[String], probabilities: &[f32], top_k: u32) -> Vec<proto::LabelScore> {
    let mut order: Vec<(&String, f32)> = labels.iter().zip(probabilities.iter().copied()).collect();
    order.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    if top_k > 0 {
        order.truncate(usize::try_from(top_k).unwrap_or(usize::MAX));
    }
    let score = |(label, probability): (&String, f32)| proto::LabelScore {
        label: label.clone(),
        probability,
    };
    order.into_iter().map(score).collect()
}

/// The answer of Regress; a regression task gives no probabilities.
pub(super) fn regress_response(answer: Answer) -> proto::RegressResponse {
    let results = answer.predictions.into_iter().map(|prediction| {
        let value = match prediction.output {
            Output::Value(value) => value,
            Output::Probabilities(_) => f64::NAN,
        };
        proto::Regression {
            value,
            truncated: prediction.truncated,
            template_spread: prediction.template_spread,
        }
    });
    proto::RegressResponse { results: results.collect(), metadata: Some(answer.metadata) }
}

/// What a task takes and answers.
pub(super) fn task(route: &Route) -> proto::Task {
    let file = &route.task.predictor.file;
    let (kind, range) = match file.task.kind {
        Kind::Classification { .. } => (proto::task::Kind::Classification, None),
        Kind::Regression { min, max } => {
            let range = proto::task::Range { min, max };
            (proto::task::Kind::Regression, Some(range))
        }
    };
    let mode = match file.prompts.inference {
        InferenceMode::Single => TemplateMode::Single,
        InferenceMode::Ensemble => TemplateMode::Ensemble,
    };
    let fields = file
        .task
        .fields
        .iter()
        .map(|field| proto::task::Field { name: field.name.clone(), optional: field.optional });
    proto::Task {
        name: file.task.name.clone(),
        kind: kind.into(),
        fields: fields.collect(),
        labels: file.labels().to_vec(),
        range,
        templates: templates(&file.prompts),
        template_mode: mode.into(),
        max_length: u32::try_from(file.max_length).unwrap_or(u32::MAX),
        model: route.checkpoint.clone(),
        metrics: route.task.report.metrics.clone().into_iter().collect(),
        positive_label: file.positive_label().unwrap_or_default().to_owned(),
        decision_threshold: route.task.predictor.head.calibration.threshold,
    }
}

fn templates(prompts: &PromptPool) -> Vec<proto::task::Template> {
    let wire = |(at, template): (usize, &crate::prompt::Template)| proto::task::Template {
        id: template.id.clone(),
        text: template.text.clone(),
        canonical: at == prompts.canonical,
        held_out: template.held_out,
    };
    prompts.templates.iter().enumerate().map(wire).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_come_best_first_and_equals_in_the_tasks_order() {
        let labels = ["a", "b", "c", "d"].map(str::to_owned);
        let check = |probabilities: &[f32], top_k, expected: &str| {
            let scores = best_first(&labels, probabilities, top_k);
            let order: String = scores.iter().map(|score| score.label.as_str()).collect();
            assert_eq!(order, expected, "{probabilities:?} {top_k}");
            let best = Output::Probabilities(probabilities.to_vec()).best_label();
            assert_eq!(best.map(|best| &labels[best]), Some(&scores[0].label));
        };
        check(&[0.1, 0.4, 0.2, 0.3], 0, "bdca");
        check(&[0.1, 0.4, 0.2, 0.3], 2, "bd");
        check(&[0.25, 0.25, 0.25, 0.25], 0, "abcd");
        check(&[0.2, 0.3, 0.2, 0.3], 3, "bda");
        check(&[0.2, 0.3, 0.2, 0.3], u32::MAX, "bdac");
    }
}
