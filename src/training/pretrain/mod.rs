//! Continued pretraining: an encoder learns from unlabelled text, and becomes an encoder checkpoint
//! again.
//!
//! Two objectives, each with a weight. The masked language model (Devlin et al., 2019; anew at each
//! visit as by Liu et al., 2019) needs a language head, which is written beside the encoder. The
//! similarity pulls the vector at a prompt's mask to the mean of the bare text's token vectors in the
//! encoder as it was, so that an encoder of sentences keeps at the mask what it knows.

mod corpus;
mod decoder;
mod held_back;
mod language_model;
mod settings;
mod similarity;
mod trainer;
mod wrappers;

use std::{collections::HashMap, path::Path};

use super::{
    Interrupt, Masking, StepReport, TrainingError,
    encoder::TrainableEncoder,
    parity::check_parity,
    saving::{Saving, Unfinished, identity},
};
use crate::{
    checkpoint::{
        Checkpoint, Draft, ENCODER_FILE, ENCODER_WEIGHTS_FILE, EncoderEntry, LANGUAGE_HEAD_FILE,
        Manifest, Provenance,
    },
    dataset::{Split, Texts, split_held_back},
    export,
    inference::{Runtime, language_head, load_tokenizer},
    prompt::TaskFile,
    tokenization::{Pieces, Prompt, PromptTokenizer},
    weights::{EncoderWeights, Precision},
};
use corpus::{Corpus, prompt};
use held_back::{HeldBack, spread};
use language_model::LanguageModel;
use trainer::{Material, Pull, Trainer};
use wrappers::Wrappers;

pub use held_back::Measures;
pub use settings::Settings;

/// Windows on which the exported graph is compared with the trainer's own forward pass.
const PARITY_WINDOWS: usize = 16;

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
    job.check()?;
    let draft = Draft::new(job.out, job.replace)?;
    let saving = Saving::begin(job.out, job.identity(), job.unfinished, job.save_every)?;
    let weights = export::read_weights(job.encoder)?;
    let (material, amounts) = job.material(&weights, observer, interrupt)?;
    let (model, fresh) = job.model(&weights)?;
    drop(weights);
    let trainer = Trainer::new(job.settings, &material, model, fresh);
    let steps = trainer.steps();
    let (model, progress) = trainer.run(&saving, observer, interrupt)?;
    let windows = material.corpus.len().min(PARITY_WINDOWS);
    let windows = (0..windows).map(|at| prompt(material.corpus.window(at).to_vec(), 0));
    let manifest = job.publish(draft, &model, steps, amounts, &windows.collect::<Vec<_>>())?;
    saving.file.remove()?;
    Ok(Pretrained { manifest, steps, amounts, before: progress.before, after: progress.after })
}

impl Job<'_> {
    fn check(&self) -> Result<(), TrainingError> {
        self.settings.check()?;
        let positions = self.encoder.manifest.encoder.architecture.max_positions;
        let length = self.settings.max_length;
        if length > positions {
            return Err(TrainingError::Settings(format!(
                "windows of {length} tokens are longer than the encoder's {positions} positions"
            )));
        }
        if !self.tasks.is_empty() && !self.settings.pulls() {
            let message = "task files are for the similarity, which has no weight".to_owned();
            return Err(TrainingError::Settings(message));
        }
        Ok(())
    }

    /// What must be the same for a run to go on from a state.
    fn identity(&self) -> HashMap<String, String> {
        let mut identity = identity("pretrain", self.encoder, self.settings);
        identity.insert("text".to_owned(), self.texts.digest());
        let sources = self.tasks.iter().map(|(_, file)| file.source.clone()).enumerate();
        identity.extend(sources.map(|(at, source)| (format!("task file {}", at + 1), source)));
        identity
    }

    /// Reads the texts and, for the similarity, what they mean to the encoder now.
    fn material(
        &self,
        weights: &EncoderWeights,
        observer: &mut dyn Observer,
        interrupt: &Interrupt,
    ) -> Result<(Material<'_>, Amounts), TrainingError> {
        let settings = self.settings;
        let tokenizer = load_tokenizer(self.encoder)?;
        let pieces = tokenizer.pieces();
        let Split { train, held_back } = split_held_back(self.texts, settings.held_back);
        let held_back = spread(held_back.len()).into_iter().map(|at| held_back[at]).collect();
        let corpus = self.corpus(train, &tokenizer, &pieces)?;
        let held_back = self.corpus(held_back, &tokenizer, &pieces)?;
        if corpus.is_empty() {
            let message = "the texts hold no word to train on".to_owned();
            return Err(TrainingError::Settings(message));
        }
        let amounts = Amounts {
            texts: corpus.texts.len(),
            windows: corpus.len(),
            held_back: held_back.texts.len(),
            duplicates: self.texts.dropped_duplicates,
            empty: self.texts.skipped_empty,
        };
        observer.read(&amounts);
        let pull = self.pull(&corpus, tokenizer, weights, observer, interrupt)?;
        let (pull, encoder) = pull.unzip();
        let meanings = |mut encoder: TrainableEncoder| {
            similarity::meanings(&mut encoder, &held_back, observer, interrupt)
        };
        let meanings = encoder.map(meanings).transpose()?;
        let held_back = HeldBack::new(&held_back, settings, &pieces, pull.as_ref().zip(meanings))?;
        let masking =
            Masking::new(pieces, settings.mask_share, settings.whole_words, settings.seed);
        Ok((Material { corpus, masking, held_back, pull }, amounts))
    }

    fn corpus<'t>(
        &self,
        texts: Vec<&'t str>,
        tokenizer: &PromptTokenizer,
        pieces: &Pieces,
    ) -> Result<Corpus<'t>, TrainingError> {
        Corpus::new(texts, tokenizer, pieces, self.settings.max_length)
    }

    /// For the similarity: its targets, and the encoder that gave them.
    fn pull(
        &self,
        corpus: &Corpus<'_>,
        tokenizer: PromptTokenizer,
        weights: &EncoderWeights,
        observer: &mut dyn Observer,
        interrupt: &Interrupt,
    ) -> Result<Option<(Pull, TrainableEncoder)>, TrainingError> {
        if !self.settings.pulls() {
            return Ok(None);
        }
        let wrappers = Wrappers::new(self.tasks, &tokenizer, self.settings.max_length)?;
        similarity::check_room(corpus.texts.len(), weights.architecture.hidden_size)?;
        let mut encoder = TrainableEncoder::new(weights)?;
        let meanings = similarity::meanings(&mut encoder, corpus, observer, interrupt)?;
        Ok(Some((Pull { tokenizer, wrappers, meanings }, encoder)))
    }

    /// The model to train, and whether its language head is a fresh one.
    fn model(&self, weights: &EncoderWeights) -> Result<(LanguageModel, bool), TrainingError> {
        if !self.settings.masks() {
            return Ok((LanguageModel::new(weights, None)?, false));
        }
        let known = language_head(self.encoder)?;
        let fresh = known.is_none();
        let seed = self.settings.seed;
        let head = known.unwrap_or_else(|| decoder::fresh_head(&weights.architecture, seed));
        Ok((LanguageModel::new(weights, Some(&head))?, fresh))
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
