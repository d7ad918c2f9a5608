//! Faulty rows of files: listed, counted, and left out where that was asked for.

use std::fmt;

use super::DatasetError;
use crate::rows;

/// Faults of rows that a message lists; the rest is counted.
const LISTED_FAULTS: usize = 10;

/// One fault in a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowFault {
    /// Line of the file on which the row begins, from 1; of Parquet the row's number.
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

/// The faults of one row.
pub(super) struct FaultyRow {
    pub faults: Vec<RowFault>,
    /// Whether rows that follow may be part of it, so that it cannot be left out.
    pub takes_others: bool,
}

impl From<RowFault> for FaultyRow {
    fn from(fault: RowFault) -> Self {
        Self { faults: vec![fault], takes_others: false }
    }
}

impl From<rows::RowFault> for FaultyRow {
    fn from(rows::RowFault { line, column, message, takes_others }: rows::RowFault) -> Self {
        Self { faults: vec![RowFault { line, column, message }], takes_others }
    }
}

/// Takes in the faulty rows of one file after the other.
pub(super) struct Faults {
    /// The file at hand.
    path: String,
    listed: Vec<RowFault>,
    more: usize,
    /// Rows that may be left out, if any may.
    limit: Option<usize>,
    left_out: Vec<String>,
    count: usize,
}

impl Faults {
    /// `limit` is how many faulty rows of all files together are left out; without one none is.
    pub fn new(limit: Option<usize>) -> Self {
        let (listed, left_out) = (Vec::new(), Vec::new());
        Self { path: String::new(), listed, more: 0, limit, left_out, count: 0 }
    }

    /// Begins a file.
    pub fn begin(&mut self, path: &str) {
        path.clone_into(&mut self.path);
    }

    /// Takes in a row.
    ///
    /// # Errors
    ///
    /// If it may not be left out though others may.
    pub fn add(&mut self, row: FaultyRow) -> Result<(), DatasetError> {
        let Some(limit) = self.limit else {
            match self.listed.len() < LISTED_FAULTS {
                true => self.listed.extend(row.faults),
                false => self.more += 1,
            }
            return Ok(());
        };
        let path = self.path.clone();
        if row.takes_others {
            return Err(DatasetError::NotLeftOut { path, faults: row.faults });
        }
        self.count += 1;
        if self.left_out.len() < LISTED_FAULTS {
            let told = row.faults.iter().map(|fault| format!("{path}:{}: {fault}", fault.line));
            self.left_out.extend(told);
        }
        if self.count > limit {
            let shown = self.left_out.clone();
            return Err(DatasetError::TooManyFaulty { limit, shown });
        }
        Ok(())
    }

    /// Ends a file.
    ///
    /// # Errors
    ///
    /// If it has faulty rows and none may be left out.
    pub fn end(&mut self) -> Result<(), DatasetError> {
        if self.listed.is_empty() {
            return Ok(());
        }
        let (path, faults) = (self.path.clone(), std::mem::take(&mut self.listed));
        Err(DatasetError::Rows { path, faults, more: self.more })
    }

    /// Sentence on the rows left out; `None` if there are none.
    pub fn note(&self) -> Option<String> {
        let more = self.count.saturating_sub(self.left_out.len());
        let more = if more > 0 { format!("\nand {more} more") } else { String::new() };
        let rows = if self.count == 1 { "row" } else { "rows" };
        (self.count > 0).then(|| {
            format!("{} faulty {rows} left out:\n{}{more}", self.count, self.left_out.join("\n"))
        })
    }
}
