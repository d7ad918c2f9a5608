//! How a search goes, line by line.

use std::time::{Duration, Instant};

use super::progress::{clock, note};
use crate::training::{SearchObserver, Trial};

/// Shows each trial of a search on stderr.
pub struct SearchProgress {
    budget: Duration,
    started: Instant,
    trials: usize,
    done: usize,
}

impl SearchProgress {
    /// Shows nothing yet.
    pub fn new(budget: Duration) -> Self {
        Self { budget, started: Instant::now(), trials: 0, done: 0 }
    }
}

impl SearchObserver for SearchProgress {
    fn planned(&mut self, trials: usize, rounds: usize) {
        self.trials = trials;
        note(&format!(
            "search: {trials} trials in {rounds} rounds within about {}",
            clock(self.budget)
        ));
    }

    fn tried(&mut self, trial: &Trial) {
        self.done += 1;
        let Trial { candidate, round, steps, rank, was_known } = trial;
        let known = if *was_known { ", from the interrupted search" } else { "" };
        note(&format!(
            "search: {}/{} round {round}, {steps} steps, {candidate}: {:.4}{known} ({} so far)",
            self.done,
            self.trials,
            rank[0],
            clock(self.started.elapsed())
        ));
    }
}
