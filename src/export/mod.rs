//! Writes an encoder as an ONNX graph of our own design, and reads the weights back from one.

mod graph;
mod messages;
mod read;

pub use graph::{OUTPUT, inputs, to_onnx};
pub use read::{ReadError, read_weights};
