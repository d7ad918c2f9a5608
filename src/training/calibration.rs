//! Makes a classifier's probabilities right: priors, a temperature and a threshold, all fitted on
//! what the head says about the development set in the mode that serves.

use super::{
    TrainingError,
    score::{Score, score_of},
};
use crate::{
    dataset::Dataset,
    evaluation::fit_threshold,
    inference::{Calibration, MaskEncoder, TaskPredictor, TemplateChoice, encode_all},
    task::{Output, Prediction, Target},
};

/// Temperatures lie between 1 over this and this.
const MAX_TEMPERATURE: f64 = 20.0;

/// Halvings, nearly, of the interval in which the temperature lies.
const SEARCH_STEPS: usize = 40;

/// Below this a probability counts as this, so that logarithms are finite.
const TINY: f64 = 1e-12;

/// The name under which a report tells the calibration error before the temperature.
const ECE_BEFORE: &str = "ece_before_temperature";

/// A head's calibration without a development set: what the priors say, if there are any.
/// `shares` are the labels' shares in training.
pub fn prior_shift(priors: Option<&[f64]>, shares: &[f64]) -> Calibration {
    let shift = priors.map_or(Vec::new(), |priors| {
        priors.iter().zip(shares).map(|(prior, share)| (prior / share).ln() as f32).collect()
    });
    Calibration { shift, ..Calibration::NONE }
}

/// Fits the calibration of a classifier's head; returns the predictor with it and its score. The
/// predictor comes with the calibration that [`prior_shift`] makes.
///
/// Where there are priors, an example of the development set counts as much as its label's prior
/// is larger than the label's share in the set: the set stands for what production will bring.
pub fn calibrate(
    encoder: &mut dyn MaskEncoder,
    predictor: &TaskPredictor,
    dev: &Dataset,
) -> Result<(TaskPredictor, Score), TrainingError> {
    let fit = Fit::new(encoder, predictor, dev)?;
    let before = score_of(predictor, dev, &fit.predictions(predictor))?;
    let mut calibration = predictor.head.calibration.clone();
    calibration.temperature = fit.temperature(&calibration) as f32;
    let mut calibrated = with(predictor, calibration.clone());
    calibration.threshold = fit.threshold(&calibrated);
    calibrated = with(predictor, calibration);
    let mut score = score_of(&calibrated, dev, &fit.predictions(&calibrated))?;
    if let Some(ece) = before.metrics.get("ece") {
        score.metrics.insert(ECE_BEFORE.to_owned(), *ece);
    }
    Ok((calibrated, score))
}

fn with(predictor: &TaskPredictor, calibration: Calibration) -> TaskPredictor {
    predictor.with_head(crate::inference::Head { calibration, ..predictor.head.clone() })
}

/// What a calibration is fitted to.
struct Fit {
    /// `[examples][templates][labels]`
    logits: Vec<Vec<Vec<f32>>>,
    gold: Vec<usize>,
    /// How much each example counts.
    weights: Option<Vec<f64>>,
    /// The share of certainty that the target of each example gives away, see [`Fit::new`].
    doubts: Vec<f64>,
}

impl Fit {
    /// Targets are not taken as certain: of `n` examples of a label the next may be another's with
    /// a chance of 1 in `n + 2` (Platt, 1999). Otherwise a head without a mistake on a small set
    /// would be made infinitely sure.
    fn new(
        encoder: &mut dyn MaskEncoder,
        predictor: &TaskPredictor,
        dev: &Dataset,
    ) -> Result<Self, TrainingError> {
        let templates = predictor
            .select(&TemplateChoice::Default)
            .map_err(|error| TrainingError::Settings(error.to_string()))?;
        let prompts = predictor.prompts(&dev.inputs(), &templates)?;
        let vectors = encode_all(encoder, &prompts)?;
        let logits = vectors
            .chunks(templates.len())
            .map(|vectors| vectors.iter().map(|vector| predictor.head.logits(vector)).collect());
        let gold: Vec<usize> = dev.targets().iter().filter_map(Target::label).collect();
        let weights = predictor.file.priors.as_deref().map(|priors| importance(priors, &gold));
        let count = |label: usize| gold.iter().filter(|gold| **gold == label).count();
        let of_label: Vec<f64> = (0..predictor.file.labels().len())
            .map(|label| 1.0 / (count(label) as f64 + 2.0))
            .collect();
        let doubts = gold.iter().map(|label| of_label[*label]).collect();
        Ok(Self { logits: logits.collect(), gold, weights, doubts })
    }

    fn predictions(&self, predictor: &TaskPredictor) -> Vec<Prediction> {
        self.logits.iter().map(|logits| predictor.conclude(logits, false)).collect()
    }

    /// Makes the development set most probable: a search by golden section over the logarithm. 1
    /// where nothing else is better.
    fn temperature(&self, before: &Calibration) -> f64 {
        let loss = |log: f64| self.log_loss(before, log.exp());
        let golden = (5f64.sqrt() - 1.0) / 2.0;
        let (mut low, mut high) = (-MAX_TEMPERATURE.ln(), MAX_TEMPERATURE.ln());
        let (mut a, mut b) = (high - golden * (high - low), low + golden * (high - low));
        let (mut at_a, mut at_b) = (loss(a), loss(b));
        for _ in 0..SEARCH_STEPS {
            if at_a < at_b {
                (high, b, at_b) = (b, a, at_a);
                a = high - golden * (high - low);
                at_a = loss(a);
            } else {
                (low, a, at_a) = (a, b, at_b);
                b = low + golden * (high - low);
                at_b = loss(b);
            }
        }
        let found = f64::midpoint(low, high);
        if loss(found) < loss(0.0) { found.exp() } else { 1.0 }
    }

    fn log_loss(&self, before: &Calibration, temperature: f64) -> f64 {
        let calibration = Calibration { temperature: temperature as f32, ..before.clone() };
        let losses = self.logits.iter().zip(&self.gold).enumerate().map(|(at, (logits, gold))| {
            let means = mean_probabilities(&calibration, logits);
            let doubt = self.doubts[at];
            let others = (means.len() - 1).max(1) as f64;
            let share = |label| if label == *gold { 1.0 - doubt } else { doubt / others };
            let terms = means.iter().enumerate();
            let loss: f64 = terms.map(|(label, p)| -share(label) * p.max(TINY).ln()).sum();
            self.weight(at) * loss
        });
        losses.sum()
    }

    fn weight(&self, at: usize) -> f64 {
        self.weights.as_ref().map_or(1.0, |weights| weights[at])
    }

    /// Of two labels.
    fn threshold(&self, predictor: &TaskPredictor) -> Option<f32> {
        let positive = predictor.file.positive?;
        let probabilities: Vec<f32> = self
            .predictions(predictor)
            .iter()
            .map(|prediction| match &prediction.output {
                Output::Probabilities(probabilities) => probabilities[positive],
                Output::Value(_) => f32::NAN,
            })
            .collect();
        let gold: Vec<bool> = self.gold.iter().map(|gold| *gold == positive).collect();
        Some(fit_threshold(&gold, &probabilities, self.weights.as_deref()))
    }
}

/// Of each label, over the templates' logits.
fn mean_probabilities(calibration: &Calibration, logits: &[Vec<f32>]) -> Vec<f64> {
    let mut means = vec![0.0; logits.first().map_or(0, Vec::len)];
    for logits in logits {
        let probabilities = calibration.probabilities(logits);
        means.iter_mut().zip(probabilities).for_each(|(mean, p)| *mean += f64::from(p));
    }
    means.iter_mut().for_each(|mean| *mean /= logits.len() as f64);
    means
}

/// For each example its label's prior over the label's share among the examples.
pub(super) fn importance(priors: &[f64], gold: &[usize]) -> Vec<f64> {
    let mut counts = vec![0f64; priors.len()];
    gold.iter().for_each(|label| counts[*label] += 1.0);
    let total = gold.len() as f64;
    gold.iter().map(|label| priors[*label] * total / counts[*label]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn priors_shift_by_their_share_over_trainings() {
        let calibration = prior_shift(Some(&[0.9, 0.1]), &[0.5, 0.5]);
        // Undecided logits then say what the priors say.
        let found = calibration.probabilities(&[0.0, 0.0]);
        assert!((found[0] - 0.9).abs() < 1e-6, "{found:?}");
        assert_eq!(prior_shift(None, &[0.5, 0.5]), Calibration::NONE);
    }

    #[test]
    fn examples_stand_for_their_labels_priors() {
        let weights = importance(&[0.9, 0.1], &[0, 1, 1, 1]);
        let of_second: f64 = weights[1..].iter().sum();
        assert!((weights[0] / (weights[0] + of_second) - 0.9).abs() < 1e-12, "{weights:?}");
    }

    #[test]
    fn a_small_set_without_a_mistake_makes_nothing_certain() {
        let gold = vec![0, 1, 0, 1];
        let sure = |label: usize| vec![vec![if label == 0 { 4.0 } else { -4.0 }, 0.0]];
        let logits: Vec<Vec<Vec<f32>>> = gold.iter().map(|label| sure(*label)).collect();
        let fit = Fit { logits, gold, weights: None, doubts: vec![0.25; 4] };
        let loss = |temperature| fit.log_loss(&Calibration::NONE, temperature);
        let best = fit.temperature(&Calibration::NONE);
        // A quarter of doubt: the logits' distance becomes the logarithm of 3.
        assert!((best - 4.0 / 3f64.ln()).abs() < 0.05, "{best}");
        assert!(loss(best) < loss(1.0) && loss(best) < loss(0.1));
    }
}
