//! The trials of a search on the disk, so that one that was interrupted goes on.

use std::{
    collections::HashMap,
    fs,
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::halving::Rounds;
use crate::training::{StateError, TrainingError};

/// The record of a search.
pub struct Record {
    path: PathBuf,
    content: Content,
}

#[derive(Default, Serialize, Deserialize)]
struct Content {
    /// Values that must be the same for a search to go on, by name.
    identity: HashMap<String, String>,
    /// Steps of each round.
    rounds: Option<Vec<usize>>,
    trials: Vec<Known>,
}

#[derive(Serialize, Deserialize)]
struct Known {
    candidate: String,
    round: usize,
    rank: [f64; 2],
}

impl Record {
    /// Opens the record beside `out`; one of another search is begun anew.
    pub fn open(out: &Path, identity: HashMap<String, String>) -> Result<Self, TrainingError> {
        let path = path(out);
        let unreadable = |source| StateError::Read { path: path.display().to_string(), source };
        let known = match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice::<Content>(&bytes).ok(),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(unreadable(error).into()),
        };
        let known = known.filter(|known| known.identity == identity);
        let content = known.unwrap_or(Content { identity, ..Content::default() });
        Ok(Self { path, content })
    }

    /// The rounds that were planned.
    pub fn rounds(&self) -> Option<Rounds> {
        self.content.rounds.clone().map(|steps| Rounds { steps })
    }

    /// Keeps the plan.
    pub fn plan(&mut self, rounds: Rounds) -> Result<Rounds, TrainingError> {
        self.content.rounds = Some(rounds.steps.clone());
        self.write()?;
        Ok(rounds)
    }

    /// The rank of a trial that has ended.
    pub fn rank(&self, candidate: &str, round: usize) -> Option<[f64; 2]> {
        let mut trials = self.content.trials.iter();
        let found = trials.find(|known| known.candidate == candidate && known.round == round);
        found.map(|known| known.rank)
    }

    /// Keeps a trial's rank.
    pub fn add(
        &mut self,
        candidate: &str,
        round: usize,
        rank: [f64; 2],
    ) -> Result<(), TrainingError> {
        if self.rank(candidate, round).is_some() {
            return Ok(());
        }
        self.content.trials.push(Known { candidate: candidate.to_owned(), round, rank });
        self.write()
    }

    /// Writes the record, whole or not at all.
    fn write(&self) -> Result<(), TrainingError> {
        let unwritable =
            |source| StateError::Write { path: self.path.display().to_string(), source };
        let bytes = serde_json::to_vec(&self.content).map_err(std::io::Error::other);
        let directory = self.path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let written = bytes.and_then(|bytes| {
            let mut file =
                tempfile::NamedTempFile::new_in(directory.unwrap_or_else(|| Path::new(".")))?;
            file.write_all(&bytes)?;
            file.persist(&self.path).map_err(|error| error.error)?;
            Ok(())
        });
        Ok(written.map_err(unwritable)?)
    }
}

/// Removes the record beside `out`, if there is one.
pub fn remove(out: &Path) -> Result<(), TrainingError> {
    let path = path(out);
    match fs::remove_file(&path) {
        Err(source) if source.kind() != ErrorKind::NotFound => {
            Err(StateError::Write { path: path.display().to_string(), source }.into())
        }
        _ => Ok(()),
    }
}

/// A hidden file beside the checkpoint.
fn path(out: &Path) -> PathBuf {
    let name = out.file_name().unwrap_or_default().to_string_lossy();
    out.with_file_name(format!(".{name}.search"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_goes_on_from_its_own_record_and_from_no_other() {
        let home = tempfile::tempdir().expect("a directory");
        let out = home.path().join("model");
        let identity = |seed: &str| HashMap::from([("seed".to_owned(), seed.to_owned())]);
        let mut record = Record::open(&out, identity("1")).expect("none yet");
        assert_eq!((record.rounds(), record.rank("a", 0)), (None, None));
        record.plan(Rounds { steps: vec![10, 20] }).expect("kept");
        record.add("a", 0, [0.5, -1.0]).expect("kept");
        let again = Record::open(&out, identity("1")).expect("kept");
        assert_eq!(again.rounds(), Some(Rounds { steps: vec![10, 20] }));
        assert_eq!((again.rank("a", 0), again.rank("a", 1)), (Some([0.5, -1.0]), None));
        assert_eq!(Record::open(&out, identity("2")).expect("another").rank("a", 0), None);
        remove(&out).expect("removed");
        remove(&out).expect("nothing to remove");
        assert_eq!(fs::read_dir(home.path()).expect("a directory").count(), 0);
    }
}
