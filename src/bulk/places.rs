//! Where an output lies, and what stands beside it.

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use super::{
    BulkError,
    state::{State, of_stream, sync_directory, with_suffix},
};

/// What is to be done about a run that was interrupted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfinished {
    /// Say so and do nothing.
    Refuse,
    /// Go on; without one, begin.
    Resume,
    /// Forget it.
    Restart,
}

/// Where an output lies, and what stands beside it.
#[derive(Debug, Clone)]
pub struct Places {
    pub out: PathBuf,
    pub partial: PathBuf,
    pub state: PathBuf,
    /// Parquet, while parts are put together.
    pub whole: PathBuf,
}

impl Places {
    /// Of an output.
    pub fn of(out: &Path) -> Self {
        let partial = with_suffix(out, ".partial");
        let (state, whole) = (with_suffix(&partial, ".state"), with_suffix(&partial, ".whole"));
        Self { out: out.to_owned(), partial, state, whole }
    }

    /// The state of a run that was interrupted, if there is one that is to go on.
    ///
    /// # Errors
    ///
    /// If there is one and nothing was said about it.
    pub fn unfinished(&self, unfinished: Unfinished) -> Result<Option<State>, BulkError> {
        match unfinished {
            Unfinished::Refuse if self.has_partial() => {
                Err(BulkError::Unfinished { path: self.partial.display().to_string() })
            }
            Unfinished::Refuse | Unfinished::Restart => Ok(None),
            Unfinished::Resume => State::read(&self.state),
        }
    }

    /// Whether something of a run is left.
    pub fn has_partial(&self) -> bool {
        self.state.exists() || self.partial.exists()
    }

    /// Whether what is left is of a run over a stream, or one that was killed before its first state:
    /// nobody goes on with either.
    ///
    /// # Errors
    ///
    /// If its state cannot be read.
    pub fn is_of_stream(&self) -> Result<bool, BulkError> {
        Ok(State::read(&self.state)?.is_none_or(|state| state.identity == of_stream()))
    }

    /// Takes away what stands beside the output.
    pub fn clear(&self) -> std::io::Result<()> {
        [&self.whole, &self.partial, &self.state].into_iter().try_for_each(|path| remove(path))
    }

    /// Whether a run that wrote all of so many rows was killed after it had put its output in place,
    /// or while it did; what it left to do is then done.
    ///
    /// # Errors
    ///
    /// If it cannot be done, or there is an output that is not of this run and does not give way.
    pub fn is_finished(&self, state: &State, rows: u64, replace: bool) -> Result<bool, BulkError> {
        // As long as there is a partial output, what stands in the place of the whole one is
        // somebody else's, or older.
        if state.counts.rows < rows || self.partial.exists() {
            return Ok(false);
        }
        if self.whole.exists() {
            self.put(&self.whole, replace)?;
        } else if !self.out.exists() {
            return Ok(false);
        }
        self.clear().map_err(BulkError::write(&self.partial.display().to_string()))?;
        Ok(true)
    }

    /// Puts a whole output in its place. With `replace` what stands there gives way.
    pub fn put(&self, from: &Path, replace: bool) -> Result<(), BulkError> {
        let name = self.out.display().to_string();
        let placed = match replace {
            true => fs::rename(from, &self.out),
            false => rename_to_nothing(from, &self.out),
        };
        match placed.and_then(|()| sync_directory(&self.out)) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                Err(BulkError::Exists { path: name })
            }
            placed => placed.map_err(BulkError::write(&name)),
        }
    }

    /// Makes the directory of the output if there is none.
    pub fn make_directory(&self) -> Result<(), BulkError> {
        let parent = self.out.parent().filter(|parent| !parent.as_os_str().is_empty());
        let Some(parent) = parent else { return Ok(()) };
        let path = parent.display().to_string();
        fs::create_dir_all(parent).map_err(|source| BulkError::Directory { path, source })
    }
}

/// Renames a file unless there is one of the new name, also one that came this very moment.
fn rename_to_nothing(from: &Path, to: &Path) -> std::io::Result<()> {
    use rustix::{
        fs::{CWD, RenameFlags, renameat_with},
        io::Errno,
    };
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // Not every file system can.
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) if to.exists() => {
            Err(ErrorKind::AlreadyExists.into())
        }
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => fs::rename(from, to),
        renamed => Ok(renamed?),
    }
}

/// Removes a file if it is there.
pub fn remove(path: &Path) -> std::io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}
