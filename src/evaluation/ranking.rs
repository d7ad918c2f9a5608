//! How well scores put one class before the rest, whatever the threshold.

/// Ranking figures of one class against the rest.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ranking {
    /// Sum of precision times the gain in recall over the distinct scores, from the highest down
    /// (no interpolation; as scikit-learn's `average_precision_score`).
    pub average_precision: f64,
    /// Probability that a random example of the class is scored above a random other one, ties
    /// counting half: the area under the ROC curve (Mann and Whitney, 1947).
    pub auroc: f64,
}

/// Ranks examples by `scores`; `positive` says which are of the class. `None` unless the class
/// and the rest both occur.
pub fn rank(positive: &[bool], scores: &[f64]) -> Option<Ranking> {
    let positives = positive.iter().filter(|positive| **positive).count() as f64;
    let negatives = positive.len() as f64 - positives;
    if positives == 0.0 || negatives == 0.0 {
        return None;
    }
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_unstable_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    let (mut above, mut positives_above) = (0.0, 0.0);
    let (mut average_precision, mut ordered_pairs) = (0.0, 0.0);
    for tied in order.chunk_by(|&a, &b| scores[a] == scores[b]) {
        let found = tied.iter().filter(|&&at| positive[at]).count() as f64;
        let others = tied.len() as f64 - found;
        above += tied.len() as f64;
        positives_above += found;
        average_precision += found / positives * (positives_above / above);
        let negatives_below = negatives - (above - positives_above);
        ordered_pairs += found * (negatives_below + others / 2.0);
    }
    Some(Ranking { average_precision, auroc: ordered_pairs / (positives * negatives) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(positive: &[u8], scores: &[f64], average_precision: f64, auroc: f64) {
        let positive: Vec<bool> = positive.iter().map(|&positive| positive == 1).collect();
        let found = rank(&positive, scores).expect("both classes occur");
        assert!((found.average_precision - average_precision).abs() < 1e-12, "{found:?}");
        assert!((found.auroc - auroc).abs() < 1e-12, "{found:?}");
    }

    #[test]
    fn figures_agree_with_scikit_learn() {
        // average_precision_score and roc_auc_score of scikit-learn 1.x on the same numbers.
        let scores = [0.1, 0.4, 0.4, 0.8, 0.6, 0.6, 0.9, 0.3];
        check(&[0, 0, 1, 1, 1, 0, 1, 0], &scores, 0.854_166_666_666_666_6, 0.875);
        check(&[1, 0, 0, 0, 1, 0], &[0.5, 0.25, 0.125, 0.5, 0.25, 0.375], 0.45, 0.625);
        check(&[0, 0, 1], &[1.0, 2.0, 3.0], 1.0, 1.0);
        check(&[1, 0, 0, 0], &[0.5; 4], 0.25, 0.5);
    }

    #[test]
    fn one_class_alone_has_no_ranking() {
        assert_eq!(rank(&[true, true], &[0.1, 0.2]), None);
        assert_eq!(rank(&[false], &[0.1]), None);
        assert_eq!(rank(&[], &[]), None);
    }
}
