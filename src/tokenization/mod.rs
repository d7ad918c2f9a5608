//! Prompts to token ids and a mask position: the one path for training, evaluation and serving.
//! Text without a template to token ids, for language models.

mod batch;
mod demands;
mod encode;
mod fit;
mod plain;
mod prepared;
mod sliding;
mod tokenizer;

pub use batch::PackedBatch;
pub use encode::{Prompt, PromptSet, PromptSetError};
pub use plain::{Pieces, windows};
pub use tokenizer::{PromptTokenizer, TokenizerError};

#[cfg(test)]
pub mod tests;
