//! The configuration: where its values come from, what they may be, and what is wrong with them.
//!
//! Four layers, each over the one before: the defaults (`config/default.toml`, which documents
//! every key), a file, the environment, flags. All are read and checked before anything is
//! reported, so that one run names every mistake, each with its origin and what would be right.
//!
//! ```text
//! let flags = [Override::new("server.address", "--address", "0.0.0.0:50051")];
//! let loaded = Config::load(None, &flags)?;
//! print!("{}", config::render(&loaded)); // --print-config
//! serve(loaded.config)
//! ```

mod environment;
mod error;
mod keys;
mod layers;
mod render;
mod sections;
#[cfg(test)]
mod tests;

use std::env;
use std::ffi::OsString;
use std::fmt;
use std::path::Path;

use figment::Figment;

pub use error::{ConfigError, Mistake, Origin, Problem};
pub use render::render;
pub use sections::{
    AuthConfig, BatchingConfig, CacheConfig, Config, CudaConfig, ExecutionProvider, HealthConfig,
    InferenceConfig, LogConfig, LogFormat, LoggedInputs, MetricsConfig, ModelsConfig,
    OnnxRuntimeConfig, PredictionLogConfig, Ratio, ServerConfig, TlsConfig, TracesConfig,
};

use keys::{KEYS, MAX_BATCH_TOKENS, MAX_QUEUED_TOKENS, Setting};
use layers::{Entry, Layers};

/// A value given on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Override {
    key: String,
    flag: String,
    value: String,
}

impl Override {
    /// Sets the dotted `key`, such as `server.address`, to `value` on behalf of `flag`, such as
    /// `--address`. The value is read as the key wants it: a number may come as text.
    pub fn new(key: impl Into<String>, flag: impl Into<String>, value: impl fmt::Display) -> Self {
        Self { key: key.into(), flag: flag.into(), value: value.to_string() }
    }
}

/// A configuration and where each of its values comes from.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    effective: Vec<Entry>,
}

impl Loaded {
    /// Where the value of a dotted key comes from; `None` if there is no such key.
    pub fn origin(&self, key: &str) -> Option<&Origin> {
        self.entries().find(|entry| entry.key == key).map(|entry| &entry.origin)
    }

    /// The values that count, in the order of `default.toml`.
    fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.effective.iter()
    }
}

impl Config {
    /// Loads the configuration of this process: the defaults, then `config_file`, which must
    /// exist, or `dynamar.toml` in the working directory if it does, then the environment, then
    /// `overrides`.
    ///
    /// # Errors
    ///
    /// If anything is wrong in any layer; the error then holds all of it.
    pub fn load(config_file: Option<&Path>, overrides: &[Override]) -> Result<Loaded, ConfigError> {
        Self::load_from(Path::new(""), config_file, env::vars_os(), overrides)
    }

    /// As [`Config::load`], with a working directory and an environment of the caller's choice.
    ///
    /// # Errors
    ///
    /// If anything is wrong in any layer; the error then holds all of it.
    pub fn load_from(
        directory: &Path,
        config_file: Option<&Path>,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
        overrides: &[Override],
    ) -> Result<Loaded, ConfigError> {
        let mut layers = Layers::default();
        layers.add_defaults();
        layers.add_file(directory, config_file);
        layers.add_environment(environment);
        layers.add_overrides(overrides);
        let effective = effective(&layers.entries);
        let mut mistakes = layers.mistakes;
        mistakes.extend(contradiction(&effective, &mistakes));
        if !mistakes.is_empty() {
            return Err(ConfigError { mistakes });
        }
        let config = extract(&effective).map_err(|unfit| ConfigError { mistakes: vec![unfit] })?;
        Ok(Loaded { config, effective })
    }
}

/// The entry that counts for each key: the last one.
fn effective(entries: &[Entry]) -> Vec<Entry> {
    let last = |name| entries.iter().rfind(|entry| entry.key == name).cloned();
    KEYS.iter().filter_map(|key| last(key.name)).collect()
}

/// A queue that cannot hold one full batch. Not looked for if one of the two values is a mistake
/// in itself, for then it is not known what was meant.
fn contradiction(effective: &[Entry], mistakes: &[Mistake]) -> Option<Mistake> {
    let count_of = |name| {
        let mistaken = mistakes.iter().any(|mistake| mistake.key.as_deref() == Some(name));
        let entry = effective.iter().find(|entry| entry.key == name && !mistaken)?;
        match entry.setting {
            Setting::Count(count) => Some((count, entry.origin.clone())),
            Setting::Ratio(_) | Setting::Text(_) => None,
        }
    };
    let (queued, origin) = count_of(MAX_QUEUED_TOKENS)?;
    let (least, other_origin) = count_of(MAX_BATCH_TOKENS)?;
    (queued < least).then(|| Mistake {
        origin,
        key: Some(MAX_QUEUED_TOKENS.to_owned()),
        problem: Problem::TooSmallFor {
            found: queued,
            other: MAX_BATCH_TOKENS,
            least,
            other_origin,
        },
    })
}

/// Checked values -> typed structs. Nothing is left to go wrong unless the rules of `keys` and
/// the types of `sections` disagree.
fn extract(effective: &[Entry]) -> Result<Config, Mistake> {
    let merged = effective
        .iter()
        .fold(Figment::new(), |figment, entry| figment.merge((entry.key, &entry.setting)));
    merged.extract().map_err(|error| {
        let key = error.path.join(".");
        let entry = effective.iter().find(|entry| entry.key == key);
        Mistake {
            origin: entry.map_or(Origin::Default, |entry| entry.origin.clone()),
            key: Some(key),
            problem: Problem::Unfit(error.kind.to_string()),
        }
    })
}
