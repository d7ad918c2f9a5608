//! Everything against the real thing: real weights, real ONNX Runtime, a real server.
//!
//! `make test` fetches what these tests need.

// A test that cannot go on fails; clippy knows that of test functions but not of what they share.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic)]

mod bulk;
mod cli;
mod cli_training;
mod evaluate;
mod families;
mod files;
mod fixtures;
mod foreign;
mod import;
mod init;
mod precision;
mod pretraining;
mod reading;
mod server;
mod signals;
mod structure;
mod tokenization;
mod training;
