//! Scores a file: the same rows in the same order, with what a task says of each, on all CPUs and in
//! the same memory whatever the size.
//!
//! Rows are read in chunks (`source`), taken apart (`parse`), predicted (`scoring`), put together
//! again (`render`) and written in order (`output`); `pipeline` lets all of that go on at the same
//! time. A run that was killed goes on from its last state (`state`), and writes the same bytes as
//! one that was not.

mod columns;
mod error;
mod given;
mod least_sure;
mod output;
mod parse;
mod pipeline;
mod places;
mod render;
mod run;
mod scoring;
mod shard;
mod source;
mod state;
mod stream;

use std::{
    io::{Read, Write},
    num::{NonZeroU64, NonZeroUsize},
    path::Path,
    time::Duration,
};

use crate::{inference::TaskPredictor, rows::ReadOptions};

pub use crate::rows::Format;

pub use columns::Naming;
pub use error::BulkError;
pub use least_sure::{LeastSure, Uncertainty};
pub use pipeline::MAX_CHUNKS;
pub use places::Unfinished;
pub use run::run;
pub use scoring::BoxedEncoder;
pub use shard::Shard;
pub use state::Counts;

/// Where rows come from.
pub enum Input<'a> {
    /// What stands there; if that is a pipe or a device, it is read as a stream.
    File(&'a Path),
    /// Read once, so of CSV or of JSON that becomes JSONL. The name is for messages.
    Stream(String, Box<dyn Read + Send>),
}

/// Where rows go.
pub enum Target<'a> {
    File(&'a Path),
    /// Written as rows are ready; nobody can go on with it.
    Stream(&'a mut dyn Write),
}

/// From where to where.
pub struct Files<'a> {
    pub input: Input<'a>,
    /// Reading options that were given for the input.
    pub reading: ReadOptions,
    pub target: Target<'a>,
    pub output_format: Format,
}

/// What to do.
pub struct Job<'a> {
    /// The id of the checkpoint that the predictor is of.
    pub checkpoint: &'a str,
    pub predictor: &'a TaskPredictor,
    /// Indices of the templates that answer; at least one.
    pub templates: &'a [usize],
    pub naming: &'a Naming,
    /// The part of the rows that is to be scored, if not all are.
    pub shard: Option<Shard>,
    /// Rows whose prompts are sorted by length together.
    pub chunk_rows: NonZeroUsize,
    /// Rows of a row group of Parquet at least, unless they take much memory before. A run that is
    /// killed loses what it has of one.
    pub group_rows: NonZeroU64,
    /// Most tokens in one batch, padding included.
    pub batch_tokens: NonZeroUsize,
    /// Rows that may fail; none is no limit.
    pub max_errors: Option<u64>,
    pub unfinished: Unfinished,
    /// Whether an output that stands there gives way.
    pub replace: bool,
    /// How much of a run's time may be lost when it is killed, but for Parquet.
    pub save_interval: Duration,
}

/// How far a run has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    pub counts: Counts,
    /// Rows that there will be, if that is known.
    pub total: Option<u64>,
}

/// Is told how a run goes.
pub trait Observer {
    /// Rows that an earlier run has written, and those that there will be.
    fn begin(&mut self, progress: &Progress);

    /// More rows were written.
    fn advanced(&mut self, progress: &Progress);
}

/// What came out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    pub counts: Counts,
    /// Rows that an earlier run had written.
    pub resumed: u64,
    /// What the first row that failed was told.
    pub first_error: Option<String>,
    /// Whether the output was there already.
    pub was_there: bool,
    /// Rows that were written, where only the least sure were asked for.
    pub kept: Option<u64>,
}
