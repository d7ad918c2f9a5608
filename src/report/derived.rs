//! What an experiment's record implies: improvements with their intervals, scores by template.

use std::collections::{BTreeMap, BTreeSet};

use super::comparison::{ComparisonPage, Shot, ShotResults, TaskResults, TemplateRole};
use crate::evaluation::paired::{Improvement, improvement, mean};

/// Seed of every bootstrap, so that the same record always gives the same intervals.
const BOOTSTRAP_SEED: u64 = 1;

/// A method's improvement on one task with so many examples.
pub struct CellImprovement {
    /// Index into the methods.
    pub method: usize,
    pub shot: Shot,
    pub improvement: Improvement,
}

/// Which cells an average is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Regime {
    FewShot,
    AllData,
    Both,
}

/// A method's improvement averaged over tasks and numbers of examples.
pub struct AverageImprovement {
    /// Index into the methods.
    pub method: usize,
    pub regime: Regime,
    pub improvement: Improvement,
}

impl Regime {
    /// The regime in words.
    pub fn name(self) -> &'static str {
        match self {
            Self::FewShot => "few-shot",
            Self::AllData => "all data",
            Self::Both => "all cells",
        }
    }

    fn has(self, shot: Shot) -> bool {
        match self {
            Self::FewShot => shot != Shot::All,
            Self::AllData => shot == Shot::All,
            Self::Both => true,
        }
    }
}

/// Every method but the baseline against it, on one task.
pub fn cell_improvements(page: &ComparisonPage, task: &TaskResults) -> Vec<CellImprovement> {
    let mut found = Vec::new();
    for (method, described) in rivals(page) {
        for shot in task.shots() {
            let pairs = task.pairs(&page.baseline, described, shot);
            let improvement = pairs.and_then(|pairs| improvement(&[pairs], BOOTSTRAP_SEED));
            found.extend(improvement.map(|improvement| CellImprovement {
                method,
                shot,
                improvement,
            }));
        }
    }
    found
}

/// Every method but the baseline against it, averaged over tasks and numbers of examples.
pub fn average_improvements(page: &ComparisonPage) -> Vec<AverageImprovement> {
    let mut found = Vec::new();
    let regimes = regimes(page);
    for (method, id) in rivals(page) {
        for &regime in &regimes {
            let cells: Vec<_> = page
                .tasks
                .iter()
                .flat_map(|task| task.shots().into_iter().map(move |shot| (task, shot)))
                .filter(|(_, shot)| regime.has(*shot))
                .filter_map(|(task, shot)| task.pairs(&page.baseline, id, shot))
                .collect();
            let improvement = improvement(&cells, BOOTSTRAP_SEED);
            found.extend(improvement.map(|improvement| AverageImprovement {
                method,
                regime,
                improvement,
            }));
        }
    }
    found
}

/// Those that there are runs of; both together only where they differ.
fn regimes(page: &ComparisonPage) -> Vec<Regime> {
    let shots: BTreeSet<Shot> = page.tasks.iter().flat_map(TaskResults::shots).collect();
    let mut regimes = vec![Regime::FewShot, Regime::AllData];
    regimes.retain(|regime| shots.iter().any(|shot| regime.has(*shot)));
    if regimes.len() > 1 {
        regimes.push(Regime::Both);
    }
    regimes
}

fn rivals(page: &ComparisonPage) -> impl Iterator<Item = (usize, &str)> {
    let methods = page.methods.iter().enumerate();
    methods.filter(|(_, method)| method.id != page.baseline).map(|(at, m)| (at, m.id.as_str()))
}

/// The headline metric with templates of one role, over seeds.
pub struct RoleScore {
    pub mean: f64,
    /// The lowest and the highest mean of a template.
    pub range: (f64, f64),
}

/// The headline metric with the templates of a role; `None` if no run has any.
pub fn role_score(results: &ShotResults, role: TemplateRole) -> Option<RoleScore> {
    let mut of_each: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for score in results.runs.iter().flat_map(|run| &run.templates) {
        if score.role == role {
            of_each.entry(&score.id).or_default().push(score.value);
        }
    }
    let means: Vec<f64> = of_each.values().filter_map(|values| mean(values)).collect();
    let low = means.iter().copied().reduce(f64::min)?;
    let high = means.iter().copied().reduce(f64::max)?;
    Some(RoleScore { mean: mean(&means)?, range: (low, high) })
}
