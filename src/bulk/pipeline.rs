//! Chunks on their way: one thread reads, a few see chunks through, and the caller's writes, in
//! order.
//!
//! A chunk is read only when there is room for it, so that what is in memory does not depend on the
//! size of the file, however slow writing is or one chunk takes.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread,
};

use arrow_schema::SchemaRef;

use super::{
    BulkError, LeastSure, Observer, Progress,
    columns::Layout,
    output::Output,
    parse::{Parsed, parse},
    render::{Outcome, Rendered, render},
    scoring::{LOOK_EVERY, Scored, Scorer, Stop},
    source::{Chunk, Place, Source},
    state::Counts,
};
use crate::{panics::catch_panic, rows::Dialect};

/// Chunks that are computed at a time: while threads finish the last batches of one, the others
/// have the next.
const COMPUTED: usize = 3;

/// Chunks that were read and not yet written.
pub const MAX_CHUNKS: usize = COMPUTED + 2;

/// What happens to a chunk.
pub struct Stages<'a> {
    pub scorer: Scorer<'a>,
    pub layout: &'a Layout,
    pub input: Dialect,
    /// Of a Parquet output.
    pub schema: Option<SchemaRef>,
    /// Selection of rows, if not all are wanted.
    pub least_sure: Option<LeastSure>,
    pub stop: &'a Stop<'a>,
}

/// A chunk that is ready.
struct Ready {
    rows: Rendered,
    end: Place,
    counts: Counts,
    /// What the first row that failed was told.
    error: Option<String>,
}

/// How a chunk ends: ready, given up, or with an error.
type Ended = Result<Option<Ready>, BulkError>;

/// The chunks that are to be written.
pub struct Line<'a, 'o> {
    pub output: &'a mut Output<'o>,
    pub observer: &'a mut dyn Observer,
    /// Rows that there will be, if that is known.
    pub total: Option<u64>,
    pub max_errors: Option<u64>,
    /// Whether another run can go on with what is kept of this one.
    pub can_resume: bool,
}

impl Stages<'_> {
    /// Takes all chunks of a source to the output.
    ///
    /// # Errors
    ///
    /// If reading or writing fails, too many rows do, or nobody wants the rest. What came before is
    /// kept.
    pub fn run(&self, source: Source<'_>, mut line: Line<'_, '_>) -> Result<(), BulkError> {
        let (room, has_room) = sync_channel(MAX_CHUNKS);
        let (read, to_compute) = sync_channel(1);
        let (computed, to_write) = sync_channel(MAX_CHUNKS);
        // Gone as soon as nobody computes, so that the reader does not wait for ever.
        let to_compute = Arc::new(Mutex::new(to_compute));
        thread::scope(|scope| {
            let spawn = |name: &str| thread::Builder::new().name(name.to_owned());
            let threads = |error: std::io::Error| BulkError::Threads(error.to_string());
            for _ in 0..COMPUTED {
                let (to_compute, computed) = (Arc::clone(&to_compute), computed.clone());
                let work = move || self.compute_all(&to_compute, &computed);
                spawn("chunk").spawn_scoped(scope, work).map_err(threads)?;
            }
            drop((to_compute, computed));
            let work = move || read_all(source, &has_room, &read);
            spawn("read").spawn_scoped(scope, work).map_err(threads)?;
            let written = self.write_all(&to_write, &room, &mut line);
            // Others see by that, and by the channels that end here, that they are not needed.
            self.stop.set();
            drop((to_write, room));
            written
        })
    }

    fn compute_all(
        &self,
        chunks: &Mutex<Receiver<(u64, Result<Chunk, BulkError>)>>,
        computed: &SyncSender<(u64, Ended)>,
    ) {
        loop {
            let next = chunks.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok((number, chunk)) = next else { return };
            // A chunk that never came would be waited for.
            let ended = chunk.and_then(|chunk| caught(|| self.compute(chunk)));
            if computed.send((number, ended)).is_err() {
                return;
            }
        }
    }

    fn compute(&self, Chunk { piece, end }: Chunk) -> Ended {
        let Parsed { rows, examples } = parse(piece, &self.input, self.layout);
        let Ok(Scored { outcomes, tokens, unknown }) = self.scorer.score(examples) else {
            return Ok(None);
        };
        let is_cut = |outcome: &&Outcome| outcome.as_ref().is_ok_and(|found| found.truncated);
        let counts = Counts {
            rows: outcomes.len() as u64,
            errors: outcomes.iter().filter(|outcome| outcome.is_err()).count() as u64,
            truncated: outcomes.iter().filter(is_cut).count() as u64,
            unknown,
            tokens,
        };
        let first = end.rows - counts.rows + 1;
        let error = (first..).zip(&outcomes).find_map(|(row, outcome)| {
            outcome.as_ref().err().map(|error| format!("row {row}: {error}"))
        });
        let (layout, schema) = (self.layout, self.schema.as_ref());
        let rows = match self.least_sure {
            None => render(&rows, &outcomes, layout, schema)?,
            Some(wanted) => Rendered::Picked(wanted.pick(&rows, &outcomes, first, layout, schema)?),
        };
        Ok(Some(Ready { rows, end, counts, error }))
    }

    fn write_all(
        &self,
        chunks: &Receiver<(u64, Ended)>,
        room: &SyncSender<()>,
        line: &mut Line<'_, '_>,
    ) -> Result<(), BulkError> {
        // There is never less room than chunks on their way, so this does not wait.
        let give_room = || {
            let _ = room.try_send(());
        };
        (0..MAX_CHUNKS).for_each(|_| give_room());
        let (mut waiting, mut next) = (BTreeMap::new(), 0);
        loop {
            match chunks.recv_timeout(LOOK_EVERY) {
                Ok((number, ended)) => _ = waiting.insert(number, ended),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
            while let Some(ended) = waiting.remove(&next) {
                match ended {
                    Ok(Some(ready)) => line.write(&ready)?,
                    Ok(None) => return line.interrupted(),
                    // What a reader is told that is to stop.
                    Err(error) if error.is_read() && self.stop.is_set() => {
                        return line.interrupted();
                    }
                    Err(error) => {
                        line.output.keep()?;
                        return Err(error);
                    }
                }
                next += 1;
                give_room();
            }
            if self.stop.is_set() {
                return line.interrupted();
            }
        }
    }
}

/// What work comes to, a panic included: nothing of it is looked at afterwards.
fn caught<T>(work: impl FnOnce() -> Result<T, BulkError>) -> Result<T, BulkError> {
    catch_panic(work).unwrap_or_else(|message| Err(BulkError::Panicked { message }))
}

fn read_all(
    mut source: Source<'_>,
    has_room: &Receiver<()>,
    read: &SyncSender<(u64, Result<Chunk, BulkError>)>,
) {
    for number in 0.. {
        if has_room.recv().is_err() {
            return;
        }
        let Some(chunk) = caught(|| source.next()).transpose() else { return };
        let is_last = chunk.is_err();
        if read.send((number, chunk)).is_err() || is_last {
            return;
        }
    }
}

impl Line<'_, '_> {
    fn write(&mut self, ready: &Ready) -> Result<(), BulkError> {
        let Ready { rows, end, counts, error } = ready;
        self.output.write(rows, *end, *counts, error.as_ref())?;
        let counts = self.output.counts();
        self.observer.advanced(&Progress { counts, total: self.total });
        match self.max_errors {
            Some(limit) if counts.errors > limit => {
                self.output.keep()?;
                let first = self.output.first_error().or(error.as_ref()).cloned();
                let (errors, first) = (counts.errors, first.unwrap_or_default());
                Err(BulkError::TooManyErrors { errors, limit, first })
            }
            _ => Ok(()),
        }
    }

    fn interrupted(&mut self) -> Result<(), BulkError> {
        self.output.keep()?;
        let kept = self.can_resume && matches!(self.output, Output::File(_));
        Err(BulkError::Interrupted { rows: self.output.counts().rows, kept })
    }
}
