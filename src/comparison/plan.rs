//! Which cells an experiment consists of. Pure.

use serde::{Deserialize, Serialize};

use super::method::Method;
use crate::report::Shot;

/// Seeds of the trials are kept apart from those of the runs that are reported.
const FIRST_TRIAL_SEED: u64 = 1 << 32;

/// The values among which a method's setting is chosen, the same for all methods.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Grid {
    pub learning_rates: Vec<f64>,
    pub consistency: Vec<f64>,
    pub contrastive: Vec<f64>,
}

/// One setting of a grid.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Setting {
    /// Its place in the grid.
    pub index: usize,
    pub learning_rate: f64,
    pub consistency: f64,
    pub contrastive: f64,
}

impl Grid {
    /// Every combination.
    pub fn settings(&self) -> Vec<Setting> {
        let mut settings = Vec::new();
        for &learning_rate in &self.learning_rates {
            for &consistency in &self.consistency {
                for &contrastive in &self.contrastive {
                    let index = settings.len();
                    settings.push(Setting { index, learning_rate, consistency, contrastive });
                }
            }
        }
        settings
    }
}

/// What a cell is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Scored on the development set, to choose a setting.
    Trial,
    /// Scored on the test set, with the setting chosen.
    Final,
}

/// One training, or fit, and its scores.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// The task's place among the experiment's.
    pub task: usize,
    pub method: Method,
    pub shot: Shot,
    pub seed: u64,
    pub stage: Stage,
    pub setting: Setting,
}

/// A method on a task with so many examples: what gets a setting of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Entrant {
    /// The task's place among the experiment's.
    pub task: usize,
    pub shot: Shot,
    pub method: Method,
}

impl Cell {
    fn new(entrant: Entrant, seed: u64, stage: Stage, setting: Setting) -> Self {
        let Entrant { task, shot, method } = entrant;
        Self { task, method, shot, seed, stage, setting }
    }

    /// Whose cell it is.
    pub fn entrant(&self) -> Entrant {
        Entrant { task: self.task, shot: self.shot, method: self.method }
    }
}

/// The trials that choose a setting for each method that has settings; none where the grid has a
/// single one.
pub fn trials(entrants: &[Entrant], grid: &Grid, seeds: u64) -> Vec<Cell> {
    let settings = grid.settings();
    if settings.len() < 2 {
        return Vec::new();
    }
    let mut cells = Vec::new();
    for &entrant in entrants.iter().filter(|entrant| entrant.method.has_settings()) {
        for seed in FIRST_TRIAL_SEED..FIRST_TRIAL_SEED + seeds {
            let of_setting = |&setting| Cell::new(entrant, seed, Stage::Trial, setting);
            cells.extend(settings.iter().map(of_setting));
        }
    }
    cells
}

/// The runs that are reported. Seeds come last to first in the loops, so that an experiment that is
/// stopped early has whole seeds of everything.
pub fn finals(entrants: &[Entrant], seeds: u64, chosen: impl Fn(&Entrant) -> Setting) -> Vec<Cell> {
    let of_seed = |seed| entrants.iter().map(move |entrant| (seed, entrant));
    let all = (0..seeds).flat_map(of_seed);
    all.map(|(seed, entrant)| Cell::new(*entrant, seed, Stage::Final, chosen(entrant))).collect()
}

/// The setting whose trials scored best on average; of equals the first.
pub fn best(scores: &[(Setting, f64)], grid: &Grid) -> Option<Setting> {
    let mut best: Option<(Setting, f64)> = None;
    for setting in grid.settings() {
        let of_setting = scores.iter().filter(|(other, _)| other.index == setting.index);
        let values: Vec<f64> = of_setting.map(|(_, score)| *score).collect();
        if values.is_empty() {
            continue;
        }
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let mean = if mean.is_nan() { f64::NEG_INFINITY } else { mean };
        if best.is_none_or(|(_, other)| mean > other) {
            best = Some((setting, mean));
        }
    }
    best.map(|(setting, _)| setting)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid() -> Grid {
        Grid {
            learning_rates: vec![1e-5, 1e-4],
            consistency: vec![0.0],
            contrastive: vec![0.0, 1.0],
        }
    }

    fn entrants(methods: &[(usize, Method)], shots: &[Shot]) -> Vec<Entrant> {
        let of_shot =
            |&shot| methods.iter().map(move |&(task, method)| Entrant { task, shot, method });
        shots.iter().flat_map(of_shot).collect()
    }

    #[test]
    fn every_method_gets_the_same_trials() {
        let methods = [(0, Method::Standard), (0, Method::Dynamic), (1, Method::Standard)];
        let entrants = entrants(&methods, &[Shot::Count(4), Shot::All]);
        let cells = trials(&entrants, &grid(), 2);
        assert_eq!(cells.len(), 3 * 2 * 2 * 4);
        let count = |method| cells.iter().filter(|c| c.method == method && c.task == 0).count();
        assert_eq!(count(Method::Standard), count(Method::Dynamic));
        let without = self::entrants(&[(0, Method::BagOfWords)], &[Shot::All]);
        assert!(trials(&without, &grid(), 2).is_empty(), "a method without settings has no trials");
        let single = Grid { learning_rates: vec![1e-5], contrastive: vec![0.0], ..grid() };
        assert!(trials(&entrants, &single, 2).is_empty());
    }

    #[test]
    fn the_best_setting_is_the_best_on_average() {
        let settings = grid().settings();
        let scores: Vec<(Setting, f64)> = [(0, 0.9), (0, 0.1), (2, 0.6), (2, 0.8), (3, 0.65)]
            .map(|(i, s)| (settings[i], s))
            .into();
        assert_eq!(best(&scores, &grid()).map(|setting| setting.index), Some(2));
        assert_eq!(best(&[], &grid()), None);
    }

    #[test]
    fn runs_come_seed_by_seed() {
        let methods = [(0, Method::Standard), (0, Method::Dynamic)];
        let setting = grid().settings()[1];
        let cells = finals(&entrants(&methods, &[Shot::Count(4)]), 2, |_| setting);
        let order: Vec<(u64, Method)> = cells.iter().map(|cell| (cell.seed, cell.method)).collect();
        assert_eq!(
            order,
            [
                (0, Method::Standard),
                (0, Method::Dynamic),
                (1, Method::Standard),
                (1, Method::Dynamic),
            ]
        );
    }
}
