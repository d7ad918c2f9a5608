//! What a model must beat to be worth its cost: the majority label (or mean), and a bag of words
//! that is trained on the same rows in seconds. Pure.
//!
//! The bag of words is what people try first: TF-IDF of words and character n-grams with logistic
//! or ridge regression, as scikit-learn's `TfidfVectorizer`, `LogisticRegression` and `Ridge` do
//! it, and for pairs of texts how alike they are.

mod bag_of_words;
mod features;
mod lbfgs;
mod limits;
mod linear;
mod majority;
mod of_similarities;
mod sparse;
mod standardise;
mod verdict;
mod vocabulary;

use std::collections::BTreeMap;

pub use bag_of_words::BagOfWords;
pub use linear::Answers;
pub use majority::Majority;
pub use of_similarities::OfSimilarities;
pub use verdict::check_result;

use crate::{
    dataset::Dataset,
    evaluation::{Metrics, Mismatch, Options, Threshold, evaluate_with},
    task::{Prediction, Task},
};

/// The majority's name among figures.
pub const MAJORITY: &str = "majority";

/// The bag of words' name among figures.
pub const BAG_OF_WORDS: &str = "bag of words";

/// Both baselines of a task, trained on the same examples.
#[derive(Debug, Clone, PartialEq)]
pub struct Baselines {
    task: Task,
    positive: Option<usize>,
    majority: Majority,
    bag_of_words: BagOfWords,
}

impl Baselines {
    /// Trains both. `positive` is the task file's positive label.
    ///
    /// # Errors
    ///
    /// `Mismatch` if the targets are not all of the task's kind, or there are none.
    pub fn fit(task: &Task, train: &Dataset, positive: Option<usize>) -> Result<Self, Mismatch> {
        let majority = Majority::fit(task, &train.targets())?;
        let bag_of_words = BagOfWords::fit(task, train, positive)?;
        Ok(Self { task: task.clone(), positive, majority, bag_of_words })
    }

    /// The figures of each, by its name, on labelled examples that neither has seen.
    pub fn figures(&self, data: &Dataset) -> Result<BTreeMap<&'static str, Metrics>, Mismatch> {
        let majority = self.majority.predict(data.examples.len());
        let bag_of_words = self.bag_of_words.predict(&data.inputs());
        Ok(BTreeMap::from([
            (MAJORITY, self.metrics(data, &majority, None)?),
            (BAG_OF_WORDS, self.metrics(data, &bag_of_words, self.bag_of_words.threshold())?),
        ]))
    }

    /// The bag of words.
    pub fn bag_of_words(&self) -> &BagOfWords {
        &self.bag_of_words
    }

    fn metrics(
        &self,
        data: &Dataset,
        predictions: &[Prediction],
        threshold: Option<Threshold>,
    ) -> Result<Metrics, Mismatch> {
        let half = self.positive.filter(|_| self.task.kind.outputs() == 2);
        let half = half.map(|positive| Threshold { positive, value: 0.5 });
        let options = Options { threshold: threshold.or(half), weights: None };
        evaluate_with(&self.task.kind, &data.targets(), predictions, &options)
    }
}

/// Trains both baselines and gives their figures, by their names.
pub fn figures(
    task: &Task,
    train: &Dataset,
    data: &Dataset,
    positive: Option<usize>,
) -> Result<BTreeMap<&'static str, Metrics>, Mismatch> {
    Baselines::fit(task, train, positive)?.figures(data)
}

#[cfg(test)]
mod tests;
