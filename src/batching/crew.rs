//! The workers of a batcher: started, watched, replaced and waited for.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

use super::{
    BatchError,
    heartbeat::Heartbeat,
    post::{Post, Running},
    queue::{Queue, Ran},
    worker::{self, Lone},
};
use crate::inference::MaskEncoder;

/// How long workers may take to end; more than the longest batch does.
const PATIENCE: Duration = Duration::from_secs(30);

/// Most workers of a crew that were given up and are still at their batches. Each holds an encoder,
/// and where all that take their places are lost too, more of them would only fill the memory.
const MAX_LOST: usize = 8;

/// Makes an encoder for a worker that takes the place of another; the error is for the log.
pub type Replacements = Box<dyn Fn() -> Result<Box<dyn MaskEncoder + Send>, String> + Send + Sync>;

pub(super) struct Crew {
    queue: Arc<Queue>,
    lone: Option<Arc<Lone>>,
    workers: Mutex<Vec<Worker>>,
    /// Those that were given up and replaced.
    lost: Mutex<Vec<JoinHandle<()>>>,
    /// `None` if none can be had: a place that is lost stays empty.
    pub(super) replacements: Option<Replacements>,
    pub(super) heartbeat: Arc<Heartbeat>,
}

/// A place at the queue.
struct Worker {
    number: usize,
    post: Arc<Post>,
    thread: JoinHandle<()>,
}

impl Crew {
    pub(super) fn new(queue: Arc<Queue>, lone: Option<Box<dyn MaskEncoder + Send>>) -> Self {
        let lone = lone.map(|lone| Arc::new(Mutex::new(lone)));
        Self {
            queue,
            lone,
            workers: Mutex::default(),
            lost: Mutex::default(),
            replacements: None,
            heartbeat: Arc::default(),
        }
    }

    /// Starts another worker.
    ///
    /// # Errors
    ///
    /// If the system gives no more threads.
    pub(super) fn start(&self, encoder: Box<dyn MaskEncoder + Send>) -> io::Result<()> {
        let mut workers = self.workers();
        let worker = self.spawn(workers.len(), encoder)?;
        workers.push(worker);
        Ok(())
    }

    fn spawn(&self, number: usize, mut encoder: Box<dyn MaskEncoder + Send>) -> io::Result<Worker> {
        let post = Arc::new(Post::new(Arc::clone(&self.heartbeat)));
        let (queue, lone) = (Arc::clone(&self.queue), self.lone.clone());
        queue.joined();
        let at_post = AtPost { queue: Arc::clone(&queue), post: Arc::clone(&post) };
        let thread = thread::Builder::new().name(format!("encoder-{number}")).spawn(move || {
            // Moved in: also a panic takes it along.
            let at_post = at_post;
            worker::run(&queue, &at_post.post, encoder.as_mut(), lone.as_deref());
        })?;
        Ok(Worker { number, post, thread })
    }

    /// Whether no worker has been at one batch for longer than `patience` or has ended though nobody
    /// told it to.
    pub(super) fn is_whole(&self, patience: Duration) -> bool {
        let is_lost = |worker: &Worker| {
            worker.post.is_late(patience)
                || worker.post.is_given_up()
                || (worker.thread.is_finished() && !self.queue.is_closed())
        };
        !self.workers().iter().any(is_lost)
    }

    /// Replaces workers that have been at one batch for longer than `patience`, or have ended though
    /// nobody told them to; the callers of such a batch get an error. Returns whether all places are
    /// filled. Makes encoders, which takes a while: not for an async thread.
    pub(super) fn tend(&self, patience: Duration) -> bool {
        let mut all_there = true;
        let mut workers = self.workers();
        for worker in workers.iter_mut() {
            let has_ended = worker.thread.is_finished() && !self.queue.is_closed();
            if let Some(running) = worker.post.give_up((!has_ended).then_some(patience)) {
                self.answer_for(worker, running, has_ended);
            }
            if has_ended || worker.post.is_given_up() {
                all_there &= self.replace(worker);
            }
        }
        if is_deserted(&workers) {
            // Whoever waits would do so until there is one, which may be never.
            self.queue.turn_away("no worker is left");
        }
        all_there
    }

    /// Whether there is no worker: all are lost, and none was replaced.
    pub(super) fn is_deserted(&self) -> bool {
        is_deserted(&self.workers())
    }

    fn answer_for(&self, worker: &Worker, running: Running, has_ended: bool) {
        let message = match has_ended {
            true => format!("the worker encoder-{} has ended", worker.number),
            false => format!("the worker encoder-{} does not come back", worker.number),
        };
        tracing::error!(prompts = running.callers.len(), reason = message, "a worker is lost");
        let (tokens, time) = (running.tokens, Duration::ZERO);
        self.queue.done(Ran { tokens, time, by_worker: false, succeeded: false });
        if !has_ended {
            // It may never leave, and nobody waits for it.
            self.queue.left();
        }
        for caller in running.callers {
            caller.reply.send(Err(BatchError::Encoder(message.clone())));
        }
    }

    fn replace(&self, worker: &mut Worker) -> bool {
        let Some(replacements) = &self.replacements else { return false };
        // Pushed to and removed from, which a panic cannot leave half done.
        let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        lost.retain(|thread| !thread.is_finished());
        if lost.len() >= MAX_LOST {
            tracing::error!(
                lost = lost.len(),
                "too many workers do not come back: none is replaced"
            );
            return false;
        }
        let replaced = replacements()
            .and_then(|encoder| {
                self.spawn(worker.number, encoder).map_err(|error| error.to_string())
            })
            .inspect_err(|message| {
                tracing::error!(worker = worker.number, reason = message, "no replacement");
            });
        let Ok(replacement) = replaced else { return false };
        tracing::warn!(worker = worker.number, "a worker was replaced");
        lost.push(std::mem::replace(worker, replacement).thread);
        true
    }

    /// Waits until the workers have ended, as they do once the queue is closed and empty, but not for
    /// ever. Blocks the thread.
    pub(super) fn join(&self) {
        if !self.queue.until_left(PATIENCE) {
            tracing::error!("a worker does not come back and is left behind");
            return;
        }
        for worker in std::mem::take(&mut *self.workers()) {
            // One that was given up may still be at its batch.
            if !worker.post.is_given_up() && worker.thread.join().is_err() {
                tracing::error!(worker = worker.number, "a worker panicked");
            }
        }
    }

    fn workers(&self) -> MutexGuard<'_, Vec<Worker>> {
        // Each place is changed in one step: a panic in between leaves a valid list.
        self.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_deserted(workers: &[Worker]) -> bool {
    workers.iter().all(|worker| worker.post.is_given_up() || worker.thread.is_finished())
}

/// Tells the queue when a worker has ended, in whatever way.
struct AtPost {
    queue: Arc<Queue>,
    post: Arc<Post>,
}

impl Drop for AtPost {
    fn drop(&mut self) {
        if !self.post.is_given_up() {
            self.queue.left();
        }
    }
}
