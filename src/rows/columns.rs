//! The columns of a file, and limits on their names.

use super::{RowsError, excerpt::excerpt};

/// Columns of a file at most.
pub const MAX_COLUMNS: usize = 4096;

/// Bytes of the longest name of a column.
pub const MAX_NAME_BYTES: usize = 4096;

/// Bytes of all names of columns. They stand in every row of JSONL, and some in many a message.
const MAX_NAMES_BYTES: usize = 1 << 20;

/// Bytes of a name in a message.
const SHOWN_BYTES: usize = 100;

/// Counts the names of a file's columns as they are found.
#[derive(Debug, Default)]
pub struct NameLimits {
    columns: usize,
    bytes: usize,
}

impl NameLimits {
    /// Takes in one more.
    ///
    /// # Errors
    ///
    /// If it is one too many, or too long. `path` is for messages.
    pub fn add(&mut self, path: &str, name: &str) -> Result<(), RowsError> {
        self.columns += 1;
        self.bytes += name.len();
        let path = path.to_owned();
        if self.columns > MAX_COLUMNS {
            return Err(RowsError::TooManyColumns { path, limit: MAX_COLUMNS });
        }
        if name.len() > MAX_NAME_BYTES {
            let (bytes, limit) = (name.len(), MAX_NAME_BYTES);
            return Err(RowsError::LongName { path, name: shown(name), bytes, limit });
        }
        if self.bytes > MAX_NAMES_BYTES {
            return Err(RowsError::LongNames { path, limit: MAX_NAMES_BYTES });
        }
        Ok(())
    }
}

/// The beginning of a name, for a message.
pub fn shown(name: &str) -> String {
    excerpt(name, SHOWN_BYTES).into_owned()
}

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnKind {
    Text,
    Boolean,
    /// Whole numbers of 64 bits.
    Integer,
    /// Numbers of 64 bits.
    Float,
    /// Whatever the Parquet file says.
    Arrow,
}

/// A column of the input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    pub name: String,
    pub kind: ColumnKind,
}
