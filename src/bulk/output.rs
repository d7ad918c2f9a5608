//! The output: beside its place while it grows, in its place when it is whole.
//!
//! `FILE.partial` grows, and `FILE.partial.state` says how much of it counts and of which rows it is.
//! What is on the disk of a state was there before the state was.

use std::{
    fs::{File, OpenOptions},
    io::{BufWriter, Seek, SeekFrom, Write},
    path::Path,
    time::{Duration, Instant},
};

use super::{
    BulkError,
    least_sure::Ranking,
    places::{Places, remove},
    render::Rendered,
    source::Place,
    state::{Counts, Identity, State, sync_directory},
};
use crate::rows::{PartWriter, concatenate};

/// What rows are written to.
pub enum Output<'a> {
    File(Box<Partial>),
    Stream(&'a mut dyn Write, Counts),
    /// Written when all rows have gone by.
    Ranking(&'a mut Ranking),
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
            Self::Ranking(ranking) => {
                ranking.counts.add(counts);
                ranking.first_error = ranking.first_error.take().or_else(|| error.cloned());
                let Rendered::Picked(picked) = rows else { return Err(BulkError::ParquetStream) };
                ranking.add(picked)
            }
            Self::Stream(stream, sum) => {
                sum.add(counts);
                // Parquet does not go to a stream.
                let Rendered::Bytes(bytes) = rows else { return Err(BulkError::ParquetStream) };
                let written = stream.write_all(bytes).and_then(|()| stream.flush());
                written.map_err(BulkError::write("the output"))
            }
        }
    }

    /// What was written so far.
    pub fn counts(&self) -> Counts {
        match self {
            Self::File(partial) => partial.counts,
            Self::Stream(_, counts) => *counts,
            Self::Ranking(ranking) => ranking.counts,
        }
    }

    /// What the first row that failed was told, as far as that is kept.
    pub fn first_error(&self) -> Option<&String> {
        match self {
            Self::File(partial) => partial.first_error.as_ref(),
            Self::Ranking(ranking) => ranking.first_error.as_ref(),
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
            Self::Stream(_, _) | Self::Ranking(_) => Ok(()),
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
    concatenate(parts, length, BufWriter::new(&file))?;
    file.sync_all().map_err(&failed)
}
