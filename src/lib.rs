//! Prompt-tuned classifiers and regressors over text: training, checkpoints and a gRPC server.

pub mod baseline;
pub mod batching;
pub mod bulk;
pub mod checkpoint;
pub mod cli;
pub mod comparison;
pub mod config;
pub mod dataset;
pub mod evaluation;
pub mod export;
pub mod import;
pub mod inference;
pub mod init;
pub mod metrics;
mod panics;
pub mod prediction_log;
pub mod prompt;
pub mod registry;
pub mod report;
pub mod rows;
pub mod server;
mod staging;
pub mod task;
pub mod telemetry;
pub mod tokenization;
pub mod training;
pub mod weights;
