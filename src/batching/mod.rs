//! Puts prompts of all callers together into batches for the encoder.
//!
//! The unit is one prompt; what comes back is its mask vector, and heads are applied by the
//! caller, so a batch mixes tasks freely. There is no timer: a worker takes a batch at the moment
//! it becomes free, so a prompt that comes alone leaves alone and at once.

mod cache;
mod distinct;
mod flights;
mod former;
mod panic;
mod queue;
mod worker;

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

use tokio::sync::oneshot;

use crate::{config::BatchingConfig, inference::MaskEncoder, tokenization::Prompt};

pub use cache::CacheCounters;
pub use distinct::Distinct;
use flights::{Flights, Lookup};
pub(crate) use panic::catch_panic;
use queue::{Queue, Reply};

/// What the encoder made of one prompt.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Encoded {
    /// The last hidden state at the prompt's mask.
    pub mask_vector: Arc<[f32]>,
    /// Tokens that went through the encoder for it; 0 if they went for another one's sake, then
    /// or before, and this one has its vector from the cache.
    pub tokens: usize,
    /// How long the prompt waited for a worker.
    pub queue_time: Duration,
    /// How long the encoder took for the batch that held the prompt.
    pub inference_time: Duration,
}

impl Encoded {
    /// Whether it cost no pass of its own.
    pub fn is_cached(&self) -> bool {
        self.tokens == 0
    }
}

/// Why prompts were not encoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// There is no room now; later there may be.
    #[error("{queued_tokens} tokens are waiting, and no more than {max_queued_tokens} may")]
    Full {
        /// Tokens that wait.
        queued_tokens: usize,
        /// Tokens that may wait.
        max_queued_tokens: usize,
    },
    /// There is never room for that much at once.
    #[error("{tokens} tokens at once or more; no more than {max_queued_tokens} are taken")]
    TooLarge {
        /// Tokens of the prompts, as far as they were counted.
        tokens: usize,
        /// Tokens that may wait.
        max_queued_tokens: usize,
    },
    /// The batcher takes no more prompts, or was told to forget those that wait.
    #[error("no more prompts are taken")]
    Closed,
    /// The encoder failed; the message is for the log.
    #[error("{0}")]
    Encoder(String),
}

/// A queue of prompts and the workers that empty it, one encoder each.
///
/// Dropped, it closes: what waits is still encoded, and then the workers end.
pub struct Batcher {
    queue: Arc<Queue>,
    workers: Mutex<Vec<JoinHandle<()>>>,
    /// `None` if the cache is off.
    flights: Option<Arc<Flights>>,
}

impl Batcher {
    /// Starts one worker thread for each encoder. A batch that has the machine to itself goes
    /// through `lone`, an encoder that computes with all CPUs, if there is one.
    ///
    /// # Errors
    ///
    /// If the system gives no more threads.
    pub fn start(
        encoders: Vec<Box<dyn MaskEncoder + Send>>,
        lone: Option<Box<dyn MaskEncoder + Send>>,
        config: &BatchingConfig,
    ) -> io::Result<Self> {
        let (batch, queued) = (config.max_batch_tokens.get(), config.max_queued_tokens.get());
        let queue = Arc::new(Queue::new(encoders.len(), batch, queued));
        let lone = lone.map(|lone| Arc::new(Mutex::new(lone)));
        // Made first, so that an error below closes the queue and ends the threads started so far.
        let batcher = Self { queue: Arc::clone(&queue), workers: Mutex::default(), flights: None };
        for (number, mut encoder) in encoders.into_iter().enumerate() {
            let queue = Arc::clone(&queue);
            let lone = lone.clone();
            let worker = thread::Builder::new()
                .name(format!("encoder-{number}"))
                .spawn(move || worker::run(&queue, encoder.as_mut(), lone.as_deref()))?;
            batcher.workers().push(worker);
        }
        Ok(batcher)
    }

    /// The same with a cache of mask vectors of at most this many bytes; 0 is none.
    pub fn with_cache(mut self, max_bytes: u64) -> Self {
        self.flights = (max_bytes > 0).then(|| Arc::new(Flights::new(max_bytes)));
        self
    }

    /// What the cache has done so far; `None` if it is off.
    pub fn cache_counters(&self) -> Option<CacheCounters> {
        self.flights.as_ref().map(|flights| flights.cache.counters())
    }

    /// Encodes the prompts of one call, taken in all or none. The answers come in their order.
    ///
    /// Dropping the future gives the prompts up: those that still wait cost no encoder time.
    ///
    /// # Errors
    ///
    /// If they are not taken in, or if the encoder fails on a batch that holds one of them.
    pub async fn encode(&self, mut prompts: Vec<Prompt>) -> Result<Vec<Encoded>, BatchError> {
        self.admit(&mut prompts)?.answers().await
    }

    /// The first half of [`Batcher::encode`]: takes in all prompts, after which `prompts` is
    /// empty, or none, after which it is as before.
    ///
    /// # Errors
    ///
    /// If they are not taken in.
    pub fn admit(&self, prompts: &mut Vec<Prompt>) -> Result<Admitted, BatchError> {
        if let Some(flights) = &self.flights {
            return Ok(Admitted { answers: flights.admit(prompts, &self.queue)? });
        }
        let tokens = prompts.iter().map(|prompt| prompt.input_ids.len()).sum();
        let mut answers = Vec::with_capacity(prompts.len());
        self.queue.admit(tokens, || {
            prompts.drain(..).map(|prompt| {
                let (reply, answer) = oneshot::channel();
                answers.push(Lookup::Coming(answer));
                (prompt, Reply::One(reply))
            })
        })?;
        Ok(Admitted { answers })
    }

    /// Where the prompts of one call are put together.
    pub fn distinct(&self) -> Distinct {
        Distinct::new(self.queue.max_queued_tokens())
    }

    /// Takes no more prompts. What waits is still encoded.
    pub fn close(&self) {
        self.queue.close();
    }

    /// Takes no more prompts and answers those that wait with [`BatchError::Closed`].
    pub fn abandon(&self) {
        self.queue.abandon();
    }

    /// Waits until the workers have ended, which they do after [`Batcher::close`] or
    /// [`Batcher::abandon`]. Blocks the thread.
    pub fn join(&self) {
        let workers = std::mem::take(&mut *self.workers());
        for worker in workers {
            if worker.join().is_err() {
                tracing::error!("a worker of the batcher panicked");
            }
        }
    }

    fn workers(&self) -> std::sync::MutexGuard<'_, Vec<JoinHandle<()>>> {
        // Handles are only pushed and taken: a panic in between leaves a valid list.
        self.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The prompts of one call that were taken in. Dropped, it gives them up.
pub struct Admitted {
    answers: Vec<Lookup>,
}

impl Admitted {
    /// What the encoder made of them, in their order.
    ///
    /// # Errors
    ///
    /// If the encoder fails on a batch that holds one of them.
    pub async fn answers(self) -> Result<Vec<Encoded>, BatchError> {
        let mut encoded = Vec::with_capacity(self.answers.len());
        for answer in self.answers {
            encoded.push(match answer {
                Lookup::Known(known) => known,
                Lookup::Coming(answer) => answer.await.unwrap_or_else(|_| {
                    let message = "a worker ended without an answer".to_owned();
                    Err(BatchError::Encoder(message))
                })?,
            });
        }
        Ok(encoded)
    }
}

impl Drop for Batcher {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
mod tests;
