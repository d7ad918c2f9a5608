//! Examples to sparse rows: TF-IDF of n-grams, and of pairs how alike their sides are.

use rayon::prelude::*;

use super::{
    limits::Plan,
    sparse::SparseRows,
    standardise::{Standard, standards},
    vocabulary::Vocabulary,
};
use crate::{
    lexical::{Gram, Pair, Unit, compare, counts, pairs},
    task::{Example, Field},
};

/// Turns examples into rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Features {
    pairs: Vec<Pair>,
    units: &'static [Unit],
    vocabulary: Vocabulary,
    /// Mean and scale of each similarity.
    standards: Vec<Standard>,
}

impl Features {
    /// Reads the training examples.
    pub fn fit(fields: &[Field], examples: &[&Example], plan: &Plan) -> Self {
        let units: &[Unit] =
            if plan.characters { &[Unit::Words, Unit::Characters] } else { &[Unit::Words] };
        let vocabulary = Vocabulary::new(examples.len(), plan.columns, |at| {
            units.iter().flat_map(move |unit| of_example(examples[at], *unit)).map(|one| one.0)
        });
        let mut features = Self { pairs: pairs(fields), units, vocabulary, standards: Vec::new() };
        let similarities: Vec<Vec<f32>> =
            examples.par_iter().map(|example| features.similarities(example)).collect();
        features.standards = standards(&similarities);
        features
    }

    /// Columns: similarities, then n-grams.
    pub fn width(&self) -> usize {
        self.standards.len() + self.vocabulary.width()
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
        // Nothing that is far from all training examples decides alone.
        let scaled =
            similarities.iter().zip(&self.standards).map(|(x, of)| of.apply(*x).clamp(-10.0, 10.0));
        let mut row: Vec<(u32, f32)> = (0..).zip(scaled).collect();
        let offset = self.standards.len() as u32;
        for unit in self.units {
            let columns = self.vocabulary.columns(&of_example(example, *unit));
            row.extend(columns.into_iter().map(|(column, value)| (offset + column, value)));
        }
        row
    }

    fn similarities(&self, example: &Example) -> Vec<f32> {
        compare(&self.pairs, example, &|gram| self.vocabulary.weight(gram))
    }
}

fn of_example(example: &Example, unit: Unit) -> Vec<(Gram, u32)> {
    counts(example.values.iter().map(String::as_str), unit)
}
