//! Continued pretraining: an encoder learns from unlabelled text, and becomes an encoder checkpoint
//! again.
//!
//! Two objectives, each with a weight. The masked language model (Devlin et al., 2019; anew at each
//! visit as by Liu et al., 2019) needs a language head, which is written beside the encoder. The
//! similarity pulls the vector at a prompt's mask to the mean of the bare text's token vectors in the
//! encoder as it was, so that an encoder of sentences keeps at the mask what it knows.

mod adaptation;
mod corpus;
mod course;
mod decoder;
mod held_back;
mod language_model;
mod settings;
mod similarity;
mod trainer;
mod wrappers;

use std::path::Path;

use super::{
    Interrupt, StepReport, TrainingError,
    parity::check_parity,
    saving::{Saving, Unfinished},
};
use crate::{
    checkpoint::{
        Checkpoint, Draft, ENCODER_FILE, ENCODER_WEIGHTS_FILE, EncoderEntry, LANGUAGE_HEAD_FILE,
        Manifest, Provenance,
    },
    dataset::Texts,
    export,
    inference::Runtime,
    prompt::TaskFile,
    tokenization::Prompt,
    weights::Precision,
};
use course::Learned;
use language_model::LanguageModel;

pub use adaptation::{adapt, mask_similarity};
pub use course::Course;
pub use held_back::Measures;
pub use settings::Settings;

/// Is told how pretraining goes.
pub trait Observer {
    /// Before the first step, with what the run works on.
    fn read(&mut self, amounts: &Amounts);
    /// While texts are encoded for the similarity: so many of all.
    fn encoded(&mut self, texts: usize, all: usize);
    /// Once, before the first step; `done` steps were taken before an interruption.
    fn begin(&mut self, done: usize, steps: usize);
    /// After each step.
    fn step(&mut self, report: &StepReport);
    /// After the held-back texts were measured; step 0 is before the first.
    fn measured(&mut self, step: usize, measures: &Measures);
    /// Once, after the last step.
    fn end(&mut self);
}

/// How much text there is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Amounts {
    /// Texts to train on, and their windows.
    pub texts: usize,
    pub windows: usize,
    /// Texts that are held back and measured.
    pub held_back: usize,
    /// Texts left out because they had come before, or were empty.
    pub duplicates: usize,
    pub empty: usize,
}

/// What is to be trained on what, and where to.
pub struct Job<'a> {
    pub texts: &'a Texts,
    /// Task files, each with its path, whose templates the similarity wraps round a text.
    pub tasks: &'a [(String, TaskFile)],
    pub encoder: &'a Checkpoint,
    pub out: &'a Path,
    /// Whether a checkpoint at `out` may be replaced.
    pub replace: bool,
    pub settings: &'a Settings,
    pub runtime: &'a Runtime,
    pub unfinished: Unfinished,
    /// Steps between two saves of the state.
    pub save_every: usize,
}

/// What a job ended with.
#[derive(Debug)]
pub struct Pretrained {
    pub manifest: Manifest,
    pub steps: usize,
    pub amounts: Amounts,
    /// On the held-back texts, if there are any.
    pub before: Option<Measures>,
    pub after: Option<Measures>,
}

/// Trains and writes the checkpoint: the encoder after the last step, and its language head if one
/// was trained.
pub fn pretrain(
    job: &Job<'_>,
    observer: &mut dyn Observer,
    interrupt: &Interrupt,
) -> Result<Pretrained, TrainingError> {
    let course = job.course();
    course.check()?;
    let draft = Draft::new(job.out, job.replace)?;
    let saving = Saving::begin(job.out, course.identity(), job.unfinished, job.save_every)?;
    let Learned { model, progress, steps, amounts, windows } =
        course.run(&saving, observer, interrupt)?;
    let manifest = job.publish(draft, &model, steps, amounts, &windows)?;
    saving.file.remove()?;
    Ok(Pretrained { manifest, steps, amounts, before: progress.before, after: progress.after })
}

impl Job<'_> {
    fn course(&self) -> Course<'_> {
        let Job { texts, tasks, encoder, settings, .. } = *self;
        Course { texts, tasks, encoder, settings }
    }

    fn publish(
        &self,
        mut draft: Draft,
        model: &LanguageModel,
        steps: usize,
        amounts: Amounts,
        windows: &[Prompt],
    ) -> Result<Manifest, TrainingError> {
        let from = &self.encoder.manifest;
        let (weights, head) = model.weights()?;
        let files = export::to_onnx(&weights, Precision::Fp32, ENCODER_WEIGHTS_FILE);
        draft.add_encoder(&files.graph, &files.weights)?;
        let graph = draft.path(ENCODER_FILE);
        check_parity(&weights, Precision::Fp32, &graph, self.runtime, windows)?;
        if let Some(head) = &head {
            draft.add(LANGUAGE_HEAD_FILE, &export::language_head_bytes(head)?)?;
        }
        let encoder = EncoderEntry {
            language_head: head.map(|_| LANGUAGE_HEAD_FILE.to_owned()),
            ..EncoderEntry::new(&from.encoder.name, weights.architecture, Precision::Fp32)
        };
        draft.share(self.encoder, &from.tokenizer)?;
        let provenance = Provenance::new(self.origin(steps, amounts.texts));
        Ok(draft.publish(encoder, &from.tokenizer, provenance)?)
    }

    /// Where the encoder comes from, in words.
    fn origin(&self, steps: usize, texts: usize) -> String {
        let objectives = match (self.settings.masks(), self.settings.pulls()) {
            (true, true) => "masked-language-model and similarity",
            (false, true) => "similarity",
            _ => "masked-language-model",
        };
        let id = &self.encoder.manifest.id;
        format!("checkpoint {id}, {objectives} training of {steps} steps on {texts} texts")
    }
}

#[cfg(test)]
mod tests;
