//! From a Hugging Face directory (config.json, model.safetensors, tokenizer.json) to weights in
//! our own layout, with the masked-language-model head where there is one; from a directory with a graph
//! that another program exported to a checkpoint that serves it; and from a checkpoint to one whose
//! encoder is stored otherwise. A task and the head that was trained for it may come along.

mod foreign;
#[cfg(fuzzing)]
pub mod fuzzing;
mod head;
mod language_head;
mod model_files;
mod stand_in;
mod task;
mod tensors;

use std::path::Path;

pub use head::GivenHeadError;
pub use model_files::FileError;
pub use task::GivenTask;

use model_files::{ModelDirectory, TensorFiles};

use crate::{
    architecture::{Architecture, Family, family_of},
    checkpoint::{
        Checkpoint, CheckpointError, Draft, ENCODER_WEIGHTS_FILE, EncoderEntry, LANGUAGE_HEAD_FILE,
        MAX_TOKENIZER_BYTES, Manifest, Provenance, TOKENIZER_FILE,
    },
    export,
    foreign_graph::ForeignGraphError,
    inference::{EncoderError, Runtime, RuntimeNotFound},
    tokenization::{PromptSetError, PromptTokenizer, TokenizerError},
    weights::{EncoderWeights, LanguageHead, Precision, WeightsError},
};

/// Config files hold no more than this many bytes.
const MAX_CONFIG_BYTES: u64 = 1 << 20;

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
    #[error(transparent)]
    Foreign(#[from] ForeignGraphError),
    #[error("{path} does not run as an encoder: {message}")]
    Trial { path: String, message: String },
    #[error(
        "{path} is a graph that another program exported, which is served as it is: quantise it where it \
         comes from (onnxruntime.quantization.quantize_dynamic), or import the weights it was made of"
    )]
    ForeignPrecision { path: String },
    #[error(transparent)]
    Runtime(#[from] RuntimeNotFound),
    #[error(transparent)]
    Session(#[from] EncoderError),
    #[error("{path}: {source}")]
    Head { path: String, source: Box<GivenHeadError> },
    #[error(transparent)]
    PromptSet(#[from] PromptSetError),
    #[error(
        "{path} gives hidden states, from which a head makes a task's answers: pass --head FILE, or import \
         it without a task and train one (dynamar train --tune head)"
    )]
    NoHead { path: String },
    #[error(
        "{path} has a classifier in it (its output is logits), beside which there is no --head"
    )]
    TwoHeads { path: String },
    #[error("{path} has a classifier in it (its output is logits): say its task with --task FILE")]
    NoTask { path: String },
    #[error(
        "{path} has {expected} outputs for the task {task:?}, but the graph gives {found} logits"
    )]
    Labels { path: String, task: String, expected: usize, found: usize },
}

/// What is to be imported, and where to.
pub struct Import<'a> {
    pub directory: &'a Path,
    /// What the encoder is called.
    pub name: &'a str,
    /// How its matrices are stored.
    pub precision: Precision,
    pub out: &'a Path,
    pub replace: bool,
    /// ONNX graph in the directory that is taken instead of weights. Without, `model.onnx` or
    /// `onnx/model.onnx` is, where there are no weights.
    pub graph: Option<&'a Path>,
    /// A task to serve with the encoder.
    pub task: Option<GivenTask<'a>>,
    /// Loads ONNX Runtime, which a graph is tried with.
    pub runtime: &'a dyn Fn() -> Result<Runtime, RuntimeNotFound>,
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
    let tokenizer = read_tokenizer(&directory, architecture.vocabulary_size)?;
    let files = TensorFiles::open(&directory)?;
    let tensors::Found { weights, language_head, notes } =
        tensors::read(files, family, &architecture)?;
    Ok(Imported { weights, language_head, notes, tokenizer })
}

/// Makes the encoder in `directory` an encoder checkpoint at `out`, called `name`, with matrices of this
/// precision: [`Import::run`] with nothing else asked for.
pub fn to_checkpoint(
    directory: &Path,
    name: &str,
    precision: Precision,
    out: &Path,
    replace: bool,
) -> Result<Written, ImportError> {
    let runtime = &|| Runtime::load(None);
    let (graph, task) = (None, None);
    Import { directory, name, precision, out, replace, graph, task, runtime }.run()
}

impl Import<'_> {
    /// Makes a checkpoint of the encoder: of its weights and of its language head if there is one, or of
    /// its graph.
    ///
    /// # Errors
    ///
    /// If a file cannot be read or is not what it should be, or parts do not go together.
    pub fn run(&self) -> Result<Written, ImportError> {
        let directory = ModelDirectory::locate(self.directory)?;
        match directory.graph(self.graph)? {
            Some(graph) => foreign::to_checkpoint(self, &directory, &graph),
            None => self.of_weights(),
        }
    }

    fn of_weights(&self) -> Result<Written, ImportError> {
        if let Some(GivenTask { head: None, .. }) = self.task {
            return Err(ImportError::NoHead { path: self.directory.display().to_string() });
        }
        // Before the work, so that a mistake in `out` costs no time.
        let mut draft = Draft::new(self.out, self.replace)?;
        let Imported { weights, language_head, notes, tokenizer } = read(self.directory)?;
        let files = export::to_onnx(&weights, self.precision, ENCODER_WEIGHTS_FILE);
        draft.add_encoder(&files.graph, &files.weights)?;
        draft.add(TOKENIZER_FILE, &tokenizer)?;
        if let Some(head) = &language_head {
            let bytes = export::language_head_bytes(head).map_err(|source| {
                ImportError::Weights { path: LANGUAGE_HEAD_FILE.to_owned(), source }
            })?;
            draft.add(LANGUAGE_HEAD_FILE, &bytes)?;
        }
        if let Some(given) = &self.task {
            task::add(&mut draft, given, &tokenizer, &weights.architecture, false)?;
        }
        let mut encoder = EncoderEntry::new(self.name, weights.architecture, self.precision);
        encoder.language_head = language_head.map(|_| LANGUAGE_HEAD_FILE.to_owned());
        let provenance = Provenance::new(format!("Hugging Face directory {}", self.name));
        let manifest = draft.publish(encoder, TOKENIZER_FILE, provenance)?;
        Ok(Written { manifest, notes })
    }
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
fn read_tokenizer(directory: &ModelDirectory, embeddings: usize) -> Result<Vec<u8>, ImportError> {
    let path = directory.tokenizer()?;
    let bytes = directory.read(&path, MAX_TOKENIZER_BYTES)?;
    let tokens = PromptTokenizer::from_bytes(&bytes, &path)?.vocabulary_size();
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
