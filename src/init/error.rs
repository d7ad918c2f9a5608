//! Why `init` makes nothing of a file.

use super::{
    table::{MAX_BYTES, MAX_COLUMNS, MAX_ROWS},
    target::MAX_LABELS,
};
use crate::prompt::TaskFileError;

/// Why `init` makes nothing of a file.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    #[error(transparent)]
    Rows(crate::rows::RowsError),
    #[error("cannot read {path}: {message}")]
    Read { path: String, message: String },
    #[error(
        "{path} has more than {MAX_ROWS} rows or {} MiB: take a part of it, for instance 100,000 \
         rows at random",
        MAX_BYTES >> 20
    )]
    TooLarge { path: String },
    #[error("{path} has {found} columns; at most {MAX_COLUMNS} are read")]
    TooManyColumns { path: String, found: usize },
    #[error("{path} has a header and no rows under it{fault}")]
    NoRows { path: String, fault: String },
    #[error("{path} has no column {column:?}; it has: {known}")]
    UnknownColumn { path: String, column: String, known: String },
    #[error("{path} has several columns called {column:?}: give each a name of its own")]
    RepeatedColumn { path: String, column: String },
    #[error("{path}: which column is to be predicted? Name it with --target; there are: {columns}")]
    WhichTarget { path: String, columns: String },
    #[error("column {column:?} has no value in any row: there is nothing to learn")]
    NoTarget { column: String },
    #[error("column {column:?} has one value, {value:?}: there is nothing to tell apart")]
    OneTarget { column: String, value: String },
    #[error(
        "column {column:?} has {found} different texts, such as {shown}; a task has at most \
         {MAX_LABELS} labels. Name the ones that matter with --labels a,b,c, or another column with \
         --target"
    )]
    TooManyLabels { column: String, found: usize, shown: String },
    #[error(
        "column {column:?} has no label that occurs twice: is it the text? Name another column with \
         --target"
    )]
    RareLabels { column: String },
    #[error("--labels: column {column:?} has {rows} rows with {name:?}; two are needed{near}")]
    UnknownLabel { column: String, name: String, rows: usize, near: String },
    #[error("--kind regression: column {column:?} has no numbers, but {shown}")]
    NotNumbers { column: String, shown: String },
    #[error("column {column:?} is the target and cannot be a text too")]
    TargetAsText { column: String },
    #[error(
        "{path} has no column that reads like text; the others are: {columns}. Name the one to read \
         with --text"
    )]
    NoText { path: String, columns: String },
    #[error("too little is left to learn from: {kept} rows; left out: {left_out}")]
    NothingLeft { kept: usize, left_out: String },
    #[error(
        "--name {name:?}: use 1 to 64 letters, digits, '-', '_' or '.', a letter or digit first"
    )]
    Name { name: String },
    #[error("the task file that was made is not a good one, which is our fault: {0}")]
    TaskFile(Box<TaskFileError>),
    #[error("{directory} holds files of dynamar init; --replace writes them anew")]
    Exists { directory: String },
    #[error(
        "{directory} holds {name:?}, which dynamar init did not write: name a new directory with \
         --out"
    )]
    Foreign { directory: String, name: String },
    #[error("cannot write {path}: {source}")]
    Write { path: String, source: std::io::Error },
}
