//! What a run keeps of itself while it lasts, and what is done about one that was interrupted.

use std::{collections::HashMap, path::Path};

use serde::Serialize;

use super::state::{StateError, StateFile};
use crate::checkpoint::Checkpoint;

/// What to do about the state of a run that was interrupted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfinished {
    /// Refuse to begin beside it.
    Refuse,
    /// Go on from it; without one, begin.
    Resume,
    /// Forget it.
    Restart,
}

/// Where a run keeps its state, and how often.
#[derive(Debug, Clone)]
pub struct Saving {
    pub file: StateFile,
    /// In steps.
    pub every: usize,
}

impl Saving {
    /// For the run that makes `out`; the state that is there already is dealt with.
    pub fn begin(
        out: &Path,
        identity: HashMap<String, String>,
        unfinished: Unfinished,
        every: usize,
    ) -> Result<Self, StateError> {
        let file = StateFile::beside(out, identity);
        match unfinished {
            Unfinished::Refuse => file.refuse_unfinished()?,
            Unfinished::Restart => file.remove()?,
            Unfinished::Resume => {}
        }
        Ok(Self { file, every })
    }
}

/// What must be the same for any run of a verb to go on from its state, by name.
pub fn identity(
    verb: &str,
    encoder: &Checkpoint,
    settings: &impl Serialize,
) -> HashMap<String, String> {
    // Numbers and names: there is nothing that JSON cannot hold. Each by itself, so that a message
    // can tell which is another.
    let settings = match serde_json::to_value(settings) {
        Ok(serde_json::Value::Object(settings)) => settings,
        _ => serde_json::Map::new(),
    };
    let settings =
        settings.into_iter().map(|(name, value)| (name.replace('_', " "), value.to_string()));
    let others = [
        ("program".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
        ("verb".to_owned(), verb.to_owned()),
        // Sums are cut by it.
        ("number of threads".to_owned(), rayon::current_num_threads().to_string()),
        ("encoder".to_owned(), encoder.manifest.id.clone()),
    ];
    settings.chain(others).collect()
}
