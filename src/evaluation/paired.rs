//! Two methods on the same seeds: how far apart they are, and how sure that is.

use serde::{Deserialize, Serialize};

/// Resamples of a bootstrap.
pub const RESAMPLES: u64 = 10_000;

/// Arithmetic mean; `None` without values.
pub fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// Standard deviation of a sample (divisor n - 1); `None` with fewer than two values.
pub fn standard_deviation(values: &[f64]) -> Option<f64> {
    let mean = mean(values).filter(|_| values.len() > 1)?;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    Some((squares / (values.len() - 1) as f64).sqrt())
}

/// What one cell of an experiment (a task with so many examples) gave: value `i` of both sides
/// comes from the same seed and so the same training examples.
#[derive(Debug, Clone, PartialEq)]
pub struct Pairs {
    pub baseline: Vec<f64>,
    pub method: Vec<f64>,
    /// Whether larger values are better; an improvement is positive either way.
    pub higher_is_better: bool,
}

/// An estimate with its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    pub estimate: f64,
    /// 2.5 % and 97.5 % quantiles of the resampled estimates; none where a cell has one pair.
    pub bounds: Option<(f64, f64)>,
}

/// How much better a method is than its baseline, averaged over cells.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Improvement {
    pub cells: usize,
    /// Over all cells.
    pub pairs: usize,
    /// Mean difference, in the metric's unit.
    pub absolute: Interval,
    /// Mean difference over the cell's mean of the baseline; none where such a mean is not
    /// positive.
    pub relative: Option<Interval>,
}

/// Compares a method with its baseline by a paired percentile bootstrap (Efron and Tibshirani,
/// 1993, ch. 13) of the mean difference, stratified by cell: each cell's pairs are drawn anew
/// within the cell, and the cells' means count equally.
///
/// The relative difference takes the baseline's mean as fixed. `None` without cells, or if one is
/// empty, has sides of different length or a value that is not finite. The same seed gives the
/// same interval everywhere.
pub fn improvement(cells: &[Pairs], seed: u64) -> Option<Improvement> {
    let differences: Vec<Vec<f64>> = cells.iter().map(differences).collect::<Option<_>>()?;
    let baselines: Vec<f64> =
        cells.iter().map(|pairs| mean(&pairs.baseline)).collect::<Option<_>>()?;
    let relative: Option<Vec<Vec<f64>>> = differences
        .iter()
        .zip(&baselines)
        .map(|(cell, &baseline)| {
            (baseline > 0.0).then(|| cell.iter().map(|value| value / baseline).collect())
        })
        .collect();
    Some(Improvement {
        cells: cells.len(),
        pairs: differences.iter().map(Vec::len).sum(),
        absolute: interval(&differences, seed)?,
        relative: relative.and_then(|relative| interval(&relative, seed)),
    })
}

/// Differences of one cell, positive where the method is better.
fn differences(pairs: &Pairs) -> Option<Vec<f64>> {
    let sign = if pairs.higher_is_better { 1.0 } else { -1.0 };
    let differences: Vec<f64> = pairs
        .baseline
        .iter()
        .zip(&pairs.method)
        .map(|(baseline, method)| sign * (method - baseline))
        .collect();
    let whole = pairs.baseline.len() == pairs.method.len() && !differences.is_empty();
    (whole && differences.iter().all(|value| value.is_finite())).then_some(differences)
}

fn interval(cells: &[Vec<f64>], seed: u64) -> Option<Interval> {
    let means: Vec<f64> = cells.iter().map(|cell| mean(cell)).collect::<Option<_>>()?;
    let estimate = mean(&means)?;
    if cells.iter().any(|cell| cell.len() < 2) {
        return Some(Interval { estimate, bounds: None });
    }
    let mut resampled: Vec<f64> =
        (0..RESAMPLES).map(|resample| resampled_mean(cells, seed, resample)).collect();
    resampled.sort_unstable_by(f64::total_cmp);
    let bounds = (quantile(&resampled, 0.025), quantile(&resampled, 0.975));
    Some(Interval { estimate, bounds: Some(bounds) })
}

fn resampled_mean(cells: &[Vec<f64>], seed: u64, resample: u64) -> f64 {
    let means = cells.iter().enumerate().map(|(number, cell)| {
        let drawn = (0..cell.len())
            .map(|at| cell[draw([seed, resample, number as u64, at as u64], cell.len())]);
        drawn.sum::<f64>() / cell.len() as f64
    });
    means.sum::<f64>() / cells.len() as f64
}

/// Quantile of sorted values, linear between neighbours; `sorted` is not empty.
pub(super) fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = share * (sorted.len() - 1) as f64;
    let (below, part) = (place.floor() as usize, place.fract());
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + part * (sorted[above] - sorted[below])
}

/// A number in `0..count` that depends on its parts alone: SplitMix64's output function (Steele
/// et al., 2014) chained over them.
pub(super) fn draw(parts: [u64; 4], count: usize) -> usize {
    const STEP: u64 = 0x9E37_79B9_7F4A_7C15;
    let hash = parts.iter().fold(STEP, |state, part| mix((state ^ mix(*part)).wrapping_add(STEP)));
    ((u128::from(hash) * count as u128) >> 64) as usize
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(baseline: &[f64], method: &[f64]) -> Pairs {
        Pairs { baseline: baseline.to_vec(), method: method.to_vec(), higher_is_better: true }
    }

    fn five() -> Pairs {
        pairs(&[0.70, 0.72, 0.68, 0.75, 0.71], &[0.74, 0.73, 0.72, 0.76, 0.77])
    }

    fn check(found: Interval, estimate: f64, (low, high): (f64, f64), tolerance: f64) {
        let (found_low, found_high) = found.bounds.expect("bounds");
        assert!((found.estimate - estimate).abs() < 1e-12, "{found:?}");
        assert!((found_low - low).abs() <= tolerance, "{found:?}");
        assert!((found_high - high).abs() <= tolerance, "{found:?}");
    }

    #[test]
    fn spread_follows_its_definition() {
        // numpy.std(ddof=1)
        let differences = [0.04, 0.01, 0.04, 0.01, 0.06];
        let found = standard_deviation(&differences).expect("five values");
        assert!((found - 0.021_679_483_388_678_8).abs() < 1e-12);
        assert_eq!((mean(&[]), standard_deviation(&[1.0])), (None, None));
    }

    #[test]
    fn one_cell_gives_the_percentile_interval() {
        // The quantiles of all 5^5 resamples; scipy.stats.bootstrap(method="percentile") gives
        // the same.
        let found = improvement(&[five()], 1).expect("an improvement");
        assert_eq!((found.cells, found.pairs), (1, 5));
        check(found.absolute, 0.032, (0.016, 0.048), 1e-12);
        let relative = found.relative.expect("a positive baseline");
        check(relative, 0.032 / 0.712, (0.016 / 0.712, 0.048 / 0.712), 1e-12);
    }

    #[test]
    fn cells_count_equally_and_are_resampled_apart() {
        // The quantiles of all 5^5 * 3^3 resamples.
        let three = pairs(&[0.5, 0.4, 0.45], &[0.6, 0.44, 0.45]);
        let found = improvement(&[five(), three], 1).expect("an improvement");
        assert_eq!((found.cells, found.pairs), (2, 8));
        let relative = found.relative.expect("positive baselines");
        check(relative, 0.074_323_761_964_211_4, (0.025_280_9, 0.130_774_03), 2e-3);
    }

    #[test]
    fn the_same_seed_draws_the_same_and_every_value_is_drawn() {
        assert_eq!(improvement(&[five()], 3), improvement(&[five()], 3));
        let mut counts = [0; 5];
        for at in 0..5_000 {
            counts[draw([1, at, 0, 0], 5)] += 1;
        }
        assert!(counts.iter().all(|count| (900..1100).contains(count)), "{counts:?}");
    }

    #[test]
    fn lower_values_can_be_better() {
        let rmse = Pairs { higher_is_better: false, ..pairs(&[2.0, 2.0], &[1.0, 1.0]) };
        let found = improvement(&[rmse], 1).expect("an improvement");
        assert_eq!(found.absolute, Interval { estimate: 1.0, bounds: Some((1.0, 1.0)) });
        assert_eq!(found.relative.map(|interval| interval.estimate), Some(0.5));
    }

    #[test]
    fn what_cannot_be_compared_is_not() {
        assert_eq!(improvement(&[], 1), None);
        assert_eq!(improvement(&[pairs(&[], &[])], 1), None);
        assert_eq!(improvement(&[pairs(&[1.0], &[1.0, 2.0])], 1), None);
        assert_eq!(improvement(&[pairs(&[1.0], &[f64::NAN])], 1), None);
        let single = improvement(&[pairs(&[-0.1], &[0.1])], 1).expect("an estimate");
        assert_eq!((single.absolute.bounds, single.relative), (None, None));
    }
}
