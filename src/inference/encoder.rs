//! An encoder graph in ONNX Runtime. The only file that names `ort`.

use std::{
    path::{Path, PathBuf},
    sync::{Mutex, OnceLock, PoisonError},
};

use ort::{
    environment::Environment,
    session::{Session, builder::GraphOptimizationLevel},
    value::TensorRef,
};

use super::{
    onnx_runtime::{RuntimeNotFound, candidates},
    predictor::{MaskEncoder, PredictError},
};
use crate::{
    export::{OUTPUT, inputs},
    tokenization::{PackedBatch, Prompt},
};

/// Added to the attention score of a padding slot: its weight becomes exactly 0.
const PADDING_BIAS: f32 = -1e9;

/// The shared library, loaded. There is one for a process.
#[derive(Clone)]
pub struct Runtime(Environment);

static RUNTIME: OnceLock<Runtime> = OnceLock::new();
static LOADING: Mutex<()> = Mutex::new(());

impl Runtime {
    /// Loads ONNX Runtime from the configured path or from where it is usually found. Once it is
    /// loaded, later calls return the same one.
    pub fn load(configured: Option<&Path>) -> Result<Self, RuntimeNotFound> {
        // The lock guards no data, so a panic of its holder spoils nothing.
        let _guard = LOADING.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(runtime) = RUNTIME.get() {
            return Ok(runtime.clone());
        }
        let executable = std::env::current_exe().ok();
        let mut tried = Vec::new();
        for path in candidates(configured, executable.as_deref()) {
            match load_from(&path) {
                Ok(environment) => return Ok(RUNTIME.get_or_init(|| Self(environment)).clone()),
                Err(why) => tried.push((path, why)),
            }
        }
        Err(RuntimeNotFound { tried })
    }
}

fn load_from(path: &Path) -> Result<Environment, String> {
    let path: PathBuf = std::path::absolute(path).map_err(|error| error.to_string())?;
    if !path.exists() {
        return Err("not there".to_owned());
    }
    let builder = ort::init_from(&path).map_err(|error| error.to_string())?;
    builder.with_telemetry(false).build().map_err(|error| error.to_string())
}

/// Why an encoder cannot be loaded or run.
#[derive(Debug, thiserror::Error)]
pub enum EncoderError {
    #[error("ONNX Runtime cannot load {path}: {source}")]
    Load { path: String, source: ort::Error },
    #[error("{path} is no encoder graph of this program: it has no input {input:?}")]
    Input { path: String, input: &'static str },
}

/// One session of an encoder graph. Sessions run one batch at a time; make one per thread.
pub struct Encoder {
    session: Session,
    hidden_size: usize,
    feeds: Feeds,
}

/// The graph's inputs, kept from batch to batch so that their memory is used again.
#[derive(Default)]
struct Feeds {
    input_ids: Vec<i64>,
    segment_ids: Vec<i64>,
    position_ids: Vec<i64>,
    slot_tokens: Vec<i64>,
    slot_bias: Vec<f32>,
    token_slots: Vec<i64>,
    mask_tokens: Vec<i64>,
}

impl Encoder {
    /// Loads a graph that `export::to_onnx` wrote.
    pub fn load(
        runtime: &Runtime,
        path: &Path,
        hidden_size: usize,
        intra_op_threads: usize,
    ) -> Result<Self, EncoderError> {
        let name = path.display().to_string();
        let session = session(runtime, path, intra_op_threads)
            .map_err(|source| EncoderError::Load { path: name.clone(), source })?;
        let has = |input: &str| session.inputs().iter().any(|known| known.name() == input);
        if !has(inputs::SLOT_TOKENS) {
            return Err(EncoderError::Input { path: name, input: inputs::SLOT_TOKENS });
        }
        Ok(Self { session, hidden_size, feeds: Feeds::default() })
    }
}

fn session(runtime: &Runtime, path: &Path, intra_op_threads: usize) -> ort::Result<Session> {
    Session::builder(&runtime.0)?
        .with_optimization_level(GraphOptimizationLevel::Level3)?
        .with_intra_threads(intra_op_threads)?
        // An idle server must not burn its cores.
        .with_intra_op_spinning(false)?
        // Every batch has another shape; a plan for each would only collect memory.
        .with_memory_pattern(false)?
        .commit_from_file(path)
}

impl MaskEncoder for Encoder {
    fn mask_vectors(&mut self, prompts: &[&Prompt]) -> Result<Vec<f32>, PredictError> {
        if prompts.is_empty() {
            return Ok(Vec::new());
        }
        let batch = PackedBatch::new(prompts.iter().copied());
        self.feeds.fill(&batch);
        let vectors = self.feeds.run(&mut self.session, &batch);
        let vectors = vectors.map_err(|error| PredictError::Encoder(error.to_string()))?;
        let expected = batch.len() * self.hidden_size;
        if vectors.len() != expected {
            let found = vectors.len();
            let message = format!("the encoder gave {found} numbers, expected {expected}");
            return Err(PredictError::Encoder(message));
        }
        Ok(vectors)
    }

    fn hidden_size(&self) -> usize {
        self.hidden_size
    }
}

impl Feeds {
    fn fill(&mut self, batch: &PackedBatch) {
        let longest = batch.longest();
        copy(&mut self.input_ids, &batch.input_ids);
        copy(&mut self.segment_ids, &batch.segment_ids);
        copy(&mut self.position_ids, &batch.position_ids);
        self.mask_tokens.clear();
        self.mask_tokens.extend(batch.mask_tokens.iter().map(|&token| token as i64));
        self.slot_tokens.clear();
        self.slot_bias.clear();
        self.token_slots.clear();
        for (sequence, tokens) in batch.ranges().enumerate() {
            let padding = longest - tokens.len();
            let first_slot = (sequence * longest) as i64;
            self.token_slots.extend(first_slot..first_slot + tokens.len() as i64);
            self.slot_bias.extend(std::iter::repeat_n(0.0, tokens.len()));
            self.slot_bias.extend(std::iter::repeat_n(PADDING_BIAS, padding));
            // Padding reads some token of the same sequence; the bias takes its weight away.
            let filler = tokens.start as i64;
            self.slot_tokens.extend(tokens.map(|token| token as i64));
            self.slot_tokens.extend(std::iter::repeat_n(filler, padding));
        }
    }

    fn run(&self, session: &mut Session, batch: &PackedBatch) -> ort::Result<Vec<f32>> {
        let (tokens, rows, longest) = (batch.input_ids.len(), batch.len(), batch.longest());
        let outputs = session.run(ort::inputs![
            inputs::INPUT_IDS => TensorRef::from_array_view(([tokens], &*self.input_ids))?,
            inputs::SEGMENT_IDS => TensorRef::from_array_view(([tokens], &*self.segment_ids))?,
            inputs::POSITION_IDS => TensorRef::from_array_view(([tokens], &*self.position_ids))?,
            inputs::SLOT_TOKENS => TensorRef::from_array_view(([rows, longest], &*self.slot_tokens))?,
            inputs::SLOT_BIAS => TensorRef::from_array_view(([rows, 1, 1, longest], &*self.slot_bias))?,
            inputs::TOKEN_SLOTS => TensorRef::from_array_view(([tokens], &*self.token_slots))?,
            inputs::MASK_TOKENS => TensorRef::from_array_view(([rows], &*self.mask_tokens))?,
        ])?;
        let (_, vectors) = outputs[OUTPUT].try_extract_tensor::<f32>()?;
        Ok(vectors.to_vec())
    }
}

fn copy(to: &mut Vec<i64>, from: &[u32]) {
    to.clear();
    to.extend(from.iter().map(|&value| i64::from(value)));
}
