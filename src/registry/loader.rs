//! Loads what the configuration names, with ONNX Runtime.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{BoxedEncoder, Loaded, NewEncoder, Registry, RegistryError};
use crate::{
    config::Config,
    inference::{EncoderError, EncoderSource, Model, Runtime},
};

/// Loads the configured checkpoints, once or again and again.
pub struct Loader {
    config: Config,
}

impl Loader {
    /// For this configuration. Nothing is read yet.
    pub fn new(config: Config) -> Self {
        Self { config }
    }

    /// Loads the checkpoints of the configured directory, or what has changed of them since they
    /// made `previous`.
    ///
    /// # Errors
    ///
    /// As [`Registry::load`], and if ONNX Runtime cannot be loaded.
    pub fn load(&self, previous: Option<&Registry>) -> Result<Loaded, RegistryError> {
        let config = &self.config;
        let runtime = Runtime::load(config.onnxruntime.path.as_deref())?;
        let sessions = Arc::new(Sessions { runtime, sources: Mutex::new(Some(BTreeMap::new())) });
        let new_encoder: NewEncoder = {
            let sessions = Arc::clone(&sessions);
            Arc::new(move |model, threads| sessions.new_session(model, threads))
        };
        let loaded = Registry::load(&config.models.directory, config, previous, &new_encoder);
        *sessions.sources() = None;
        loaded
    }
}

/// Makes sessions.
struct Sessions {
    runtime: Runtime,
    /// By digest, so that sessions of one encoder share its weights. `None` when all are made:
    /// whoever has to be replaced later is rare enough to read the files again.
    sources: Mutex<Option<BTreeMap<String, EncoderSource>>>,
}

impl Sessions {
    fn new_session(&self, model: &Model, threads: usize) -> Result<BoxedEncoder, EncoderError> {
        let mut sources = self.sources();
        let Some(sources) = sources.as_mut() else {
            return Ok(Box::new(model.encoder(&self.runtime, threads)?));
        };
        let source = match sources.entry(model.encoder_digest.clone()) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(free) => free.insert(model.encoder_source(&self.runtime)?),
        };
        Ok(Box::new(source.session(threads)?))
    }

    fn sources(&self) -> MutexGuard<'_, Option<BTreeMap<String, EncoderSource>>> {
        // A source is put in when it is made.
        self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
