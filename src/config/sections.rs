//! The validated configuration, one struct per section.
//!
//! The structs are complete on purpose: no field has a default here. Every default stands in
//! `default.toml`, and a field that is missing there fails the tests.

mod telling;

use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

pub use telling::{
    LogConfig, LogFormat, LoggedInputs, MetricsConfig, PredictionLogConfig, Ratio, TracesConfig,
};

/// The whole configuration: every value present, of the right type and within its limits.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The gRPC server and the limits on what a client may send.
    pub server: ServerConfig,
    /// How connections are encrypted.
    pub tls: TlsConfig,
    /// Who may call.
    pub auth: AuthConfig,
    /// Where the checkpoints lie.
    pub models: ModelsConfig,
    /// How examples are queued and put together for the models.
    pub batching: BatchingConfig,
    /// What is remembered of prompts that were computed.
    pub cache: CacheConfig,
    /// How one batch is computed.
    pub inference: InferenceConfig,
    /// The GPU, where encoders compute on one.
    pub cuda: CudaConfig,
    /// When the encoders are taken to work.
    pub health: HealthConfig,
    /// Where metrics are told.
    pub metrics: MetricsConfig,
    /// Where predictions are written.
    pub prediction_log: PredictionLogConfig,
    /// The ONNX Runtime library.
    pub onnxruntime: OnnxRuntimeConfig,
    /// What is logged, and how.
    pub log: LogConfig,
    /// Where traces of calls are sent.
    pub traces: TracesConfig,
}

/// `[server]`: the gRPC server and the limits on what a client may send.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerConfig {
    /// Address to listen on; port 0 lets the system choose one.
    pub address: SocketAddr,
    /// Largest message taken from a client, in bytes.
    pub max_message_bytes: NonZeroUsize,
    /// Most examples in one call.
    pub max_examples: NonZeroUsize,
    /// Longest field of an example, in bytes of UTF-8.
    pub max_text_bytes: NonZeroUsize,
    /// Most requests of one stream that are worked on at a time.
    pub max_stream_in_flight: NonZeroUsize,
    /// Most connections at a time.
    pub max_connections: NonZeroUsize,
    /// Most calls that are open on one connection.
    pub max_connection_streams: NonZeroU32,
    /// Longest headers of a call, in bytes.
    pub max_header_bytes: NonZeroU32,
    /// How long a connection may take for its handshakes, in milliseconds.
    pub handshake_timeout_ms: u64,
    /// How long a new connection may be without a call, in milliseconds.
    pub first_call_timeout_ms: u64,
    /// How long a connection may be without a call later on, in milliseconds.
    pub idle_timeout_ms: u64,
    /// How long a connection may live at all, in milliseconds; 0 is for ever. See
    /// [`ServerConfig::max_connection_age`].
    pub max_connection_age_ms: u64,
    /// How long the request of a call may take to arrive, in milliseconds.
    pub receive_timeout_ms: u64,
    /// How long a client may take nothing of an answer that waits for it, in milliseconds.
    pub send_timeout_ms: u64,
    /// How long calls are still answered once the server was told to stop, in milliseconds. See
    /// [`ServerConfig::stop_delay`].
    pub stop_delay_ms: u64,
    /// How long calls under way may still take after that, in milliseconds. See
    /// [`ServerConfig::drain_timeout`].
    pub drain_timeout_ms: u64,
    /// Time between two looks at the files of `[tls]` and `[auth]`, in milliseconds.
    pub reload_interval_ms: u64,
}

impl ServerConfig {
    /// How long a connection may live at all; `None` if for ever.
    pub fn max_connection_age(&self) -> Option<Duration> {
        (self.max_connection_age_ms > 0).then(|| Duration::from_millis(self.max_connection_age_ms))
    }

    /// How long calls are still answered once the server was told to stop.
    pub fn stop_delay(&self) -> Duration {
        Duration::from_millis(self.stop_delay_ms)
    }

    /// How long calls under way may still take after that.
    pub fn drain_timeout(&self) -> Duration {
        Duration::from_millis(self.drain_timeout_ms)
    }
}

/// `[tls]`: how connections are encrypted; they are not if nothing is set.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// PEM file of the server's certificate and its chain.
    #[serde(deserialize_with = "empty_is_none")]
    pub certificate: Option<PathBuf>,
    /// PEM file of its private key.
    #[serde(deserialize_with = "empty_is_none")]
    pub private_key: Option<PathBuf>,
    /// PEM file of the authorities one of which must have signed a client's certificate.
    #[serde(deserialize_with = "empty_is_none")]
    pub client_ca: Option<PathBuf>,
}

/// `[auth]`: who may call; everybody if nothing is set.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthConfig {
    /// TOML file of callers.
    #[serde(deserialize_with = "empty_is_none")]
    pub tokens: Option<PathBuf>,
}

/// `[models]`: where the checkpoints lie.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelsConfig {
    /// Directory whose subdirectories are the checkpoints to serve, relative to the working
    /// directory.
    pub directory: PathBuf,
    /// How often it is looked at, in milliseconds; 0 is never. See [`ModelsConfig::poll_interval`].
    pub poll_interval_ms: u64,
}

impl ModelsConfig {
    /// How often the directory is looked at; `None` if it is not.
    pub fn poll_interval(&self) -> Option<Duration> {
        (self.poll_interval_ms > 0).then(|| Duration::from_millis(self.poll_interval_ms))
    }
}

/// `[batching]`: how examples are queued and put together for the models.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchingConfig {
    /// Threads that run batches; `None` (0 in the file) is one per available CPU. See
    /// [`BatchingConfig::worker_count`].
    #[serde(deserialize_with = "zero_is_none")]
    pub workers: Option<NonZeroUsize>,
    /// Most tokens in one batch, padding included.
    pub max_batch_tokens: NonZeroUsize,
    /// Most tokens waiting for a worker, at least `max_batch_tokens`.
    pub max_queued_tokens: NonZeroUsize,
    /// How long a call may wait for its first example to be computed, in milliseconds. See
    /// [`BatchingConfig::max_queue_delay`].
    pub max_queue_delay_ms: u64,
}

impl BatchingConfig {
    /// How many workers to start on this machine: as configured, else one per CPU available to
    /// this process, else one.
    pub fn worker_count(&self) -> NonZeroUsize {
        self.workers.unwrap_or_else(available_cpus)
    }

    /// How long a call may wait for its first example to be computed.
    pub fn max_queue_delay(&self) -> Duration {
        Duration::from_millis(self.max_queue_delay_ms)
    }
}

/// `[cache]`: what is remembered of prompts that were computed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CacheConfig {
    /// Bytes of mask vectors and their prompts for each encoder; 0 remembers nothing.
    pub max_bytes: u64,
}

/// `[inference]`: how one batch is computed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InferenceConfig {
    /// Threads within the computation of one batch.
    pub intra_op_threads: NonZeroUsize,
    /// Threads for a batch that has the machine to itself; `None` (0 in the file) is one per
    /// available CPU. See [`InferenceConfig::lone_request_threads`].
    #[serde(deserialize_with = "zero_is_none")]
    pub lone_request_threads: Option<NonZeroUsize>,
    /// What encoders compute on.
    pub execution_provider: ExecutionProvider,
}

/// What encoders compute on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExecutionProvider {
    /// A GPU if there is one, else the CPU.
    Auto,
    /// The CPU.
    Cpu,
    /// A GPU or nothing.
    Cuda,
}

impl ExecutionProvider {
    /// The names by which a configuration gives them.
    pub(super) const NAMES: &[&str] = &["auto", "cpu", "cuda"];
}

/// `[cuda]`: the GPU, where encoders compute on one.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CudaConfig {
    /// Its number.
    pub device: u32,
    /// Bytes of its memory for each encoder; `None` (0 in the file) is no limit.
    #[serde(deserialize_with = "zero_is_unlimited")]
    pub memory_limit_bytes: Option<NonZeroU64>,
    /// Most tokens in one batch on it.
    pub max_batch_tokens: NonZeroUsize,
}

impl InferenceConfig {
    /// Threads for a batch that has the machine to itself: as configured, else one per CPU available
    /// to this process, else one.
    pub fn lone_request_threads(&self) -> NonZeroUsize {
        self.lone_request_threads.unwrap_or_else(available_cpus)
    }
}

/// CPUs that this process may use: those of its affinity mask, within the quota of its control
/// group.
fn available_cpus() -> NonZeroUsize {
    thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

/// `[health]`: when the encoders are taken to work.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HealthConfig {
    /// Address to listen on for probes alone; `None` (empty in the file) if there is none.
    #[serde(deserialize_with = "empty_is_no_address")]
    pub address: Option<SocketAddr>,
    /// After which an idle encoder is asked for a prediction, in milliseconds.
    pub probe_interval_ms: u64,
    /// How long a worker may take for one batch, in milliseconds.
    pub stall_timeout_ms: u64,
}

impl HealthConfig {
    /// After which an idle encoder is asked for a prediction.
    pub fn probe_interval(&self) -> Duration {
        Duration::from_millis(self.probe_interval_ms)
    }

    /// How long a worker may take for one batch.
    pub fn stall_timeout(&self) -> Duration {
        Duration::from_millis(self.stall_timeout_ms)
    }
}

/// `[onnxruntime]`: the ONNX Runtime library.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OnnxRuntimeConfig {
    /// The library's file; `None` (empty in the file) if it is to be searched for.
    #[serde(deserialize_with = "empty_is_none")]
    pub path: Option<PathBuf>,
}

// It is never NaN.
fn zero_is_none<'de, D: Deserializer<'de>>(from: D) -> Result<Option<NonZeroUsize>, D::Error> {
    usize::deserialize(from).map(NonZeroUsize::new)
}

fn zero_is_unlimited<'de, D: Deserializer<'de>>(from: D) -> Result<Option<NonZeroU64>, D::Error> {
    u64::deserialize(from).map(NonZeroU64::new)
}

fn empty_is_no_address<'de, D: Deserializer<'de>>(from: D) -> Result<Option<SocketAddr>, D::Error> {
    let text = String::deserialize(from)?;
    let parse = |text: &str| text.parse().map_err(serde::de::Error::custom);
    (!text.is_empty()).then(|| parse(&text)).transpose()
}

fn empty_is_none<'de, D: Deserializer<'de>>(from: D) -> Result<Option<PathBuf>, D::Error> {
    let text = String::deserialize(from)?;
    Ok((!text.is_empty()).then(|| PathBuf::from(text)))
}
