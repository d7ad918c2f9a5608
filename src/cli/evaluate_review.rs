//! Single examples of an evaluation: the file of mistakes, and those that the page shows.

use std::collections::BTreeMap;

use anyhow::Result;

use super::output::Page;
use crate::{
    dataset::{ChosenRows, Dataset},
    evaluation::{
        nearest::nearest,
        review::{Judged, least_sure, worst},
    },
    prompt::TaskFile,
    report::{NearestExample, ShownExample},
    task::{Example, Output, Prediction, Target},
};

/// Examples of a list on the page.
const SHOWN: usize = 20;

/// Columns that the file of mistakes has beside the input's own.
pub fn error_columns(file: &TaskFile) -> &'static [&'static str] {
    match file.labels() {
        [] => &["true_value", "predicted_value", "absolute_error"],
        _ => &["true_label", "predicted_label", "predicted_probability", "true_probability"],
    }
}

/// An evaluation, example by example.
pub struct Review<'a> {
    pub file: &'a TaskFile,
    pub data: &'a Dataset,
    pub predictions: &'a [Prediction],
    pub judged: Vec<Judged>,
}

impl Review<'_> {
    pub fn mistakes(&self) -> usize {
        self.judged.iter().filter(|one| one.is_mistake).count()
    }

    /// Writes every mistake with the columns of its row in the files that the data was read from.
    pub fn write_errors(&self, rows: &ChosenRows<'_>, page: &Page) -> Result<()> {
        let mistakes = self.judged.iter().filter(|one| one.is_mistake);
        let chosen: BTreeMap<usize, Vec<String>> =
            mistakes.map(|one| (one.example, self.cells(one))).collect();
        page.write_with(|out| Ok(rows.write(error_columns(self.file), &chosen, out)?))
    }

    fn cells(&self, one: &Judged) -> Vec<String> {
        let truth = self.data.examples[one.example].target;
        let mut cells = vec![self.target(truth), self.target(one.said)];
        match truth {
            Target::Value(_) => cells.push(one.loss.to_string()),
            Target::Label(_) => {
                let of = |target| self.probability(one, target).unwrap_or(0.0).to_string();
                cells.extend([of(one.said), of(truth)]);
            }
        }
        cells
    }

    fn probability(&self, one: &Judged, target: Target) -> Option<f32> {
        match &self.predictions[one.example].output {
            Output::Probabilities(all) => all.get(target.label()?).copied(),
            Output::Value(_) => None,
        }
    }

    fn target(&self, target: Target) -> String {
        match target {
            Target::Label(label) => self.file.labels().get(label).cloned().unwrap_or_default(),
            Target::Value(value) => value.to_string(),
        }
    }

    /// The worst mistakes, with their nearest training examples if there are any.
    pub fn worst(&self, train: Option<&Dataset>) -> Vec<ShownExample> {
        let worst = worst(&self.judged, SHOWN);
        let mut shown: Vec<ShownExample> = worst.iter().map(|one| self.shown(one)).collect();
        let Some(train) = train else { return shown };
        let texts: Vec<String> = train.examples.iter().map(|one| joined(&one.example)).collect();
        let asked: Vec<String> =
            worst.iter().map(|one| joined(&self.data.examples[one.example].example)).collect();
        for (shown, found) in shown.iter_mut().zip(nearest(&asked, &texts)) {
            shown.nearest = found.map(|found| {
                let labeled = &train.examples[found.text];
                NearestExample {
                    fields: self.fields(&labeled.example),
                    truth: self.target(labeled.target),
                    similarity: found.similarity,
                }
            });
        }
        shown
    }

    /// The least sure answers.
    pub fn least_sure(&self) -> Vec<ShownExample> {
        least_sure(&self.judged, SHOWN).iter().map(|one| self.shown(one)).collect()
    }

    fn shown(&self, one: &Judged) -> ShownExample {
        let labeled = &self.data.examples[one.example];
        let mut notes = Vec::new();
        match (self.probability(one, one.said), self.probability(one, labeled.target)) {
            (Some(said), Some(truth)) => {
                notes.push(format!("probability {said:.3}"));
                if one.is_mistake {
                    notes.push(format!("of the true label {truth:.3}"));
                }
            }
            _ => notes.push(format!("off by {:.3}", one.loss)),
        }
        if self.predictions[one.example].truncated {
            notes.push("text was cut".to_owned());
        }
        ShownExample {
            row: one.example + 1,
            fields: self.fields(&labeled.example),
            truth: self.target(labeled.target),
            predicted: match one.said {
                Target::Value(value) => format!("{value:.3}"),
                Target::Label(_) => self.target(one.said),
            },
            notes,
            nearest: None,
        }
    }

    /// The texts of an example by their fields' names.
    fn fields(&self, example: &Example) -> Vec<(String, String)> {
        let fields = self.file.task.fields.iter().zip(&example.values);
        fields.map(|(field, text)| (field.name.clone(), text.clone())).collect()
    }
}

/// All texts of an example.
fn joined(example: &Example) -> String {
    example.values.join(" ")
}

/// Characters of each example's texts.
pub fn lengths(data: &Dataset) -> Vec<usize> {
    let length = |example: &Example| example.values.iter().map(|text| text.chars().count()).sum();
    data.examples.iter().map(|labeled| length(&labeled.example)).collect()
}
