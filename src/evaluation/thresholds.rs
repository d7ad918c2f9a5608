//! The decision of a two-label task at every threshold.

use serde::Serialize;

use super::{
    Threshold,
    threshold::{Decision, decide, fit_threshold},
};
use crate::task::{Kind, Output, Prediction, Target};

/// Points of a curve, from a threshold of 0 to one of 1.
const CURVE_POINTS: u16 = 101;

/// Decisions for the positive label of a two-label task: at the thresholds that matter, and
/// between them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Thresholds {
    /// The positive label.
    pub label: String,
    pub examples: usize,
    /// Examples whose true label is the positive one.
    pub positives: usize,
    /// At 0.5, where the more probable label is the answer.
    pub at_half: Decision,
    /// At the threshold that is stored with the task; none if there is none.
    pub stored: Option<Decision>,
    /// At the threshold that was asked for.
    pub chosen: Option<Decision>,
    /// At the threshold with the highest F1 on these very examples. It flatters: on other
    /// examples the same threshold does worse.
    pub best: Decision,
    /// At every hundredth from 0 to 1.
    #[serde(skip)]
    pub curve: Vec<Decision>,
}

impl Thresholds {
    /// Compares thresholds on predictions; `None` unless the task has two labels and targets and
    /// predictions fit it. Without a stored threshold the last label is the positive one.
    pub fn of(
        kind: &Kind,
        targets: &[Target],
        predictions: &[Prediction],
        stored: Option<Threshold>,
        chosen: Option<f32>,
    ) -> Option<Self> {
        let Kind::Classification { labels } = kind else { return None };
        if labels.len() != 2 || targets.len() != predictions.len() {
            return None;
        }
        let positive = stored.map_or(1, |threshold| threshold.positive);
        let is_positive: Vec<bool> = targets
            .iter()
            .map(|target| Some(target.label()? == positive))
            .collect::<Option<_>>()?;
        let probability = |prediction: &Prediction| match &prediction.output {
            Output::Probabilities(all) => all.get(positive).copied(),
            Output::Value(_) => None,
        };
        let scores: Vec<f32> = predictions.iter().map(probability).collect::<Option<_>>()?;
        let at = |threshold| decide(&is_positive, &scores, threshold);
        let last = f32::from(CURVE_POINTS - 1);
        Some(Self {
            label: labels[positive].clone(),
            examples: scores.len(),
            positives: is_positive.iter().filter(|positive| **positive).count(),
            at_half: at(0.5),
            stored: stored.map(|threshold| at(threshold.value)),
            chosen: chosen.map(at),
            best: at(fit_threshold(&is_positive, &scores, None)),
            curve: (0..CURVE_POINTS).map(|point| at(f32::from(point) / last)).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(labels: &[&str]) -> Kind {
        Kind::Classification { labels: labels.iter().map(|label| (*label).to_owned()).collect() }
    }

    fn predictions(positive: &[f32]) -> Vec<Prediction> {
        let output = |p: &f32| Output::Probabilities(vec![1.0 - p, *p]);
        let prediction = |p| Prediction::of(output(p));
        positive.iter().map(prediction).collect()
    }

    #[test]
    fn figures_stand_at_every_threshold_that_matters() {
        let targets = [0, 0, 1, 1].map(Target::Label);
        let predictions = predictions(&[0.1, 0.6, 0.4, 0.9]);
        let stored = Some(Threshold { positive: 1, value: 0.7 });
        let kind = kind(&["no", "yes"]);
        let found = Thresholds::of(&kind, &targets, &predictions, stored, Some(0.25));
        let found = found.expect("two labels");
        assert_eq!((found.label.as_str(), found.examples, found.positives), ("yes", 4, 2));
        let counts = |decision: Decision| (decision.said, decision.right);
        assert_eq!(counts(found.at_half), (2, 1));
        assert_eq!(found.stored.map(counts), Some((1, 1)));
        assert_eq!(found.chosen.map(counts), Some((3, 2)));
        assert_eq!(found.best.f1, 0.8);
        assert_eq!(found.curve.len(), 101);
        assert_eq!(found.curve.iter().map(|d| d.said).max(), Some(4), "at 0 all are positive");
        assert_eq!(found.curve.last().map(|decision| decision.said), Some(0));
        let json = serde_json::to_string(&found).expect("JSON");
        assert!(json.contains("\"threshold\":0.7,"), "written as people write it: {json}");
    }

    #[test]
    fn only_two_labels_have_thresholds() {
        let three = kind(&["a", "b", "c"]);
        assert_eq!(Thresholds::of(&three, &[], &[], None, None), None);
        let number = Kind::Regression { min: None, max: None };
        assert_eq!(Thresholds::of(&number, &[], &[], None, None), None);
        assert!(Thresholds::of(&kind(&["a", "b"]), &[], &[], None, None).is_some());
    }
}
