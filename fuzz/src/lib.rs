//! What the targets share. They panic, as a target must, where something is not as promised.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::LazyLock,
};

use dynamar::{
    inference::{MaskEncoder, PredictError},
    prompt::TaskFile,
    tokenization::{Prompt, PromptTokenizer},
};
use tempfile::TempDir;

/// A small tokenizer of BERT's kind: every printable ASCII character is a piece.
pub const TOKENIZER: &[u8] = include_bytes!("../data/tokenizer.json");

/// A task with two fields, one of them optional.
pub const TASK: &str = r#"
[task]
name = "polarity"
kind = "classification"
max_length = 32
[fields.text]
min_tokens = 2
truncate = "middle"
[fields.title]
optional = true
priority = 2
[labels]
column = "label"
names = ["negative", "positive"]
[prompt]
canonical = "it-was"
[[prompt.template]]
id = "it-was"
text = "{title}{sep}{text} It was {mask}."
"#;

static LOADED: LazyLock<PromptTokenizer> = LazyLock::new(|| {
    PromptTokenizer::from_bytes(TOKENIZER, Path::new("tokenizer.json")).expect("a good tokenizer")
});

/// Numbers in a mask vector of [`Zeros`].
pub const HIDDEN: usize = 4;

/// Stands for an encoder, where what is tried is the way to it and from it.
pub struct Zeros;

impl MaskEncoder for Zeros {
    fn mask_vectors(&mut self, prompts: &[&Prompt]) -> Result<Vec<f32>, PredictError> {
        Ok(vec![0.0; prompts.len() * HIDDEN])
    }

    fn hidden_size(&self) -> usize {
        HIDDEN
    }
}

/// [`TOKENIZER`], loaded once.
pub fn tokenizer() -> &'static PromptTokenizer {
    &LOADED
}

/// [`TASK`], read.
pub fn task() -> TaskFile {
    TaskFile::parse(TASK, "task.toml").expect("a good task file")
}

/// A directory in memory where there is one.
pub fn directory() -> TempDir {
    let memory = Path::new("/dev/shm");
    let home = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    home.expect("a directory")
}

/// Writes a file and tells where.
pub fn written(directory: &TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = directory.path().join(name);
    fs::write(&path, bytes).expect("written");
    path
}
