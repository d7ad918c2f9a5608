//! The steps of a run.

use super::settings::{Length, Settings};

/// Number of times the development sets are scored in a run that counts steps.
const SCORES_PER_RUN: usize = 10;

/// Length of a run.
pub struct Plan {
    pub steps: usize,
    /// Steps of each task.
    pub of_tasks: Vec<usize>,
    /// Steps between two looks at the development sets.
    pub score_every: usize,
}

impl Plan {
    /// `visits` are the steps that take each task through its examples once.
    pub fn new(settings: &Settings, visits: &[usize]) -> Self {
        let of_tasks: Vec<usize> = match settings.length {
            Length::Epochs(epochs) => visits.iter().map(|visit| epochs * visit).collect(),
            // The tasks share the steps; the first ones take what is left.
            Length::Steps(steps) => {
                let tasks = visits.len().max(1);
                (0..tasks).map(|task| steps / tasks + usize::from(task < steps % tasks)).collect()
            }
        };
        let steps = of_tasks.iter().sum();
        let score_every = settings.score_every.unwrap_or_else(|| match settings.length {
            Length::Epochs(_) => visits.iter().sum(),
            Length::Steps(steps) => steps.div_ceil(SCORES_PER_RUN),
        });
        Self { steps, of_tasks, score_every }
    }
}
