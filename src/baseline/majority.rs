//! The answer that needs no text.

use crate::{
    evaluation::Mismatch,
    task::{Kind, Output, Prediction, Target, Task},
};

/// Always answers with the shares of the labels among the training examples, so that the most
/// frequent label is the answer, or with the mean of the training targets.
#[derive(Debug, Clone, PartialEq)]
pub struct Majority {
    output: Output,
}

impl Majority {
    /// Counts the targets.
    ///
    /// # Errors
    ///
    /// `Mismatch` if they are not all of the task's kind, or none.
    pub fn fit(task: &Task, targets: &[Target]) -> Result<Self, Mismatch> {
        let count = targets.len() as f64;
        if targets.is_empty() {
            return Err(Mismatch);
        }
        let output = match &task.kind {
            Kind::Classification { labels } => {
                let mut counts = vec![0usize; labels.len()];
                for target in targets {
                    *target.label().and_then(|label| counts.get_mut(label)).ok_or(Mismatch)? += 1;
                }
                let shares = counts.iter().map(|of_label| (*of_label as f64 / count) as f32);
                Output::Probabilities(shares.collect())
            }
            Kind::Regression { .. } => {
                let values: Option<Vec<f64>> = targets.iter().map(Target::value).collect();
                Output::Value(values.ok_or(Mismatch)?.iter().sum::<f64>() / count)
            }
        };
        Ok(Self { output })
    }

    /// Predicts one and the same answer for each example.
    pub fn predict(&self, examples: usize) -> Vec<Prediction> {
        let output = self.output.clone();
        vec![Prediction::of(output); examples]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(kind: Kind) -> Task {
        Task { name: "t".to_owned(), kind, fields: Vec::new() }
    }

    #[test]
    fn shares_and_means_are_answered() {
        let kind = Kind::Classification { labels: ["a", "b", "c"].map(str::to_owned).to_vec() };
        let targets = [1, 1, 0, 1].map(Target::Label);
        let majority = Majority::fit(&task(kind.clone()), &targets).expect("fits");
        let predictions = majority.predict(2);
        assert_eq!(predictions.len(), 2);
        assert_eq!(predictions[0].output, Output::Probabilities(vec![0.25, 0.75, 0.0]));
        let number = task(Kind::Regression { min: None, max: None });
        let majority = Majority::fit(&number, &[1.0, 2.0].map(Target::Value)).expect("fits");
        assert_eq!(majority.predict(1)[0].output, Output::Value(1.5));
        assert_eq!(Majority::fit(&number, &targets), Err(Mismatch));
        assert_eq!(Majority::fit(&task(kind.clone()), &[Target::Label(3)]), Err(Mismatch));
        assert_eq!(Majority::fit(&task(kind), &[]), Err(Mismatch));
    }
}
