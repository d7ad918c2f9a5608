//! From a Hugging Face directory (config.json, model.safetensors, tokenizer.json) to weights in
//! our own layout, with the masked-language-model head where there is one; and from a checkpoint to
//! one whose encoder is stored otherwise.

mod names;
mod stand_in;
mod tensors;

use std::path::Path;

use serde::Deserialize;

use crate::{
    checkpoint::{
        Checkpoint, CheckpointError, Draft, ENCODER_WEIGHTS_FILE, EncoderEntry, LANGUAGE_HEAD_FILE,
        Manifest, Provenance, TOKENIZER_FILE,
    },
    export,
    tokenization::{PromptTokenizer, TokenizerError},
    weights::{Architecture, EncoderWeights, LanguageHead, Precision, WeightsError},
};

/// Config files hold no more than this many bytes.
const MAX_CONFIG_BYTES: u64 = 1 << 20;

/// Why a directory cannot be imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    #[error("cannot read {path}: {source}")]
    Read { path: String, source: std::io::Error },
    #[error("{path} is {what}")]
    StandIn { path: String, what: &'static str },
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    #[error(
        "the tokenizer {path} has {tokens} tokens, but the encoder has embeddings for {embeddings}: \
         they are not of one model"
    )]
    Vocabulary { path: String, tokens: usize, embeddings: usize },
    #[error("{path} has {bytes} bytes, which is no config file")]
    ConfigTooLarge { path: String, bytes: u64 },
    #[error("{path}: {message}")]
    Config { path: String, message: String },
    #[error("{path} is no safetensors file: {message}")]
    Tensors { path: String, message: String },
    #[error("{path}: tensor {name} has type {dtype}; F32, F16 and BF16 can be imported")]
    Type { path: String, name: String, dtype: String },
    #[error("{path}: {source}")]
    Weights { path: String, source: WeightsError },
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
    /// Why a language head that is there was left out.
    pub note: Option<String>,
    /// A tokenizer.json that was loaded and tried.
    pub tokenizer: Vec<u8>,
}

/// What `to_checkpoint` wrote.
#[derive(Debug)]
pub struct Written {
    pub manifest: Manifest,
    /// What of the directory was left out, and why.
    pub note: Option<String>,
}

/// What of config.json matters; the rest is left alone.
#[derive(Deserialize)]
struct Config {
    #[serde(default = "gelu")]
    hidden_act: String,
    #[serde(default = "absolute")]
    position_embedding_type: String,
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    intermediate_size: usize,
    vocab_size: usize,
    max_position_embeddings: usize,
    type_vocab_size: usize,
    layer_norm_eps: f64,
}

fn gelu() -> String {
    "gelu".to_owned()
}

fn absolute() -> String {
    "absolute".to_owned()
}

/// Reads the encoder in `directory`. Of the model types BERT is understood.
pub fn read(directory: &Path) -> Result<Imported, ImportError> {
    let architecture = read_config(&directory.join("config.json"))?;
    let tokenizer = read_tokenizer(&directory.join("tokenizer.json"), &architecture)?;
    let path = directory.join("model.safetensors");
    refuse_stand_in(&path)?;
    let tensors::Found { weights, language_head, note } = tensors::read(&path, &architecture)?;
    Ok(Imported { weights, language_head, note, tokenizer })
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
    let Imported { weights, language_head, note, tokenizer } = read(directory)?;
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
    Ok(Written { manifest, note })
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
    Ok(Written { manifest, note: None })
}

/// Names what lies in the place of a file, where that is plain to see.
fn refuse_stand_in(path: &Path) -> Result<(), ImportError> {
    let name = path.display().to_string();
    match stand_in::of_file(path) {
        Ok(None) => Ok(()),
        Ok(Some(what)) => Err(ImportError::StandIn { path: name, what }),
        Err(source) => Err(ImportError::Read { path: name, source }),
    }
}

/// The bytes of a tokenizer.json with which prompts for this encoder can be made.
fn read_tokenizer(path: &Path, architecture: &Architecture) -> Result<Vec<u8>, ImportError> {
    refuse_stand_in(path)?;
    let name = path.display().to_string();
    let bytes =
        std::fs::read(path).map_err(|source| ImportError::Read { path: name.clone(), source })?;
    let tokens = PromptTokenizer::from_bytes(&bytes, path)?.vocabulary_size();
    let embeddings = architecture.vocabulary_size;
    if tokens > embeddings {
        return Err(ImportError::Vocabulary { path: name, tokens, embeddings });
    }
    Ok(bytes)
}

fn read_config(path: &Path) -> Result<Architecture, ImportError> {
    let name = path.display().to_string();
    let unreadable = |source| ImportError::Read { path: name.clone(), source };
    let bytes = std::fs::metadata(path).map_err(unreadable)?.len();
    if bytes > MAX_CONFIG_BYTES {
        return Err(ImportError::ConfigTooLarge { path: name, bytes });
    }
    refuse_stand_in(path)?;
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    let wrong = |message: String| ImportError::Config { path: name.clone(), message };
    // The type comes first: another model's config lacks other keys, which would only confuse.
    let json: serde_json::Value =
        serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    let model_type = json.get("model_type").and_then(serde_json::Value::as_str).unwrap_or("none");
    if model_type != "bert" {
        return Err(wrong(format!("model_type {model_type:?}: only \"bert\" can be imported yet")));
    }
    let config: Config = serde_json::from_value(json).map_err(|error| wrong(error.to_string()))?;
    if config.hidden_act != "gelu" {
        return Err(wrong(format!("hidden_act {:?}: only \"gelu\" is known", config.hidden_act)));
    }
    if config.position_embedding_type != "absolute" {
        let found = &config.position_embedding_type;
        return Err(wrong(format!(
            "position_embedding_type {found:?}: only \"absolute\" is known"
        )));
    }
    let architecture = Architecture {
        hidden_size: config.hidden_size,
        layers: config.num_hidden_layers,
        heads: config.num_attention_heads,
        intermediate_size: config.intermediate_size,
        vocabulary_size: config.vocab_size,
        max_positions: config.max_position_embeddings,
        segment_types: config.type_vocab_size,
        layer_norm_eps: config.layer_norm_eps,
    };
    architecture.check().map_err(|error| wrong(error.to_string()))?;
    Ok(architecture)
}

#[cfg(test)]
mod tests;
