//! The paper's experiment on anybody's data: methods by numbers of examples by seeds, with the same
//! examples, steps and trials for every method, and the test set scored once.

mod cells;
mod compute;
mod linear;
mod method;
mod outside;
mod plan;
mod run;
mod summary;

use std::{path::PathBuf, sync::Arc};

use crate::{
    dataset::{Dataset, DatasetError},
    inference::LoadError,
    prompt::{ClassWeights, TaskFile},
    report::Shot,
    training::{Settings, TrainingError},
};

pub use cells::{AnswerResult, CellResult};
pub use method::Method;
pub use outside::{OutsideResults, read_outside};
pub use plan::{Cell, Grid, Setting, Stage};
pub use run::{Experiment, Observer};
pub use summary::summarise;

/// A task of an experiment.
pub struct ComparedTask {
    pub file: Arc<TaskFile>,
    /// The task file's path, for messages.
    pub path: String,
    pub train: Dataset,
    pub dev: Dataset,
    pub test: Dataset,
    /// The name of the figure by which methods are compared and settings chosen.
    pub metric: String,
    pub class_weights: ClassWeights,
    /// Numbers of training examples, in order.
    pub shots: Vec<Shot>,
}

/// What an experiment tries.
pub struct Design {
    pub methods: Vec<Method>,
    /// The column with which the others are compared; `None` for standard fine-tuning.
    pub baseline: Option<String>,
    /// Data seeds, from 0.
    pub seeds: u64,
    pub grid: Grid,
    /// Seeds of the trials that choose a setting.
    pub trial_seeds: u64,
    /// What is the same for all runs. Its length is that of few-shot runs.
    pub settings: Settings,
    /// Visits of every example in runs on the whole training set.
    pub epochs: usize,
    /// Examples of the development and of the test set at most: a draw with a fixed seed.
    pub max_scored: usize,
    /// Where finished cells and the drawn training sets go.
    pub work: PathBuf,
}

/// Why an experiment stops.
#[derive(Debug, thiserror::Error)]
pub enum ComparisonError {
    #[error("interrupted; finished cells are kept, and the same command goes on from there")]
    Interrupted,
    #[error("cannot read {path}: {source}")]
    Read { path: String, source: std::io::Error },
    #[error("cannot write {path}: {source}")]
    Write { path: String, source: std::io::Error },
    #[error("{path}: {message}")]
    Outside { path: String, message: String },
    #[error("task {task:?} has no figure {metric:?}; it has: {known}")]
    Metric { task: String, metric: String, known: String },
    #[error("task {task:?}, {method}, {shot} examples, seed {seed}: {source}")]
    Cell { task: String, method: &'static str, shot: Shot, seed: u64, source: Box<TrainingError> },
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    #[error(transparent)]
    Training(#[from] Box<TrainingError>),
    #[error(transparent)]
    Load(#[from] LoadError),
}

impl From<TrainingError> for ComparisonError {
    fn from(error: TrainingError) -> Self {
        Self::Training(Box::new(error))
    }
}

/// Errors of libraries of ours that a cell may meet, as training's.
fn as_training(error: impl std::fmt::Display) -> TrainingError {
    TrainingError::Compute(error.to_string())
}
