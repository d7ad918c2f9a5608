//! The sets that a trial learns from and is judged on.

use crate::{dataset::Dataset, training::job_task::JobTask};

/// Folds of a training set, where there is no development set.
const FOLDS: usize = 3;

/// One way to divide every task's examples.
pub struct Fold {
    pub parts: Vec<Part>,
}

/// A task's examples in a fold.
pub enum Part {
    /// The training set, judged on the development set.
    Given,
    /// A part of the training set, judged on the rest of it.
    Divided { train: Dataset, dev: Dataset },
}

impl Fold {
    /// Number of examples, of all tasks, that are judged.
    pub fn judged(&self, tasks: &[JobTask]) -> usize {
        let dev = self.parts.iter().zip(tasks).filter_map(|(part, task)| part.dev(task));
        dev.map(|dev| dev.examples.len()).sum()
    }
}

impl Part {
    /// The examples to learn from.
    pub fn train<'a>(&'a self, task: &'a JobTask) -> &'a Dataset {
        match self {
            Self::Given => &task.train,
            Self::Divided { train, .. } => train,
        }
    }

    /// The examples to be judged on.
    pub fn dev<'a>(&'a self, task: &'a JobTask) -> Option<&'a Dataset> {
        match self {
            Self::Given => task.dev.as_ref(),
            Self::Divided { dev, .. } => Some(dev),
        }
    }
}

/// One fold where any task has a development set, or else so many that every example is judged
/// once.
pub fn folds(tasks: &[JobTask]) -> Vec<Fold> {
    if tasks.iter().any(|task| task.dev.is_some()) {
        return vec![Fold { parts: tasks.iter().map(|_| Part::Given).collect() }];
    }
    let divided = |fold| Fold { parts: tasks.iter().map(|task| part(task, fold)).collect() };
    (0..FOLDS).map(divided).collect()
}

/// Every third example is judged, label by label, so that each fold has all labels.
fn part(task: &JobTask, fold: usize) -> Part {
    let targets = task.train.targets();
    let mut seen = vec![0; task.file.labels().len().max(1)];
    let mut parts = [Vec::new(), Vec::new()];
    for (target, labeled) in targets.iter().zip(&task.train.examples) {
        let label = target.label().unwrap_or(0);
        let is_judged = seen[label] % FOLDS == fold;
        seen[label] += 1;
        parts[usize::from(is_judged)].push(labeled.clone());
    }
    let set = |examples| Dataset { path: task.train.path.clone(), examples };
    let [train, dev] = parts.map(set);
    Part::Divided { train, dev }
}
