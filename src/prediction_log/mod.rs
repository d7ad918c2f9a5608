//! What was predicted, line by line, for audit and for the training data of tomorrow.
//!
//! Calls hand their sampled predictions to a thread of its own through a queue that is bounded: a
//! disk that is slow or full costs lines, which are counted, and never holds up a call.

mod entry;
mod file;
mod sample;
mod writer;

use std::{
    io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{SyncSender, sync_channel},
    },
};

pub use entry::{Answer, Entry};
pub use writer::Writer;

use crate::config::{LoggedInputs, PredictionLogConfig};
use entry::Inputs;
use file::RotatedFile;
use sample::Sample;
use writer::Message;

/// Entries that may wait for the disk.
const MAX_WAITING: usize = 4096;

/// Bytes of a key for hashing at least; shorter ones can be guessed.
const MIN_KEY_BYTES: usize = 16;

/// Why predictions cannot be logged.
#[derive(Debug, thiserror::Error)]
pub enum PredictionLogError {
    /// The file cannot be had.
    #[error("prediction_log.path: cannot write {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Another process writes it.
    #[error("prediction_log.path: another process writes {}: give each its own file", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// There is no key to hash with.
    #[error(
        "prediction_log.hash_key_file is not set, which inputs = \"hash\" needs: without a secret \
         key, whoever reads the log can try out texts (head -c 32 /dev/urandom > FILE makes one)"
    )]
    NoKey,
    /// The key is of no use.
    #[error("prediction_log.hash_key_file: {} {problem}", path.display())]
    Key {
        /// Its file.
        path: PathBuf,
        /// What is wrong with it, to follow the path.
        problem: String,
    },
    /// The system gives no thread.
    #[error("the prediction log cannot start: {0}")]
    Thread(io::Error),
}

/// Lines that were handed over, those of them that were written, and those that were not.
#[derive(Debug, Default)]
pub struct Counts {
    taken: AtomicU64,
    written: AtomicU64,
    dropped: AtomicU64,
}

impl Counts {
    /// Lines that are still to be written.
    pub fn waiting(&self) -> u64 {
        let over = self.written.load(Ordering::Relaxed) + self.dropped.load(Ordering::Relaxed);
        self.taken.load(Ordering::Relaxed).saturating_sub(over)
    }
}

/// Where calls leave what they predicted. Once the last one is dropped, [`Writer::join`] returns.
#[derive(Clone)]
pub struct PredictionLog {
    sender: SyncSender<Message>,
    counts: Arc<Counts>,
    sample: Arc<Sample>,
    keeps_inputs: bool,
}

impl PredictionLog {
    /// Opens the log and starts its thread; `None` if it is off.
    ///
    /// # Errors
    ///
    /// If the file or the key are not to be had.
    pub fn open(
        config: &PredictionLogConfig,
    ) -> Result<Option<(Self, Writer)>, PredictionLogError> {
        let Some(path) = config.path.clone() else { return Ok(None) };
        let inputs = inputs(config)?;
        let keeps_inputs = !matches!(inputs, Inputs::Off);
        let file = RotatedFile::open(path, config.max_file_bytes, config.max_files.get())?;
        let (sender, messages) = sync_channel(MAX_WAITING);
        let counts = Arc::new(Counts::default());
        let writer = Writer::start(messages, file, inputs, Arc::clone(&counts));
        let writer = writer.map_err(PredictionLogError::Thread)?;
        let sample = Arc::new(Sample::one_in(config.sample_one_in));
        Ok(Some((Self { sender, counts, sample, keeps_inputs }, writer)))
    }

    /// Whether the next example is one of those that are logged. Asked once for each.
    pub fn takes(&self) -> bool {
        self.sample.takes()
    }

    /// Whether entries need the texts of their fields.
    pub fn keeps_inputs(&self) -> bool {
        self.keeps_inputs
    }

    /// Logs it, or counts it if too many wait.
    pub fn put(&self, entry: Entry) {
        // Before it is handed over, so that no line is written that was not taken.
        self.counts.taken.fetch_add(1, Ordering::Relaxed);
        if self.sender.try_send(Message::Entry(Box::new(entry))).is_err() {
            self.counts.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Has the file opened anew if its path is another one now, or none. This is seen at the next
    /// line too; said here, the one before is let go at once.
    pub fn reopen(&self) {
        // Where the queue is full, there is a next line.
        let _ = self.sender.try_send(Message::Reopen);
    }

    /// Lines that were written so far.
    pub fn written(&self) -> u64 {
        self.counts.written.load(Ordering::Relaxed)
    }

    /// Lines that were not, because too many waited or the disk did not take them.
    pub fn dropped(&self) -> u64 {
        self.counts.dropped.load(Ordering::Relaxed)
    }
}

fn inputs(config: &PredictionLogConfig) -> Result<Inputs, PredictionLogError> {
    match config.inputs {
        LoggedInputs::Off => Ok(Inputs::Off),
        LoggedInputs::Full => Ok(Inputs::Full),
        LoggedInputs::Hash => {
            let path = config.hash_key_file.clone().ok_or(PredictionLogError::NoKey)?;
            let unfit = |problem: String| PredictionLogError::Key { path: path.clone(), problem };
            let key =
                file::read_key(&path).map_err(|error| unfit(format!("is of no use: {error}")))?;
            if key.len() < MIN_KEY_BYTES {
                let problem = format!("has {} bytes; expected {MIN_KEY_BYTES} or more", key.len());
                return Err(unfit(problem));
            }
            Ok(Inputs::hashed_with(&key))
        }
    }
}

#[cfg(test)]
mod tests;
