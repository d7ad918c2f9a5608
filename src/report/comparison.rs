//! The result of an experiment: methods by tasks by training examples by seeds. As JSON it is the
//! experiment's record; the page and the tables are made from it alone.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde::{Deserialize, Serialize};

use crate::evaluation::{calibration::ReliabilityBin, paired::Pairs};

/// An experiment has no more methods than this, and no more tasks.
const MAX_LISTED: usize = 64;

/// Runs of all methods, tasks and shots together.
const MAX_RUNS: usize = 100_000;

/// An experiment and how it was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ComparisonPage {
    pub title: String,
    pub encoder: String,
    /// Id of the method that the others are compared with.
    pub baseline: String,
    /// In the order of the tables and the colours of the charts.
    pub methods: Vec<Method>,
    pub tasks: Vec<TaskResults>,
    /// Command lines that make the experiment again.
    #[serde(default)]
    pub commands: Vec<String>,
    #[serde(default)]
    pub settings: BTreeMap<String, String>,
}

/// One way to train or predict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Method {
    /// Short, such as "M3 DynaMaR": by this, results are found.
    pub id: String,
    /// What it is, such as "dynamic prompts (M3, DynaMaR)"; empty if the id says it.
    #[serde(default)]
    pub name: String,
    pub description: String,
}

/// What a task predicts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TaskKind {
    Classification,
    Regression,
}

/// A figure of a run, under the name that `evaluation` gives it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metric {
    pub name: String,
    pub higher_is_better: bool,
}

/// The results of one task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskResults {
    pub name: String,
    pub kind: TaskKind,
    pub headline: Metric,
    #[serde(default)]
    pub secondary: Vec<Metric>,
    /// By method id. A method may be missing.
    pub methods: BTreeMap<String, Vec<ShotResults>>,
}

/// How many training examples there were.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Shot {
    /// So many of each label (for regression: in all). As JSON its number in a string.
    Count(u32),
    /// The whole training set. As JSON "all".
    All,
}

/// The runs of a method on a task with so many examples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShotResults {
    pub shot: Shot,
    pub runs: Vec<Run>,
    /// Of all runs together (`calibration::pool_bins`); empty for regression.
    #[serde(default)]
    pub reliability: Vec<ReliabilityBin>,
}

/// One training and its figures on the test set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Runs of two methods with the same seed saw the same training examples and are compared
    /// with each other.
    pub seed: u64,
    /// By the metric's name.
    pub metrics: BTreeMap<String, f64>,
    /// The headline metric with each template alone.
    #[serde(default)]
    pub templates: Vec<TemplateScore>,
    /// It answers the same whatever the text (`evaluation::is_collapsed`).
    #[serde(default)]
    pub collapsed: bool,
    /// Of training.
    #[serde(default)]
    pub seconds: Option<f64>,
}

/// The headline metric with one template.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TemplateScore {
    pub id: String,
    pub role: TemplateRole,
    pub value: f64,
}

/// A template's part in training.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TemplateRole {
    /// The one that serves; in the pool too.
    Canonical,
    Pool,
    /// Neither in the pool nor held out.
    Unused,
    /// Never trained on.
    HeldOut,
}

/// Why a record is no experiment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ComparisonFault {
    #[error("the baseline {0:?} is not among the methods")]
    Baseline(String),
    #[error("the task {task:?} has results of {method:?}, which is not among the methods")]
    Method { task: String, method: String },
    #[error("{0:?} is listed twice")]
    Repeated(String),
    #[error("there are {count} {what}; at most {limit} are taken")]
    TooMany { what: &'static str, count: usize, limit: usize },
    #[error("{task:?}, {method:?}, {shot}, seed {seed}: {name} is not finite")]
    NotFinite { task: String, method: String, shot: Shot, seed: u64, name: String },
}

impl fmt::Display for Shot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => write!(f, "{count}"),
            Self::All => f.write_str("all"),
        }
    }
}

impl From<Shot> for String {
    fn from(shot: Shot) -> Self {
        shot.to_string()
    }
}

impl std::str::FromStr for Shot {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::try_from(text.to_owned())
    }
}

impl TryFrom<String> for Shot {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        match text.as_str() {
            "all" => Ok(Self::All),
            number => number
                .parse()
                .map(Self::Count)
                .map_err(|_| format!("{text:?} is neither a number of examples nor \"all\"")),
        }
    }
}

impl fmt::Display for TemplateRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Canonical => "canonical",
            Self::Pool => "pool",
            Self::Unused => "unused",
            Self::HeldOut => "held out",
        })
    }
}

impl Method {
    /// The name for readers.
    pub fn shown(&self) -> &str {
        if self.name.is_empty() { &self.id } else { &self.name }
    }
}

impl ComparisonPage {
    /// The name of a method for readers, by its id.
    pub fn shown<'a>(&'a self, id: &'a str) -> &'a str {
        self.methods.iter().find(|method| method.id == id).map_or(id, Method::shown)
    }
}

impl ShotResults {
    /// A metric of each run that has it, by seed.
    pub fn values(&self, metric: &str) -> BTreeMap<u64, f64> {
        self.runs.iter().filter_map(|run| Some((run.seed, *run.metrics.get(metric)?))).collect()
    }

    /// Runs that answer the same whatever the text.
    pub fn collapsed(&self) -> usize {
        self.runs.iter().filter(|run| run.collapsed).count()
    }
}

impl TaskResults {
    /// Every number of examples that a method was trained with, in order.
    pub fn shots(&self) -> BTreeSet<Shot> {
        self.methods.values().flatten().map(|results| results.shot).collect()
    }

    /// Whether a run of any method collapsed.
    pub fn has_collapsed(&self) -> bool {
        self.methods.values().flatten().any(|results| results.collapsed() > 0)
    }

    /// What a method gave with so many examples.
    pub fn results(&self, method: &str, shot: Shot) -> Option<&ShotResults> {
        self.methods.get(method)?.iter().find(|results| results.shot == shot)
    }

    /// The headline metric of both methods on the seeds that both have; `None` if there are none.
    pub fn pairs(&self, baseline: &str, method: &str, shot: Shot) -> Option<Pairs> {
        let metric = &self.headline.name;
        let baseline = self.results(baseline, shot)?.values(metric);
        let method = self.results(method, shot)?.values(metric);
        let (baseline, method): (Vec<f64>, Vec<f64>) =
            baseline.iter().filter_map(|(seed, value)| Some((*value, *method.get(seed)?))).unzip();
        let higher_is_better = self.headline.higher_is_better;
        (!baseline.is_empty()).then_some(Pairs { baseline, method, higher_is_better })
    }
}

impl ComparisonPage {
    /// Whether names fit together and figures are finite; for records that come from a file.
    pub fn check(&self) -> Result<(), ComparisonFault> {
        limit("methods", self.methods.len(), MAX_LISTED)?;
        limit("tasks", self.tasks.len(), MAX_LISTED)?;
        let results = || self.tasks.iter().flat_map(|task| task.methods.values().flatten());
        limit("runs", results().map(|results| results.runs.len()).sum(), MAX_RUNS)?;
        let ids = unique(self.methods.iter().map(|method| method.id.as_str()))?;
        unique(self.tasks.iter().map(|task| task.name.as_str()))?;
        if !ids.contains(self.baseline.as_str()) {
            return Err(ComparisonFault::Baseline(self.baseline.clone()));
        }
        self.tasks.iter().try_for_each(|task| task.check(&ids))
    }
}

impl TaskResults {
    fn check(&self, ids: &BTreeSet<&str>) -> Result<(), ComparisonFault> {
        for (method, shots) in &self.methods {
            if !ids.contains(method.as_str()) {
                let (task, method) = (self.name.clone(), method.clone());
                return Err(ComparisonFault::Method { task, method });
            }
            for (shot, run) in shots.iter().flat_map(|s| s.runs.iter().map(|run| (s.shot, run))) {
                if let Some(name) = run.not_finite() {
                    let (task, method, seed) = (self.name.clone(), method.clone(), run.seed);
                    return Err(ComparisonFault::NotFinite { task, method, shot, seed, name });
                }
            }
        }
        Ok(())
    }
}

impl Run {
    fn not_finite(&self) -> Option<String> {
        let metrics = self.metrics.iter().map(|(name, value)| (name, *value));
        let templates = self.templates.iter().map(|score| (&score.id, score.value));
        let found = metrics.chain(templates).find(|(_, value)| !value.is_finite());
        let seconds = self.seconds.filter(|seconds| !seconds.is_finite());
        found.map(|(name, _)| name.clone()).or(seconds.map(|_| "seconds".to_owned()))
    }
}

fn limit(what: &'static str, count: usize, limit: usize) -> Result<(), ComparisonFault> {
    if count > limit { Err(ComparisonFault::TooMany { what, count, limit }) } else { Ok(()) }
}

fn unique<'a>(names: impl Iterator<Item = &'a str>) -> Result<BTreeSet<&'a str>, ComparisonFault> {
    let mut seen = BTreeSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(ComparisonFault::Repeated(name.to_owned()));
        }
    }
    Ok(seen)
}

#[cfg(test)]
pub mod tests;
