//! How far a figure may be off because the test set is small.

use std::collections::BTreeMap;

use rayon::prelude::*;

use super::{
    Mismatch, Options, evaluate_with,
    paired::{draw, quantile},
};
use crate::task::{Kind, Prediction, Target};

/// A test set with fewer examples than this is small: intervals are worth telling.
pub const SMALL: usize = 1000;

/// Resamples of the bootstrap.
const RESAMPLES: u64 = 1000;

/// The same resamples everywhere.
const SEED: u64 = 0;

/// The 95 % interval of every figure that [`Metrics::summary`](super::Metrics::summary) has: 2.5 %
/// and 97.5 % quantiles over test sets that are drawn from this one with replacement (percentile
/// bootstrap; Efron and Tibshirani, 1993, ch. 13). The same input gives the same intervals.
///
/// It says how much the choice of test examples matters, and nothing of other training runs. A
/// figure that fewer than half of the draws define (average precision without a positive example)
/// has none.
///
/// # Errors
///
/// `Mismatch` as of [`evaluate_with`].
pub fn intervals(
    kind: &Kind,
    targets: &[Target],
    predictions: &[Prediction],
    options: &Options,
) -> Result<BTreeMap<String, (f64, f64)>, Mismatch> {
    evaluate_with(kind, targets, predictions, options)?;
    if targets.is_empty() {
        return Ok(BTreeMap::new());
    }
    let draws = (0..RESAMPLES).into_par_iter().map(|resample| {
        let places: Vec<usize> = (0..targets.len())
            .map(|at| draw([SEED, resample, 0, at as u64], targets.len()))
            .collect();
        let targets: Vec<Target> = places.iter().map(|at| targets[*at]).collect();
        let predictions: Vec<Prediction> =
            places.iter().map(|at| predictions[*at].clone()).collect();
        let weights: Option<Vec<f64>> =
            options.weights.map(|weights| places.iter().map(|at| weights[*at]).collect());
        let options = Options { weights: weights.as_deref(), ..*options };
        // Weights that are all 0 in a draw are the one thing that can be wrong with it.
        evaluate_with(kind, &targets, &predictions, &options).ok().map(|found| found.summary())
    });
    let draws: Vec<BTreeMap<String, f64>> =
        draws.collect::<Vec<_>>().into_iter().flatten().collect();
    let mut values: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for (name, value) in draws.into_iter().flatten().filter(|(_, value)| value.is_finite()) {
        values.entry(name).or_default().push(value);
    }
    let defined = values.into_iter().filter(|(_, values)| values.len() * 2 >= RESAMPLES as usize);
    let bounds = defined.map(|(name, mut values)| {
        values.sort_unstable_by(f64::total_cmp);
        (name, (quantile(&values, 0.025), quantile(&values, 0.975)))
    });
    Ok(bounds.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::Output;

    fn prediction(output: Output) -> Prediction {
        Prediction::of(output)
    }

    fn labels() -> Kind {
        Kind::Classification { labels: ["no", "yes"].map(str::to_owned).to_vec() }
    }

    /// `right` of `count` examples are answered right.
    fn answers(right: usize, count: usize) -> (Vec<Target>, Vec<Prediction>) {
        let rows = (0..count).map(|at| {
            let said = if (at < right) == (at % 2 == 1) { 0.9 } else { 0.1 };
            let output = Output::Probabilities(vec![1.0 - said, said]);
            (Target::Label(at % 2), prediction(output))
        });
        rows.unzip()
    }

    #[test]
    fn the_interval_of_a_share_is_that_of_the_binomial_distribution() {
        for (right, count) in [(80, 100), (320, 400)] {
            let (targets, predictions) = answers(right, count);
            let found = intervals(&labels(), &targets, &predictions, &Options::default());
            let found = found.expect("they fit");
            let (low, high) = found["accuracy"];
            let half = 1.96 * (0.8f64 * 0.2 / count as f64).sqrt();
            assert!((low - (0.8 - half)).abs() < 0.02, "{low} {half}");
            assert!((high - (0.8 + half)).abs() < 0.02, "{high} {half}");
            for name in ["macro_f1", "f1_positive", "average_precision"] {
                let (low, high) = found[name];
                assert!(0.0 <= low && low < high && high <= 1.0, "{name} {low} {high}");
            }
        }
    }

    #[test]
    fn numbers_have_intervals_too() {
        let kind = Kind::Regression { min: None, max: None };
        let of = |shift: f64| -> (Vec<Target>, Vec<Prediction>) {
            let rows = (0..50).map(|at| {
                let value = f64::from(at);
                let error = if at % 2 == 0 { shift } else { -shift };
                (Target::Value(value), prediction(Output::Value(value + error)))
            });
            rows.unzip()
        };
        let (targets, predictions) = of(5.0);
        let found = intervals(&kind, &targets, &predictions, &Options::default()).expect("fit");
        let (low, high) = found["spearman"];
        assert!(0.8 < low && low < high && high < 1.0, "{low} {high}");
        assert_eq!(found["rmse"], (5.0, 5.0), "every error has the same size");
    }

    #[test]
    fn what_is_seldom_defined_has_none() {
        let (mut targets, predictions) = answers(8, 10);
        targets.fill(Target::Label(0));
        let found = intervals(&labels(), &targets, &predictions, &Options::default());
        assert!(!found.expect("they fit").contains_key("average_precision"));
        let none = intervals(&labels(), &[], &[], &Options::default());
        assert_eq!(none, Ok(BTreeMap::new()));
        let error = intervals(&labels(), &targets, &[], &Options::default());
        assert_eq!(error, Err(Mismatch));
    }
}
