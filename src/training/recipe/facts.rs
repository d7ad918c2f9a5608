//! What the data and the encoder show before training.

use std::collections::HashSet;

use crate::{
    checkpoint::Checkpoint,
    dataset::{Dataset, Fingerprint, fingerprint},
    evaluation::{Metric, MetricChoice},
    inference::load_tokenizer,
    lexical::pairs,
    prompt::{Sampling, Segment, TaskFile},
    task::{Kind, Target},
    tokenization::PromptSet,
    training::{TrainingError, job_task::JobTask},
};

/// Examples whose prompts are measured.
const MEASURED: usize = 500;

/// What a task's examples show.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskFacts {
    pub name: String,
    /// Whether it is the only task of the run.
    pub is_alone: bool,
    pub rows: usize,
    /// Mean length of a prompt, over some examples.
    pub tokens: usize,
    pub dev_rows: usize,
    /// Examples of each label; empty for a regression.
    pub label_counts: Vec<usize>,
    /// Whether a prompt compares two texts.
    pub is_pair: bool,
    /// True if fields are counterparts of each other, by their names.
    pub has_counterparts: bool,
    /// Whether every visit of an example takes all templates at once.
    pub draws_all: bool,
    /// Templates that training draws from.
    pub templates: usize,
    /// True if the task file says which templates answer.
    pub has_inference: bool,
    /// The metric that says most about it.
    pub metric: MetricChoice,
    /// Whether the task file names a metric, and class weights.
    pub has_metric: bool,
    pub has_class_weights: bool,
}

impl TaskFacts {
    /// The facts of a task for an encoder, which may be the only one of its run.
    ///
    /// # Errors
    ///
    /// If the encoder's tokenizer does not load, or the task's templates do not fit it.
    pub fn of(task: &JobTask, encoder: &Checkpoint, is_alone: bool) -> Result<Self, TrainingError> {
        let file = &task.file;
        Ok(Self {
            name: file.task.name.clone(),
            is_alone,
            rows: task.train.examples.len(),
            tokens: mean_tokens(task, encoder)?,
            dev_rows: task.dev.as_ref().map_or(0, |dev| dev.examples.len()),
            label_counts: label_counts(&file.task.kind, &task.train),
            is_pair: is_pair(file),
            has_counterparts: !pairs(&file.task.fields).is_empty(),
            draws_all: file.prompts.sampling == Sampling::All,
            templates: file.prompts.pool.len(),
            has_inference: file.prompts.inference.is_some(),
            metric: Metric::for_task(&file.task.kind, file.positive, &task.train.targets()),
            has_metric: file.metric.is_some(),
            has_class_weights: file.class_weights.is_some(),
        })
    }

    /// Whether the task predicts numbers.
    pub fn is_regression(&self) -> bool {
        self.label_counts.is_empty()
    }

    /// Examples of the most frequent label for one of the least frequent; 1 for a regression.
    pub fn unevenness(&self) -> f64 {
        let least = self.label_counts.iter().min().map_or(1, |count| (*count).max(1));
        let most = self.label_counts.iter().max().map_or(1, |count| (*count).max(1));
        most as f64 / least as f64
    }
}

/// The mean length of the canonical prompts of examples from all over the file.
fn mean_tokens(task: &JobTask, encoder: &Checkpoint) -> Result<usize, TrainingError> {
    let tokenizer = load_tokenizer(encoder)?;
    let positions = encoder.manifest.encoder.architecture.max_positions;
    let prompts = PromptSet::new(&task.file, &tokenizer, positions, &task.path)?;
    let step = task.train.examples.len().div_ceil(MEASURED).max(1);
    let (mut tokens, mut measured) = (0, 0);
    for labeled in task.train.examples.iter().step_by(step) {
        let canonical = task.file.prompts.canonical;
        tokens += prompts.encode(&tokenizer, &labeled.example, canonical)?.input_ids.len();
        measured += 1;
    }
    Ok(tokens.div_ceil(measured.max(1)))
}

fn label_counts(kind: &Kind, data: &Dataset) -> Vec<usize> {
    let Kind::Classification { labels } = kind else { return Vec::new() };
    let mut counts = vec![0; labels.len()];
    let labels = data.examples.iter().filter_map(|labeled| Target::label(&labeled.target));
    labels.for_each(|label| counts[label] += 1);
    counts
}

/// A pair is a prompt with fields on both sides of a separator.
fn is_pair(file: &TaskFile) -> bool {
    let canonical = &file.prompts.templates[file.prompts.canonical];
    let has_field =
        |part: &[Segment]| part.iter().any(|segment| matches!(segment, Segment::Slot(_)));
    let segments = &canonical.segments;
    let separator = segments.iter().position(|segment| *segment == Segment::Separator);
    separator.is_some_and(|at| has_field(&segments[..at]) && has_field(&segments[at..]))
}

/// The distinct texts of the tasks' training examples, field by field, that have at least
/// `min_words` words. Of more than `limit` a sample that does not depend on their order.
pub fn texts(tasks: &[JobTask], min_words: usize, limit: usize) -> Vec<String> {
    let examples = tasks.iter().flat_map(|task| &task.train.examples);
    let texts = examples.flat_map(|labeled| &labeled.example.values).map(|text| text.trim());
    let has_words = |text: &&str| text.split_whitespace().count() >= min_words;
    let distinct: HashSet<&str> = texts.filter(has_words).collect();
    let mut drawn: Vec<(Fingerprint, &str)> =
        distinct.into_iter().map(|text| (fingerprint([text]), text)).collect();
    drawn.sort_unstable();
    drawn.into_iter().take(limit).map(|(_, text)| text.to_owned()).collect()
}
