//! Figures by the length of the text.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Mismatch, Options, evaluate_with};
use crate::task::{Kind, Prediction, Target};

/// Parts of about equally many examples.
const PARTS: usize = 4;

/// A part has at least this many examples, or there are fewer parts.
const MIN_EXAMPLES: usize = 10;

/// Figures of the examples whose texts are about equally long.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LengthBin {
    /// Characters of the shortest.
    pub from: usize,
    /// Characters of the longest.
    pub to: usize,
    pub examples: usize,
    /// As `Metrics::summary` has them.
    pub metrics: BTreeMap<String, f64>,
}

/// Cuts the examples into up to four parts by length, which have about equally many each; examples
/// of the same length stay together. Empty where the parts would be too small or there is but one.
///
/// # Errors
///
/// If lengths, targets and predictions do not fit each other and the task.
pub fn by_length(
    kind: &Kind,
    lengths: &[usize],
    targets: &[Target],
    predictions: &[Prediction],
    options: &Options,
) -> Result<Vec<LengthBin>, Mismatch> {
    if lengths.len() != targets.len() || targets.len() != predictions.len() {
        return Err(Mismatch);
    }
    let parts = parts(lengths);
    if parts.len() < 2 {
        return Ok(Vec::new());
    }
    let bin = |part: &Vec<usize>| {
        let targets: Vec<Target> = part.iter().map(|&at| targets[at]).collect();
        let predictions: Vec<Prediction> = part.iter().map(|&at| predictions[at].clone()).collect();
        // Weights are of all examples, not of a part.
        let options = Options { weights: None, ..*options };
        Ok(LengthBin {
            from: part.iter().map(|&at| lengths[at]).min().unwrap_or(0),
            to: part.iter().map(|&at| lengths[at]).max().unwrap_or(0),
            examples: part.len(),
            metrics: evaluate_with(kind, &targets, &predictions, &options)?.summary(),
        })
    };
    parts.iter().map(bin).collect()
}

/// Indices of the examples, by length.
fn parts(lengths: &[usize]) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|&at| lengths[at]);
    let size = (lengths.len() / PARTS).max(MIN_EXAMPLES);
    let mut parts: Vec<Vec<usize>> = Vec::new();
    let mut rest = order.as_slice();
    while !rest.is_empty() {
        let mut end = size.min(rest.len());
        while end < rest.len() && lengths[rest[end]] == lengths[rest[end - 1]] {
            end += 1;
        }
        let (part, after) = rest.split_at(end);
        match parts.last_mut() {
            // What is left over is no part of its own.
            Some(last) if part.len() < size => last.extend(part),
            _ => parts.push(part.to_vec()),
        }
        rest = after;
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::Output;

    fn check(lengths: &[usize], expected: &[(usize, usize, usize)]) {
        let kind = Kind::Regression { min: None, max: None };
        let targets = vec![Target::Value(1.0); lengths.len()];
        let one = Prediction::of(Output::Value(1.5));
        let predictions = vec![one; lengths.len()];
        let found = by_length(&kind, lengths, &targets, &predictions, &Options::default());
        let found = found.expect("they fit");
        let sizes: Vec<_> = found.iter().map(|bin| (bin.from, bin.to, bin.examples)).collect();
        assert_eq!(sizes, expected);
        assert!(found.iter().all(|bin| bin.metrics["mae"] == 0.5));
    }

    #[test]
    fn parts_have_about_equally_many_examples() {
        let rising: Vec<usize> = (1..=80).collect();
        check(&rising, &[(1, 20, 20), (21, 40, 20), (41, 60, 20), (61, 80, 20)]);
        let few: Vec<usize> = (1..=25).collect();
        check(&few, &[(1, 10, 10), (11, 25, 15)]);
    }

    #[test]
    fn equal_lengths_stay_together_and_one_part_says_nothing() {
        let mut lengths = vec![5; 30];
        lengths.extend(vec![9; 10]);
        check(&lengths, &[(5, 5, 30), (9, 9, 10)]);
        check(&[5; 40], &[]);
        check(&[1, 2, 3], &[]);
    }
}
