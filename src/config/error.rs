//! What can be wrong with a configuration, and where it was found.

use std::fmt;
use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The defaults that are built into the program.
    Default,
    /// A configuration file, as it was named.
    File(PathBuf),
    /// The environment variable of this name.
    Variable(String),
    /// The flag of this name, such as `--address`.
    Flag(String),
}

/// The short form, as in the comments of `--print-config`.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => f.write_str(&one_line(&path.to_string_lossy())),
            Self::Variable(name) | Self::Flag(name) => f.write_str(&one_line(name)),
        }
    }
}

/// A name on one line, whatever is in it.
fn one_line(name: &str) -> String {
    let escaped = |c: char| match c.is_control() {
        true => c.escape_default().to_string(),
        false => c.to_string(),
    };
    name.chars().map(escaped).collect()
}

/// One thing that is wrong. Displayed as a line that says where, what, and what would be right.
#[derive(Debug)]
pub struct Mistake {
    /// Where it was found.
    pub origin: Origin,
    /// The dotted key it is about, unless it is about the whole of a file.
    pub key: Option<String>,
    /// What is wrong.
    pub problem: Problem,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let origin = &self.origin;
        match (origin, &self.key) {
            (Origin::Default, Some(key)) => write!(f, "in the defaults, key `{key}`")?,
            (Origin::Default, None) => f.write_str("in the defaults")?,
            (Origin::File(_), Some(key)) => write!(f, "in {origin}, key `{key}`")?,
            (Origin::File(_), None) => write!(f, "file {origin}")?,
            (Origin::Variable(_), _) => write!(f, "environment variable {origin}")?,
            (Origin::Flag(_), _) => write!(f, "flag {origin}")?,
        }
        write!(f, ": {}", self.problem)
    }
}

/// What is wrong with a value, a key or a file.
#[derive(Debug, Error)]
pub enum Problem {
    /// The file cannot be read.
    #[error("cannot be read ({0}); name a TOML file in UTF-8 that exists and may be read")]
    Unreadable(io::Error),
    /// The file is larger than a configuration can be.
    #[error("is larger than {limit_bytes} bytes; name a TOML file with configuration")]
    TooLarge {
        /// The largest file that is read.
        limit_bytes: u64,
    },
    /// The file is not TOML.
    #[error("line {line} is not TOML: {message}")]
    Syntax {
        /// Counted from 1.
        line: usize,
        /// What the parser says.
        message: String,
    },
    /// There is no such key.
    #[error("there is no key `{key}`; the nearest is `{nearest}`")]
    UnknownKey {
        /// As it is spelled where it was found.
        key: String,
        /// The nearest known key, spelled the same way.
        nearest: String,
    },
    /// A section is used as if it were a key.
    #[error("is a section, which has no value of its own; its keys are {}", .keys.join(", "))]
    Section {
        /// The section's keys, as they are spelled where it was found.
        keys: Vec<String>,
    },
    /// The value has the wrong type or is out of range.
    #[error("found {found}; expected {expected}")]
    WrongValue {
        /// The value.
        found: String,
        /// What would be right.
        expected: String,
    },
    /// The value of an environment variable is not UTF-8.
    #[error("its value is not UTF-8; set it to text in UTF-8, or unset it")]
    NotUtf8,
    /// The value contradicts another one.
    #[error(
        "{found} is less than `{other}`, which is {least} ({other_origin}); \
         expected at least {least}"
    )]
    TooSmallFor {
        /// The value.
        found: u64,
        /// The key of the other value.
        other: &'static str,
        /// The other value.
        least: u64,
        /// Where the other value comes from.
        other_origin: Origin,
    },
    /// The value passed its checks and yet does not fit: a defect of this program.
    #[error("{0}; this is a defect of dynamar, please report it")]
    Unfit(String),
}

/// All that is wrong with a configuration. Displayed as a head line and one line per mistake.
#[derive(Debug, Error)]
pub struct ConfigError {
    /// What is wrong, in the order of the layers; never empty.
    pub mistakes: Vec<Mistake>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.mistakes.len() {
            1 => f.write_str("the configuration has a mistake:")?,
            count => write!(f, "the configuration has {count} mistakes:")?,
        }
        self.mistakes.iter().try_for_each(|mistake| write!(f, "\n  {mistake}"))
    }
}
