//! What a server tells about itself: metrics, predictions, traces, the log.

use std::{
    net::SocketAddr,
    num::{NonZeroU32, NonZeroU64},
    path::PathBuf,
};

use serde::{Deserialize, Deserializer, Serialize};

use super::{empty_is_no_address, empty_is_none};

/// `[metrics]`: where metrics are told.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetricsConfig {
    /// Address to listen on, port 0 lets the system choose one; `None` (empty in the file) if they are not.
    #[serde(deserialize_with = "empty_is_no_address")]
    pub address: Option<SocketAddr>,
}

/// `[prediction_log]`: where predictions are written, and what of them.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PredictionLogConfig {
    /// The file; `None` (empty in the file) if nowhere.
    #[serde(deserialize_with = "empty_is_none")]
    pub path: Option<PathBuf>,
    /// One example in so many is written.
    pub sample_one_in: NonZeroU64,
    /// What is written of the texts.
    pub inputs: LoggedInputs,
    /// The key for hashes.
    #[serde(deserialize_with = "empty_is_none")]
    pub hash_key_file: Option<PathBuf>,
    /// Bytes of a file.
    pub max_file_bytes: u64,
    /// Files that are kept, with the one that is written.
    pub max_files: NonZeroU32,
}

/// What a prediction log has of the texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LoggedInputs {
    /// Nothing.
    Off,
    /// A keyed hash of each field.
    Hash,
    /// The texts.
    Full,
}

impl LoggedInputs {
    /// The names by which a configuration gives them.
    pub(in crate::config) const NAMES: &[&str] = &["off", "hash", "full"];
}

/// `[log]`: what is logged to stderr, and how.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogConfig {
    /// How a log line is written.
    pub format: LogFormat,
    /// Directives of `tracing_subscriber::EnvFilter`. Their syntax is not checked here.
    pub level: String,
}

/// How a log line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// `Pretty` if stderr is a terminal, else `Json`.
    Auto,
    /// For people.
    Pretty,
    /// One JSON object per line, for programs that collect logs.
    Json,
}

impl LogFormat {
    /// The names by which a configuration gives the formats.
    pub(in crate::config) const NAMES: &[&str] = &["auto", "pretty", "json"];
}

/// `[traces]`: where traces of calls are sent.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TracesConfig {
    /// The collector's address; `None` (empty in the file) if calls are not traced.
    #[serde(deserialize_with = "empty_is_off")]
    pub endpoint: Option<String>,
    /// How many of the calls without a trace of their own are traced.
    pub sample_ratio: Ratio,
    /// What the collector calls this server.
    pub service_name: String,
}

/// A number from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ratio(f64);

impl Eq for Ratio {}

impl Ratio {
    /// The number, if it is one.
    pub fn new(number: f64) -> Option<Self> {
        (0.0..=1.0).contains(&number).then_some(Self(number))
    }

    /// The number.
    pub fn get(self) -> f64 {
        self.0
    }
}

fn empty_is_off<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    let text = String::deserialize(from)?;
    Ok((!text.is_empty()).then_some(text))
}
