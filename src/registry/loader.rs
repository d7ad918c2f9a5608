//! Loads what the configuration names, with ONNX Runtime.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use super::{BoxedEncoder, Loaded, NewEncoder, Registry, RegistryError};
use crate::{
    config::{Config, ExecutionProvider},
    inference::{
        CudaDevice, CudaLack, CudaRefused, Device, EncoderError, EncoderSource, Model, Runtime,
        Wish,
    },
};

/// Loads the configured checkpoints, once or again and again.
pub struct Loader {
    config: Config,
    /// Looked for once: it does not come or go.
    device: OnceLock<Device>,
}

impl Loader {
    /// For this configuration. Nothing is read yet.
    pub fn new(config: Config) -> Self {
        Self { config, device: OnceLock::new() }
    }

    /// Loads the checkpoints of the configured directory, or what has changed of them since they
    /// made `previous`.
    ///
    /// # Errors
    ///
    /// As [`Registry::load`], and if ONNX Runtime cannot be loaded or the GPU that is asked for cannot
    /// be used.
    pub fn load(&self, previous: Option<&Registry>) -> Result<Loaded, RegistryError> {
        let config = &self.config;
        let runtime = Runtime::load(config.onnxruntime.path.as_deref())?;
        let device = match self.device.get() {
            Some(&known) => known,
            None => {
                let chosen = choose(&runtime, config)?;
                *self.device.get_or_init(|| chosen)
            }
        };
        let must_be_there = config.inference.execution_provider == ExecutionProvider::Cuda;
        let sources = Mutex::new(Some(BTreeMap::new()));
        let sessions = Arc::new(Sessions { runtime, device, must_be_there, sources });
        let new_encoder: NewEncoder = {
            let sessions = Arc::clone(&sessions);
            Arc::new(move |model, threads| sessions.new_session(model, threads))
        };
        let loaded = Registry::load(&config.models.directory, config, previous, &new_encoder);
        *sessions.sources() = None;
        loaded
    }
}

/// What encoders compute on, and a word in the log where it is not what one may have hoped for.
fn choose(runtime: &Runtime, config: &Config) -> Result<Device, CudaRefused> {
    let wish = match config.inference.execution_provider {
        ExecutionProvider::Auto => Wish::Auto,
        ExecutionProvider::Cpu => Wish::Cpu,
        ExecutionProvider::Cuda => Wish::Cuda,
    };
    let (number, memory_limit_bytes) = (config.cuda.device, config.cuda.memory_limit_bytes);
    let chosen = runtime.choose(wish, CudaDevice { number, memory_limit_bytes })?;
    match chosen.lack {
        None => {}
        Some(CudaLack::NotInLibrary { library }) => {
            let library = library.display();
            tracing::info!(%library, "this ONNX Runtime computes on the CPU alone");
        }
        Some(lack) => tracing::warn!(reason = %lack, "no GPU: encoders compute on the CPU"),
    }
    Ok(chosen.device)
}

/// Makes sessions.
struct Sessions {
    runtime: Runtime,
    device: Device,
    /// Whether an encoder that cannot compute on the device is refused, not computed on the CPU.
    must_be_there: bool,
    /// By digest, so that sessions of one encoder share its weights. `None` when all are made:
    /// whoever has to be replaced later is rare enough to read the files again.
    sources: Mutex<Option<BTreeMap<String, EncoderSource>>>,
}

impl Sessions {
    fn new_session(&self, model: &Model, threads: usize) -> Result<BoxedEncoder, EncoderError> {
        let mut sources = self.sources();
        let Some(sources) = sources.as_mut() else {
            return Ok(Box::new(self.source(model)?.session(threads)?));
        };
        let source = match sources.entry(model.encoder_digest.clone()) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(free) => free.insert(self.source(model)?),
        };
        Ok(Box::new(source.session(threads)?))
    }

    fn source(&self, model: &Model) -> Result<EncoderSource, EncoderError> {
        let source = model.encoder_source(&self.runtime)?;
        let is_for_cpus = source.has_8_bits() && !self.must_be_there;
        source.on(if is_for_cpus { Device::Cpu } else { self.device })
    }

    fn sources(&self) -> MutexGuard<'_, Option<BTreeMap<String, EncoderSource>>> {
        // A source is put in when it is made.
        self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
