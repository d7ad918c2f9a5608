//! A checkpoint in memory, and how it comes there.

use std::{path::PathBuf, sync::Arc};

use super::{
    Registry, RegistryError,
    listing::{Listed, Signature, State},
    name::CheckpointName,
};
use crate::{checkpoint::CheckpointError, inference::Model};

/// A verified checkpoint in memory, but for its encoder.
#[derive(Clone)]
pub(super) struct Held {
    /// Of its directory.
    pub name: CheckpointName,
    /// Its directory, for messages.
    pub directory: String,
    path: PathBuf,
    signature: Signature,
    pub model: Arc<Model>,
}

impl Held {
    /// The checkpoint of a directory: from memory if it is there already, under whatever name, else
    /// verified and loaded. One that `is_alone` may be called anything.
    pub fn read(
        listed: &Listed,
        is_alone: bool,
        previous: Option<&Registry>,
    ) -> Result<Self, RegistryError> {
        let (directory, path) = (listed.path.display().to_string(), listed.path.clone());
        let signature = match &listed.state {
            State::Checkpoint(signature) => signature.clone(),
            State::NoManifest => return Err(CheckpointError::NoManifest { directory }.into()),
            State::Inaccessible(message) | State::Unreadable(message) => {
                return Err(RegistryError::Unreadable { directory, message: message.clone() });
            }
        };
        let name = match CheckpointName::parse(&listed.name) {
            Ok(name) => name,
            Err(_) if is_alone => CheckpointName { name: listed.name.clone(), version: None },
            Err(version) => return Err(RegistryError::Version { directory, version }),
        };
        if let Some(known) = previous.and_then(|previous| previous.held_like(&signature)) {
            let model = Arc::clone(&known.model);
            return Ok(Self { name, directory, path, signature, model });
        }
        let model = Arc::new(Model::load(&path)?);
        let held = Self { name, directory, path, signature, model };
        held.check_unchanged()?;
        tracing::info!(
            checkpoint = held.model.id,
            directory = held.directory,
            tasks = held.model.tasks.len(),
            "loaded and verified"
        );
        Ok(held)
    }

    /// Whether the files are those that were verified.
    pub fn check_unchanged(&self) -> Result<(), RegistryError> {
        match State::read(&self.path) {
            Some(State::Checkpoint(now)) if now == self.signature => Ok(()),
            _ => Err(RegistryError::Changed { directory: self.directory.clone() }),
        }
    }

    /// Whether these are its files.
    pub fn has(&self, signature: &Signature) -> bool {
        self.signature == *signature
    }
}
