//! The rules. Pure: facts in, settings and reasons out. The numbers come from trainings on the four
//! tasks of docs/results.md and on variants of them, judged on development sets.

use super::{Choice, Requested, TaskFacts};
use crate::{
    evaluation::Metric,
    prompt::{ClassWeights, InferenceMode},
    training::{
        pretrain,
        settings::{HeadShape, Length, Settings, Tune},
    },
};

/// Below this similarity the vector at the mask says little of its text.
const WEAK_MASK: f64 = 0.5;

/// Steps of an adaptation at least and at most; an epoch of the texts lies between them.
const ADAPTATION_STEPS: (usize, usize) = (60, 300);

/// Visits of a text in an adaptation on few texts.
const ADAPTATION_EPOCHS: usize = 4;

/// Peak rate of an adaptation of a small encoder.
const ADAPTATION_RATE: f64 = 1e-4;

/// Examples of single texts between which an encoder learns to use its mask by the labels alone: it
/// sees each often enough, and an adaptation gained nothing there (review-polarity, 384 examples:
/// accuracy 0.918 with it and 0.933 without).
const UNADAPTED_ROWS: std::ops::Range<usize> = 200..12_000;

/// Steps below which a head has hardly moved.
const MIN_STEPS: usize = 120;

/// Visits of an example at most, however few there are.
const MAX_EPOCHS: usize = 40;

/// Examples of all tasks up to which a contrastive loss helps: it takes twice the time.
const FEW_ROWS: usize = 1000;

/// Examples of a task below which all of its templates answer.
const FEW_FOR_ENSEMBLE: usize = 200;

/// Tokens that a training reads at most, if an epoch has fewer: an estimated 35 minutes of an encoder
/// of six layers, 384 wide, on two CPUs, from the 2,400 a second of product-match.
const MAX_TOKENS: usize = 5_000_000;

/// Looks at the development set in a run.
const LOOKS: usize = 10;

/// How much more frequent the most frequent label is before weights are softened.
const UNEVEN: f64 = 3.0;

/// The encoder, as far as the rules ask.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EncoderFacts {
    pub hidden_size: usize,
    /// Of the vector at the mask and the bare text's mean vector; `None` if the encoder has a
    /// language head, and so a mask that was trained, or if it was not looked at.
    pub similarity: Option<f64>,
    /// Texts that an adaptation would have.
    pub texts: usize,
}

/// What was chosen.
pub struct Chosen {
    pub settings: Settings,
    pub of_tasks: Vec<ChosenOfTask>,
    /// Steps of the adaptation.
    pub adaptation: Option<usize>,
    pub choices: Vec<Choice>,
}

/// Choices for one task, where it is not the task file's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ChosenOfTask {
    pub class_weights: Option<ClassWeights>,
    pub metric: Option<Metric>,
    pub inference: Option<InferenceMode>,
}

/// Notes choices as they are made.
#[derive(Default)]
struct Notes(Vec<Choice>);

impl Notes {
    fn add(&mut self, setting: &str, value: impl ToString, reason: impl Into<String>) {
        let (setting, value) = (setting.to_owned(), value.to_string());
        self.0.push(Choice { setting, value, reason: reason.into() });
    }
}

/// Chooses everything that was not requested.
pub fn choose(tasks: &[TaskFacts], encoder: &EncoderFacts, requested: &Requested) -> Chosen {
    let mut notes = Notes::default();
    let of_tasks = tasks.iter().map(|task| of_task(task, requested, &mut notes)).collect();
    let mut settings = Settings::new(requested.tune());
    let mut adaptation = None;
    if requested.tune() == Tune::Full {
        adaptation = adaptation_steps(tasks, encoder, requested, &mut notes);
        choose_rate(&mut settings, tasks, encoder, requested, &mut notes);
        choose_length(&mut settings, tasks, requested, &mut notes);
        choose_loss(&mut settings, tasks, requested, &mut notes);
    }
    choose_pair_similarity(&mut settings, tasks, requested, &mut notes);
    let mut settings = requested.over(settings);
    choose_looks(&mut settings, tasks, &mut notes);
    Chosen { settings, of_tasks, adaptation, choices: notes.0 }
}

/// The settings of an adaptation of so many steps, beside those of the training.
pub fn adaptation_settings(
    base: pretrain::Settings,
    steps: usize,
    training: &Settings,
) -> pretrain::Settings {
    let learning_rate = ADAPTATION_RATE.min(training.learning_rate);
    pretrain::Settings {
        length: Length::Steps(steps),
        learning_rate,
        dropout: training.dropout,
        seed: training.seed,
        ..base
    }
}

/// Chooses class weights, metric and templates of a task, unless the user or its file named them.
fn of_task(task: &TaskFacts, requested: &Requested, notes: &mut Notes) -> ChosenOfTask {
    let name = |setting: &str| match task.is_alone {
        true => setting.to_owned(),
        false => format!("{} {setting}", task.name),
    };
    let inference = requested.inference.or_else(|| inference(task, name("inference"), notes));
    if requested.metric.is_none() && !task.has_metric {
        notes.add(&name("metric"), task.metric.metric.name(), task.metric.reason);
    }
    let metric = requested.metric.or_else(|| (!task.has_metric).then_some(task.metric.metric));
    if let Some(weights) = requested.class_weights {
        return ChosenOfTask { class_weights: Some(weights), metric, inference };
    }
    if task.has_class_weights || task.is_regression() {
        return ChosenOfTask { class_weights: None, metric, inference };
    }
    let is_ranked = metric == Some(Metric::AveragePrecision);
    let weights = if task.unevenness() > UNEVEN && !is_ranked {
        let reason = "some labels are rare, and each counts in the metric";
        notes.add(&name("class-weights"), ClassWeights::Softened.name(), reason);
        ClassWeights::Softened
    } else {
        ClassWeights::Even
    };
    ChosenOfTask { class_weights: Some(weights), metric, inference }
}

/// Chooses which templates answer. Their mean is worth most where training saw few examples. Of many
/// it gains less than a point for as many passes as there are templates, which is for whoever serves to decide.
fn inference(task: &TaskFacts, setting: String, notes: &mut Notes) -> Option<InferenceMode> {
    if task.has_inference {
        return None;
    }
    let TaskFacts { rows, templates, .. } = *task;
    let (mode, reason) = if rows < FEW_FOR_ENSEMBLE && templates > 1 {
        let reason = format!(
            "{rows} examples are few, and the mean of {templates} templates is surer; an answer \
             takes as many passes, --inference single takes one"
        );
        (InferenceMode::Ensemble, reason)
    } else {
        let reason = "one pass of the encoder for an answer; --inference ensemble averages the \
                      templates";
        (InferenceMode::Single, reason.to_owned())
    };
    notes.add(&setting, mode.name(), reason);
    Some(mode)
}

fn adaptation_steps(
    tasks: &[TaskFacts],
    encoder: &EncoderFacts,
    requested: &Requested,
    notes: &mut Notes,
) -> Option<usize> {
    if let Some(steps) = requested.adapt_steps {
        return (steps > 0).then_some(steps);
    }
    let similarity = encoder.similarity.filter(|similarity| *similarity < WEAK_MASK)?;
    let rows = tasks.iter().map(|task| task.rows).sum();
    if UNADAPTED_ROWS.contains(&rows) && !tasks.iter().any(|task| task.is_pair) {
        return None;
    }
    let batch = pretrain::Settings::default().batch_size;
    let (least, most) = ADAPTATION_STEPS;
    let steps = (encoder.texts * ADAPTATION_EPOCHS).div_ceil(batch).clamp(least, most);
    let reason = format!(
        "the encoder's vector at the mask says little of its text (cosine {similarity:.2}); it \
         learns that first, from {} texts without their labels",
        encoder.texts
    );
    notes.add("adapt-steps", steps, reason);
    Some(steps)
}

/// A larger encoder takes a lower rate; a prompt of two texts too, for it learns slowly and falls
/// back to the frequent label at a high one.
fn choose_rate(
    settings: &mut Settings,
    tasks: &[TaskFacts],
    encoder: &EncoderFacts,
    requested: &Requested,
    notes: &mut Notes,
) {
    let (for_width, width) = match encoder.hidden_size {
        0..=256 => (5e-4, "a very small"),
        257..=512 => (2e-4, "a small"),
        _ => (5e-5, "a large"),
    };
    let is_pair = tasks.iter().any(|task| task.is_pair);
    let rate = if is_pair { for_width / 2.0 } else { for_width };
    let head_factor = settings.head_learning_rate / settings.learning_rate;
    (settings.learning_rate, settings.head_learning_rate) = (rate, rate * head_factor);
    if requested.learning_rate.is_none() {
        let of_prompts = if is_pair { ", and its prompts compare two texts" } else { "" };
        let size = encoder.hidden_size;
        let reason = format!("the encoder is {width} one ({size} wide){of_prompts}");
        notes.add("learning-rate", format!("{rate:e}"), reason);
    }
}

/// Fewer examples are visited more often.
fn choose_length(
    settings: &mut Settings,
    tasks: &[TaskFacts],
    requested: &Requested,
    notes: &mut Notes,
) {
    let rows: usize = tasks.iter().map(|task| task.rows).sum();
    let is_pair = tasks.iter().any(|task| task.is_pair);
    settings.batch_size = if is_pair && rows < 12_000 { 16 } else { 32 };
    if requested.batch_size.is_none() {
        let reason = if is_pair { "prompts compare two texts" } else { "prompts have one text" };
        notes.add("batch-size", settings.batch_size, reason);
    }
    let batch_size = requested.batch_size.unwrap_or(settings.batch_size);
    // Pairs are still learning when single texts are done: on product-match the average precision on
    // the development set goes 0.58, 0.76, 0.82 over the first three epochs.
    let usual: usize = match (rows, is_pair) {
        (0..1_000, false) => 10,
        (1_000..4_000, false) => 5,
        (4_000..12_000, false) => 3,
        (12_000..100_000, false) => 2,
        (0..1_000, true) => 20,
        (1_000..4_000, true) => 12,
        (4_000..12_000, true) => 8,
        (12_000..100_000, true) => 4,
        (_, _) => 1,
    };
    let steps_per_epoch = rows.div_ceil(batch_size).max(1);
    let tokens: usize = tasks.iter().map(|task| task.rows * task.tokens).sum();
    let affordable = (MAX_TOKENS / tokens.max(1)).max(1);
    let wanted = usual.max(MIN_STEPS.div_ceil(steps_per_epoch)).min(MAX_EPOCHS);
    let epochs = wanted.min(affordable);
    settings.length = Length::Epochs(epochs);
    if requested.length.is_none() {
        let steps = epochs * steps_per_epoch;
        let reason = match epochs < wanted {
            false => format!("{rows} examples give {steps} steps"),
            true => format!(
                "{rows} examples of {} tokens give {steps} steps; more of so long texts take long",
                tokens / rows.max(1)
            ),
        };
        notes.add("epochs", epochs, reason);
    }
}

fn choose_loss(
    settings: &mut Settings,
    tasks: &[TaskFacts],
    requested: &Requested,
    notes: &mut Notes,
) {
    let rows: usize = tasks.iter().map(|task| task.rows).sum();
    let fits = tasks.iter().all(|task| !task.is_regression() && !task.is_pair && !task.draws_all);
    if fits && rows < FEW_ROWS && requested.contrastive.is_none() {
        settings.contrastive = 1.0;
        notes.add("contrastive", "1", format!("{rows} examples are few, and it uses each twice"));
    }
}

/// Turns the comparison on for pairs: how alike names, codes or prices are is what an encoder of few
/// layers learns last.
fn choose_pair_similarity(
    settings: &mut Settings,
    tasks: &[TaskFacts],
    requested: &Requested,
    notes: &mut Notes,
) {
    let compares = tasks.iter().any(|task| task.is_pair && task.has_counterparts);
    let fits = !matches!(requested.head, Some(HeadShape::LabelWords));
    if compares && fits && requested.pair_similarity.is_none() {
        settings.pair_similarity = true;
        let reason = "the prompts compare two texts, and the head also sees how alike their words, \
                      codes and numbers are";
        notes.add("pair-similarity", "on", reason);
    }
}

fn choose_looks(settings: &mut Settings, tasks: &[TaskFacts], notes: &mut Notes) {
    let with_dev: Vec<&TaskFacts> = tasks.iter().filter(|task| task.dev_rows > 0).collect();
    if with_dev.is_empty() {
        notes.add("kept step", "last", "there is no --dev to find the best one on");
        return;
    }
    let reason = format!("the best on --dev by the metric; looked at about {LOOKS} times");
    notes.add("kept step", "best", reason);
    if settings.score_every.is_none()
        && let Length::Epochs(epochs) = settings.length
    {
        let per_epoch: usize =
            tasks.iter().map(|task| task.rows.div_ceil(settings.batch_size)).sum();
        settings.score_every = Some((epochs * per_epoch).div_ceil(LOOKS).max(1));
    }
}

#[cfg(test)]
mod tests;
