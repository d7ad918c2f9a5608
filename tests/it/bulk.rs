//! Files are scored: every format, rows that fail, runs that are killed, shards.

mod columnar;
mod failures;
mod formats;
mod hostile;
mod order;
mod process;
mod resume;
pub mod stage;
mod streams;
mod types;
