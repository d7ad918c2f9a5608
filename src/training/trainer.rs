//! The training loop.

use std::sync::atomic::Ordering;

use serde::{Deserialize, Serialize};

use super::{
    Interrupt, TrainingError,
    body::{Batch, Body},
    calibration::calibrate,
    head::TrainableHead,
    learner::{Learner, Moment},
    objective::Objective,
    pair_similarity::{self, SHARES, USUAL_SHARE, best_share, mixed},
    plan::Plan,
    random::hash,
    sampling::{Draw, Sampler},
    saving::Saving,
    schedule,
    score::{Score, beats, score},
    settings::Settings,
    turns::Turns,
};
use crate::{
    dataset::Dataset,
    evaluation::Metric,
    inference::{Head, PairSimilarity, TaskPredictor},
    prompt::ClassWeights,
    task::Target,
    weights::EncoderWeights,
};

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
    /// Texts that were encoded for this step and are not encoded again: with a frozen encoder.
    pub encoded: usize,
    /// Texts in templates that no step has asked for yet, of tasks that had a step.
    pub unencoded: usize,
}

/// Is told how training goes.
pub trait Observer {
    /// Once, before the first step; `done` steps were taken before an interruption.
    fn begin(&mut self, done: usize, steps: usize);
    /// After each step.
    fn step(&mut self, report: &StepReport);
    /// After the development sets were scored: for each task that has one its name and score;
    /// `best` if these are the best so far.
    fn scored(&mut self, step: usize, scores: &[(&str, &Score)], best: bool);
    /// Once, after the last step.
    fn end(&mut self);
}

/// Says nothing of a training.
pub struct Quiet;

impl Observer for Quiet {
    fn begin(&mut self, _: usize, _: usize) {}
    fn step(&mut self, _: &StepReport) {}
    fn scored(&mut self, _: usize, _: &[(&str, &Score)], _: bool) {}
    fn end(&mut self) {}
}

/// Why training ended before its last step with something to show.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stop {
    /// The development sets brought no new best for long enough.
    Patience { step: usize },
    /// A step could not be taken, for this reason; what is kept is the best from before.
    Diverged { reason: String },
}

/// What training ends with: the best on the development sets, or the last.
pub struct Outcome {
    /// Absent where the encoder is frozen.
    pub weights: Option<EncoderWeights>,
    /// Of each task, with its calibration.
    pub heads: Vec<Head>,
    /// Share of the comparison in an answer, from 0 to 1, for each task whose head has one.
    pub pair_shares: Vec<Option<f32>>,
    /// Of each task that has a development set, after the calibration.
    pub scores: Vec<Option<Score>>,
    /// The step after which it was like this, and how many were planned.
    pub step: usize,
    pub steps: usize,
    /// Why it ended early, if it did.
    pub stop: Option<Stop>,
}

/// A task to be trained.
pub struct TrainerTask<'a> {
    /// Predictor with any head: it is replaced, but for which templates answer.
    pub predictor: &'a TaskPredictor,
    pub train: &'a Dataset,
    pub dev: Option<&'a Dataset>,
    /// Fresh.
    pub head: TrainableHead,
    pub class_weights: ClassWeights,
    /// The figure by which a step is kept.
    pub metric: Metric,
}

/// A training run.
pub struct Trainer<'a> {
    settings: &'a Settings,
    predictors: Vec<&'a TaskPredictor>,
    train: Vec<&'a Dataset>,
    dev: Vec<Option<&'a Dataset>>,
    metrics: Vec<Metric>,
    objectives: Vec<Objective>,
    /// Comparison of pairs of each task's head.
    pair_similarities: Vec<Option<PairSimilarity>>,
    learner: Learner,
    progress: Progress,
    /// The parameters' values at the best look at the development sets.
    best: Option<Vec<Vec<f32>>>,
}

/// How far a run has come, but for the arrays.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Progress {
    /// The step of the best look at the development sets, and its scores.
    best: Option<(usize, Vec<Option<Score>>)>,
    /// Looks since then.
    misses: usize,
}

impl<'a> Trainer<'a> {
    /// Prepares the training of tasks on one encoder.
    pub fn new(
        settings: &'a Settings,
        body: Body,
        tasks: Vec<TrainerTask<'a>>,
    ) -> Result<Self, TrainingError> {
        let mut heads = Vec::new();
        let (mut predictors, mut train, mut dev) = (Vec::new(), Vec::new(), Vec::new());
        let (mut objectives, mut metrics) = (Vec::new(), Vec::new());
        let mut pair_similarities = Vec::new();
        for task in tasks {
            let labels = task.predictor.file.labels().len();
            let objective =
                Objective::new(&task.train.targets(), labels, task.class_weights, settings);
            let scaling = objective.scaling;
            if !(scaling.mean.is_finite() && scaling.standard_deviation.is_finite()) {
                return Err(TrainingError::Targets);
            }
            let of_pairs = || pair_similarity::fit(task.predictor, task.train, &objective);
            pair_similarities.push(settings.pair_similarity.then(of_pairs).flatten());
            objectives.push(objective);
            heads.push(task.head);
            predictors.push(task.predictor);
            train.push(task.train);
            dev.push(task.dev);
            metrics.push(task.metric);
        }
        let learner = Learner::new(body, heads, settings);
        let progress = Progress::default();
        Ok(Self {
            settings,
            predictors,
            train,
            dev,
            metrics,
            objectives,
            pair_similarities,
            learner,
            progress,
            best: None,
        })
    }

    /// Trains the heads, and with them the body if that can be trained. With `saving` the run goes
    /// on from the state that it finds, and leaves one behind until [`StateFile::remove`].
    pub fn run(
        mut self,
        saving: Option<&Saving>,
        observer: &mut dyn Observer,
        interrupt: &Interrupt,
    ) -> Result<(Outcome, Body), TrainingError> {
        let settings = self.settings;
        let mut samplers: Vec<Sampler<'_>> = self
            .predictors
            .iter()
            .zip(&self.train)
            .enumerate()
            .map(|(task, (predictor, train))| {
                let seed =
                    if task == 0 { settings.seed } else { hash(&[settings.seed, task as u64]) };
                let count = train.examples.len();
                Sampler::new(&predictor.file.prompts, count, settings.batch_size, seed)
            })
            .collect();
        let visits: Vec<usize> = samplers.iter().map(Sampler::steps_per_visit).collect();
        let plan = Plan::new(settings, &visits);
        let done = self.resume(saving)?;
        let mut turns = Turns::new(&plan.of_tasks);
        for _ in 0..done {
            turns.next();
        }
        observer.begin(done, plan.steps);
        let mut stop = None;
        for step in done..plan.steps {
            if interrupt.load(Ordering::Relaxed) {
                return Err(self.interrupted(saving, step));
            }
            let Some((task, turn)) = turns.next() else { break };
            let draws = samplers[task].batch(turn);
            let views = match settings.views() {
                2 => samplers[task].second_views(turn, &draws),
                _ => Vec::new(),
            };
            match self.step(task, &[draws, views].concat(), Moment { step, steps: plan.steps }) {
                Ok(report) => observer.step(&report),
                Err(error) => {
                    stop = Some(self.diverged(error)?);
                    break;
                }
            }
            let step = step + 1;
            if (step % plan.score_every == 0 || step == plan.steps)
                && let Err(error) = self.look(step, observer)
            {
                stop = Some(self.diverged(error)?);
                break;
            }
            if settings.patience.is_some_and(|patience| self.progress.misses >= patience) {
                stop = Some(Stop::Patience { step });
                break;
            }
            if let Some(saving) = saving
                && step % saving.every == 0
                && step < plan.steps
            {
                self.save(saving, step)?;
            }
        }
        observer.end();
        self.finish(plan.steps, stop)
    }

    /// Takes a saved state, if there is one; returns the steps taken.
    fn resume(&mut self, saving: Option<&Saving>) -> Result<usize, TrainingError> {
        let Some(saving) = saving else { return Ok(0) };
        let Some((step, progress, mut extra)) = saving.file.load(self.learner.parameters_mut())?
        else {
            return Ok(0);
        };
        self.progress = progress;
        self.learner.optimizer.resume(step);
        if self.progress.best.is_some() {
            extra.sort_by_key(|(name, _)| name.parse::<usize>().unwrap_or(usize::MAX));
            self.best = Some(extra.into_iter().map(|(_, values)| values).collect());
        }
        Ok(step)
    }

    fn save(&self, saving: &Saving, step: usize) -> Result<(), TrainingError> {
        let best = self.best.iter().flatten().enumerate();
        let best: Vec<(String, &[f32])> =
            best.map(|(at, values)| (at.to_string(), values.as_slice())).collect();
        Ok(saving.file.save(step, &self.progress, self.learner.parameters(), &best)?)
    }

    fn interrupted(&self, saving: Option<&Saving>, step: usize) -> TrainingError {
        let Some(saving) = saving.filter(|_| step > 0) else {
            return TrainingError::Interrupted { step: None };
        };
        match self.save(saving, step) {
            Ok(()) => TrainingError::Interrupted { step: Some(step) },
            Err(error) => error,
        }
    }

    fn step(
        &mut self,
        task: usize,
        draws: &[Draw],
        moment: Moment,
    ) -> Result<StepReport, TrainingError> {
        let (predictor, train) = (self.predictors[task], self.train[task]);
        let targets: Vec<Target> =
            draws.iter().map(|draw| train.examples[draw.example].target).collect();
        let prompt =
            |draw: Draw| predictor.prompt(&train.examples[draw.example].example, draw.template);
        let (examples, templates) = (train.examples.len(), predictor.file.prompts.pool.len());
        let batch = Batch { task, draws, examples, templates, prompt: &prompt };
        let (encoded, _) = self.learner.body.encoded();
        let loss = self.learner.step(&batch, &targets, &self.objectives[task], moment)?;
        let peak = match self.learner.body {
            Body::Trainable(_) => self.settings.learning_rate,
            Body::Frozen(_) => self.settings.head_learning_rate,
        };
        let factor = schedule::factor(moment.step, moment.steps, self.settings.warm_up);
        let (step, learning_rate) = (moment.step + 1, peak * factor);
        let (now, unencoded) = self.learner.body.encoded();
        let (prompts, encoded) = (draws.len(), now.saturating_sub(encoded));
        Ok(StepReport { step, loss, learning_rate, prompts, encoded, unencoded })
    }

    /// With a best so far, a step that fails for its numbers ends the run and no more.
    fn diverged(&self, error: TrainingError) -> Result<Stop, TrainingError> {
        match error {
            TrainingError::Diverged { .. } | TrainingError::Gradient { .. }
                if self.best.is_some() =>
            {
                Ok(Stop::Diverged { reason: error.to_string() })
            }
            other => Err(other),
        }
    }

    /// The predictor of a task with its head as it is now, in which the comparison of pairs has this
    /// share.
    fn predictor(&self, task: usize, share: f32) -> TaskPredictor {
        let objective = &self.objectives[task];
        let priors = self.predictors[task].file.priors.as_deref();
        let calibration = objective.prior_calibration(priors);
        let head = self.learner.heads[task].head(objective.scaling);
        let head = match &self.pair_similarities[task] {
            Some(pairs) => mixed(head, pairs, share),
            None => head,
        };
        let inference = self.predictors[task].head.inference;
        self.predictors[task].with_head(Head { calibration, inference, ..head })
    }

    /// Scores the development sets and keeps what is best.
    fn look(&mut self, step: usize, observer: &mut dyn Observer) -> Result<(), TrainingError> {
        let mut scores = Vec::new();
        for task in 0..self.dev.len() {
            let predictor = self.predictor(task, USUAL_SHARE);
            let encoder = self.learner.body.encoder();
            let metric = self.metrics[task];
            let score = |dev| score(encoder, &predictor, dev, metric);
            scores.push(self.dev[task].map(score).transpose()?);
        }
        if scores.iter().all(Option::is_none) {
            return Ok(());
        }
        if !scores.iter().flatten().all(Score::is_finite) {
            return Err(TrainingError::Diverged { step, loss: f32::NAN });
        }
        let best = self.progress.best.as_ref().is_none_or(|(_, best)| beats(&scores, best));
        let named = self.predictors.iter().zip(&scores).filter_map(|(predictor, score)| {
            score.as_ref().map(|score| (predictor.file.task.name.as_str(), score))
        });
        observer.scored(step, &named.collect::<Vec<_>>(), best);
        self.progress.misses += 1;
        if best {
            self.progress = Progress { best: Some((step, scores)), misses: 0 };
            self.best = Some(self.learner.snapshot());
        }
        Ok(())
    }

    /// Takes the best or the last, and calibrates it.
    fn finish(
        mut self,
        steps: usize,
        stop: Option<Stop>,
    ) -> Result<(Outcome, Body), TrainingError> {
        let (mut step, mut scores) = (steps, vec![None; self.dev.len()]);
        if let (Some(best), Some((at, found))) = (&self.best, self.progress.best.take()) {
            self.learner.restore(best);
            (step, scores) = (at, found);
        }
        self.best = None;
        let (mut heads, mut pair_shares) = (Vec::new(), Vec::new());
        for (task, score) in scores.iter_mut().enumerate() {
            let share = self.best_share(task)?;
            pair_shares.push(share);
            let mut predictor = self.predictor(task, share.unwrap_or(USUAL_SHARE));
            let fits = self.settings.calibrate && !predictor.file.labels().is_empty();
            if let (Some(dev), true) = (self.dev[task], fits) {
                let metric = self.metrics[task];
                let (calibrated, after) =
                    calibrate(self.learner.body.encoder(), &predictor, dev, metric)?;
                (predictor, *score) = (calibrated, Some(after));
            }
            heads.push(predictor.head);
        }
        let weights = self.learner.weights()?;
        let outcome = Outcome { weights, heads, pair_shares, scores, step, steps, stop };
        Ok((outcome, self.learner.body))
    }

    /// The share of the comparison of pairs in a task's answers, if it has one.
    fn best_share(&mut self, task: usize) -> Result<Option<f32>, TrainingError> {
        if self.pair_similarities[task].is_none() {
            return Ok(None);
        }
        let Some(dev) = self.dev[task] else { return Ok(Some(USUAL_SHARE)) };
        let predictors = SHARES.map(|share| self.predictor(task, share));
        best_share(self.learner.body.encoder(), &predictors, dev, self.metrics[task]).map(Some)
    }
}
