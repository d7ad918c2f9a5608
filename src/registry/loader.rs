//! Loads what the configuration names, with ONNX Runtime.

use std::collections::{BTreeMap, btree_map::Entry};

use super::{Loaded, Registry, RegistryError};
use crate::{
    config::Config,
    inference::{EncoderSource, Runtime},
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
        // Sessions of one encoder share its weights.
        let mut sources: BTreeMap<String, EncoderSource> = BTreeMap::new();
        Registry::load(&config.models.directory, config, previous, |model, threads| {
            let source = match sources.entry(model.encoder_digest.clone()) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(free) => free.insert(model.encoder_source(&runtime)?),
            };
            Ok(Box::new(source.session(threads)?))
        })
    }
}
