//! A search for a better recipe within a budget of time: a few recipes, successive halving, judged
//! on the development sets or, without them, on folds of the training sets. A test set is never
//! seen.

mod candidates;
mod folds;
mod halving;
mod record;

use std::{
    path::Path,
    time::{Duration, Instant},
};

use super::{
    Interrupt, Requested, Score, TrainingError,
    job::Job,
    job_task::JobTask,
    score::mean_rank,
    settings::{Length, Settings},
    trainer::{Quiet, Trainer, TrainerTask},
};
use crate::prompt::Sampling;
use candidates::{Candidate, Limits, candidates};
use folds::{Fold, folds};
use halving::{Rounds, better_half, winner};
use record::Record;

/// Steps of a trial at least: with fewer, recipes cannot be told apart.
const MIN_STEPS: usize = 20;

/// Steps by which the time of a step is measured.
const TIMED_STEPS: usize = 8;

/// A trial that has ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Trial {
    /// The change from the recipe that the data chose.
    pub candidate: String,
    /// From 1.
    pub round: usize,
    pub steps: usize,
    /// The mean over the tasks of the metric, negative for errors, and a second figure that
    /// decides between equals.
    pub rank: [f64; 2],
    /// Whether it was taken from the record of an earlier process.
    pub was_known: bool,
}

/// Is told how a search goes.
pub trait SearchObserver {
    /// Once: so many trials in so many rounds are planned.
    fn planned(&mut self, trials: usize, rounds: usize);
    /// After each trial.
    fn tried(&mut self, trial: &Trial);
}

/// The end of a search.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// The change from the recipe that the data chose.
    pub name: String,
    /// With the length of the recipe that the data chose.
    pub settings: Settings,
    pub trials: Vec<Trial>,
}

/// Searches with the tasks, the encoder and the adapted weights of a job, whose settings are the
/// recipe that the data chose. Trials are kept beside the job's `out` until [`forget`].
///
/// # Errors
///
/// If a trial fails for another reason than its numbers, or the search is interrupted.
pub fn search(
    job: &Job<'_>,
    requested: &Requested,
    budget: Duration,
    observer: &mut dyn SearchObserver,
    interrupt: &Interrupt,
) -> Result<Found, TrainingError> {
    let limits = Limits {
        has_labels: job.tasks.iter().all(|task| !task.file.labels().is_empty()),
        has_views: job.tasks.iter().all(|task| task.file.prompts.sampling != Sampling::All),
    };
    let candidates = candidates(job.settings, requested, limits);
    let mut record = Record::open(job.out, job.search_identity(budget))?;
    let folds = folds(&job.tasks);
    let mut search = Search { job, folds: &folds, interrupt };
    let rounds = match record.rounds() {
        Some(rounds) => rounds,
        None => record.plan(search.plan(&candidates, budget)?)?,
    };
    let counts = rounds.steps.iter().scan(candidates.len(), |count, _| {
        let now = *count;
        *count = count.div_ceil(2);
        Some(now)
    });
    observer.planned(counts.sum(), rounds.steps.len());
    let mut alive: Vec<usize> = (0..candidates.len()).collect();
    let mut trials = Vec::new();
    let mut last = Vec::new();
    for (round, steps) in rounds.steps.iter().enumerate() {
        let mut ranks = Vec::new();
        for &at in &alive {
            let Candidate { name, settings } = &candidates[at];
            let known = record.rank(name, round);
            let rank = match known {
                Some(rank) => rank,
                None => search.trial(settings, *steps)?,
            };
            let (candidate, was_known) = (name.clone(), known.is_some());
            let trial = Trial { candidate, round: round + 1, steps: *steps, rank, was_known };
            observer.tried(&trial);
            record.add(name, round, rank)?;
            ranks.push(rank);
            trials.push(trial);
        }
        let better = better_half(&alive, &ranks);
        last = alive.into_iter().zip(ranks).collect();
        alive = better;
    }
    let judged = folds.iter().map(|fold| fold.judged(&job.tasks)).sum();
    let Candidate { name, settings } = candidates[winner(&last, judged)].clone();
    Ok(Found { name, settings, trials })
}

/// Removes the record of the search for `out`.
///
/// # Errors
///
/// If it cannot be removed.
pub fn forget(out: &Path) -> Result<(), TrainingError> {
    record::remove(out)
}

struct Search<'a> {
    job: &'a Job<'a>,
    folds: &'a [Fold],
    interrupt: &'a Interrupt,
}

impl Search<'_> {
    /// The rounds that the budget has room for, by the time of a few steps.
    fn plan(
        &mut self,
        candidates: &[Candidate],
        budget: Duration,
    ) -> Result<Rounds, TrainingError> {
        let started = Instant::now();
        self.trial(self.job.settings, TIMED_STEPS)?;
        let per_step = started.elapsed().as_secs_f64() / TIMED_STEPS as f64;
        let steps = (budget.as_secs_f64() / per_step.max(1e-9)) as usize;
        let full = self.job.steps();
        Ok(Rounds::new(candidates.len(), steps, MIN_STEPS.min(full), full))
    }

    /// Trains for so many steps on each fold and returns the mean rank. A training whose numbers
    /// run away is the worst there is.
    fn trial(&mut self, settings: &Settings, steps: usize) -> Result<[f64; 2], TrainingError> {
        let settings = Settings {
            length: Length::Steps(steps),
            score_every: Some(steps),
            patience: None,
            calibrate: false,
            ..settings.clone()
        };
        let mut sum = [0.0; 2];
        for fold in self.folds {
            let rank = match self.fold(&settings, fold) {
                Ok(scores) => mean_rank(&scores),
                Err(TrainingError::Diverged { .. } | TrainingError::Gradient { .. }) => {
                    [f64::MIN; 2]
                }
                Err(error) => return Err(error),
            };
            sum.iter_mut().zip(rank).for_each(|(sum, rank)| *sum += rank);
        }
        Ok(sum.map(|sum| sum / self.folds.len() as f64))
    }

    fn fold(&self, settings: &Settings, fold: &Fold) -> Result<Vec<Option<Score>>, TrainingError> {
        let job = self.job;
        let predictors = job.predictors()?;
        let tasks = job.tasks.iter().zip(&predictors).zip(&fold.parts);
        let tasks = tasks.map(|((task, predictor), part)| {
            let JobTask { class_weights, metric, .. } = *task;
            let (train, dev) = (part.train(task), part.dev(task));
            let head = job.head(settings, task, predictor)?;
            Ok(TrainerTask { predictor, train, dev, head, class_weights, metric })
        });
        let tasks = tasks.collect::<Result<Vec<_>, TrainingError>>()?;
        let trainer = Trainer::new(settings, job.body()?, tasks)?;
        let (outcome, _) = trainer.run(None, &mut Quiet, self.interrupt)?;
        Ok(outcome.scores)
    }
}
