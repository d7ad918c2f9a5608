//! Examples to sparse rows: TF-IDF of n-grams, and of pairs how alike their sides are.

use rayon::prelude::*;

use super::{
    limits::Plan,
    pairs::{Pair, pairs},
    similarity,
    sparse::SparseRows,
    text::{Gram, Unit, counts},
    vocabulary::Vocabulary,
};
use crate::task::{Example, Field};

/// Turns examples into rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Features {
    pairs: Vec<Pair>,
    units: &'static [Unit],
    vocabulary: Vocabulary,
    /// Mean of each similarity over the training examples, and 1 / its standard deviation (0
    /// where it does not vary).
    scaling: Vec<(f32, f32)>,
}

impl Features {
    /// Reads the training examples.
    pub fn fit(fields: &[Field], examples: &[&Example], plan: &Plan) -> Self {
        let units: &[Unit] =
            if plan.characters { &[Unit::Words, Unit::Characters] } else { &[Unit::Words] };
        let vocabulary = Vocabulary::new(examples.len(), plan.columns, |at| {
            units.iter().flat_map(move |unit| of_example(examples[at], *unit)).map(|one| one.0)
        });
        let mut features = Self { pairs: pairs(fields), units, vocabulary, scaling: Vec::new() };
        features.scaling = features.measure(examples);
        features
    }

    /// Columns: similarities, then n-grams.
    pub fn width(&self) -> usize {
        self.scaling.len() + self.vocabulary.width()
    }

    /// N-grams that the training texts have, and those of them that have a column.
    pub fn grams(&self) -> (usize, usize) {
        (self.vocabulary.found(), self.vocabulary.width())
    }

    /// A row for each example.
    pub fn rows(&self, examples: &[&Example]) -> SparseRows {
        let rows: Vec<Vec<(u32, f32)>> =
            examples.par_iter().map(|example| self.row(example)).collect();
        SparseRows::from_rows(self.width(), &rows)
    }

    fn row(&self, example: &Example) -> Vec<(u32, f32)> {
        let similarities = self.similarities(example);
        let scaled = similarities.iter().zip(&self.scaling).map(|(value, (mean, scale))| {
            // Nothing that is far from all training examples decides alone.
            ((value - mean) * scale).clamp(-10.0, 10.0)
        });
        let mut row: Vec<(u32, f32)> = (0..).zip(scaled).collect();
        let offset = self.scaling.len() as u32;
        for unit in self.units {
            let columns = self.vocabulary.columns(&of_example(example, *unit));
            row.extend(columns.into_iter().map(|(column, value)| (offset + column, value)));
        }
        row
    }

    fn similarities(&self, example: &Example) -> Vec<f32> {
        let side = |fields: &[usize]| -> Vec<&str> {
            let texts = fields.iter().filter_map(|at| example.values.get(*at));
            texts.map(String::as_str).collect()
        };
        let of_pair = |pair: &Pair| {
            similarity::features(&side(&pair.left), &side(&pair.right), &self.vocabulary)
        };
        self.pairs.iter().flat_map(of_pair).collect()
    }

    fn measure(&self, examples: &[&Example]) -> Vec<(f32, f32)> {
        let width = self.pairs.len() * similarity::FEATURES;
        if width == 0 {
            return Vec::new();
        }
        let all: Vec<Vec<f32>> =
            examples.par_iter().map(|example| self.similarities(example)).collect();
        let count = all.len().max(1) as f64;
        let scaling = (0..width).map(|at| {
            let mean = |part: &dyn Fn(f64) -> f64| {
                all.iter().map(|row| part(f64::from(row[at]))).sum::<f64>() / count
            };
            let middle = mean(&|value| value);
            let deviation = mean(&|value| (value - middle).powi(2)).sqrt();
            let scale = if deviation > 1e-6 { 1.0 / deviation } else { 0.0 };
            (middle as f32, scale as f32)
        });
        scaling.collect()
    }
}

fn of_example(example: &Example, unit: Unit) -> Vec<(Gram, u32)> {
    counts(example.values.iter().map(String::as_str), unit)
}
