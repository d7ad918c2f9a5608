//! What a task takes and answers.

use crate::{
    prompt::{InferenceMode, PromptPool, Template},
    registry::Route,
    server::proto::{self, options::TemplateMode},
    task::Kind,
};

/// What a task takes and answers.
pub(in crate::server) fn task(route: &Route) -> proto::Task {
    let file = &route.task.predictor.file;
    let (kind, range) = match file.task.kind {
        Kind::Classification { .. } => (proto::task::Kind::Classification, None),
        Kind::Regression { min, max } => {
            let range = proto::task::Range { min, max };
            (proto::task::Kind::Regression, Some(range))
        }
    };
    let mode = match route.task.predictor.inference() {
        InferenceMode::Single => TemplateMode::Single,
        InferenceMode::Ensemble => TemplateMode::Ensemble,
    };
    let fields = file
        .task
        .fields
        .iter()
        .map(|field| proto::task::Field { name: field.name.clone(), optional: field.optional });
    let wire = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let sliding_window = file.prompts.sliding_window.as_ref();
    proto::Task {
        name: route.name().to_owned(),
        kind: kind.into(),
        fields: fields.collect(),
        labels: file.labels().to_vec(),
        range,
        templates: templates(&file.prompts),
        template_mode: mode.into(),
        max_length: wire(file.max_length),
        model: route.checkpoint.clone(),
        metrics: route.task.report.metrics.clone(),
        positive_label: file.positive_label().unwrap_or_default().to_owned(),
        decision_threshold: route.task.predictor.decision_threshold(),
        stride: sliding_window.map_or(0, |window| wire(window.stride)),
        max_windows: sliding_window.map_or(0, |window| wire(window.max_windows)),
    }
}

fn templates(prompts: &PromptPool) -> Vec<proto::task::Template> {
    let wire = |(at, template): (usize, &Template)| proto::task::Template {
        id: template.id.clone(),
        text: template.text.clone(),
        canonical: at == prompts.canonical,
        held_out: template.held_out,
    };
    prompts.templates.iter().enumerate().map(wire).collect()
}
