//! Everything against the real thing: real weights, real ONNX Runtime, a real server.
//!
//! `make test` fetches what these tests need.

mod fixtures;
mod import;
mod structure;
mod tokenization;
mod training;
