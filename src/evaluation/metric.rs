//! The figure that decides: which step of a training is kept, which recipe wins, what a report
//! names first.

use serde::{Deserialize, Serialize};

use super::Metrics;
use crate::task::{Kind, Target};

/// Share of the rarer of two labels below which accuracy says little: a model that never gives the
/// rare label is right that often.
const RARE_SHARE: f64 = 0.25;

/// Examples of the most frequent label for one of the least frequent, above which labels are uneven.
const UNEVEN_RATIO: f64 = 3.0;

/// A figure by which models are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Share of right labels.
    Accuracy,
    /// Mean F1 of the labels.
    MacroF1,
    /// Average precision of the positive label of two, or the mean over the labels.
    AveragePrecision,
    /// F1 of the positive label of two, at a probability of 0.5.
    F1Positive,
    /// Rank correlation of numbers.
    Spearman,
    /// Root mean squared error, in the target's unit.
    Rmse,
}

/// Why a metric is the one for a task, and which.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MetricChoice {
    pub metric: Metric,
    /// A clause for "because".
    pub reason: &'static str,
}

impl Metric {
    pub const ALL: [Self; 6] = [
        Self::Accuracy,
        Self::MacroF1,
        Self::AveragePrecision,
        Self::F1Positive,
        Self::Spearman,
        Self::Rmse,
    ];

    /// The name in summaries, task files and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Accuracy => "accuracy",
            Self::MacroF1 => "macro_f1",
            Self::AveragePrecision => "average_precision",
            Self::F1Positive => "f1_positive",
            Self::Spearman => "spearman",
            Self::Rmse => "rmse",
        }
    }

    /// The metric of this name; `None` if there is none.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|metric| metric.name() == name)
    }

    /// Whether a task of this kind has the figure.
    pub fn fits(self, kind: &Kind) -> bool {
        match (self, kind) {
            (Self::Spearman | Self::Rmse, Kind::Regression { .. }) => true,
            (Self::F1Positive, Kind::Classification { labels }) => labels.len() == 2,
            (
                Self::Accuracy | Self::MacroF1 | Self::AveragePrecision,
                Kind::Classification { .. },
            ) => true,
            _ => false,
        }
    }

    /// The names of the metrics that a task of this kind has, for messages.
    pub fn names_for(kind: &Kind) -> String {
        let fitting = Self::ALL.into_iter().filter(|metric| metric.fits(kind));
        fitting.map(Self::name).collect::<Vec<_>>().join(", ")
    }

    /// The metric that says most about a task with these training targets. `positive` is the label
    /// of two that is looked for.
    pub fn for_task(kind: &Kind, positive: Option<usize>, targets: &[Target]) -> MetricChoice {
        let choice = |metric, reason| MetricChoice { metric, reason };
        let Kind::Classification { labels } = kind else {
            return choice(Self::Spearman, "the task predicts numbers");
        };
        let mut counts = vec![0usize; labels.len()];
        targets.iter().filter_map(Target::label).for_each(|label| counts[label] += 1);
        let total = counts.iter().sum::<usize>().max(1) as f64;
        let (least, most) = (counts.iter().min(), counts.iter().max());
        let (least, most) = (least.map_or(0.0, |n| *n as f64), most.map_or(0.0, |n| *n as f64));
        let rare = |label: usize| counts[label] as f64 / total < RARE_SHARE;
        if labels.len() == 2 && positive.is_some_and(rare) {
            return choice(Self::AveragePrecision, "the positive label is rare");
        }
        if most > UNEVEN_RATIO * least {
            return choice(Self::MacroF1, "some labels are much rarer than others");
        }
        choice(Self::Accuracy, "the labels are about equally frequent")
    }

    /// The figure's value; `None` where the examples do not define it.
    pub fn value(self, metrics: &Metrics) -> Option<f64> {
        metrics.summary().get(self.name()).copied()
    }

    /// Whether more is better.
    pub fn is_higher_better(self) -> bool {
        self != Self::Rmse
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classes(labels: usize) -> Kind {
        Kind::Classification { labels: (0..labels).map(|at| at.to_string()).collect() }
    }

    fn targets(counts: &[usize]) -> Vec<Target> {
        let of_label = |(label, count): (usize, &usize)| vec![Target::Label(label); *count];
        counts.iter().enumerate().flat_map(of_label).collect()
    }

    #[test]
    fn the_metric_follows_from_how_uneven_the_labels_are() {
        let check = |counts: &[usize], expected| {
            let positive = (counts.len() == 2).then_some(1);
            let found = Metric::for_task(&classes(counts.len()), positive, &targets(counts));
            assert_eq!(found.metric, expected, "{counts:?}");
        };
        check(&[50, 50], Metric::Accuracy);
        check(&[70, 30], Metric::Accuracy);
        check(&[90, 10], Metric::AveragePrecision);
        // The label that is looked for is the frequent one: finding it is no feat.
        check(&[10, 90], Metric::MacroF1);
        check(&[30, 30, 40], Metric::Accuracy);
        check(&[200, 30, 40], Metric::MacroF1);
        let numbers = Kind::Regression { min: None, max: None };
        assert_eq!(Metric::for_task(&numbers, None, &[]).metric, Metric::Spearman);
    }

    #[test]
    fn a_metric_is_known_by_its_name_and_fits_its_kind() {
        for metric in Metric::ALL {
            assert_eq!(Metric::of_name(metric.name()), Some(metric));
        }
        assert_eq!(Metric::of_name("f1"), None);
        assert!(Metric::F1Positive.fits(&classes(2)) && !Metric::F1Positive.fits(&classes(3)));
        let numbers = Kind::Regression { min: None, max: None };
        assert_eq!(Metric::names_for(&numbers), "spearman, rmse");
    }
}
