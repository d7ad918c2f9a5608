//! How far a run has come, kept beside its output so that one that was killed can go on.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{BulkError, source::Place};

/// Bytes of the largest state that is read.
const MAX_STATE_BYTES: u64 = 16 << 20;

/// What makes two runs the same: they write the same bytes. By name, for messages.
pub type Identity = BTreeMap<String, String>;

/// The identity of a run over a stream, with which no other run goes on.
pub fn of_stream() -> Identity {
    Identity::from([("the input".to_owned(), "a stream".to_owned())])
}

/// What was counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    /// Rows that are written.
    pub rows: u64,
    /// Those of them that failed.
    pub errors: u64,
    /// Those whose text was cut to fit.
    pub truncated: u64,
    /// Rows of whose tokens the encoder's tokenizer knows less than half.
    pub unknown: u64,
    /// Tokens that went through the encoder.
    pub tokens: u64,
}

impl Counts {
    pub(super) fn add(&mut self, other: Self) {
        self.rows += other.rows;
        self.errors += other.errors;
        self.truncated += other.truncated;
        self.unknown += other.unknown;
        self.tokens += other.tokens;
    }
}

/// How far a run has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    pub identity: Identity,
    /// Where the next row of the input is.
    pub place: Place,
    /// Bytes of the partial output that are of the rows before it.
    pub written: u64,
    pub counts: Counts,
    /// What the first row that failed was told.
    pub first_error: Option<String>,
}

impl State {
    /// Reads a state; `None` if there is none.
    ///
    /// # Errors
    ///
    /// If there is something else.
    pub fn read(path: &Path) -> Result<Option<Self>, BulkError> {
        let name = path.display().to_string();
        let bytes = match fs::metadata(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            metadata => metadata.map_err(BulkError::read(&name))?.len(),
        };
        let unusable = |message: String| BulkError::State { path: name.clone(), message };
        if bytes > MAX_STATE_BYTES {
            return Err(unusable(format!("it has {bytes} bytes")));
        }
        let text = fs::read(path).map_err(BulkError::read(&name))?;
        serde_json::from_slice(&text).map(Some).map_err(|error| unusable(error.to_string()))
    }

    /// Puts the state in its place, whole and for good.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), BulkError> {
        let name = path.display().to_string();
        let new = with_suffix(path, ".new");
        let written = || -> std::io::Result<()> {
            let mut file = File::create(&new)?;
            file.write_all(&serde_json::to_vec(self)?)?;
            file.sync_all()?;
            fs::rename(&new, path)?;
            sync_directory(path)
        };
        written().map_err(BulkError::write(&name))
    }

    /// Whether the run goes on with what is asked now.
    ///
    /// # Errors
    ///
    /// What is another, if not.
    pub fn check(&self, now: &Identity) -> Result<(), BulkError> {
        let names = self.identity.keys().chain(now.keys());
        let value = |of: &Identity, name: &String| of.get(name).cloned().unwrap_or_default();
        for name in names {
            let (was, is) = (value(&self.identity, name), value(now, name));
            if was != is {
                return Err(BulkError::Differs { what: name.clone(), was, is });
            }
        }
        Ok(())
    }
}

/// A file's name with something after it.
pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Makes what was renamed in a file's directory last.
pub(super) fn sync_directory(of: &Path) -> std::io::Result<()> {
    let parent = of.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> State {
        State {
            identity: BTreeMap::from([("the input".to_owned(), "a".to_owned())]),
            place: Place { rows: 7, ..Place::default() },
            written: 100,
            counts: Counts { rows: 7, errors: 1, truncated: 2, unknown: 3, tokens: 99 },
            first_error: Some("line 3: no".to_owned()),
        }
    }

    #[test]
    fn a_state_is_read_as_it_was_written() {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("out.csv.partial.state");
        assert_eq!(State::read(&path).expect("readable"), None);
        state().write(&path).expect("written");
        assert_eq!(State::read(&path).expect("readable"), Some(state()));
        assert_eq!(fs::read_dir(home.path()).expect("a directory").count(), 1);
        fs::write(&path, "{\"rows\":").expect("written");
        let error = State::read(&path).expect_err("damaged").to_string();
        assert!(error.contains("state") && error.contains("--restart"), "{error}");
    }

    #[test]
    fn a_run_goes_on_only_as_the_same() {
        let mut now = state().identity;
        assert!(state().check(&now).is_ok());
        now.insert("the input".to_owned(), "b".to_owned());
        let error = state().check(&now).expect_err("another").to_string();
        assert!(error.contains("the input was a, and now is b"), "{error}");
    }
}
