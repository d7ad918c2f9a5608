//! Whether a model is worth its cost.

use std::collections::BTreeMap;

use crate::{
    dataset::Warning,
    evaluation::{Classification, Metrics},
};

/// What a user should know of a result: labels that are never answered, and baselines that are as
/// good by `figure`, the one that matters for the task. A figure that is not defined for both is
/// not compared.
pub fn check_result<M: std::borrow::Borrow<Metrics>>(
    metrics: &Metrics,
    baselines: &BTreeMap<&str, M>,
    figure: &str,
    higher_is_better: bool,
) -> Vec<Warning> {
    let mut warnings = Vec::new();
    if let Metrics::Classification(metrics) = metrics {
        warnings.extend(never_answered(metrics));
    }
    let value = metrics.summary().get(figure).copied();
    for (baseline, metrics) in baselines {
        let of_baseline = metrics.borrow().summary().get(figure).copied();
        let (Some(value), Some(of_baseline)) = (value, of_baseline) else { continue };
        let is_better = if higher_is_better { value > of_baseline } else { value < of_baseline };
        if !is_better {
            warnings.push(Warning::NoBetterThan {
                baseline: (*baseline).to_owned(),
                figure: figure.to_owned(),
                value,
                of_baseline,
            });
        }
    }
    warnings
}

/// Labels that occur among the examples and are the most probable one of none. The positive of two
/// labels is answered where its threshold says so.
fn never_answered(metrics: &Classification) -> Option<Warning> {
    let said_at_threshold = |label: &str| {
        let positive = metrics.positive.as_ref().filter(|positive| positive.label == label);
        let decision = positive.and_then(|positive| positive.at_threshold);
        decision.is_some_and(|decision| decision.recall > 0.0)
    };
    let labels = metrics.labels.iter().enumerate().filter(|(at, label)| {
        let said: usize = metrics.confusion.iter().map(|gold| gold[*at]).sum();
        label.examples > 0 && said == 0 && !said_at_threshold(&label.label)
    });
    let labels: Vec<(String, usize)> =
        labels.map(|(_, label)| (label.label.clone(), label.examples)).collect();
    (!labels.is_empty()).then_some(Warning::NeverAnswered { labels })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        baseline::{BAG_OF_WORDS, MAJORITY},
        evaluation::{Options, Threshold, evaluate_with},
        task::{Kind, Output, Prediction, Target},
    };

    /// Metrics of four examples, one of which is positive, by the probability of positive.
    fn metrics(positive: [f32; 4], threshold: f32) -> Metrics {
        let kind = Kind::Classification { labels: ["no", "yes"].map(str::to_owned).to_vec() };
        let targets = [0, 0, 0, 1].map(Target::Label);
        let predictions = positive.map(|probability| {
            Prediction::of(Output::Probabilities(vec![1.0 - probability, probability]))
        });
        let threshold = Some(Threshold { positive: 1, value: threshold });
        let options = Options { threshold, weights: None };
        evaluate_with(&kind, &targets, &predictions, &options).expect("they fit")
    }

    fn sentences(model: &Metrics, figure: &str, higher_is_better: bool) -> Vec<String> {
        let baselines = BTreeMap::from([
            (MAJORITY, metrics([0.25; 4], 0.5)),
            (BAG_OF_WORDS, metrics([0.1, 0.2, 0.6, 0.9], 0.5)),
        ]);
        let found = check_result(model, &baselines, figure, higher_is_better);
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_good_model_has_no_warnings() {
        let good = metrics([0.1, 0.2, 0.3, 0.9], 0.5);
        assert_eq!(sentences(&good, "accuracy", true), [""; 0]);
        assert_eq!(sentences(&good, "log_loss", false), [""; 0]);
    }

    #[test]
    fn a_model_that_never_answers_a_label_is_named() {
        let silent = metrics([0.1, 0.2, 0.3, 0.4], 0.5);
        assert_eq!(
            sentences(&silent, "accuracy", true),
            [
                "never answered although there are examples: \"yes\" (1)",
                "accuracy 0.7500 is no better than that of the bag of words (0.7500), which needs no \
             encoder",
                "accuracy 0.7500 is no better than that of the majority (0.7500), which needs no encoder",
            ]
        );
        let quiet = metrics([0.1, 0.2, 0.3, 0.4], 0.35);
        assert_eq!(sentences(&quiet, "f1_at_threshold", true), [""; 0]);
    }

    #[test]
    fn an_unknown_figure_is_not_compared() {
        let silent = metrics([0.1, 0.2, 0.3, 0.4], 0.35);
        assert_eq!(sentences(&silent, "spearman", true), [""; 0]);
    }
}
