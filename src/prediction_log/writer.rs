//! The thread that writes.

use std::{
    io,
    sync::{Arc, atomic::Ordering, mpsc::Receiver},
    thread::{Builder, JoinHandle},
};

use super::{
    Counts, Entry,
    entry::{Inputs, Line},
    file::RotatedFile,
};

/// Lines are handed to the system in blocks of about this size, and whenever none waits.
const BLOCK_BYTES: usize = 64 << 10;

/// What the thread is told.
pub(super) enum Message {
    Entry(Box<Entry>),
    /// Its file may be another one now.
    Reopen,
}

/// The thread that writes.
pub struct Writer {
    thread: JoinHandle<()>,
    counts: Arc<Counts>,
}

struct Writing {
    file: RotatedFile,
    inputs: Inputs,
    counts: Arc<Counts>,
    block: Vec<u8>,
    /// Lines in the block.
    lines: u64,
    /// Whether the last block was not taken.
    is_failing: bool,
}

impl Writer {
    pub(super) fn start(
        messages: Receiver<Message>,
        file: RotatedFile,
        inputs: Inputs,
        counts: Arc<Counts>,
    ) -> io::Result<Self> {
        let block = Vec::new();
        let of_writing = Arc::clone(&counts);
        let mut writing =
            Writing { file, inputs, counts: of_writing, block, lines: 0, is_failing: false };
        let thread = Builder::new().name("prediction-log".to_owned());
        let thread = thread.spawn(move || writing.run(&messages))?;
        Ok(Self { thread, counts })
    }

    /// What is counted of the lines.
    pub fn counts(&self) -> Arc<Counts> {
        Arc::clone(&self.counts)
    }

    /// Waits until all that was handed over is written, and nobody can hand over more. Blocks the thread.
    pub fn join(self) {
        if self.thread.join().is_err() {
            tracing::error!("the prediction log ended with a panic");
        }
    }
}

impl Writing {
    fn run(&mut self, messages: &Receiver<Message>) {
        while let Ok(message) = messages.recv() {
            self.take(message);
            while let Ok(message) = messages.try_recv() {
                self.take(message);
                if self.block.len() >= BLOCK_BYTES {
                    self.flush();
                }
            }
            self.flush();
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Entry(entry) => self.add(&entry),
            Message::Reopen => {
                let outcome = self.file.follow_path();
                self.report(outcome);
            }
        }
    }

    fn add(&mut self, entry: &Entry) {
        let before = self.block.len();
        let line = Line { entry, inputs: &self.inputs };
        match serde_json::to_writer(&mut self.block, &line) {
            Ok(()) => {
                self.block.push(b'\n');
                self.lines += 1;
            }
            // Strings and numbers can always be written.
            Err(error) => {
                self.block.truncate(before);
                tracing::error!(%error, "a prediction cannot be logged");
            }
        }
    }

    fn flush(&mut self) {
        if self.lines == 0 {
            return;
        }
        let outcome = self.file.write(&self.block);
        let count = match &outcome {
            Ok(()) => &self.counts.written,
            Err(_) => &self.counts.dropped,
        };
        count.fetch_add(self.lines, Ordering::Relaxed);
        self.block.clear();
        self.lines = 0;
        self.report(outcome);
    }

    /// Logs a failure once for a disk that is full, not once for a block.
    fn report(&mut self, outcome: io::Result<()>) {
        match outcome {
            Err(error) if !self.is_failing => {
                tracing::error!(%error, "predictions are not logged: the file cannot be written");
                self.is_failing = true;
            }
            Ok(()) if self.is_failing => {
                tracing::info!("predictions are logged again");
                self.is_failing = false;
            }
            _ => {}
        }
    }
}
