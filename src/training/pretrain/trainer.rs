//! The loop of continued pretraining.

use std::sync::atomic::Ordering;

use serde::{Deserialize, Serialize};

use super::{
    super::{
        Dropout, Interrupt, Length, Masking, StepReport, TrainingError,
        optimizer::{Optimizer, Rates},
        random::hash,
        saving::Saving,
        schedule,
    },
    Observer, Settings,
    corpus::{Corpus, Order},
    held_back::{HeldBack, Measures},
    language_model::LanguageModel,
    wrappers::Wrappers,
};
use crate::tokenization::PromptTokenizer;

/// How often the held-back texts are measured in a run, besides before it.
const MEASURES_PER_RUN: usize = 10;

/// Keep the seeds of dropout apart from others.
const MASKING_DROPOUT: u64 = 41;
const SIMILARITY_DROPOUT: u64 = 42;

/// What a run learns from.
pub struct Material<'a> {
    pub corpus: Corpus<'a>,
    pub masking: Masking,
    pub held_back: HeldBack,
    pub pull: Option<Pull>,
}

/// What the similarity is learnt from.
pub struct Pull {
    pub tokenizer: PromptTokenizer,
    pub wrappers: Wrappers,
    /// Of the corpus's texts, `[texts, hidden]`, each of length 1.
    pub meanings: Vec<f32>,
}

/// How far a run has come, but for the arrays.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Before the first step; absent where nothing is held back.
    pub before: Option<Measures>,
    /// At the last look.
    pub after: Option<Measures>,
}

/// A pretraining run.
pub struct Trainer<'a> {
    settings: &'a Settings,
    material: &'a Material<'a>,
    model: LanguageModel,
    optimizer: Optimizer,
    /// Of the model's parameters, in their order.
    rates: Vec<Rates>,
    order: Order,
    progress: Progress,
}

impl<'a> Trainer<'a> {
    /// Prepares a run; a language head that is `fresh` learns at a rate of its own.
    pub fn new(
        settings: &'a Settings,
        material: &'a Material<'a>,
        model: LanguageModel,
        fresh: bool,
    ) -> Self {
        let rates = model.rates(settings, fresh);
        let optimizer = Optimizer::new(settings.max_gradient_norm);
        let order = Order::new(material.corpus.len(), settings.batch_size, settings.seed);
        let progress = Progress::default();
        Self { settings, material, model, optimizer, rates, order, progress }
    }

    /// The steps of the whole run.
    pub fn steps(&self) -> usize {
        match self.settings.length {
            Length::Steps(steps) => steps,
            Length::Epochs(epochs) => epochs * self.order.steps_per_visit(),
        }
    }

    /// Trains from the state that it finds, and leaves one behind until it is removed. Returns the
    /// model after the last step.
    pub fn run(
        mut self,
        saving: &Saving,
        observer: &mut dyn Observer,
        interrupt: &Interrupt,
    ) -> Result<(LanguageModel, Progress), TrainingError> {
        let steps = self.steps();
        let measure_every = steps.div_ceil(MEASURES_PER_RUN).max(1);
        let done = self.resume(saving)?;
        observer.begin(done, steps);
        if done == 0 && !self.material.held_back.is_empty() {
            self.progress.before = self.look(0, observer)?;
        }
        for step in done..steps {
            if interrupt.load(Ordering::Relaxed) {
                self.save(saving, step)?;
                return Err(TrainingError::Interrupted { step: Some(step) });
            }
            observer.step(&self.step(step, steps)?);
            let step = step + 1;
            if step % measure_every == 0 || step == steps {
                self.progress.after = self.look(step, observer)?;
            }
            if step % saving.every == 0 && step < steps {
                self.save(saving, step)?;
            }
        }
        observer.end();
        Ok((self.model, self.progress))
    }

    /// Takes a saved state, if there is one; returns the steps taken.
    fn resume(&mut self, saving: &Saving) -> Result<usize, TrainingError> {
        let Some((step, progress, _)) = saving.file.load(self.model.parameters_mut())? else {
            return Ok(0);
        };
        self.progress = progress;
        self.optimizer.resume(step);
        Ok(step)
    }

    fn save(&self, saving: &Saving, step: usize) -> Result<(), TrainingError> {
        Ok(saving.file.save(step, &self.progress, self.model.parameters(), &[])?)
    }

    fn look(
        &mut self,
        step: usize,
        observer: &mut dyn Observer,
    ) -> Result<Option<Measures>, TrainingError> {
        if self.material.held_back.is_empty() {
            return Ok(None);
        }
        let measures = self.material.held_back.measure(&mut self.model)?;
        observer.measured(step, &measures);
        Ok(Some(measures))
    }

    /// One step; `step` counts from 0.
    fn step(&mut self, step: usize, steps: usize) -> Result<StepReport, TrainingError> {
        let (settings, material) = (self.settings, self.material);
        let (visit, windows) = self.order.batch(step);
        let dropout = |purpose: u64| {
            let seed = hash(&[settings.seed, purpose, step as u64]);
            Dropout { probability: settings.dropout, seed }
        };
        let mut loss = 0.0;
        if settings.masks() {
            let batch = material.corpus.masked(windows, visit, &material.masking);
            let weight = settings.masking_weight;
            loss += weight * self.model.guess(&batch, weight, dropout(MASKING_DROPOUT))?;
        }
        let prompts = windows.len();
        if let Some(pull) = &material.pull {
            let texts = material.corpus.texts_of(windows);
            let dropout = dropout(SIMILARITY_DROPOUT);
            loss += settings.similarity * self.pull(pull, &texts, step, dropout)?;
        }
        let loss = loss as f32;
        if !loss.is_finite() {
            return Err(TrainingError::Diverged { step: step + 1, loss });
        }
        let factor = schedule::factor(step, steps, settings.warm_up);
        let parameters = self.model.parameters_mut().zip(self.rates.iter().copied());
        self.optimizer.step(parameters, factor)?;
        let learning_rate = settings.learning_rate * factor;
        Ok(StepReport { step: step + 1, loss, learning_rate, prompts, encoded: 0, unencoded: 0 })
    }

    fn pull(
        &mut self,
        pull: &Pull,
        texts: &[usize],
        step: usize,
        dropout: Dropout,
    ) -> Result<f64, TrainingError> {
        let (settings, material) = (self.settings, self.material);
        let hidden = self.model.encoder.architecture().hidden_size;
        let (mut prompts, mut meanings) = (Vec::new(), Vec::new());
        for &text in texts {
            let purpose = [settings.seed, step as u64, text as u64];
            let words = material.corpus.texts[text];
            prompts.push(pull.wrappers.wrap(&pull.tokenizer, words, purpose)?);
            meanings.extend_from_slice(&pull.meanings[text * hidden..][..hidden]);
        }
        self.model.pull(&prompts, &meanings, settings.similarity, dropout)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::{
        super::{super::state::StateFile, Amounts},
        *,
    };
    use crate::{
        tokenization::Pieces,
        weights::tests::{small, small_head},
    };

    struct Silence;

    impl Observer for Silence {
        fn read(&mut self, _: &Amounts) {}
        fn encoded(&mut self, _: usize, _: usize) {}
        fn begin(&mut self, _: usize, _: usize) {}
        fn step(&mut self, _: &StepReport) {}
        fn measured(&mut self, _: usize, _: &Measures) {}
        fn end(&mut self) {}
    }

    fn material() -> Material<'static> {
        let mut corpus = Corpus::default();
        corpus.push("text", &[vec![1, 10, 11, 12, 2], vec![1, 13, 2]]);
        let special = (0..20).map(|id| id < 5).collect();
        let pieces = Pieces { mask: 4, special, continuation: vec![false; 20] };
        let masking = Masking::new(pieces, 0.3, false, 1);
        Material { corpus, masking, held_back: HeldBack::default(), pull: None }
    }

    #[test]
    fn a_loss_that_is_no_number_ends_the_run_and_keeps_the_state_from_before() {
        let home = tempfile::tempdir().expect("a directory");
        let file = StateFile::beside(&home.path().join("out"), HashMap::new());
        let saving = Saving { file, every: 2 };
        let (settings, material) = (Settings::default(), material());
        let interrupt = Interrupt::new(false);
        let run = |broken: bool| {
            let mut head = small_head();
            head.bias.data[7] = if broken { f32::NAN } else { 0.5 };
            let model = LanguageModel::new(&small(), Some(&head)).expect("a model");
            let settings = Settings { length: Length::Steps(5), ..settings.clone() };
            let trainer = Trainer::new(&settings, &material, model, false);
            trainer.run(&saving, &mut Silence, &interrupt).map(|(_, progress)| progress)
        };
        let error = run(true).map(drop).expect_err("no number");
        assert!(matches!(error, TrainingError::Diverged { step: 1, .. }), "{error}");
        assert!(saving.file.refuse_unfinished().is_ok(), "nothing was there to keep");
        assert_eq!(run(false).expect("trained"), Progress::default());
        let error = saving.file.refuse_unfinished().expect_err("kept").to_string();
        assert!(error.contains("step 4"), "{error}");
    }

    #[test]
    fn epochs_count_windows() {
        let (material, settings) = (material(), Settings::default());
        for (batch_size, expected) in [(1, 6), (2, 3), (8, 3)] {
            let length = Length::Epochs(3);
            let settings = Settings { length, batch_size, ..settings.clone() };
            let model = LanguageModel::new(&small(), None).expect("a model");
            assert_eq!(Trainer::new(&settings, &material, model, false).steps(), expected);
        }
    }
}
