//! Writes an encoder as an ONNX graph of our own design, and reads the weights back from one; the
//! same for the language head, which has a file of its own.

mod checked;
mod graph;
mod language_head;
pub(crate) mod messages;
mod quantize;
mod read;
mod store;
mod stored;
mod trial;
mod wire;

pub use graph::{OUTPUT, to_onnx};
pub use language_head::{language_head_bytes, read_language_head};
pub use read::{ReadError, read_weights};
pub(crate) use read::{floats, halves};
pub use store::EncoderFiles;
pub use stored::{Element, EncoderGraph, Stored};
pub use trial::{TRIAL, trial_graph};
pub(crate) use wire::{MAX_FIELDS, is_small};
