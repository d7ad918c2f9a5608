//! Logistic and ridge regression on sparse rows.

use super::{
    lbfgs::{self, Objective},
    sparse::SparseRows,
};
use rayon::prelude::*;

/// The penalty of logistic regression: the loss is that of all examples plus this times half the
/// weights' squared sum (scikit-learn's `C = 10`).
const LOGISTIC_PENALTY: f64 = 0.1;

/// The penalty of ridge regression, with half the squared errors (scikit-learn's `alpha = 1`).
const RIDGE_PENALTY: f64 = 1.0;

/// Targets that the rows are fitted to.
#[derive(Debug, Clone, Copy)]
pub enum Answers<'a> {
    /// A label below `labels` for each row.
    Labels { gold: &'a [usize], labels: usize },
    /// A number for each row.
    Values(&'a [f32]),
}

/// Targets of some rows.
pub enum Selected {
    Labels { gold: Vec<usize>, labels: usize },
    Values(Vec<f32>),
}

impl Selected {
    /// Targets as the fit takes them.
    pub fn as_answers(&self) -> Answers<'_> {
        match self {
            Self::Labels { gold, labels } => Answers::Labels { gold, labels: *labels },
            Self::Values(values) => Answers::Values(values),
        }
    }
}

impl Answers<'_> {
    /// The targets of these rows.
    pub fn select(&self, rows: &[usize]) -> Selected {
        match self {
            Self::Labels { gold, labels } => {
                let gold = rows.iter().map(|at| gold[*at]).collect();
                Selected::Labels { gold, labels: *labels }
            }
            Self::Values(values) => Selected::Values(rows.iter().map(|at| values[*at]).collect()),
        }
    }

    /// Numbers that a model of these computes for a row: with two labels one, the second's logit.
    fn outputs(&self) -> usize {
        match self {
            Self::Labels { labels, .. } if *labels > 2 => *labels,
            Self::Labels { .. } | Self::Values(_) => 1,
        }
    }

    fn penalty(&self) -> f64 {
        match self {
            Self::Labels { .. } => LOGISTIC_PENALTY,
            Self::Values(_) => RIDGE_PENALTY,
        }
    }
}

/// A linear model: `[columns][outputs]` weights, and a constant for each output.
#[derive(Debug, Clone, PartialEq)]
pub struct Linear {
    weights: Vec<f32>,
    constants: Vec<f32>,
}

impl Linear {
    /// Fits logistic regression to labels (multinomial with more than two), ridge regression to
    /// numbers. The constants are not penalised.
    pub fn fit(rows: &SparseRows, answers: Answers) -> Self {
        Self::fit_with(rows, answers, answers.penalty())
    }

    /// Fits as [`Self::fit`] with a penalty of the caller's: the loss is that of all examples plus
    /// `penalty` times half the weights' squared sum.
    pub fn fit_with(rows: &SparseRows, answers: Answers, penalty: f64) -> Self {
        let outputs = answers.outputs();
        let by_column = rows.transposed();
        let scores = vec![0.0; rows.height() * outputs];
        let mut fit = Fit { rows, by_column, answers, penalty, outputs, scores };
        let mut point = lbfgs::minimise(vec![0.0; (rows.width() + 1) * outputs], &mut fit);
        let constants = point.split_off(rows.width() * outputs);
        Self { weights: point, constants }
    }

    /// The outputs for every row, `[rows][outputs]`.
    pub fn scores(&self, rows: &SparseRows) -> Vec<f32> {
        let outputs = self.constants.len();
        let mut scores = vec![0.0; rows.height() * outputs];
        rows.multiply(&self.weights, outputs, &mut scores);
        for row in scores.chunks_exact_mut(outputs) {
            row.iter_mut().zip(&self.constants).for_each(|(score, constant)| *score += constant);
        }
        scores
    }

    /// `[columns][outputs]`
    pub fn weights(&self) -> &[f32] {
        &self.weights
    }

    /// A constant for each output.
    pub fn constants(&self) -> &[f32] {
        &self.constants
    }

    /// Outputs for a row.
    pub fn outputs(&self) -> usize {
        self.constants.len()
    }
}

/// Probabilities of the labels from a row's outputs.
pub fn probabilities(scores: &[f32]) -> Vec<f32> {
    if let [score] = scores {
        // Of the smaller side first, which has the digits.
        let small = 1.0 / (1.0 + f64::from(score.abs()).exp());
        let large = 1.0 - small;
        let pair = if *score > 0.0 { [small, large] } else { [large, small] };
        return pair.map(|probability| probability as f32).to_vec();
    }
    let mut row = scores.to_vec();
    softmax(&mut row);
    row
}

/// Makes scores probabilities; returns the logarithm of the sum of their exponentials.
fn softmax(row: &mut [f32]) -> f32 {
    let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    row.iter_mut().for_each(|score| *score = (*score - largest).exp());
    let sum: f32 = row.iter().sum();
    row.iter_mut().for_each(|score| *score /= sum);
    largest + sum.ln()
}

/// The loss of a model, a mean over the rows.
struct Fit<'a> {
    rows: &'a SparseRows,
    by_column: SparseRows,
    answers: Answers<'a>,
    penalty: f64,
    outputs: usize,
    /// `[rows][outputs]`: the model's outputs, and then the loss's derivative by them.
    scores: Vec<f32>,
}

impl Objective for Fit<'_> {
    fn evaluate(&mut self, point: &[f32], gradient: &mut [f32]) -> f64 {
        let (outputs, answers) = (self.outputs, self.answers);
        let (weights, constants) = point.split_at(self.rows.width() * outputs);
        self.rows.multiply(weights, outputs, &mut self.scores);
        let examples = self.rows.height().max(1) as f64;
        let of_rows = self.scores.par_chunks_mut(outputs).with_min_len(256).enumerate();
        let losses: Vec<f64> = of_rows
            .map(|(at, scores)| {
                scores.iter_mut().zip(constants).for_each(|(score, constant)| *score += constant);
                row_loss(answers, at, scores)
            })
            .collect();
        let (by_weights, by_constants) = gradient.split_at_mut(weights.len());
        self.by_column.multiply(&self.scores, outputs, by_weights);
        let penalty = self.penalty / examples;
        let scale = (1.0 / examples) as f32;
        by_weights.par_iter_mut().with_min_len(4096).zip(weights).for_each(|(slope, weight)| {
            *slope = *slope * scale + penalty as f32 * weight;
        });
        for (output, slope) in by_constants.iter_mut().enumerate() {
            let derivatives = self.scores.iter().skip(output).step_by(outputs);
            *slope = (derivatives.map(|value| f64::from(*value)).sum::<f64>() / examples) as f32;
        }
        let squares: f64 = weights.iter().map(|weight| f64::from(weight * weight)).sum();
        losses.iter().sum::<f64>() / examples + penalty * squares / 2.0
    }
}

/// The loss of a row; its scores become the loss's derivatives.
pub fn row_loss(answers: Answers<'_>, at: usize, scores: &mut [f32]) -> f64 {
    match (answers, scores) {
        (Answers::Values(values), scores) => {
            let error = scores[0] - values[at];
            scores[0] = error;
            f64::from(error * error) / 2.0
        }
        (Answers::Labels { gold, .. }, [score]) => {
            let sign = if gold[at] == 1 { 1.0 } else { -1.0 };
            let margin = f64::from(sign * *score);
            *score = (-f64::from(sign) / (1.0 + margin.exp())) as f32;
            // ln(1 + e^-margin) without overflow.
            (-margin.abs()).exp().ln_1p() + (-margin).max(0.0)
        }
        (Answers::Labels { gold, .. }, scores) => {
            let right = scores[gold[at]];
            let logarithm = softmax(scores);
            scores[gold[at]] -= 1.0;
            f64::from(logarithm - right)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(dense: &[[f32; 2]]) -> SparseRows {
        let rows = dense.iter().map(|row| vec![(0, row[0]), (1, row[1])]);
        SparseRows::from_rows(2, &rows.collect::<Vec<_>>())
    }

    const POINTS: [[f32; 2]; 6] =
        [[0.0, 1.0], [0.2, 0.8], [1.0, 0.0], [0.9, 0.3], [0.5, 0.5], [-1.0, -1.0]];

    #[test]
    fn two_labels_have_one_output_and_their_separating_line() {
        let gold = [1, 1, 0, 0, 1, 0];
        let model = Linear::fit(&rows(&POINTS), Answers::Labels { gold: &gold, labels: 2 });
        let scores = model.scores(&rows(&POINTS));
        assert_eq!(scores.len(), 6);
        // At the minimum the weights are the summed derivatives over the penalty.
        let errors: Vec<f32> = scores
            .iter()
            .zip(gold)
            .map(|(score, gold)| gold as f32 - probabilities(&[*score])[1])
            .collect();
        assert!(errors.iter().sum::<f32>().abs() < 1e-2, "{errors:?}");
        for column in 0..2 {
            let sum: f32 = errors.iter().zip(&POINTS).map(|(error, row)| error * row[column]).sum();
            let expected = sum / LOGISTIC_PENALTY as f32;
            assert!((model.weights[column] - expected).abs() < 5e-2, "{column} {model:?}");
        }
    }

    #[test]
    fn several_labels_have_an_output_each() {
        let gold = [0, 0, 1, 1, 0, 2];
        let model = Linear::fit(&rows(&POINTS), Answers::Labels { gold: &gold, labels: 3 });
        for (scores, gold) in model.scores(&rows(&POINTS)).chunks(3).zip(gold) {
            let probabilities = probabilities(scores);
            assert!((probabilities.iter().sum::<f32>() - 1.0).abs() < 1e-6);
            assert!(probabilities[gold] > 0.5, "{probabilities:?} {gold}");
        }
    }

    #[test]
    fn numbers_are_fitted_by_least_squares() {
        let values = POINTS.map(|[x, y]| 3.0 * x - y + 0.5);
        let model = Linear::fit(&rows(&POINTS), Answers::Values(&values));
        // Ridge(alpha=1).fit(POINTS, values) of scikit-learn.
        for (found, expected) in model.weights.iter().zip([1.962_41, -0.352_595]) {
            assert!((found - expected).abs() < 1e-3, "{model:?}");
        }
        assert!((model.constants[0] - 0.604_049).abs() < 1e-3, "{model:?}");
    }

    #[test]
    fn a_fit_is_the_same_with_any_number_of_threads() {
        let of = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
            let gold: Vec<usize> = (0..500).map(|at| at % 3).collect();
            let points = (0..500).map(|at| {
                let at = at as f32;
                [(at * 0.7).sin() + at % 3.0, (at * 1.3).cos()]
            });
            let rows = rows(&points.collect::<Vec<_>>());
            pool.expect("a pool")
                .install(|| Linear::fit(&rows, Answers::Labels { gold: &gold, labels: 3 }))
        };
        assert_eq!(of(1), of(3));
    }
}
