//! The training loop.

use std::sync::atomic::Ordering;

use super::{
    Interrupt, TrainingError,
    body::Body,
    encoder::Dropout,
    head::TrainableHead,
    loss::{loss, z_score},
    optimizer::Optimizer,
    random::hash,
    sampling::{Draw, Sampler},
    schedule,
    score::{Score, score},
    settings::{Length, Settings},
};
use crate::{
    dataset::Dataset,
    inference::{Head, Scaling, TaskPredictor},
    task::Target,
    tokenization::Prompt,
    weights::EncoderWeights,
};

/// Keeps the seeds of dropout apart from others.
const DROPOUT: u64 = 21;

/// How often the development set is scored in a run that counts steps.
const SCORES_PER_RUN: usize = 10;

/// What one step did.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepReport {
    /// From 1.
    pub step: usize,
    pub loss: f32,
    /// Of the encoder, or of the head where the encoder is frozen.
    pub learning_rate: f64,
    /// Prompts in the batch.
    pub prompts: usize,
}

/// Is told how training goes.
pub trait Observer {
    /// Once, before the first step.
    fn begin(&mut self, steps: usize);
    /// After each step.
    fn step(&mut self, report: &StepReport);
    /// After the development set was scored; `best` if this is the best so far.
    fn scored(&mut self, step: usize, score: &Score, best: bool);
    /// Once, after the last step.
    fn end(&mut self);
}

/// What training ends with: the best on the development set, or the last.
pub struct Outcome {
    /// Absent where the encoder is frozen.
    pub weights: Option<EncoderWeights>,
    pub head: Head,
    pub score: Option<Score>,
    /// The step after which it was like this, and how many there were.
    pub step: usize,
    pub steps: usize,
}

/// A training run.
pub struct Trainer<'a> {
    pub settings: &'a Settings,
    pub predictor: &'a TaskPredictor,
    pub train: &'a Dataset,
    pub dev: Option<&'a Dataset>,
    pub interrupt: &'a Interrupt,
}

impl Trainer<'_> {
    /// Trains the head, and with it the body if that can be trained.
    pub fn run(
        &self,
        body: &mut Body,
        observer: &mut dyn Observer,
    ) -> Result<Outcome, TrainingError> {
        let settings = self.settings;
        let file = &self.predictor.file;
        let scaling = z_score(&self.train.targets());
        if !(scaling.mean.is_finite() && scaling.standard_deviation.is_finite()) {
            return Err(TrainingError::Targets);
        }
        let hidden = body.encoder().hidden_size();
        let outputs = file.task.kind.outputs();
        let head = TrainableHead::new(settings.head, hidden, outputs, settings.seed)?;
        let optimizer = Optimizer::new(body.parameters(), head.parameters(), settings);
        let mut learner = Learner { body, head, optimizer, scaling };
        let count = self.train.examples.len();
        let mut sampler = Sampler::new(&file.prompts, count, settings.batch_size, settings.seed);
        let (steps, score_every) = self.plan(sampler.steps_per_visit());
        observer.begin(steps);
        let mut best: Option<Outcome> = None;
        for step in 0..steps {
            if self.interrupt.load(Ordering::Relaxed) {
                return Err(TrainingError::Interrupted);
            }
            observer.step(&self.step(step, steps, &sampler.batch(step), &mut learner)?);
            let done = step + 1;
            if let Some(dev) = self.dev
                && (done % score_every == 0 || done == steps)
            {
                let predictor = self.predictor.with_head(learner.head.head(scaling)?);
                let score = score(learner.body.encoder(), &predictor, dev)?;
                let before = best.as_ref().and_then(|best| best.score.as_ref());
                let better = before.is_none_or(|before| score.beats(before));
                observer.scored(done, &score, better);
                if better {
                    best = Some(learner.outcome(Some(score), done, steps)?);
                }
            }
        }
        observer.end();
        match best {
            Some(best) => Ok(best),
            None => learner.outcome(None, steps, steps),
        }
    }

    /// Steps in all, and between two looks at the development set.
    fn plan(&self, steps_per_visit: usize) -> (usize, usize) {
        match self.settings.length {
            Length::Epochs(epochs) => (epochs * steps_per_visit, steps_per_visit),
            Length::Steps(steps) => (steps, steps.div_ceil(SCORES_PER_RUN)),
        }
    }

    fn step(
        &self,
        step: usize,
        steps: usize,
        draws: &[Draw],
        learner: &mut Learner<'_>,
    ) -> Result<StepReport, TrainingError> {
        let settings = self.settings;
        let seed = hash(&[settings.seed, DROPOUT, step as u64]);
        let dropout = Dropout { probability: settings.dropout, seed };
        let (prompts, targets) = self.prompts(draws)?;
        let vectors = learner.body.forward(&prompts, dropout)?;
        let outputs = learner.head.forward(&vectors, dropout)?;
        let loss = loss(&outputs, &targets, learner.scaling)?;
        let value: f32 = loss.to_scalar()?;
        if !value.is_finite() {
            return Err(TrainingError::Diverged { step: step + 1, loss: value });
        }
        let factor = schedule::factor(step, steps, settings.warm_up);
        learner.optimizer.step(&loss.backward()?, factor)?;
        let learning_rate = match learner.body {
            Body::Trainable(_) => settings.learning_rate,
            Body::Frozen(_) => settings.head_learning_rate,
        };
        let learning_rate = learning_rate * factor;
        Ok(StepReport { step: step + 1, loss: value, learning_rate, prompts: prompts.len() })
    }

    fn prompts(&self, draws: &[Draw]) -> Result<(Vec<Prompt>, Vec<Target>), TrainingError> {
        let mut prompts = Vec::with_capacity(draws.len());
        let mut targets = Vec::with_capacity(draws.len());
        for draw in draws {
            let labeled = &self.train.examples[draw.example];
            prompts.push(self.predictor.prompt(&labeled.example, draw.template)?);
            targets.push(labeled.target);
        }
        Ok((prompts, targets))
    }
}

/// What changes from step to step.
struct Learner<'a> {
    body: &'a mut Body,
    head: TrainableHead,
    optimizer: Optimizer,
    scaling: Scaling,
}

impl Learner<'_> {
    /// All of it as it is now.
    fn outcome(
        &self,
        score: Option<Score>,
        step: usize,
        steps: usize,
    ) -> Result<Outcome, TrainingError> {
        let weights = match &self.body {
            Body::Frozen(_) => None,
            Body::Trainable(encoder) => {
                let weights = encoder.weights()?;
                Some(weights.map_err(|error| TrainingError::Compute(error.to_string()))?)
            }
        };
        Ok(Outcome { weights, head: self.head.head(self.scaling)?, score, step, steps })
    }
}
