//! What a pretraining learns from what, without where the result goes.

use std::collections::HashMap;

use super::{
    super::{
        Interrupt, Masking, TrainingError, encoder::TrainableEncoder, saving::Saving,
        saving::identity,
    },
    Amounts, Observer, Settings,
    corpus::{Corpus, prompt},
    decoder,
    held_back::{HeldBack, spread},
    language_model::LanguageModel,
    similarity,
    trainer::{Material, Progress, Pull, Trainer},
    wrappers::Wrappers,
};
use crate::{
    checkpoint::Checkpoint,
    dataset::{Split, Texts, split_held_back},
    export,
    inference::{language_head, load_tokenizer},
    prompt::TaskFile,
    tokenization::{Pieces, Prompt, PromptTokenizer},
    weights::EncoderWeights,
};

/// Windows on which the exported graph is compared with the trainer's own forward pass.
const PARITY_WINDOWS: usize = 16;

/// An encoder, and what it learns from.
pub struct Course<'a> {
    pub texts: &'a Texts,
    /// Task files, each with its path, whose templates the similarity wraps round a text.
    pub tasks: &'a [(String, TaskFile)],
    pub encoder: &'a Checkpoint,
    pub settings: &'a Settings,
}

/// The result of a course.
pub struct Learned {
    pub model: LanguageModel,
    pub progress: Progress,
    pub steps: usize,
    pub amounts: Amounts,
    /// Some of the windows that were learned from.
    pub windows: Vec<Prompt>,
}

impl Course<'_> {
    /// Trains from the state that it finds, and leaves one behind until it is removed.
    pub fn run(
        &self,
        saving: &Saving,
        observer: &mut dyn Observer,
        interrupt: &Interrupt,
    ) -> Result<Learned, TrainingError> {
        let weights = export::read_weights(self.encoder)?;
        let (material, amounts) = self.material(&weights, observer, interrupt)?;
        let (model, fresh) = self.model(&weights)?;
        drop(weights);
        let trainer = Trainer::new(self.settings, &material, model, fresh);
        let steps = trainer.steps();
        let (model, progress) = trainer.run(saving, observer, interrupt)?;
        let windows = 0..material.corpus.len().min(PARITY_WINDOWS);
        let windows = windows.map(|at| prompt(material.corpus.window(at).to_vec(), 0)).collect();
        Ok(Learned { model, progress, steps, amounts, windows })
    }

    /// Refuses settings that do not fit the encoder or each other.
    pub fn check(&self) -> Result<(), TrainingError> {
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

    /// Values that must be the same for a run to go on from a state.
    pub fn identity(&self) -> HashMap<String, String> {
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

    pub(super) fn corpus<'t>(
        &self,
        texts: Vec<&'t str>,
        tokenizer: &PromptTokenizer,
        pieces: &Pieces,
    ) -> Result<Corpus<'t>, TrainingError> {
        Corpus::new(texts, tokenizer, pieces, self.settings.max_length)
    }

    /// For the similarity: its targets, and the encoder that gave them.
    pub(super) fn pull(
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
}
