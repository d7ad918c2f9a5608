//! Makes a classifier's probabilities right: priors, a temperature and a threshold, all fitted on
//! what the head says about the development set in the mode that serves.

use super::{
    TrainingError,
    random::uniform,
    score::{Score, score_of},
};
use crate::{
    dataset::{Dataset, is_enough_to_calibrate},
    evaluation::{
        Metric, fit_threshold,
        paired::{mean, standard_deviation},
    },
    inference::{Calibration, MaskEncoder, Reading, TaskPredictor, TemplateChoice, read_each},
    task::{Output, Prediction, Target},
};

/// Examples of either label without which no threshold is fitted.
const MIN_OF_LABEL: usize = 8;

/// The threshold at which the more probable label is the answer.
const HALF: f32 = 0.5;

/// Parts of the development set by which a temperature is tried.
const FOLDS: usize = 5;

/// Resamples of the development set on which a threshold is sought; odd, to have a median.
const RESAMPLES: u64 = 101;

/// Keeps the draws of resamples apart from others.
const RESAMPLING: u64 = 61;

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
    metric: Metric,
) -> Result<(TaskPredictor, Score), TrainingError> {
    let fit = Fit::new(encoder, predictor, dev)?;
    let before = score_of(predictor, dev, &fit.predictions(predictor), metric)?;
    if !is_enough_to_calibrate(dev, &predictor.file.task) {
        return Ok((predictor.clone(), before));
    }
    let mut calibrated = predictor.clone();
    if let Some(temperature) = fit.useful_temperature(&predictor.head.calibration) {
        let temperature = temperature as f32;
        let calibration = Calibration { temperature, ..predictor.head.calibration.clone() };
        let cooled = with(predictor, calibration);
        let after = score_of(&cooled, dev, &fit.predictions(&cooled), metric)?;
        let ece = |score: &Score| score.metrics.get("ece").copied().unwrap_or(0.0);
        // What makes the answers right more often than they say, or less often, is left out.
        if ece(&after) <= ece(&before) {
            calibrated = cooled;
        }
    }
    let threshold = fit.threshold(&calibrated);
    let calibration = Calibration { threshold, ..calibrated.head.calibration.clone() };
    calibrated = with(predictor, calibration);
    let mut score = score_of(&calibrated, dev, &fit.predictions(&calibrated), metric)?;
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
    /// `[examples][prompts][labels]`
    logits: Vec<Vec<Vec<f32>>>,
    /// Grouping of the prompts of each example.
    readings: Vec<Reading>,
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
        let inputs = dev.inputs();
        let head = &predictor.head;
        let (mut logits, mut readings) = (Vec::new(), Vec::new());
        read_each(
            encoder,
            predictor,
            &inputs,
            &templates,
            usize::MAX,
            |input, vectors, reading| {
                let offsets = head.offsets(input);
                logits.push(vectors.iter().map(|vector| head.logits(vector, &offsets)).collect());
                readings.push(reading.clone());
            },
        )?;
        let gold: Vec<usize> = dev.targets().iter().filter_map(Target::label).collect();
        let weights = predictor.file.priors.as_deref().map(|priors| importance(priors, &gold));
        let count = |label: usize| gold.iter().filter(|gold| **gold == label).count();
        let of_label: Vec<f64> = (0..predictor.file.labels().len())
            .map(|label| 1.0 / (count(label) as f64 + 2.0))
            .collect();
        let doubts = gold.iter().map(|label| of_label[*label]).collect();
        Ok(Self { logits, readings, gold, weights, doubts })
    }

    fn predictions(&self, predictor: &TaskPredictor) -> Vec<Prediction> {
        let of_examples = self.logits.iter().zip(&self.readings);
        of_examples.map(|(logits, reading)| predictor.conclude(logits, reading)).collect()
    }

    /// The temperature, if one fitted to a part of the set makes the other parts more probable too;
    /// `None` where it does not, for then it follows the set's chances.
    fn useful_temperature(&self, before: &Calibration) -> Option<f64> {
        let all: Vec<usize> = (0..self.gold.len()).collect();
        let (mut with, mut without) = (0.0, 0.0);
        for fold in 0..FOLDS {
            let (held, rest): (Vec<usize>, Vec<usize>) =
                all.iter().partition(|at| **at % FOLDS == fold);
            with += self.log_loss(&held, before, self.temperature(&rest, before));
            without += self.log_loss(&held, before, 1.0);
        }
        (with < without).then(|| self.temperature(&all, before))
    }

    /// Makes these examples most probable: a search by golden section over the logarithm. 1 where
    /// nothing else is better.
    fn temperature(&self, examples: &[usize], before: &Calibration) -> f64 {
        let loss = |log: f64| self.log_loss(examples, before, log.exp());
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

    fn log_loss(&self, examples: &[usize], before: &Calibration, temperature: f64) -> f64 {
        let calibration = Calibration { temperature: temperature as f32, ..before.clone() };
        let losses = examples.iter().map(|&at| {
            let gold = &self.gold[at];
            let means = mean_probabilities(&calibration, &self.logits[at], &self.readings[at]);
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

    /// The threshold of a task with two labels. The best one on a small set is one of many that chance
    /// made best, so it is the median of the best ones on resamples of the set, and 0.5 unless the
    /// median gains more F1 over 0.5 on them than one standard deviation. `None` where either label
    /// is too rare for that.
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
        let positives = gold.iter().filter(|gold| **gold).count();
        if positives.min(gold.len() - positives) < MIN_OF_LABEL {
            return None;
        }
        let resamples: Vec<Vec<f64>> =
            (0..RESAMPLES).map(|resample| self.resampled(resample)).collect();
        let mut found: Vec<f32> = resamples
            .iter()
            .map(|weights| fit_threshold(&gold, &probabilities, Some(weights)))
            .collect();
        found.sort_unstable_by(f32::total_cmp);
        let median = found[found.len() / 2];
        let f1 =
            |weights: &[f64], threshold| weighted_f1(&gold, &probabilities, weights, threshold);
        let gains: Vec<f64> =
            resamples.iter().map(|weights| f1(weights, median) - f1(weights, HALF)).collect();
        let gain = mean(&gains).unwrap_or(0.0);
        let is_chance = gain <= standard_deviation(&gains).unwrap_or(0.0);
        Some(if is_chance { HALF } else { median })
    }

    /// The weights of the examples, each times how often it was drawn with replacement.
    fn resampled(&self, resample: u64) -> Vec<f64> {
        let count = self.gold.len();
        let mut weights = vec![0.0; count];
        for draw in 0..count as u64 {
            let at = (uniform(&[RESAMPLING, resample, draw]) * count as f64) as usize;
            weights[at.min(count - 1)] += self.weight(at.min(count - 1));
        }
        weights
    }
}

/// F1 of the positive label, answered from a threshold on; 0 where nothing is right.
fn weighted_f1(gold: &[bool], probabilities: &[f32], weights: &[f64], threshold: f32) -> f64 {
    let (mut right, mut said_or_true) = (0.0, 0.0);
    for ((gold, probability), weight) in gold.iter().zip(probabilities).zip(weights) {
        let says = *probability >= threshold;
        said_or_true += weight * (f64::from(says) + f64::from(*gold));
        right += weight * f64::from(says && *gold);
    }
    if right > 0.0 { 2.0 * right / said_or_true } else { 0.0 }
}

/// Mean probability of each label over the templates, and in each template over its windows.
fn mean_probabilities(
    calibration: &Calibration,
    logits: &[Vec<f32>],
    reading: &Reading,
) -> Vec<f64> {
    let mut means = vec![0.0; logits.first().map_or(0, Vec::len)];
    let mut templates = 0usize;
    for range in reading.ranges() {
        templates += 1;
        let windows = range.len() as f64;
        for logits in &logits[range] {
            let probabilities = calibration.probabilities(logits);
            means
                .iter_mut()
                .zip(probabilities)
                .for_each(|(mean, p)| *mean += f64::from(p) / windows);
        }
    }
    means.iter_mut().for_each(|mean| *mean /= templates as f64);
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
    use crate::inference::{
        predict,
        tests::{Counting, TEMPLATES, classifier, examples},
    };

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
        let readings = vec![Reading::whole(); 4];
        let fit = Fit { logits, readings, gold, weights: None, doubts: vec![0.25; 4] };
        let all = [0, 1, 2, 3];
        let loss = |temperature| fit.log_loss(&all, &Calibration::NONE, temperature);
        let best = fit.temperature(&all, &Calibration::NONE);
        // A quarter of doubt: the logits' distance becomes the logarithm of 3.
        assert!((best - 4.0 / 3f64.ln()).abs() < 0.05, "{best}");
        assert!(loss(best) < loss(1.0) && loss(best) < loss(0.1));
    }

    /// Two labels, logits that are right with a chance of `right` and say so with `size`.
    fn fit(count: usize, right: f64, size: f32) -> Fit {
        let gold: Vec<usize> = (0..count).map(|at| at % 2).collect();
        let logits = gold.iter().enumerate().map(|(at, gold)| {
            let is_right = uniform(&[7, at as u64]) < right;
            let says_first = (*gold == 0) == is_right;
            vec![vec![if says_first { size } else { -size }, 0.0]]
        });
        let (logits, readings) = (logits.collect(), vec![Reading::whole(); count]);
        Fit { logits, readings, gold, weights: None, doubts: vec![0.01; count] }
    }

    #[test]
    fn a_temperature_is_taken_where_it_helps_on_what_it_was_not_fitted_to() {
        let found = fit(400, 0.8, 5.0).useful_temperature(&Calibration::NONE);
        assert!(found.is_some_and(|found| found > 2.0), "{found:?}");
        // Right as often as it says: e^1.386 is 4 to 1.
        let found = fit(40, 0.8, 1.386).useful_temperature(&Calibration::NONE);
        assert!(found.is_none_or(|found| (0.5..2.0).contains(&found)), "{found:?}");
    }

    #[test]
    fn a_template_counts_once_however_many_windows_it_has() {
        let task = classifier(TEMPLATES);
        let inputs = examples(&[3, 6, 9, 13]);
        let (mut logits, mut readings) = (Vec::new(), Vec::new());
        let mut encoder = Counting::default();
        read_each(&mut encoder, &task, &inputs, &[0, 1], usize::MAX, |_, vectors, reading| {
            logits.push(vectors.iter().map(|vector| task.head.logits(vector, &[])).collect());
            readings.push(reading.clone());
        })
        .expect("read");
        let (gold, doubts) = (vec![0, 1, 2, 0], vec![0.1; 4]);
        let fit: Fit = Fit { logits, readings, gold, weights: None, doubts };
        let expected = predict(&mut encoder, &task, &inputs, &[0, 1]).expect("predicted");
        assert_eq!(fit.predictions(&task), expected);
        assert!(expected[3].windows > 1);
        for (at, prediction) in expected.iter().enumerate() {
            let Output::Probabilities(all) = &prediction.output else { panic!("it has labels") };
            let calibration = &task.head.calibration;
            let means = mean_probabilities(calibration, &fit.logits[at], &fit.readings[at]);
            for (mean, expected) in means.iter().zip(all) {
                assert!((mean - f64::from(*expected)).abs() < 1e-6, "{at}: {mean} {expected}");
            }
        }
    }

    #[test]
    fn weighted_f1_is_that_of_repeated_examples() {
        let (gold, probabilities) = ([true, false, true], [0.9, 0.6, 0.3]);
        // Right once, said twice, true three times.
        assert_eq!(weighted_f1(&gold, &probabilities, &[1.0, 1.0, 2.0], 0.5), 2.0 / 5.0);
        assert_eq!(weighted_f1(&gold, &probabilities, &[1.0, 0.0, 1.0], 0.2), 1.0);
        assert_eq!(weighted_f1(&gold, &probabilities, &[1.0; 3], 0.95), 0.0);
    }

    #[test]
    fn resamples_have_as_many_examples_and_are_the_same_each_time() {
        let fit = fit(30, 0.8, 1.0);
        assert_eq!(fit.resampled(3).iter().sum::<f64>(), 30.0);
        assert_eq!(fit.resampled(3), fit.resampled(3));
        assert_ne!(fit.resampled(3), fit.resampled(4));
    }
}
