//! Single predictions that deserve a look: mistakes, and answers that hang in the balance.

use super::Threshold;
use crate::task::{Output, Prediction, Target};

/// How one prediction went.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Judged {
    /// Index of the example.
    pub example: usize,
    /// The answer.
    pub said: Target,
    /// Labels: the answer is not the true label. Numbers: the answer is off by more than the root
    /// mean squared error.
    pub is_mistake: bool,
    /// Labels: what the true label's probability lacks to 1. Numbers: the absolute error.
    pub loss: f64,
    /// Labels: what the margin between the two most probable labels lacks to 1. Numbers: the
    /// standard deviation between templates, which is 0 with one template.
    pub uncertainty: f64,
}

/// Judges predictions, of which there is one for each target. Of two labels a threshold decides,
/// if one is given; else the answer is the most probable label.
pub fn judge(
    targets: &[Target],
    predictions: &[Prediction],
    decision: Option<Threshold>,
) -> Vec<Judged> {
    let bound = root_mean_squared_error(targets, predictions);
    let pairs = targets.iter().zip(predictions).enumerate();
    pairs
        .filter_map(|(example, (target, found))| one(example, *target, found, decision, bound))
        .collect()
}

fn one(
    example: usize,
    target: Target,
    prediction: &Prediction,
    decision: Option<Threshold>,
    bound: f64,
) -> Option<Judged> {
    match (target, &prediction.output) {
        (Target::Label(truth), Output::Probabilities(all)) => {
            let said = label(&prediction.output, decision)?;
            Some(Judged {
                example,
                said: Target::Label(said),
                is_mistake: said != truth,
                loss: 1.0 - f64::from(*all.get(truth)?),
                uncertainty: 1.0 - f64::from(prediction.output.margin()?),
            })
        }
        (Target::Value(truth), Output::Value(said)) => {
            let loss = (said - truth).abs();
            Some(Judged {
                example,
                said: Target::Value(*said),
                is_mistake: loss > bound,
                loss,
                uncertainty: f64::from(prediction.template_spread),
            })
        }
        _ => None,
    }
}

/// The label that is answered.
fn label(output: &Output, decision: Option<Threshold>) -> Option<usize> {
    match (output, decision) {
        (Output::Probabilities(all), Some(Threshold { positive, value })) if all.len() == 2 => {
            Some(if *all.get(positive)? >= value { positive } else { 1 - positive })
        }
        _ => output.best_label(),
    }
}

fn root_mean_squared_error(targets: &[Target], predictions: &[Prediction]) -> f64 {
    let error = |(target, prediction): (&Target, &Prediction)| match prediction.output {
        Output::Value(said) => Some((said - target.value()?).powi(2)),
        Output::Probabilities(_) => None,
    };
    let squares: Vec<f64> = targets.iter().zip(predictions).filter_map(error).collect();
    (squares.iter().sum::<f64>() / squares.len().max(1) as f64).sqrt()
}

/// The mistakes with the largest loss, the largest first; equal ones in their order.
pub fn worst(judged: &[Judged], count: usize) -> Vec<Judged> {
    let mistakes = judged.iter().filter(|one| one.is_mistake).copied().collect();
    first(mistakes, count, |one| one.loss)
}

/// The least sure answers, right or wrong, the least sure first; equal ones in their order.
/// Answers of which nothing tells how sure they are, numbers of one template, are left out.
pub fn least_sure(judged: &[Judged], count: usize) -> Vec<Judged> {
    let unsure = judged.iter().filter(|one| one.uncertainty > 0.0).copied().collect();
    first(unsure, count, |one| one.uncertainty)
}

fn first(mut judged: Vec<Judged>, count: usize, by: impl Fn(&Judged) -> f64) -> Vec<Judged> {
    judged.sort_by(|a, b| by(b).total_cmp(&by(a)));
    judged.truncate(count);
    judged
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(positive: &[f32]) -> Vec<Prediction> {
        let output = |p: &f32| Output::Probabilities(vec![1.0 - p, *p]);
        let prediction = |p| Prediction::of(output(p));
        positive.iter().map(prediction).collect()
    }

    fn examples(judged: &[Judged]) -> Vec<usize> {
        judged.iter().map(|one| one.example).collect()
    }

    #[test]
    fn the_surest_mistakes_come_first() {
        let targets = [1, 0, 1, 0, 0].map(Target::Label);
        let judged = judge(&targets, &labels(&[0.3, 0.9, 0.8, 0.55, 0.2]), None);
        assert_eq!(examples(&worst(&judged, 2)), [1, 0]);
        assert_eq!(examples(&worst(&judged, 9)), [1, 0, 3]);
        assert_eq!(examples(&least_sure(&judged, 2)), [3, 0]);
    }

    #[test]
    fn a_threshold_decides_what_is_a_mistake() {
        let targets = [1, 0].map(Target::Label);
        let decision = Some(Threshold { positive: 1, value: 0.25 });
        let judged = judge(&targets, &labels(&[0.3, 0.4]), decision);
        assert_eq!(judged.iter().map(|one| one.is_mistake).collect::<Vec<_>>(), [false, true]);
        assert_eq!(judged[0].said, Target::Label(1));
    }

    #[test]
    fn a_number_is_a_mistake_beyond_the_root_mean_squared_error() {
        let targets = [1.0, 2.0, 3.0].map(Target::Value);
        let prediction = |value, template_spread| Prediction {
            template_spread,
            ..Prediction::of(Output::Value(value))
        };
        let predictions = [prediction(1.1, 0.0), prediction(5.0, 0.2), prediction(3.0, 0.4)];
        let judged = judge(&targets, &predictions, None);
        assert_eq!(examples(&worst(&judged, 9)), [1]);
        assert_eq!(examples(&least_sure(&judged, 9)), [2, 1], "one template is silent");
    }
}
