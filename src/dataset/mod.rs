//! Labelled examples and unlabelled text from files, and what they must be for training.

mod checks;
mod chosen_rows;
mod faults;
mod few_shot;
mod fingerprint;
mod labelled;
mod labels;
mod overlap;
mod spot;
mod target;
mod text;
mod warnings;
mod write;

use std::fmt::Write;

use sha2::{Digest, Sha256};

use crate::{
    rows::RowsError,
    task::{Example, Target},
};

pub use self::{
    checks::{
        MAX_TOKENIZED, MIN_TO_CALIBRATE, check, check_texts, check_truncated, check_vocabulary,
        is_enough_to_calibrate,
    },
    chosen_rows::ChosenRows,
    faults::RowFault,
    few_shot::{few_shot, sample},
    fingerprint::{Fingerprint, of as fingerprint},
    labelled::{Labelled, Reading, read_file, read_labelled},
    labels::check_labels,
    overlap::{Shared, check_overlap, drop_overlap, overlap},
    spot::Spot,
    text::{Split, TextLimits, Texts, read_texts, split_held_back},
    warnings::{Contradiction, Warning},
    write::write_csv,
};

/// An example and its answer.
#[derive(Debug, Clone, PartialEq)]
pub struct LabeledExample {
    pub example: Example,
    pub target: Target,
    /// The line of its file on which it begins, from 1, or its row of Parquet; `None` where that alone
    /// would not say where it is.
    pub line: Option<u64>,
}

impl LabeledExample {
    /// An example that stands in no file.
    pub fn new(example: Example, target: Target) -> Self {
        Self { example, target, line: None }
    }
}

/// The examples of one file, in its order.
#[derive(Debug, Clone, PartialEq)]
pub struct Dataset {
    /// The file's path, for messages.
    pub path: String,
    pub examples: Vec<LabeledExample>,
}

impl Dataset {
    /// The answers.
    pub fn targets(&self) -> Vec<Target> {
        self.examples.iter().map(|labeled| labeled.target).collect()
    }

    /// A hash of all examples and answers in their order; the path counts nothing.
    pub fn digest(&self) -> String {
        let mut hash = Sha256::new();
        for LabeledExample { example, target, .. } in &self.examples {
            for value in &example.values {
                hash.update((value.len() as u64).to_le_bytes());
                hash.update(value.as_bytes());
            }
            match target {
                Target::Label(label) => hash.update((*label as u64).to_le_bytes()),
                Target::Value(value) => hash.update(value.to_le_bytes()),
            }
        }
        let mut hex = String::new();
        for byte in hash.finalize() {
            // Writing to a string does not fail.
            let _ = write!(hex, "{byte:02x}");
        }
        hex
    }

    /// The examples without their answers.
    pub fn inputs(&self) -> Vec<Example> {
        self.examples.iter().map(|labeled| labeled.example.clone()).collect()
    }
}

/// Why a file gives no dataset.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    #[error(transparent)]
    Read(#[from] RowsError),
    /// `column` is one name, or two of which either will do, in quotation marks.
    #[error("{path} has no column {column}, which the task needs; it has: {known}")]
    MissingColumn { path: String, column: String, known: String },
    #[error("{path} has a column {column:?}, and the output gets one of that name: rename it")]
    Clash { path: String, column: String },
    #[error("{path} can be read once, and rows are copied from it afterwards: name a file")]
    ReadOnce { path: String },
    #[error("cannot write rows: {message}")]
    Write { message: String },
    #[error("{path} has no rows")]
    Empty { path: String },
    #[error("{path} has more than {limit} rows")]
    TooManyRows { path: String, limit: usize },
    #[error("{}", list(.path, .faults, *.more))]
    Rows { path: String, faults: Vec<RowFault>, more: usize },
    #[error(
        "{}\nthe rows that follow may be part of it, so it is not left out",
        list(.path, .faults, 0)
    )]
    NotLeftOut { path: String, faults: Vec<RowFault> },
    #[error(
        "more than {limit} rows are faulty; mend the file, or let --skip-faulty leave out more:\n{}",
        .shown.join("\n")
    )]
    TooManyFaulty { limit: usize, shown: Vec<String> },
    #[error("{path}: {message}")]
    Labels { path: String, message: String },
    #[error("{path} has no column {column:?}; it has: {known}")]
    UnknownColumn { path: String, column: String, known: String },
    #[error("{path} needs --column, which holds the texts; it has: {known}")]
    WhichColumn { path: String, known: String },
    #[error("{path}: plain text has no columns, and so none called {column:?}")]
    NoColumns { path: String, column: String },
    #[error("{path} holds no text")]
    NoTexts { path: String },
    #[error("with {path} there are more than {limit} {what}")]
    TooMuchText { path: String, limit: usize, what: &'static str },
    #[error("{}", list_shared(.train, .dev, *.shared, *.examples, .shown))]
    Overlap { train: String, dev: String, shared: usize, examples: usize, shown: Vec<String> },
}

fn list(path: &str, faults: &[RowFault], more: usize) -> String {
    let mut lines: Vec<String> =
        faults.iter().map(|fault| format!("{path}:{}: {fault}", fault.line)).collect();
    if more > 0 {
        lines.push(format!("{path}: and {more} more rows with faults"));
    }
    lines.join("\n")
}

fn list_shared(train: &str, dev: &str, shared: usize, examples: usize, shown: &[String]) -> String {
    let more = match shared.saturating_sub(shown.len()) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    format!(
        "{dev} shares {shared} of its {examples} examples with {train}, so its score would \
         flatter: {}{more}",
        shown.join("; ")
    )
}

#[cfg(test)]
mod tests;
