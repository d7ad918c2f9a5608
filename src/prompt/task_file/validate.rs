//! From a task file as typed to one that can be used, or to all its faults.

use std::{
    collections::{BTreeMap, HashSet},
    ops::Range,
};

use super::{
    ClassWeights, PromptPool, TargetColumn, TaskFile, TaskFileFault, labels, raw,
    sliding_window::sliding_window,
};
use crate::{
    evaluation::Metric,
    prompt::{pool, template, template::Template},
    task::{Field, Kind, Task},
};

const DEFAULT_MAX_LENGTH: usize = 128;
const MAX_LENGTH: usize = 8192;
const MAX_FIELDS: usize = 64;
const MAX_TEMPLATES: usize = 256;
const MAX_NAME_BYTES: usize = 64;

/// Bytes of all templates together. How different they are is found in the square of it.
const MAX_TEMPLATE_BYTES: usize = 64 << 10;

/// Slots of a template: its time and memory are those of the texts in all of them.
const MAX_SLOTS: usize = 128;

/// Faults that are told; a file full of them has enough to mend with these.
const MAX_FAULTS: usize = 50;

/// Collects faults with the line that each one is on.
pub(super) struct Faults<'a> {
    source: &'a str,
    found: Vec<TaskFileFault>,
}

impl Faults<'_> {
    pub(super) fn line(&self, at: &Range<usize>) -> usize {
        1 + self.source.bytes().take(at.start).filter(|byte| *byte == b'\n').count()
    }

    pub(super) fn add(&mut self, at: &Range<usize>, message: impl Into<String>) {
        self.add_in(at, None, message);
    }

    pub(super) fn add_in(
        &mut self,
        at: &Range<usize>,
        template: Option<&str>,
        message: impl Into<String>,
    ) {
        if self.found.len() >= MAX_FAULTS {
            return;
        }
        let line = self.line(at);
        let (template, message) = (template.map(str::to_owned), message.into());
        self.found.push(TaskFileFault { line, template, message });
    }
}

/// What a task answers with, and where the data holds it.
pub(super) struct Outputs {
    pub kind: Kind,
    pub column: String,
    pub label_words: BTreeMap<String, Vec<String>>,
    pub positive: Option<usize>,
    pub priors: Option<Vec<f64>>,
    pub threshold: Option<f32>,
}

pub fn validate(raw: raw::File, source: &str) -> Result<TaskFile, Vec<TaskFileFault>> {
    let mut faults = Faults { source, found: Vec::new() };
    let name = raw.task.name.get_ref().clone();
    check_name(&mut faults, &raw.task.name.span(), "task name", &name);
    let max_length = max_length(&mut faults, &raw.task);
    let (fields, field_columns) = fields(&mut faults, raw.fields, max_length);
    let outputs = outputs(&mut faults, &raw.task.kind, raw.labels, raw.target);
    let kind = outputs.as_ref().map(|outputs| &outputs.kind);
    let metric = metric(&mut faults, raw.task.metric.as_ref(), kind);
    let class_weights = class_weights(&mut faults, raw.task.class_weights.as_ref(), kind);
    let prompts = prompts(&mut faults, &raw.prompt, &fields, max_length);
    match (outputs, prompts) {
        (Some(outputs), Some(prompts)) if faults.found.is_empty() => Ok(TaskFile {
            task: Task { name, kind: outputs.kind, fields },
            max_length,
            field_columns,
            target_column: TargetColumn(outputs.column),
            label_words: outputs.label_words,
            positive: outputs.positive,
            priors: outputs.priors,
            metric,
            class_weights,
            threshold: outputs.threshold,
            prompts,
            source: source.to_owned(),
        }),
        _ => {
            faults.found.sort_by_key(|fault| fault.line);
            Err(faults.found)
        }
    }
}

/// Names become directory names and parts of calls.
fn check_name(faults: &mut Faults, at: &Range<usize>, what: &str, name: &str) {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    if !starts_well || !name.chars().all(plain) || name.len() > MAX_NAME_BYTES {
        faults.add(
            at,
            format!(
                "{what} {name:?}: use 1 to {MAX_NAME_BYTES} letters, digits, '-', '_' or '.', \
                 a letter or digit first"
            ),
        );
    }
}

fn max_length(faults: &mut Faults, task: &raw::TaskTable) -> usize {
    let Some(length) = &task.max_length else {
        return DEFAULT_MAX_LENGTH;
    };
    if !(4..=MAX_LENGTH).contains(length.get_ref()) {
        faults.add(&length.span(), format!("max_length must lie between 4 and {MAX_LENGTH}"));
    }
    *length.get_ref()
}

/// The figure that the file names, if it names one.
fn metric(
    faults: &mut Faults,
    named: Option<&toml::Spanned<String>>,
    kind: Option<&Kind>,
) -> Option<Metric> {
    let (named, kind) = (named?, kind?);
    let found = Metric::of_name(named.get_ref()).filter(|metric| metric.fits(kind));
    if found.is_none() {
        let known = Metric::names_for(kind);
        faults.add(&named.span(), format!("metric {:?}: use one of {known}", named.get_ref()));
    }
    found
}

/// The class weights that the file names, if it names any.
fn class_weights(
    faults: &mut Faults,
    named: Option<&toml::Spanned<String>>,
    kind: Option<&Kind>,
) -> Option<ClassWeights> {
    let (named, kind) = (named?, kind?);
    if matches!(kind, Kind::Regression { .. }) {
        faults.add(&named.span(), "class_weights are for classification");
        return None;
    }
    let found = ClassWeights::of_name(named.get_ref());
    if found.is_none() {
        let message =
            format!("class_weights {:?}: use one of {}", named.get_ref(), ClassWeights::names());
        faults.add(&named.span(), message);
    }
    found
}

fn fields(
    faults: &mut Faults,
    raw: BTreeMap<toml::Spanned<String>, raw::FieldTable>,
    max_length: usize,
) -> (Vec<Field>, Vec<String>) {
    if raw.is_empty() || raw.len() > MAX_FIELDS {
        faults.add(&(0..0), format!("a task has between 1 and {MAX_FIELDS} [fields.<name>]"));
        return (Vec::new(), Vec::new());
    }
    // Fields stand in the order in which the file declares them.
    let mut ordered: Vec<_> = raw.into_iter().collect();
    ordered.sort_by_key(|(name, _)| name.span().start);
    let mut fields = Vec::new();
    let mut columns = Vec::new();
    for (name, table) in ordered {
        let span = name.span();
        let name = name.into_inner();
        check_name(faults, &span, "field name", &name);
        if matches!(name.as_str(), "mask" | "sep") {
            faults.add(&span, format!("a field cannot be called {name:?}: templates use the word"));
        }
        let min_tokens = table.min_tokens.unwrap_or(0);
        if min_tokens > max_length {
            faults.add(&span, format!("min_tokens = {min_tokens} is above max_length"));
        }
        columns.push(table.column.unwrap_or_else(|| name.clone()));
        fields.push(Field {
            name,
            min_tokens,
            truncate: table.truncate,
            priority: table.priority.unwrap_or(1),
            optional: table.optional,
        });
    }
    (fields, columns)
}

fn outputs(
    faults: &mut Faults,
    kind: &toml::Spanned<String>,
    labels: Option<toml::Spanned<raw::Labels>>,
    target: Option<toml::Spanned<raw::Target>>,
) -> Option<Outputs> {
    match (kind.get_ref().as_str(), labels, target) {
        ("classification", Some(labels), None) => labels::outputs(faults, labels.into_inner()),
        ("regression", None, Some(target)) => regression(faults, &target),
        ("classification", None, _) => {
            faults.add(&kind.span(), "a classification task needs [labels] with column and names");
            None
        }
        ("regression", _, None) => {
            faults.add(&kind.span(), "a regression task needs [target] with a column");
            None
        }
        ("classification", _, Some(other)) => {
            faults.add(&other.span(), "[target] belongs to a regression task");
            None
        }
        ("regression", Some(other), _) => {
            faults.add(&other.span(), "[labels] belongs to a classification task");
            None
        }
        (unknown, ..) => {
            let message = format!("kind {unknown:?}: use \"classification\" or \"regression\"");
            faults.add(&kind.span(), message);
            None
        }
    }
}

fn regression(faults: &mut Faults, target: &toml::Spanned<raw::Target>) -> Option<Outputs> {
    let span = target.span();
    let target = target.get_ref();
    if [target.min, target.max].iter().flatten().any(|bound| !bound.is_finite()) {
        faults.add(&span, "min and max must be finite numbers");
        return None;
    }
    if let (Some(min), Some(max)) = (target.min, target.max)
        && min >= max
    {
        faults.add(&span, format!("min ({min}) must be below max ({max})"));
        return None;
    }
    let kind = Kind::Regression { min: target.min, max: target.max };
    let column = target.column.clone();
    let label_words = BTreeMap::new();
    Some(Outputs { kind, column, label_words, positive: None, priors: None, threshold: None })
}

fn prompts(
    faults: &mut Faults,
    raw: &toml::Spanned<raw::Prompt>,
    fields: &[Field],
    max_length: usize,
) -> Option<PromptPool> {
    let span = raw.span();
    let raw = raw.get_ref();
    let sliding_window = sliding_window(faults, raw, max_length);
    if raw.template.is_empty() || raw.template.len() > MAX_TEMPLATES {
        faults.add(&span, format!("between 1 and {MAX_TEMPLATES} [[prompt.template]] are needed"));
    }
    let texts = raw.template.iter().map(|table| &table.text).chain(&raw.plain);
    let bytes: usize = texts.map(|text| text.get_ref().len()).sum();
    if bytes > MAX_TEMPLATE_BYTES {
        let message = format!("the templates have {bytes} bytes; at most {MAX_TEMPLATE_BYTES}");
        faults.add(&span, message);
    }
    // Nothing is looked at that there is too much of.
    if bytes > MAX_TEMPLATE_BYTES || raw.template.len() > MAX_TEMPLATES {
        return None;
    }
    let before = faults.found.len();
    let templates: Vec<Template> =
        raw.template.iter().filter_map(|table| read_template(faults, table, fields)).collect();
    check_ids(faults, &raw.template);
    let canonical = canonical(faults, raw);
    // The rest asks about templates that are all well.
    if faults.found.len() > before {
        return None;
    }
    check_fields_used(faults, &span, &templates, fields);
    let canonical = canonical?;
    let candidates: Vec<usize> =
        (0..templates.len()).filter(|at| !templates[*at].held_out).collect();
    let size = pool_size(faults, raw, candidates.len());
    let pool = pool::choose(&templates, canonical, &candidates, size);
    let plain = match &raw.plain {
        None => template::plain(&templates[canonical]),
        Some(text) => plain_template(faults, text, fields)?,
    };
    Some(PromptPool {
        plain,
        templates,
        canonical,
        pool,
        sampling: raw.sampling,
        inference: raw.inference,
        sliding_window,
    })
}

fn read_template(
    faults: &mut Faults,
    table: &raw::TemplateTable,
    fields: &[Field],
) -> Option<Template> {
    let id = table.id.get_ref();
    check_name(faults, &table.id.span(), "template id", id);
    let weight = table.weight.as_ref().map_or(1.0, |weight| *weight.get_ref());
    if !(weight.is_finite() && weight > 0.0) {
        let span = table.weight.as_ref().map_or(0..0, toml::Spanned::span);
        faults.add_in(&span, Some(id), "weight must be a number above 0");
    }
    let span = table.text.span();
    let segments = template::parse(table.text.get_ref(), fields);
    if let Err(messages) = &segments {
        for message in messages {
            faults.add_in(&span, Some(id), message);
        }
    }
    let is_slot = |segment: &&template::Segment| matches!(segment, template::Segment::Slot(_));
    let slots = segments.iter().flatten().filter(is_slot).count();
    if slots > MAX_SLOTS {
        faults.add_in(
            &span,
            Some(id),
            format!("{slots} fields; a template has at most {MAX_SLOTS}"),
        );
    }
    Some(Template {
        id: id.clone(),
        text: table.text.get_ref().clone(),
        segments: segments.ok()?,
        held_out: table.held_out,
        weight,
        line: faults.line(&span),
    })
}

/// The input of standard fine-tuning, where the file spells it out.
fn plain_template(
    faults: &mut Faults,
    text: &toml::Spanned<String>,
    fields: &[Field],
) -> Option<Template> {
    match template::parse_plain(text.get_ref(), fields) {
        Ok(segments) => Some(Template {
            id: template::PLAIN.to_owned(),
            text: text.get_ref().clone(),
            segments,
            held_out: false,
            weight: 1.0,
            line: faults.line(&text.span()),
        }),
        Err(messages) => {
            messages
                .iter()
                .for_each(|message| faults.add(&text.span(), format!("plain: {message}")));
            None
        }
    }
}

fn check_ids(faults: &mut Faults, templates: &[raw::TemplateTable]) {
    let mut seen = HashSet::new();
    for table in templates {
        if !seen.insert(table.id.get_ref()) {
            let id = table.id.get_ref();
            faults.add_in(&table.id.span(), Some(id), "the id is used twice");
        }
    }
}

fn canonical(faults: &mut Faults, raw: &raw::Prompt) -> Option<usize> {
    let (span, id) = (raw.canonical.span(), raw.canonical.get_ref());
    let at = raw.template.iter().position(|table| table.id.get_ref() == id);
    match at {
        None => {
            let known: Vec<&str> = raw.template.iter().map(|t| t.id.get_ref().as_str()).collect();
            let known = known.join(", ");
            faults.add(&span, format!("canonical = {id:?}: no such template (there are: {known})"));
        }
        Some(at) if raw.template[at].held_out => {
            faults.add_in(&span, Some(id), "the canonical template cannot be held out");
        }
        Some(_) => {}
    }
    at
}

fn pool_size(faults: &mut Faults, raw: &raw::Prompt, candidates: usize) -> usize {
    let Some(size) = &raw.pool_size else {
        return candidates;
    };
    if *size.get_ref() == 0 {
        faults.add(&size.span(), "pool_size must be at least 1");
    }
    *size.get_ref()
}

fn check_fields_used(
    faults: &mut Faults,
    span: &Range<usize>,
    templates: &[Template],
    fields: &[Field],
) {
    let used = |field: usize| {
        templates
            .iter()
            .flat_map(|t| &t.segments)
            .any(|segment| matches!(segment, template::Segment::Slot(slot) if slot.field == field))
    };
    for (at, field) in fields.iter().enumerate() {
        if !used(at) {
            faults.add(span, format!("field {:?} is used by no template", field.name));
        }
    }
}
