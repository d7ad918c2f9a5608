//! A checkpoint, loaded for prediction.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use super::{
    encoder::{Encoder, EncoderError, EncoderSource, Runtime},
    head::{Head, HeadError},
    predictor::TaskPredictor,
};
use crate::{
    architecture::Architecture,
    checkpoint::{Checkpoint, CheckpointError, TaskEntry},
    evaluation::Report,
    export::{self, ReadError},
    prompt::{TaskFile, TaskFileError},
    tokenization::{PromptSetError, PromptTokenizer, TokenizerError},
    weights::LanguageHead,
};

/// One task of a loaded checkpoint.
pub struct ServedTask {
    pub predictor: TaskPredictor,
    /// How good it was on its development set.
    pub report: Report,
}

/// A verified checkpoint with everything but its encoder sessions in memory.
pub struct Model {
    /// The checkpoint's id.
    pub id: String,
    pub tasks: BTreeMap<String, Arc<ServedTask>>,
    pub architecture: Architecture,
    /// Checkpoints with the same digest have the same encoder.
    pub encoder_digest: String,
    checkpoint: Checkpoint,
}

/// Why a checkpoint cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    #[error(
        "{path} is damaged: the tokenizer has ids up to {tokens}, the encoder {embeddings} embeddings"
    )]
    Vocabulary { path: String, tokens: usize, embeddings: usize },
    #[error(transparent)]
    TaskFile(#[from] TaskFileError),
    #[error(transparent)]
    PromptSet(#[from] PromptSetError),
    #[error("{path}: {source}")]
    Head { path: String, source: HeadError },
    #[error("{path}: {source}")]
    Report { path: String, source: serde_json::Error },
    #[error("{path} is damaged: it describes the task {found:?}, not {expected:?}")]
    TaskName { path: String, found: String, expected: String },
    #[error(transparent)]
    LanguageHead(#[from] ReadError),
    #[error(transparent)]
    Encoder(#[from] EncoderError),
}

impl Model {
    /// Verifies the checkpoint in `directory` and loads its tasks. The content of the encoder's files
    /// is verified when [`Model::encoder_source`] reads it.
    pub fn load(directory: &Path) -> Result<Self, LoadError> {
        Self::from_checkpoint(&Checkpoint::open_to_serve(directory)?)
    }

    /// Loads the tasks of a verified checkpoint.
    pub fn from_checkpoint(checkpoint: &Checkpoint) -> Result<Self, LoadError> {
        let manifest = &checkpoint.manifest;
        let architecture = manifest.encoder.architecture.clone();
        let tokenizer = Arc::new(load_tokenizer(checkpoint)?);
        let mut tasks = BTreeMap::new();
        for entry in &manifest.tasks {
            let task = load_task(checkpoint, entry, &tokenizer, &architecture)?;
            tasks.insert(entry.name.clone(), Arc::new(task));
        }
        Ok(Self {
            id: manifest.id.clone(),
            tasks,
            architecture,
            encoder_digest: checkpoint.encoder_digest(),
            checkpoint: checkpoint.clone(),
        })
    }

    /// The checkpoint's encoder, loaded once for any number of sessions.
    pub fn encoder_source(&self, runtime: &Runtime) -> Result<EncoderSource, EncoderError> {
        EncoderSource::of(runtime, &self.checkpoint)
    }

    /// A session of the checkpoint's encoder, with weights of its own.
    pub fn encoder(
        &self,
        runtime: &Runtime,
        intra_op_threads: usize,
    ) -> Result<Encoder, EncoderError> {
        self.encoder_source(runtime)?.session(intra_op_threads)
    }
}

/// The tokenizer of a checkpoint; none of its ids may lie outside the encoder's vocabulary.
pub fn load_tokenizer(checkpoint: &Checkpoint) -> Result<PromptTokenizer, LoadError> {
    let file = &checkpoint.manifest.tokenizer;
    let path = checkpoint.path(file);
    let tokenizer = PromptTokenizer::from_bytes(&checkpoint.read(file)?, &path)?;
    let tokens = tokenizer.vocabulary_size();
    let embeddings = checkpoint.manifest.encoder.architecture.vocabulary_size;
    if tokens > embeddings {
        let path = path.display().to_string();
        return Err(LoadError::Vocabulary { path, tokens, embeddings });
    }
    Ok(tokenizer)
}

/// The masked-language-model head of a checkpoint's encoder, if it has one; checked for shape and
/// finiteness.
pub fn language_head(checkpoint: &Checkpoint) -> Result<Option<LanguageHead>, LoadError> {
    let encoder = &checkpoint.manifest.encoder;
    let Some(file) = &encoder.language_head else { return Ok(None) };
    let (bytes, path) = (checkpoint.read(file)?, checkpoint.path(file));
    Ok(Some(export::read_language_head(&bytes, &path, &encoder.architecture)?))
}

fn load_task(
    checkpoint: &Checkpoint,
    entry: &TaskEntry,
    tokenizer: &Arc<PromptTokenizer>,
    architecture: &Architecture,
) -> Result<ServedTask, LoadError> {
    let name = |file: &str| checkpoint.path(file).display().to_string();
    let path = name(&entry.task_file);
    let file = TaskFile::from_bytes(&checkpoint.read(&entry.task_file)?, &path)?;
    if file.task.name != entry.name {
        let (found, expected) = (file.task.name, entry.name.clone());
        return Err(LoadError::TaskName { path, found, expected });
    }
    let head = checkpoint.read(&entry.head)?;
    let head = Head::from_bytes(&head, architecture.hidden_size, &file.task)
        .map_err(|source| LoadError::Head { path: name(&entry.head), source })?;
    let report = serde_json::from_slice(&checkpoint.read(&entry.report)?)
        .map_err(|source| LoadError::Report { path: name(&entry.report), source })?;
    let tokenizer = Arc::clone(tokenizer);
    let predictor =
        TaskPredictor::new(Arc::new(file), tokenizer, architecture.max_positions, head, &path)?;
    Ok(ServedTask { predictor, report })
}
