//! The output: beside its place while it grows, in its place when it is whole.
//!
//! `FILE.partial` grows, and `FILE.partial.state` says how much of it counts and of which rows it is.
//! What is on the disk of a state was there before the state was.

use std::{
    fs::{self, File, OpenOptions},
    io::{BufWriter, ErrorKind, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use super::{
    BulkError,
    columnar::{self, PartWriter},
    render::Rendered,
    source::Place,
    state::{Counts, Identity, State, sync_directory, with_suffix},
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
    partial: PathBuf,
    state: PathBuf,
    /// Parquet, while parts are put together.
    whole: PathBuf,
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

    /// Takes away what stands beside the output.
    fn clear(&self) -> std::io::Result<()> {
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
    fn put(&self, from: &Path, replace: bool) -> Result<(), BulkError> {
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
    fn make_directory(&self) -> Result<(), BulkError> {
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

fn remove(path: &Path) -> std::io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// What rows are written to.
pub enum Output<'a> {
    File(Box<Partial>),
    Stream(&'a mut dyn Write, Counts),
}

impl Output<'_> {
    /// Takes in the rows up to a place.
    ///
    /// # Errors
    ///
    /// If they cannot be written.
    pub fn write(
        &mut self,
        rows: &Rendered,
        end: Place,
        counts: Counts,
        error: Option<&String>,
    ) -> Result<(), BulkError> {
        match self {
            Self::File(partial) => partial.write(rows, end, counts, error),
            Self::Stream(stream, sum) => {
                sum.add(counts);
                // Parquet does not go to a stream.
                let Rendered::Bytes(bytes) = rows else { return Err(BulkError::ParquetStream) };
                let written = stream.write_all(bytes).and_then(|()| stream.flush());
                written.map_err(BulkError::write("standard output"))
            }
        }
    }

    /// What was written so far.
    pub fn counts(&self) -> Counts {
        match self {
            Self::File(partial) => partial.counts,
            Self::Stream(_, counts) => *counts,
        }
    }

    /// What the first row that failed was told, as far as that is kept.
    pub fn first_error(&self) -> Option<&String> {
        match self {
            Self::File(partial) => partial.first_error.as_ref(),
            Self::Stream(_, _) => None,
        }
    }

    /// Keeps what was written, so that another run can go on from there.
    ///
    /// # Errors
    ///
    /// If it cannot be kept.
    pub fn keep(&mut self) -> Result<(), BulkError> {
        match self {
            Self::File(partial) => partial.save(),
            Self::Stream(_, _) => Ok(()),
        }
    }
}

/// An output that is not yet whole.
pub struct Partial {
    places: Places,
    file: File,
    /// Encodes rows of Parquet, which are written part by part.
    parts: Option<PartWriter>,
    state: State,
    /// As the state has it, and with what came since.
    counts: Counts,
    first_error: Option<String>,
    /// Where the rows end that were taken in.
    end: Place,
    /// Between two states at least.
    interval: Duration,
    saved: Option<Instant>,
}

/// What a new output begins with.
pub struct Beginning {
    pub identity: Identity,
    /// Before the first row.
    pub header: Vec<u8>,
    /// Where the first row is.
    pub place: Place,
}

impl Partial {
    /// Begins an output, or goes on with one. For Parquet with what encodes it.
    ///
    /// # Errors
    ///
    /// If another process writes it, or it cannot be written.
    pub fn open(
        places: Places,
        beginning: Beginning,
        unfinished: Option<State>,
        mut parts: Option<PartWriter>,
        interval: Duration,
    ) -> Result<Self, BulkError> {
        let name = places.partial.display().to_string();
        places.make_directory()?;
        let is_new = unfinished.is_none();
        let options =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).clone();
        let file = options.open(&places.partial).map_err(BulkError::write(&name))?;
        if file.try_lock().is_err() {
            return Err(BulkError::Busy { path: name });
        }
        let Beginning { identity, mut header, place } = beginning;
        if let (Some(parts), true) = (&mut parts, is_new) {
            header = parts.empty()?;
        }
        let state = unfinished.unwrap_or_else(|| State {
            identity,
            place,
            written: header.len() as u64,
            counts: Counts::default(),
            first_error: None,
        });
        let (counts, end, first_error) = (state.counts, state.place, state.first_error.clone());
        let saved = None;
        let mut partial =
            Self { places, file, parts, state, counts, first_error, end, interval, saved };
        partial.place(is_new.then_some(&header))?;
        Ok(partial)
    }

    /// Forgets what was written after the state, or everything for a new beginning.
    fn place(&mut self, header: Option<&Vec<u8>>) -> Result<(), BulkError> {
        let name = self.name();
        let (file, written) = (&mut self.file, self.state.written);
        let state = &self.places.state;
        let mut placed = || -> std::io::Result<()> {
            if let Some(header) = header {
                // First, so that an old state never stands beside a new output.
                remove(state)?;
                file.set_len(0)?;
                file.write_all(header)?;
            }
            if file.metadata()?.len() < written {
                return Err(std::io::Error::other("it is shorter than it was"));
            }
            file.set_len(written)?;
            file.seek(SeekFrom::Start(written))?;
            Ok(())
        };
        placed().map_err(BulkError::write(&name))
    }

    fn name(&self) -> String {
        self.places.partial.display().to_string()
    }

    fn write(
        &mut self,
        rows: &Rendered,
        end: Place,
        counts: Counts,
        error: Option<&String>,
    ) -> Result<(), BulkError> {
        self.counts.add(counts);
        self.first_error = self.first_error.take().or_else(|| error.cloned());
        self.end = end;
        match (rows, &mut self.parts) {
            (Rendered::Bytes(bytes), None) => {
                self.append(bytes)?;
                if self.saved.is_none_or(|saved| saved.elapsed() >= self.interval) {
                    self.save()?;
                }
            }
            (Rendered::Batches(batches), Some(parts)) => {
                if let Some(part) = parts.write(batches)? {
                    self.append(&part)?;
                    self.save()?;
                }
            }
            _ => return Err(BulkError::ParquetStream),
        }
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), BulkError> {
        let name = self.name();
        self.file.write_all(bytes).map_err(BulkError::write(&name))?;
        self.state.written += bytes.len() as u64;
        (self.state.place, self.state.counts) = (self.end, self.counts);
        self.state.first_error.clone_from(&self.first_error);
        Ok(())
    }

    /// Writes the state; of Parquet, of the parts that are finished.
    fn save(&mut self) -> Result<(), BulkError> {
        self.file.sync_data().map_err(BulkError::write(&self.name()))?;
        self.state.write(&self.places.state)?;
        self.saved = Some(Instant::now());
        Ok(())
    }

    /// Puts the output in its place. With `replace` what stands there gives way.
    ///
    /// # Errors
    ///
    /// If it cannot be put there; what was written is kept.
    pub fn finish(mut self, replace: bool) -> Result<(), BulkError> {
        if let Some(part) = self.parts.as_mut().map(PartWriter::finish).transpose()?.flatten() {
            self.append(&part)?;
        }
        self.save()?;
        let places = &self.places;
        let Places { out, partial, whole, .. } = places;
        // Looked at again: a long time may lie between the beginning and now.
        if !replace && out.exists() {
            return Err(BulkError::Exists { path: out.display().to_string() });
        }
        match self.parts {
            None => places.put(partial, replace)?,
            Some(_) => {
                join(&self.file, self.state.written, whole)?;
                // Only without a partial output is one in its place known to be of this run.
                let given_up = sync_directory(whole).and_then(|()| remove(partial));
                given_up.map_err(BulkError::write(&partial.display().to_string()))?;
                places.put(whole, replace)?;
            }
        }
        places.clear().map_err(BulkError::write(&out.display().to_string()))
    }
}

fn join(parts: &File, length: u64, whole: &Path) -> Result<(), BulkError> {
    let failed = BulkError::write(&whole.display().to_string());
    let parts = parts.try_clone().map_err(&failed)?;
    let file = File::create(whole).map_err(&failed)?;
    columnar::concatenate(parts, length, BufWriter::new(&file))?;
    file.sync_all().map_err(&failed)
}
