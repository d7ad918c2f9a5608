//! From a Hugging Face directory (config.json, model.safetensors, tokenizer.json) to weights in
//! our own layout, with the masked-language-model head where there is one; and from a checkpoint to
//! one whose encoder is stored otherwise.

#[cfg(fuzzing)]
pub mod fuzzing;
mod language_head;
mod model_files;
mod stand_in;
mod tensors;

use std::path::Path;

pub use model_files::FileError;
use model_files::{ModelDirectory, TensorFiles};

use crate::{
    architecture::{Architecture, Family, family_of},
    checkpoint::{
        Checkpoint, CheckpointError, Draft, ENCODER_WEIGHTS_FILE, EncoderEntry, LANGUAGE_HEAD_FILE,
        Manifest, Provenance, TOKENIZER_FILE,
    },
    export,
    tokenization::{PromptTokenizer, TokenizerError},
    weights::{EncoderWeights, LanguageHead, Precision, WeightsError},
};

/// Config files hold no more than this many bytes.
const MAX_CONFIG_BYTES: u64 = 1 << 20;

/// Bytes of a tokenizer.json, as a checkpoint may hold them.
const MAX_TOKENIZER_BYTES: u64 = 32 << 20;

/// Reason why a directory cannot be imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    #[error(
        "the tokenizer {path} has {tokens} tokens, but the encoder has embeddings for {embeddings}: \
         they are not of one model"
    )]
    Vocabulary { path: String, tokens: usize, embeddings: usize },
    #[error("{path}: {message}")]
    Config { path: String, message: String },
    #[error("{path}: {source}")]
    Weights { path: String, source: WeightsError },
    #[error("{path} lacks tensors that config.json asks for: {missing}")]
    Missing { path: String, missing: String },
    #[error("{path}: {reason}")]
    Model { path: String, reason: &'static str },
    #[error("{path}: the language head uses GELU, but the encoder another activation")]
    HeadActivation { path: String },
    #[error("{path}: the decoder's weight is not that of the word embeddings")]
    Untied { path: String },
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error(transparent)]
    Encoder(#[from] export::ReadError),
}

/// A Hugging Face directory, read.
#[derive(Debug)]
pub struct Imported {
    pub weights: EncoderWeights,
    /// The masked-language-model head, if the directory has one.
    pub language_head: Option<LanguageHead>,
    /// Parts that were left out, each with the reason.
    pub notes: Vec<String>,
    /// A tokenizer.json that was loaded and tried.
    pub tokenizer: Vec<u8>,
}

/// What `to_checkpoint` wrote.
#[derive(Debug)]
pub struct Written {
    pub manifest: Manifest,
    /// What of the directory was left out, and why.
    pub notes: Vec<String>,
}

/// Reads the encoder in `directory`, which must be of one of the families that are supported.
pub fn read(directory: &Path) -> Result<Imported, ImportError> {
    let directory = ModelDirectory::locate(directory)?;
    let (family, architecture) = read_config(&directory)?;
    let tokenizer = read_tokenizer(&directory, &architecture)?;
    let files = TensorFiles::open(&directory)?;
    let tensors::Found { weights, language_head, notes } =
        tensors::read(files, family, &architecture)?;
    Ok(Imported { weights, language_head, notes, tokenizer })
}

/// Makes the encoder in `directory`, and the language head if there is one, an encoder checkpoint
/// at `out`, called `name`. Its matrices are stored with this precision.
pub fn to_checkpoint(
    directory: &Path,
    name: &str,
    precision: Precision,
    out: &Path,
    replace: bool,
) -> Result<Written, ImportError> {
    // Before the work, so that a mistake in `out` costs no time.
    let mut draft = Draft::new(out, replace)?;
    let Imported { weights, language_head, notes, tokenizer } = read(directory)?;
    let files = export::to_onnx(&weights, precision, ENCODER_WEIGHTS_FILE);
    draft.add_encoder(&files.graph, &files.weights)?;
    draft.add(TOKENIZER_FILE, &tokenizer)?;
    if let Some(head) = &language_head {
        let bytes = export::language_head_bytes(head).map_err(|source| ImportError::Weights {
            path: LANGUAGE_HEAD_FILE.to_owned(),
            source,
        })?;
        draft.add(LANGUAGE_HEAD_FILE, &bytes)?;
    }
    let mut encoder = EncoderEntry::new(name, weights.architecture, precision);
    encoder.language_head = language_head.map(|_| LANGUAGE_HEAD_FILE.to_owned());
    let provenance = Provenance::new(format!("Hugging Face directory {name}"));
    let manifest = draft.publish(encoder, TOKENIZER_FILE, provenance)?;
    Ok(Written { manifest, notes })
}

/// Writes a checkpoint anew at `out` with its encoder's matrices stored with this precision. Its
/// tasks, tokenizer and language head stay as they are; so do the tasks' metrics, which were
/// measured with the encoder as it was.
pub fn with_precision(
    from: &Checkpoint,
    precision: Precision,
    out: &Path,
    replace: bool,
) -> Result<Written, ImportError> {
    let mut draft = Draft::new(out, replace)?;
    let Manifest { encoder, tokenizer, tasks, id, .. } = &from.manifest;
    let weights = export::read_weights(from)?;
    let files = export::to_onnx(&weights, precision, ENCODER_WEIGHTS_FILE);
    draft.add_encoder(&files.graph, &files.weights)?;
    for file in encoder.language_head.iter().chain([tokenizer]) {
        draft.share(from, file)?;
    }
    for task in tasks {
        draft.share_task(from, task)?;
    }
    let entry = EncoderEntry {
        language_head: encoder.language_head.clone(),
        ..EncoderEntry::new(&encoder.name, weights.architecture, precision)
    };
    let provenance = Provenance::new(format!("checkpoint {id}, stored as {}", precision.name()));
    let manifest = draft.publish(entry, tokenizer, provenance)?;
    Ok(Written { manifest, notes: Vec::new() })
}

/// The bytes of a tokenizer.json with which prompts for this encoder can be made.
fn read_tokenizer(
    directory: &ModelDirectory,
    architecture: &Architecture,
) -> Result<Vec<u8>, ImportError> {
    let path = directory.tokenizer()?;
    let bytes = directory.read(&path, MAX_TOKENIZER_BYTES)?;
    let tokens = PromptTokenizer::from_bytes(&bytes, &path)?.vocabulary_size();
    let embeddings = architecture.vocabulary_size;
    if tokens > embeddings {
        let path = path.display().to_string();
        return Err(ImportError::Vocabulary { path, tokens, embeddings });
    }
    Ok(bytes)
}

fn read_config(directory: &ModelDirectory) -> Result<(&'static Family, Architecture), ImportError> {
    let path = directory.config();
    let bytes = directory.read(&path, MAX_CONFIG_BYTES)?;
    let wrong = |message| ImportError::Config { path: path.display().to_string(), message };
    let config = serde_json::from_slice(&bytes).map_err(|error| wrong(error.to_string()))?;
    family_of(config).map_err(|error| wrong(error.to_string()))
}

#[cfg(test)]
mod tests;
