//! The checkpoint directory: one encoder, its tokenizer, and any number of tasks with their heads.
//!
//! `manifest.json` names every other file with its size and SHA-256. A directory is made beside
//! its place and renamed into it, so it is there whole or not at all. What the files mean is the
//! business of the modules above.

mod confined;
mod digest;
mod foreign_graph;
mod limits;
mod manifest;
mod reader;
mod writer;

pub use foreign_graph::{ForeignGraph, ForeignInput, GraphOutput};
pub use limits::MAX_TOKENIZER_BYTES;
pub use manifest::{EncoderEntry, FileEntry, Manifest, Provenance, TaskEntry};
pub use reader::Checkpoint;
pub use writer::Draft;

/// The file that makes a directory a checkpoint.
pub const MANIFEST: &str = "manifest.json";

/// Where a checkpoint's encoder graph, its matrices, the tokenizer and the language head lie.
pub const ENCODER_FILE: &str = "encoder.onnx";
pub const ENCODER_WEIGHTS_FILE: &str = "encoder.weights";
pub const TOKENIZER_FILE: &str = "tokenizer.json";
pub const LANGUAGE_HEAD_FILE: &str = "language_head.safetensors";

/// The newest directory format; older ones still open. What needs no newer one is written in the
/// oldest that can hold it.
pub const FORMAT_VERSION: u32 = 4;

/// Why a checkpoint cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    #[error("{directory} is no checkpoint: it has no {MANIFEST}")]
    NoManifest { directory: String },
    #[error("cannot read {path}: {source}")]
    Read { path: String, source: std::io::Error },
    #[error("cannot write {path}: {source}")]
    Write { path: String, source: std::io::Error },
    #[error("{path} is damaged: {message}")]
    Manifest { path: String, message: String },
    #[error(
        "{path} has format version {found}; this program reads up to {FORMAT_VERSION}: use a \
         newer one"
    )]
    Version { path: String, found: u32 },
    #[error(
        "{path} is damaged: expected {} bytes with sha256 {}, found {} bytes with sha256 {}",
        .expected.bytes, .expected.sha256, .found.bytes, .found.sha256
    )]
    Content { path: String, expected: FileEntry, found: FileEntry },
    #[error("{path} is damaged: expected {expected} bytes, found {found}")]
    Size { path: String, expected: u64, found: u64 },
    #[error(
        "{path} leads out of its checkpoint's directory, to {target}: put the file itself there"
    )]
    Outside { path: String, target: String },
    #[error("{path} is no regular file: a checkpoint holds nothing else")]
    NotAFile { path: String },
    #[error("the checkpoint {directory} holds no task {task:?}; it holds: {known}")]
    NoTask { directory: String, task: String, known: String },
    #[error("{directory} exists already; choose another --out, or pass --replace")]
    Exists { directory: String },
    #[error("{directory} exists and is no checkpoint; it is left as it is, choose another --out")]
    Foreign { directory: String },
    #[error(
        "{directory} has changed in the meantime; it is left as it is, and nothing was written"
    )]
    Changed { directory: String },
}

#[cfg(test)]
mod tests;
