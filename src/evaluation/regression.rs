//! How good predicted values are.

use std::collections::BTreeMap;

use serde::Serialize;

/// Metrics of a regression task.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Regression {
    pub examples: usize,
    /// Rank correlation, ties at their mean rank; 0 where one side is constant.
    pub spearman: f64,
    /// Linear correlation; 0 where one side is constant.
    pub pearson: f64,
    /// Root mean squared error, in the target's unit.
    pub rmse: f64,
    /// Mean absolute error, in the target's unit.
    pub mae: f64,
    /// Coefficient of determination; 0 where the truth is constant.
    pub r2: f64,
}

/// Compares true with predicted values.
pub fn compare(gold: &[f64], predicted: &[f64]) -> Regression {
    let count = gold.len().max(1) as f64;
    let errors = || gold.iter().zip(predicted).map(|(gold, predicted)| predicted - gold);
    let squared: f64 = errors().map(|error| error * error).sum();
    let mean = gold.iter().sum::<f64>() / count;
    let total: f64 = gold.iter().map(|value| (value - mean).powi(2)).sum();
    Regression {
        examples: gold.len(),
        spearman: pearson(&ranks(gold), &ranks(predicted)),
        pearson: pearson(gold, predicted),
        rmse: (squared / count).sqrt(),
        mae: errors().map(f64::abs).sum::<f64>() / count,
        r2: if total > 0.0 { 1.0 - squared / total } else { 0.0 },
    }
}

fn pearson(a: &[f64], b: &[f64]) -> f64 {
    let count = a.len().max(1) as f64;
    let (mean_a, mean_b) = (a.iter().sum::<f64>() / count, b.iter().sum::<f64>() / count);
    let (mut covariance, mut variance_a, mut variance_b) = (0.0, 0.0, 0.0);
    for (a, b) in a.iter().zip(b) {
        let (a, b) = (a - mean_a, b - mean_b);
        covariance += a * b;
        variance_a += a * a;
        variance_b += b * b;
    }
    let scale = (variance_a * variance_b).sqrt();
    if scale > 0.0 { covariance / scale } else { 0.0 }
}

/// Ranks from 1; equal values share the mean of their ranks.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    let mut start = 0;
    for group in order.chunk_by(|&a, &b| values[a] == values[b]) {
        let rank = start as f64 + (group.len() as f64 + 1.0) / 2.0;
        for &at in group {
            ranks[at] = rank;
        }
        start += group.len();
    }
    ranks
}

impl Regression {
    /// The figures that a report keeps.
    pub fn summary(&self) -> BTreeMap<String, f64> {
        BTreeMap::from([
            ("spearman".to_owned(), self.spearman),
            ("pearson".to_owned(), self.pearson),
            ("rmse".to_owned(), self.rmse),
            ("mae".to_owned(), self.mae),
            ("r2".to_owned(), self.r2),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-12, "{found} {expected}");
    }

    #[test]
    fn metrics_follow_their_definitions() {
        // Values checked against scipy.stats.spearmanr and pearsonr.
        let found = compare(&[1.0, 2.0, 3.0, 4.0, 5.0], &[5.0, 6.0, 7.0, 8.0, 7.0]);
        close(found.spearman, 0.820_782_681_668_123_3);
        close(found.pearson, 0.832_050_294_337_843_7);
        close(found.mae, 3.6);
        close(found.rmse, 13.6f64.sqrt());
        close(found.r2, 1.0 - 68.0 / 10.0);
    }

    #[test]
    fn ties_share_their_rank_and_constants_give_zero() {
        assert_eq!(ranks(&[3.0, 1.0, 3.0, 2.0]), [3.5, 1.0, 3.5, 2.0]);
        let found = compare(&[1.0, 2.0], &[5.0, 5.0]);
        assert_eq!((found.spearman, found.pearson), (0.0, 0.0));
        assert_eq!(compare(&[], &[]).rmse, 0.0);
    }
}
