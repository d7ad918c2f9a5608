//! Prompts to token ids and a mask position: the one path for training, evaluation and serving.

mod batch;
mod encode;
mod fit;
mod tokenizer;

pub use batch::PackedBatch;
pub use encode::{Prompt, PromptSet, PromptSetError};
pub use tokenizer::{PromptTokenizer, TokenizerError};
