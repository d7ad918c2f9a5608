//! Where an example stands in its file, for whoever looks for it there.

use std::fmt;

use serde::Serialize;

use super::Dataset;

/// A place in a file of examples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Spot {
    /// The line on which the example begins, as an editor shows it; of Parquet the row.
    Line(u64),
    /// Number among the examples, from 1, where they come from several files or from none.
    Example(usize),
}

impl fmt::Display for Spot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => write!(f, "line {line}"),
            Self::Example(number) => write!(f, "example {number}"),
        }
    }
}

impl Dataset {
    /// Place of the example with this index.
    pub fn spot(&self, at: usize) -> Spot {
        let line = self.examples.get(at).and_then(|labeled| labeled.line);
        line.map_or(Spot::Example(at + 1), Spot::Line)
    }
}
