//! A request, checked against the tasks that it asks.

use std::sync::Arc;

use super::Protocol;
use crate::{
    inference::TemplateChoice,
    prompt::InferenceMode,
    registry::Route,
    server::{
        call::TaskQuestion,
        proto::{self, options::TemplateMode},
        status::{CallError, list, shown},
    },
    task::{self, Example, FieldViolation, Kind, Task},
};

/// More wrong names than this in one list are counted, not looked at one by one: saying what is
/// wrong with each would take many times the memory of the request.
const MAX_UNKNOWN_NAMES: usize = 16;

/// What a call may ask for.
#[derive(Debug, Clone, Copy)]
pub(in crate::server) struct Limits {
    /// Examples of a call.
    pub max_examples: usize,
    /// Bytes of a field's text.
    pub max_text_bytes: usize,
}

/// Checks what is asked of the tasks, of which there is at least one; the error names everything
/// that is wrong with it.
pub(in crate::server) fn question(
    routes: Vec<Arc<Route>>,
    examples: Vec<proto::Example>,
    options: &proto::Options,
    limits: Limits,
    protocol: Protocol,
) -> Result<Vec<TaskQuestion>, CallError> {
    let mut violations = Vec::new();
    let tasks: Vec<&Task> = routes.iter().map(|route| &route.task.predictor.file.task).collect();
    let examples = check_examples(&tasks, examples, limits, protocol, &mut violations);
    let choices = check_templates(&routes, options, protocol, &mut violations);
    check_threshold(&tasks, options.threshold, protocol, &mut violations);
    if !violations.is_empty() {
        return Err(CallError::Invalid(violations));
    }
    let questions =
        routes.into_iter().zip(examples).zip(choices).map(|((route, examples), choice)| {
            let templates = route.task.predictor.select(&choice)?;
            Ok(TaskQuestion { route, examples, templates })
        });
    questions.collect()
}

/// For each task its examples. They are complete only if nothing is wrong.
fn check_examples(
    tasks: &[&Task],
    wire: Vec<proto::Example>,
    limits: Limits,
    protocol: Protocol,
    violations: &mut Vec<FieldViolation>,
) -> Vec<Vec<Example>> {
    let Limits { max_examples, max_text_bytes } = limits;
    let mut of_tasks = vec![Vec::with_capacity(wire.len().min(max_examples)); tasks.len()];
    if wire.is_empty() {
        violations.push(violation(protocol.examples(), "missing: at least one is needed"));
    }
    if wire.len() > max_examples {
        let count = wire.len();
        let description = format!("{count} examples; at most {max_examples} are taken in a call");
        violations.push(violation(protocol.examples(), description));
        // They are not looked at one by one: nothing else limits how many there are.
        return of_tasks;
    }
    let known: usize = tasks.iter().map(|task| task.fields.len()).sum();
    for (at, example) in wire.into_iter().enumerate() {
        let count = example.fields.len();
        if count > known + MAX_UNKNOWN_NAMES {
            let description = format!("{count} fields; there are {known}");
            violations.push(violation(protocol.fields(at), description));
            continue;
        }
        match task::examples(tasks, example.fields, max_text_bytes) {
            Ok(examples) => of_tasks.iter_mut().zip(examples).for_each(|(all, one)| all.push(one)),
            Err(faults) => violations.extend(faults.into_iter().map(|fault| {
                let field = plain(&fault.field);
                violation(protocol.field(at, &field), fault.description)
            })),
        }
    }
    of_tasks
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

/// For each task its templates.
fn check_templates(
    routes: &[Arc<Route>],
    options: &proto::Options,
    protocol: Protocol,
    violations: &mut Vec<FieldViolation>,
) -> Vec<TemplateChoice> {
    let ids_path = protocol.option("template_ids");
    for route in routes {
        check_ids(route, named(route, routes), &options.template_ids, &ids_path, violations);
    }
    let Ok(mode) = TemplateMode::try_from(options.template_mode) else {
        let mode = options.template_mode;
        let description = format!("{mode} is none of DEFAULT (0), SINGLE (1), ENSEMBLE (2)");
        violations.push(violation(protocol.option("template_mode"), description));
        return Vec::new();
    };
    let ids = &options.template_ids;
    let choices = routes.iter().map(|route| {
        choose(route, mode, ids).unwrap_or_else(|| {
            let (count, task) = (ids.len(), named(route, routes));
            let description = format!("{count} templates; SINGLE takes one at most of {task}");
            violations.push(violation(ids_path.as_str(), description));
            TemplateChoice::Default
        })
    });
    choices.collect()
}

/// A threshold is a probability, and for labels.
fn check_threshold(
    tasks: &[&Task],
    threshold: Option<f32>,
    protocol: Protocol,
    violations: &mut Vec<FieldViolation>,
) {
    let Some(threshold) = threshold else { return };
    let has_labels = |task: &&Task| matches!(task.kind, Kind::Classification { .. });
    let description = if !(0.0..=1.0).contains(&threshold) {
        format!("{threshold} is no probability: it must lie between 0 and 1")
    } else if !tasks.iter().any(has_labels) {
        "a regression has no labels to decide between".to_owned()
    } else {
        return;
    };
    violations.push(violation(protocol.option("threshold"), description));
}

/// How a violation speaks of a task: where there are several, by its name.
fn named(route: &Route, of: &[Arc<Route>]) -> String {
    match of {
        [_] => "the task".to_owned(),
        _ => format!("the task {}", route.name()),
    }
}

fn check_ids(
    route: &Route,
    task: String,
    ids: &[String],
    path: &str,
    violations: &mut Vec<FieldViolation>,
) {
    let templates = &route.task.predictor.file.prompts.templates;
    let known = || templates.iter().map(|template| template.id.as_str());
    if ids.len() > templates.len() + MAX_UNKNOWN_NAMES {
        let (count, known) = (ids.len(), templates.len());
        let description = format!("{count} ids; {task} has {known} templates");
        violations.push(violation(path, description));
        return;
    }
    for (at, id) in ids.iter().enumerate() {
        if !known().any(|known| known == id) {
            let description = format!("no template {}; {task} has: {}", shown(id), list(known()));
            violations.push(violation(format!("{path}[{at}]"), description));
        }
    }
}

/// DEFAULT is what training or the task file says, so template ids mean with it what they mean with
/// that. `None` if there are several ids and one template is taken.
fn choose(route: &Route, mode: TemplateMode, ids: &[String]) -> Option<TemplateChoice> {
    let is_ensemble = match mode {
        TemplateMode::Default if ids.is_empty() => return Some(TemplateChoice::Default),
        TemplateMode::Default => route.task.predictor.inference() == InferenceMode::Ensemble,
        TemplateMode::Single => false,
        TemplateMode::Ensemble => true,
    };
    if is_ensemble {
        return Some(TemplateChoice::Ensemble(ids.to_vec()));
    }
    (ids.len() < 2).then(|| TemplateChoice::Single(ids.first().cloned()))
}

fn violation(field: impl Into<String>, description: impl Into<String>) -> FieldViolation {
    FieldViolation { field: field.into(), description: description.into() }
}
