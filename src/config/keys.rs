//! The known keys and what each of them accepts.

use std::fmt;
use std::net::SocketAddr;

use figment::value::Value;
use serde::Serialize;

use super::error::Problem;
use super::sections::{ExecutionProvider, LogFormat, LoggedInputs, Ratio};

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const GIB: u64 = 1024 * MIB;
const HOUR_MS: u64 = 60 * 60 * 1000;

/// Every known key, in the order of `default.toml`. The upper limits are far above what a
/// machine can use; they are there to catch a slip of the keyboard or of the unit.
pub(super) const KEYS: &[Key] = &[
    Key::new("server.address", Rule::Address),
    Key::new("server.max_message_bytes", Rule::Count(KIB, 256 * MIB)),
    Key::new("server.max_examples", Rule::Count(1, 65_536)),
    Key::new("server.max_text_bytes", Rule::Count(1, 64 * MIB)),
    Key::new("server.max_stream_in_flight", Rule::Count(1, 4096)),
    Key::new("server.max_connections", Rule::Count(1, 1 << 20)),
    Key::new("server.max_connection_streams", Rule::Count(1, 65_536)),
    Key::new("server.max_header_bytes", Rule::Count(4 * KIB, MIB)),
    Key::new("server.handshake_timeout_ms", Rule::Count(1, HOUR_MS)),
    Key::new("server.first_call_timeout_ms", Rule::Count(1, HOUR_MS)),
    Key::new("server.idle_timeout_ms", Rule::Count(1, 24 * HOUR_MS)),
    Key::new("server.max_connection_age_ms", Rule::Count(0, 24 * HOUR_MS)),
    Key::new("server.receive_timeout_ms", Rule::Count(1, HOUR_MS)),
    Key::new("server.send_timeout_ms", Rule::Count(1, HOUR_MS)),
    Key::new("server.stop_delay_ms", Rule::Count(0, HOUR_MS)),
    Key::new("server.drain_timeout_ms", Rule::Count(0, HOUR_MS)),
    Key::new("server.reload_interval_ms", Rule::Count(100, 24 * HOUR_MS)),
    Key::new("tls.certificate", Rule::PathOrEmpty),
    Key::new("tls.private_key", Rule::PathOrEmpty),
    Key::new("tls.client_ca", Rule::PathOrEmpty),
    Key::new("auth.tokens", Rule::PathOrEmpty),
    Key::new("models.directory", Rule::Path),
    Key::new("models.poll_interval_ms", Rule::Count(0, 24 * HOUR_MS)),
    Key::new("batching.workers", Rule::Count(0, 1024)),
    Key::new(MAX_BATCH_TOKENS, Rule::Count(1, 1 << 20)),
    Key::new(MAX_QUEUED_TOKENS, Rule::Count(1, 1 << 30)),
    Key::new("batching.max_queue_delay_ms", Rule::Count(1, HOUR_MS)),
    Key::new("cache.max_bytes", Rule::Count(0, 64 * GIB)),
    Key::new("inference.intra_op_threads", Rule::Count(1, 1024)),
    Key::new("inference.lone_request_threads", Rule::Count(0, 1024)),
    Key::new("inference.execution_provider", Rule::OneOf(ExecutionProvider::NAMES)),
    Key::new("cuda.device", Rule::Count(0, 1023)),
    Key::new("cuda.memory_limit_bytes", Rule::Count(0, 1024 * GIB)),
    Key::new("cuda.max_batch_tokens", Rule::Count(1, 1 << 20)),
    Key::new("health.address", Rule::AddressOrEmpty),
    Key::new("health.probe_interval_ms", Rule::Count(100, HOUR_MS)),
    Key::new("health.stall_timeout_ms", Rule::Count(100, HOUR_MS)),
    Key::new("metrics.address", Rule::AddressOrEmpty),
    Key::new("prediction_log.path", Rule::PathOrEmpty),
    Key::new("prediction_log.sample_one_in", Rule::Count(1, 1_000_000_000)),
    Key::new("prediction_log.inputs", Rule::OneOf(LoggedInputs::NAMES)),
    Key::new("prediction_log.hash_key_file", Rule::PathOrEmpty),
    Key::new("prediction_log.max_file_bytes", Rule::Count(KIB, 1024 * GIB)),
    Key::new("prediction_log.max_files", Rule::Count(1, 10_000)),
    Key::new("onnxruntime.path", Rule::PathOrEmpty),
    Key::new("log.format", Rule::OneOf(LogFormat::NAMES)),
    Key::new("log.level", Rule::Text),
    Key::new("traces.endpoint", Rule::HttpOrEmpty),
    Key::new("traces.sample_ratio", Rule::Ratio),
    Key::new("traces.service_name", Rule::Text),
];

pub(super) const MAX_BATCH_TOKENS: &str = "batching.max_batch_tokens";
pub(super) const MAX_QUEUED_TOKENS: &str = "batching.max_queued_tokens";

/// A known key.
#[derive(Debug)]
pub(super) struct Key {
    /// The dotted name, such as `server.address`.
    pub name: &'static str,
    /// What its value must be.
    pub rule: Rule,
}

impl Key {
    const fn new(name: &'static str, rule: Rule) -> Self {
        Self { name, rule }
    }

    /// The known key with this dotted name.
    pub fn find(name: &str) -> Option<&'static Self> {
        KEYS.iter().find(|key| key.name == name)
    }

    /// The known key whose name is nearest to an unknown one; of several the first.
    pub fn nearest(unknown: &str) -> &'static str {
        let keys = KEYS.iter().rev(); // of equals `max_by` takes the last
        keys.map(|key| (similarity(key.name, unknown), key.name))
            .max_by(|(a, _), (b, _)| a.total_cmp(b))
            .map_or("", |(_, name)| name) // "" only if there were no keys at all
    }

    /// The names of the known keys in a section; none if there is no such section.
    pub fn in_section(section: &str) -> Vec<&'static str> {
        let names = KEYS.iter().map(|key| key.name);
        names.filter(|name| name.split_once('.').is_some_and(|(head, _)| head == section)).collect()
    }
}

/// How alike two dotted keys are. The last part of the unknown one counts a second time, by
/// itself, so that a key in the wrong section, or in none, finds its own name, and a misspelt
/// section one of its keys.
fn similarity(known: &str, unknown: &str) -> f64 {
    let last = unknown.rsplit('.').next().unwrap_or(unknown);
    let parts = known.split('.').map(|part| strsim::normalized_levenshtein(part, last));
    strsim::normalized_levenshtein(known, unknown) + parts.fold(0.0, f64::max)
}

/// A value that its rule accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub(super) enum Setting {
    /// A whole number.
    Count(u64),
    /// A number from 0 to 1.
    Ratio(Ratio),
    /// A string.
    Text(String),
}

/// As TOML writes it.
impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => write!(f, "{count}"),
            Self::Ratio(ratio) => write!(f, "{:?}", ratio.get()),
            Self::Text(text) => f.write_str(&quoted(text)),
        }
    }
}

/// `text` as a TOML string. A JSON string is one, except that TOML also escapes DEL.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string().replace('\u{7f}', "\\u007F")
}

/// What a key accepts.
#[derive(Debug)]
pub(super) enum Rule {
    /// An IP address with a port.
    Address,
    /// An IP address with a port, or the empty string for none.
    AddressOrEmpty,
    /// A whole number from the first to the second.
    Count(u64, u64),
    /// An address that begins with `http://`, or the empty string for none.
    HttpOrEmpty,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// A path.
    Path,
    /// A path, or the empty string for none.
    PathOrEmpty,
    /// A number from 0 to 1.
    Ratio,
    /// Any string.
    Text,
}

impl Rule {
    /// Reads a value that has a type already, from a file.
    pub fn read_value(&self, value: &Value) -> Result<Setting, Problem> {
        let setting = match (self, value) {
            (Self::Count(..), Value::Num(_, number)) => {
                let unsigned = number.to_i128().and_then(|count| u64::try_from(count).ok());
                unsigned.map(Setting::Count)
            }
            (Self::Ratio, Value::Num(_, number)) => {
                let ratio = number.to_f64().or(number.to_i128().map(|whole| whole as f64));
                ratio.and_then(Ratio::new).map(Setting::Ratio)
            }
            (Self::Count(..) | Self::Ratio, _) => None,
            (_, Value::String(_, text)) => Some(Setting::Text(text.clone())),
            (_, Value::Char(_, character)) => Some(Setting::Text(character.to_string())),
            _ => None,
        };
        setting.filter(|setting| self.accepts(setting)).ok_or_else(|| self.refusal(describe(value)))
    }

    /// Reads a value from where everything is text: an environment variable or a flag.
    pub fn read_text(&self, text: &str) -> Result<Setting, Problem> {
        let setting = match self {
            Self::Count(..) => text.trim().parse().ok().map(Setting::Count),
            Self::Ratio => text.trim().parse().ok().and_then(Ratio::new).map(Setting::Ratio),
            _ => Some(Setting::Text(text.to_owned())),
        };
        setting
            .filter(|setting| self.accepts(setting))
            .ok_or_else(|| self.refusal(shortened(quoted(text))))
    }

    fn accepts(&self, setting: &Setting) -> bool {
        match (self, setting) {
            (Self::Count(min, max), Setting::Count(count)) => (min..=max).contains(&count),
            (Self::Address, Setting::Text(text)) => text.parse::<SocketAddr>().is_ok(),
            (Self::AddressOrEmpty, Setting::Text(text)) => {
                text.is_empty() || text.parse::<SocketAddr>().is_ok()
            }
            (Self::Ratio, Setting::Ratio(_)) => true,
            (Self::HttpOrEmpty, Setting::Text(text)) => {
                text.is_empty() || text.strip_prefix("http://").is_some_and(|rest| !rest.is_empty())
            }
            (Self::OneOf(words), Setting::Text(text)) => words.contains(&text.as_str()),
            (Self::Path, Setting::Text(text)) => !text.is_empty() && !text.contains('\0'),
            (Self::PathOrEmpty, Setting::Text(text)) => !text.contains('\0'),
            (Self::Text, Setting::Text(_)) => true,
            _ => false,
        }
    }

    fn refusal(&self, found: String) -> Problem {
        Problem::WrongValue { found, expected: self.to_string() }
    }
}

/// What would be right, to follow "expected".
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address => f.write_str(
                "an IP address and a port, such as \"127.0.0.1:50051\" or \"[::1]:50051\" \
                 (a host name such as localhost is not looked up)",
            ),
            Self::AddressOrEmpty => f.write_str(
                "an IP address and a port, such as \"127.0.0.1:9090\", or \"\" for none",
            ),
            Self::Count(min, max) => write!(f, "a whole number from {min} to {max}"),
            Self::OneOf(words) => {
                let words: Vec<_> = words.iter().map(|word| quoted(word)).collect();
                write!(f, "one of {}", words.join(", "))
            }
            Self::HttpOrEmpty => {
                f.write_str("an address such as \"http://127.0.0.1:4317\", or \"\" for none")
            }
            Self::Path => f.write_str("a path that is not empty"),
            Self::Ratio => f.write_str("a number from 0.0 to 1.0"),
            Self::PathOrEmpty => f.write_str("a path, or \"\" for none"),
            Self::Text => f.write_str("a string"),
        }
    }
}

/// A value as a message shows it.
fn describe(value: &Value) -> String {
    match value {
        Value::String(_, text) => format!("the string {}", shortened(quoted(text))),
        Value::Char(_, character) => format!("the string {}", quoted(&character.to_string())),
        Value::Dict(_, dict) if dict.keys().any(|name| name.starts_with("$__toml")) => {
            "a date or time".to_owned()
        }
        Value::Dict(..) => "a table".to_owned(),
        Value::Array(..) => "an array".to_owned(),
        Value::Bool(_, truth) => truth.to_string(),
        Value::Num(_, number) => match (number.to_i128(), number.to_f64()) {
            (Some(whole), _) => whole.to_string(),
            (None, Some(float)) => format!("{float:?}"),
            (None, None) => "a number".to_owned(), // no type of number that TOML has
        },
        Value::Empty(..) => "nothing".to_owned(),
    }
}

/// `text`, or its beginning if it would make the message unreadable.
fn shortened(text: String) -> String {
    const MAX_CHARS: usize = 80;
    match text.char_indices().nth(MAX_CHARS) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}
