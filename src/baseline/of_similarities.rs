//! A linear model of how alike the sides of pairs are, and of nothing else.

use super::{
    linear::{Answers, Linear, row_loss},
    sparse::SparseRows,
    standardise::{Standard, standards},
};

/// The penalty of the weights, see [`Linear::fit_with`]. Higher than that of all words, as a model that
/// an encoder adds to must not be sure of what a few examples show.
const PENALTY: f64 = 1.0;

/// Parts of the rows, each of which is answered by a fit on the others.
const FOLDS: usize = 3;

/// Weights of similarities as they are measured, and a constant, for each output.
#[derive(Debug, Clone, PartialEq)]
pub struct OfSimilarities {
    /// `[similarities][outputs]`
    pub weights: Vec<f32>,
    pub constants: Vec<f32>,
}

impl OfSimilarities {
    /// Fits labels or numbers, of which there is one for each row of similarities. Labels have an
    /// output each, also where they are two.
    pub fn fit(rows: &[Vec<f32>], answers: Answers<'_>) -> Self {
        let standards = standards(rows);
        let sparse: Vec<Vec<(u32, f32)>> = rows
            .iter()
            .map(|row| (0..).zip(row.iter().zip(&standards).map(|(x, of)| of.apply(*x))).collect())
            .collect();
        let rows = SparseRows::from_rows(standards.len(), &sparse);
        let model = Linear::fit_with(&rows, answers, PENALTY);
        let both = matches!(answers, Answers::Labels { .. }) && model.outputs() == 1;
        Self::of_raw(&model, &standards).for_labels(both)
    }

    /// The loss on rows that a fit has not seen, over that of answering the labels' shares or the
    /// values' mean: 1 for a comparison that says nothing, or less than nothing.
    pub fn loss_left(rows: &[Vec<f32>], answers: Answers<'_>) -> f64 {
        let (mut with, mut without) = (0.0, 0.0);
        for fold in 0..FOLDS {
            let (held, rest): (Vec<usize>, Vec<usize>) =
                (0..rows.len()).partition(|at| at % FOLDS == fold);
            let of = |places: &[usize]| -> Vec<Vec<f32>> {
                places.iter().map(|at| rows[*at].clone()).collect()
            };
            let nothing = |places: &[usize]| vec![Vec::new(); places.len()];
            let (known, wanted) = (answers.select(&rest), answers.select(&held));
            let (known, wanted) = (known.as_answers(), wanted.as_answers());
            with += Self::fit(&of(&rest), known).loss(&of(&held), wanted);
            without += Self::fit(&nothing(&rest), known).loss(&nothing(&held), wanted);
        }
        if without > 0.0 { (with / without).min(1.0) } else { 1.0 }
    }

    /// The summed loss: minus the logarithm of the probabilities, or half the squared errors.
    fn loss(&self, rows: &[Vec<f32>], answers: Answers<'_>) -> f64 {
        let outputs = rows.iter().map(|row| self.outputs(row));
        outputs.enumerate().map(|(at, mut outputs)| row_loss(answers, at, &mut outputs)).sum()
    }

    fn outputs(&self, row: &[f32]) -> Vec<f32> {
        let mut outputs = self.constants.clone();
        for (value, weights) in row.iter().zip(self.weights.chunks_exact(self.constants.len())) {
            outputs.iter_mut().zip(weights).for_each(|(output, weight)| *output += value * weight);
        }
        outputs
    }

    /// Makes a model of standardised numbers one of the numbers as they are measured.
    fn of_raw(model: &Linear, standards: &[Standard]) -> Self {
        let outputs = model.outputs();
        let mut constants = model.constants().to_vec();
        let mut weights = model.weights().to_vec();
        for (row, of) in weights.chunks_exact_mut(outputs).zip(standards) {
            for (weight, constant) in row.iter_mut().zip(&mut constants) {
                *weight *= of.scale;
                *constant -= *weight * of.mean;
            }
        }
        Self { weights, constants }
    }

    /// Splits the logit of the second label into one for each of two.
    fn for_labels(self, are_two: bool) -> Self {
        let halves = |all: Vec<f32>| match are_two {
            true => all.iter().flat_map(|one| [-one / 2.0, one / 2.0]).collect(),
            false => all,
        };
        Self { weights: halves(self.weights), constants: halves(self.constants) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROWS: [[f32; 3]; 4] =
        [[0.1, 5.0, 1.0], [0.2, 7.0, 1.0], [0.9, 5.5, 1.0], [0.8, 7.5, 1.0]];

    fn rows() -> Vec<Vec<f32>> {
        ROWS.iter().map(|row| row.to_vec()).collect()
    }

    #[test]
    fn labels_have_an_output_each() {
        for (gold, labels) in [([0, 0, 1, 1], 2), ([0, 0, 2, 1], 3)] {
            let model = OfSimilarities::fit(&rows(), Answers::Labels { gold: &gold, labels });
            assert_eq!((model.weights.len(), model.constants.len()), (3 * labels, labels));
            for (row, gold) in ROWS.iter().zip(gold).take(2) {
                let found = model.outputs(row);
                assert!(found.iter().all(|other| *other <= found[gold]), "{found:?} {gold}");
            }
            // A similarity that never differs has no say.
            assert!(model.weights[2 * labels..].iter().all(|weight| *weight == 0.0));
        }
    }

    #[test]
    fn the_loss_that_is_left_tells_whether_a_comparison_says_anything() {
        let gold: Vec<usize> = (0..60).map(|at| usize::from(at % 7 < 3)).collect();
        let answers = Answers::Labels { gold: &gold, labels: 2 };
        let telling: Vec<Vec<f32>> = gold.iter().map(|label| vec![*label as f32]).collect();
        let idle: Vec<Vec<f32>> = (0..60).map(|at| vec![(at % 4) as f32]).collect();
        let left = [telling, idle].map(|rows| OfSimilarities::loss_left(&rows, answers));
        assert!(left[0] < 0.5 && left[1] > 0.9, "{left:?}");
        let values: Vec<f32> = (0..60).map(|at| (at % 5) as f32).collect();
        let rows: Vec<Vec<f32>> = values.iter().map(|value| vec![value * 2.0]).collect();
        assert!(OfSimilarities::loss_left(&rows, Answers::Values(&values)) < 0.1);
        assert_eq!(OfSimilarities::loss_left(&rows, Answers::Values(&[1.0; 60])), 1.0);
    }

    #[test]
    fn numbers_have_one_output() {
        let values = [1.0, 1.0, 3.0, 3.0];
        let model = OfSimilarities::fit(&rows(), Answers::Values(&values));
        let found: Vec<f32> = ROWS.iter().map(|row| model.outputs(row)[0]).collect();
        assert!(found[0] < 2.0 && found[1] < 2.0 && found[2] > 2.0 && found[3] > 2.0, "{found:?}");
    }
}
