//! The settings of a run, chosen from what the data and the encoder show. A choice is a rule that
//! can be read here; a setting that the user names is never changed.

mod choose;
mod facts;
mod requested;

use std::collections::BTreeMap;

use super::{
    Interrupt, TrainingError,
    job_task::JobTask,
    pretrain::{self, Course},
    settings::{Length, Settings, Tune},
};
use crate::{checkpoint::Checkpoint, dataset::Texts, prompt::TaskFile};
use choose::choose;
use facts::texts;

pub use facts::TaskFacts;
pub use requested::Requested;

/// Words of a text that the adaptation takes, at least.
const MIN_WORDS: usize = 3;

/// Texts without which an adaptation has too little to learn from.
const MIN_TEXTS: usize = 64;

/// Texts that an adaptation encodes at most.
const MAX_TEXTS: usize = 20_000;

/// A setting that the recipe chose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// The setting's name, as its flag is spelled.
    pub setting: String,
    pub value: String,
    /// A clause for "because".
    pub reason: String,
}

/// The settings of a run, and why they are what they are.
#[derive(Debug, Clone, PartialEq)]
pub struct Recipe {
    pub settings: Settings,
    pub adaptation: Option<Adaptation>,
    pub choices: Vec<Choice>,
}

/// A course that the encoder takes before the heads are trained.
#[derive(Debug, Clone, PartialEq)]
pub struct Adaptation {
    pub texts: Texts,
    /// Task files, each with its path, whose templates are wrapped round the texts.
    pub tasks: Vec<(String, TaskFile)>,
    pub settings: pretrain::Settings,
}

impl Adaptation {
    /// The adaptation of an encoder on the texts of these tasks; `None` where they are fewer than
    /// `least`.
    fn of(tasks: &[JobTask], encoder: &Checkpoint, least: usize) -> Option<Self> {
        let texts = texts(tasks, MIN_WORDS, MAX_TEXTS);
        if texts.len() < least {
            return None;
        }
        let positions = encoder.manifest.encoder.architecture.max_positions;
        // Templates of several fields cannot be wrapped round one text; neutral ones stand in.
        let single = tasks.iter().filter(|task| task.file.task.fields.len() == 1);
        let tasks: Vec<(String, TaskFile)> =
            single.map(|task| (task.path.clone(), (*task.file).clone())).collect();
        let longest = tasks.iter().map(|(_, file)| file.max_length).max();
        let defaults = pretrain::Settings::default();
        let max_length = longest.unwrap_or(defaults.max_length).min(positions);
        let settings = pretrain::Settings {
            length: Length::Steps(1),
            max_length,
            masking_weight: 0.0,
            similarity: 1.0,
            held_back: 0.0,
            ..defaults
        };
        let texts = Texts { texts, ..Texts::default() };
        Some(Self { texts, tasks, settings })
    }

    /// The course of an encoder.
    pub fn course<'a>(&'a self, encoder: &'a Checkpoint) -> Course<'a> {
        let Self { texts, tasks, settings } = self;
        Course { texts, tasks, encoder, settings }
    }
}

/// Chooses the settings that were not requested, and writes the class weights and the metric into
/// the tasks.
///
/// # Errors
///
/// If the encoder cannot be read or computed with.
pub fn recipe(
    tasks: &mut [JobTask],
    encoder: &Checkpoint,
    requested: &Requested,
    interrupt: &Interrupt,
) -> Result<Recipe, TrainingError> {
    let mut adaptation = match (requested.tune(), requested.adapt_steps) {
        (Tune::Head, _) | (_, Some(0)) => None,
        (Tune::Full, None) => Adaptation::of(tasks, encoder, MIN_TEXTS),
        (Tune::Full, Some(_)) => Adaptation::of(tasks, encoder, 1),
    };
    let has_language_head = encoder.manifest.encoder.language_head.is_some();
    let similarity = match (&adaptation, requested.adapt_steps, has_language_head) {
        (Some(adaptation), None, false) => {
            let course = adaptation.course(encoder);
            pretrain::mask_similarity(&course, &mut Silent, interrupt)?
        }
        _ => None,
    };
    let is_alone = tasks.len() == 1;
    let facts = tasks.iter().map(|task| TaskFacts::of(task, encoder, is_alone));
    let facts = facts.collect::<Result<Vec<_>, _>>()?;
    let texts = adaptation.as_ref().map_or(0, |adaptation| adaptation.texts.texts.len());
    let hidden_size = encoder.manifest.encoder.architecture.hidden_size;
    let encoder = choose::EncoderFacts { hidden_size, similarity, texts };
    let chosen = choose(&facts, &encoder, requested);
    adaptation = adaptation.zip(chosen.adaptation).map(|(adaptation, length)| {
        let settings = choose::adaptation_settings(adaptation.settings, length, &chosen.settings);
        Adaptation { settings, ..adaptation }
    });
    for (task, of_task) in tasks.iter_mut().zip(&chosen.of_tasks) {
        task.class_weights = of_task.class_weights.unwrap_or(task.class_weights);
        task.metric = of_task.metric.unwrap_or(task.metric);
        task.inference = of_task.inference;
    }
    Ok(Recipe { settings: chosen.settings, adaptation, choices: chosen.choices })
}

/// Says nothing of a look at the mask, which takes a second.
struct Silent;

impl pretrain::Observer for Silent {
    fn read(&mut self, _: &pretrain::Amounts) {}
    fn encoded(&mut self, _: usize, _: usize) {}
    fn begin(&mut self, _: usize, _: usize) {}
    fn step(&mut self, _: &super::StepReport) {}
    fn measured(&mut self, _: usize, _: &pretrain::Measures) {}
    fn end(&mut self) {}
}

impl Recipe {
    /// The choices with their reasons, for the record of a checkpoint.
    pub fn record(&self) -> BTreeMap<String, String> {
        let choices = self.choices.iter();
        choices.map(|choice| (choice.setting.clone(), choice.reason.clone())).collect()
    }
}
