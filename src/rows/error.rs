//! Why a file's rows cannot be read.

use std::io;

/// Why a file's rows cannot be read, or Parquet not be written.
#[derive(Debug, thiserror::Error)]
pub enum RowsError {
    #[error(
        "{path}: its extension does not say what is in it; name a .csv, .tsv, .jsonl or .parquet \
         file, or say --in-format and --out-format"
    )]
    UnknownFormat { path: String },
    #[error("cannot read {path}: {source}")]
    Read { path: String, source: io::Error },
    #[error("{path} is {what}: {advice}")]
    Foreign { path: String, what: &'static str, advice: &'static str },
    #[error("{path} has no header row")]
    NoHeader { path: String },
    #[error("{path}: its header cannot be read: {message}")]
    Header { path: String, message: String },
    #[error("{path} cannot be read as Parquet: {message}")]
    Parquet { path: String, message: String },
    #[error("cannot write Parquet: {message}")]
    WriteParquet { message: String },
    #[error("{path} has two columns called {column:?}")]
    RepeatedColumn { path: String, column: String },
    #[error("{path} has more than {limit} columns")]
    TooManyColumns { path: String, limit: usize },
    #[error(
        "{path}: the name of a column has {bytes} bytes, and no more than {limit} are taken: {name:?}"
    )]
    LongName { path: String, name: String, bytes: usize, limit: usize },
    #[error("{path}: the names of its columns have more than {limit} bytes together")]
    LongNames { path: String, limit: usize },
    #[error("{path} unpacks to more than {limit} bytes, which are not taken")]
    TooLarge { path: String, limit: u64 },
}

impl RowsError {
    /// Says of which file a read failed.
    pub fn read(path: &str) -> impl Fn(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Read { path: path.clone(), source }
    }
}
