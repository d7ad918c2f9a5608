//! Labelled examples from files.

mod csv;
mod labels;

use std::fmt;

use crate::task::{Example, Target};

pub use self::{csv::read_csv, labels::check_labels};

/// An example and its answer.
#[derive(Debug, Clone, PartialEq)]
pub struct LabeledExample {
    pub example: Example,
    pub target: Target,
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

    /// The examples without their answers.
    pub fn inputs(&self) -> Vec<Example> {
        self.examples.iter().map(|labeled| labeled.example.clone()).collect()
    }
}

/// Faults of rows that a message lists; the rest is counted.
const LISTED_FAULTS: usize = 10;

/// Why a file gives no dataset.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    #[error("cannot read {path}: {message}")]
    Read { path: String, message: String },
    #[error("{path} has no column {column:?}, which the task needs; it has: {known}")]
    MissingColumn { path: String, column: String, known: String },
    #[error("{path} has two columns called {column:?}")]
    RepeatedColumn { path: String, column: String },
    #[error("{path} has no rows")]
    Empty { path: String },
    #[error("{path} has more than {limit} rows")]
    TooManyRows { path: String, limit: usize },
    #[error("{}", list(.path, .faults, *.more))]
    Rows { path: String, faults: Vec<RowFault>, more: usize },
    #[error("{path}: {message}")]
    Labels { path: String, message: String },
}

/// One fault in a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowFault {
    /// Line of the file on which the row begins, from 1.
    pub line: u64,
    /// The column's name, if the fault is in one.
    pub column: Option<String>,
    pub message: String,
}

impl fmt::Display for RowFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.column {
            Some(column) => write!(f, "column {column:?}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

fn list(path: &str, faults: &[RowFault], more: usize) -> String {
    let mut lines: Vec<String> =
        faults.iter().map(|fault| format!("{path}:{}: {fault}", fault.line)).collect();
    if more > 0 {
        lines.push(format!("{path}: and {more} more rows with faults"));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests;
