//! The layers of a configuration: what each source says, checked key by key.
//!
//! Every layer is checked, also where a higher one replaces the value: a mistake in a file would
//! otherwise come to light only on the day that a flag is dropped.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use figment::providers::{Format, Toml};
use figment::value::{Dict, Value};

use super::Override;
use super::environment::{self, variable_name};
use super::error::{Mistake, Origin, Problem};
use super::keys::{Key, Setting, quoted};

/// The defaults, with the documentation of every key.
pub(super) const DEFAULTS: &str = include_str!("default.toml");

/// The file that is read if no other is named and it is there.
pub(super) const FILE_NAME: &str = "dynamar.toml";

/// More than any configuration needs; keeps a wrong path from filling the memory.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// A value that is right for its key.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub key: &'static str,
    pub setting: Setting,
    pub origin: Origin,
}

/// What the sources say, lowest first.
#[derive(Debug, Default)]
pub(super) struct Layers {
    /// What is right; a later entry for a key replaces an earlier one.
    pub entries: Vec<Entry>,
    /// What is wrong.
    pub mistakes: Vec<Mistake>,
}

impl Layers {
    /// Adds the defaults that are built in.
    pub fn add_defaults(&mut self) {
        self.add_toml(&Origin::Default, DEFAULTS);
    }

    /// Adds the file that is named, which must exist, or `dynamar.toml` in `directory` if it
    /// does.
    pub fn add_file(&mut self, directory: &Path, named: Option<&Path>) {
        let shown = named.unwrap_or(Path::new(FILE_NAME));
        let origin = Origin::File(shown.to_owned());
        match read_limited(&directory.join(shown)) {
            Ok(text) => self.add_toml(&origin, &text),
            Err(Problem::Unreadable(e))
                if named.is_none() && e.kind() == io::ErrorKind::NotFound => {}
            Err(problem) => self.mistakes.push(Mistake { origin, key: None, problem }),
        }
    }

    /// Adds the environment.
    pub fn add_environment(&mut self, environment: impl IntoIterator<Item = (OsString, OsString)>) {
        let (variables, mistakes) = environment::variables(environment);
        self.mistakes.extend(mistakes);
        for variable in variables {
            let (known, key) = (variable.known_key(), variable.dotted_key());
            let origin = Origin::Variable(variable.name);
            self.add(origin, key, known, |key| key.rule.read_text(&variable.value));
        }
    }

    /// Adds the flags; of two for the same key the later one counts.
    pub fn add_overrides(&mut self, overrides: &[Override]) {
        for given in overrides {
            let (known, key) = (Key::find(&given.key), given.key.clone());
            let origin = Origin::Flag(given.flag.clone());
            self.add(origin, key, known, |key| key.rule.read_text(&given.value));
        }
    }

    /// Adds each value of a TOML document, or the one mistake that it cannot be read.
    fn add_toml(&mut self, origin: &Origin, text: &str) {
        match Toml::from_str::<Dict>(text) {
            Ok(dict) => {
                for (key, value) in leaves("", dict) {
                    let known = Key::find(&key);
                    self.add(origin.clone(), key, known, |key| key.rule.read_value(&value));
                }
            }
            Err(error) => {
                let start = error.span().map_or(0, |span| span.start);
                let line = 1 + text.bytes().take(start).filter(|byte| *byte == b'\n').count();
                let message = error.message().replace('\n', ", ");
                let problem = Problem::Syntax { line, message };
                self.mistakes.push(Mistake { origin: origin.clone(), key: None, problem });
            }
        }
    }

    /// Adds one value: an entry if `key` is known and the value is right for it, else a mistake.
    fn add(
        &mut self,
        origin: Origin,
        key: String,
        known: Option<&'static Key>,
        read: impl FnOnce(&Key) -> Result<Setting, Problem>,
    ) {
        let known = known.ok_or_else(|| not_a_key(&key, &origin));
        match known.and_then(|known| Ok((known.name, read(known)?))) {
            Ok((key, setting)) => self.entries.push(Entry { key, setting, origin }),
            Err(problem) => self.mistakes.push(Mistake { origin, key: Some(key), problem }),
        }
    }
}

/// Why `key` is no key, in the spelling of the place where it was found.
fn not_a_key(key: &str, origin: &Origin) -> Problem {
    let spelled = |key: &str| match origin {
        Origin::Variable(_) => variable_name(key),
        _ => key.to_owned(),
    };
    let keys = Key::in_section(key);
    if keys.is_empty() {
        let nearest = spelled(Key::nearest(key));
        let key = match origin {
            Origin::Variable(name) => name.clone(),
            _ => key.to_owned(),
        };
        Problem::UnknownKey { key, nearest }
    } else {
        Problem::Section { keys: keys.into_iter().map(spelled).collect() }
    }
}

/// The dotted keys of a table with their values. Tables are opened, except where a known key
/// wants a value, and where there is nothing in an unknown one.
fn leaves(prefix: &str, dict: Dict) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    for (name, value) in dict {
        let key = dotted(prefix, &name);
        match value {
            Value::Dict(_, inner) if inner.is_empty() && !Key::in_section(&key).is_empty() => {}
            Value::Dict(_, inner) if !inner.is_empty() && Key::find(&key).is_none() => {
                found.extend(leaves(&key, inner));
            }
            value => found.push((key, value)),
        }
    }
    found
}

/// `name` within `prefix`, with quotes where TOML needs them: `"server.address"` in quotes is
/// one name and not the key `server.address`.
fn dotted(prefix: &str, name: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let name = match !name.is_empty() && name.chars().all(bare) {
        true => name.to_owned(),
        false => quoted(name),
    };
    if prefix.is_empty() { name } else { format!("{prefix}.{name}") }
}

fn read_limited(path: &Path) -> Result<String, Problem> {
    let mut text = String::new();
    let file = File::open(path).map_err(Problem::Unreadable)?;
    file.take(MAX_FILE_BYTES + 1).read_to_string(&mut text).map_err(Problem::Unreadable)?;
    if text.len() as u64 > MAX_FILE_BYTES {
        return Err(Problem::TooLarge { limit_bytes: MAX_FILE_BYTES });
    }
    Ok(text)
}
