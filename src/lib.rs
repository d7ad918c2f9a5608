//! Prompt-tuned classifiers and regressors over text: training, checkpoints and a gRPC server.

pub mod checkpoint;
pub mod config;
pub mod evaluation;
pub mod export;
pub mod import;
pub mod inference;
pub mod prompt;
pub mod task;
pub mod tokenization;
pub mod weights;
