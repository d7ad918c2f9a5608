//! Why a file is not scored.

use std::io;

use crate::rows::{Format, RowsError};

/// What to do about a run that was interrupted.
const RESUME: &str = "go on with --resume";

/// The same of a run from standard input, to standard output, or with --order.
const BEGIN_ANEW: &str = "nothing of it can be gone on with: begin anew";

/// Why a file is not scored, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum BulkError {
    #[error(transparent)]
    Rows(#[from] RowsError),
    #[error("cannot read {path}: {source}")]
    Read { path: String, source: io::Error },
    #[error("cannot write {path}: {source}")]
    Write { path: String, source: io::Error },
    #[error("cannot make the directory {path}: {source}")]
    Directory { path: String, source: io::Error },
    #[error(
        "{path} has no column {column:?} for the field {field:?}; it has: {known}; say \
         --field {field}=COLUMN"
    )]
    MissingColumn { path: String, field: String, column: String, known: String },
    #[error("the task has no field {field:?}; it has: {known}")]
    UnknownField { field: String, known: String },
    #[error(
        "{path} has a column {column:?}, and the output gets one; say --prefix scored_ or the like"
    )]
    Clash { path: String, column: String },
    #[error("{path}: the column {column:?} has the type {found}, and a field is a text")]
    NoText { path: String, column: String, found: String },
    #[error(
        "{path}: the column {column:?} has the type {found}, which {format} cannot hold; write \
         Parquet, or leave the column out"
    )]
    NotHeld { path: String, column: String, found: String, format: Format },
    #[error("{what}: that needs a file that can be read twice, and not standard input or a pipe")]
    NeedsFile { what: &'static str },
    #[error("a run with --order cannot be gone on with: leave --resume out, and it begins anew")]
    NotResumable,
    #[error(
        "--order uncertain: one template that answers with a number does not say how sure it is; \
         say --ensemble, and the rows come first on which the templates differ most"
    )]
    NoUncertainty,
    #[error("{limit} rows have more than {bytes} bytes: ask for fewer with --limit")]
    TooMuchKept { limit: usize, bytes: usize },
    #[error("{format} is read, and not written: write CSV, TSV, JSONL or Parquet")]
    NotWritten { format: Format },
    #[error("Parquet is written to a file, not to standard output, a pipe or a device")]
    ParquetStream,
    #[error("{path} is the input and the output: choose another --out")]
    SameFile { path: String },
    #[error("{path} exists already; choose another --out, or pass --replace")]
    Exists { path: String },
    #[error(
        "{path} is of a run that was interrupted: go on with --resume, or begin anew with --restart"
    )]
    Unfinished { path: String },
    #[error(
        "beside {path} there is something of a run over a file that was interrupted, and a stream is \
         not that file: begin anew with --restart, or choose another --out"
    )]
    Leftover { path: String },
    #[error(
        "the run that was interrupted cannot go on: {what} was {was}, and now is {is}; begin anew \
         with --restart"
    )]
    Differs { what: String, was: String, is: String },
    #[error("{path} says nothing usable of the run that was interrupted ({message}): --restart")]
    State { path: String, message: String },
    #[error("{path} is being written by another process")]
    Busy { path: String },
    #[error("{path} changed while it was read: run it again with --restart")]
    Changed { path: String },
    #[error("{errors} rows have failed, more than --max-errors {limit}; the first: {first}")]
    TooManyErrors { errors: u64, limit: u64, first: String },
    #[error("interrupted after {rows} rows; {}", if *.kept { RESUME } else { BEGIN_ANEW })]
    Interrupted { rows: u64, kept: bool },
    #[error(
        "a chunk of the rows made the program panic, which is a fault of ours ({message}); what was \
         written before is kept"
    )]
    Panicked { message: String },
    #[error("no thread can be started: {0}")]
    Threads(String),
}

impl BulkError {
    /// Whether reading the input failed.
    pub(super) fn is_read(&self) -> bool {
        matches!(self, Self::Read { .. } | Self::Rows(RowsError::Read { .. }))
    }

    pub(super) fn read(path: &str) -> impl Fn(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Read { path: path.clone(), source }
    }

    pub(super) fn write(path: &str) -> impl Fn(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Write { path: path.clone(), source }
    }
}
