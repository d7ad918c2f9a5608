//! Puts prompts of all callers together into batches for the encoder.
//!
//! The unit is one prompt; what comes back is its mask vector, and heads are applied by the
//! caller, so a batch mixes tasks freely. There is no timer: a worker takes a batch at the moment
//! it becomes free, so a prompt that comes alone leaves alone and at once.

mod admission;
mod cache;
mod crew;
mod distinct;
mod flights;
mod former;
mod heartbeat;
mod line;
mod post;
mod queue;
mod reply;
mod worker;

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use crate::{
    config::BatchingConfig, inference::MaskEncoder, metrics::BatchMetrics, tokenization::Prompt,
};

use admission::InWork;
pub use admission::{Load, Terms};
pub use cache::CacheCounters;
use crew::Crew;
pub use crew::Replacements;
pub use distinct::Distinct;
use flights::{Flights, Lookup};
use queue::Queue;
pub use queue::{Pulse, Situation};
use reply::{Answer, Reply};

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
    /// The batch that held the prompt; `None` if its vector was in the cache.
    pub batch: Option<Batched>,
}

/// A batch that was computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batched {
    /// When a worker took it.
    pub started: Instant,
    /// Prompts in it, of whatever calls.
    pub prompts: usize,
    /// Their tokens.
    pub tokens: usize,
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
    /// Too much waits for one more call to be served in time; later there may be less.
    #[error("calls wait for about {wait:.1?} now, and no longer than {max_wait:.1?} may be")]
    Overloaded {
        /// How long the call would have waited, or has.
        wait: Duration,
        /// How long it may.
        max_wait: Duration,
    },
    /// What waits would be done too late for the caller.
    #[error("it would take about {wait:.1?} now, and the deadline is in {left:.1?}")]
    TooLate {
        /// How long it would take.
        wait: Duration,
        /// How long the caller waits.
        left: Duration,
    },
    /// The calls of one connection take up too much; when some are done, there is room again.
    #[error("{tokens} tokens of this connection are in work, and no more than {max_tokens} may be")]
    ConnectionFull {
        /// Tokens of its other calls.
        tokens: usize,
        /// Tokens of all its calls together.
        max_tokens: usize,
    },
    /// The caller's deadline is over.
    #[error("the deadline is over")]
    Expired,
    /// There is never room for that much at once.
    #[error("{tokens} tokens at once or more; no more than {max_queued_tokens} are taken")]
    TooLarge {
        /// Tokens of the prompts, as far as they were counted.
        tokens: usize,
        /// Tokens that may wait.
        max_queued_tokens: usize,
    },
    /// The batcher takes no more prompts, or was told to forget those that wait.
    #[error("the server is stopping")]
    Closed,
    /// The encoder failed; the message is for the log.
    #[error("{0}")]
    Encoder(String),
}

impl BatchError {
    /// Whether it passes as soon as other calls of the same caller are done.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Full { .. } | Self::Overloaded { .. } | Self::ConnectionFull { .. })
    }
}

/// A queue of prompts and the workers that empty it, one encoder each.
///
/// Dropped, it closes: what waits is still encoded, and then the workers end.
pub struct Batcher {
    queue: Arc<Queue>,
    crew: Crew,
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
        let queue = Arc::new(Queue::new(encoders.len(), config));
        let crew = Crew::new(Arc::clone(&queue), lone);
        // Made first, so that an error below closes the queue and ends the threads started so far.
        let batcher = Self { queue, crew, flights: None };
        for encoder in encoders {
            batcher.crew.start(encoder)?;
        }
        Ok(batcher)
    }

    /// The same with encoders for workers that have to be replaced.
    pub fn with_replacements(mut self, replacements: Replacements) -> Self {
        self.crew.replacements = Some(replacements);
        self
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
        self.admit(&mut prompts, &Terms::default())?.answers().await
    }

    /// Whether a call on these terms has a chance to be taken in now: if not, nothing need be done
    /// for it.
    ///
    /// # Errors
    ///
    /// If it would be refused, however small.
    pub fn check(&self, terms: &Terms) -> Result<(), BatchError> {
        // What is remembered can be answered at any time.
        if self.flights.is_some() { Ok(()) } else { self.queue.check(terms) }
    }

    /// The first half of [`Batcher::encode`]: takes in all prompts, after which `prompts` is
    /// empty, or none, after which it is as before.
    ///
    /// # Errors
    ///
    /// If they are not taken in.
    pub fn admit(&self, prompts: &mut Vec<Prompt>, terms: &Terms) -> Result<Admitted, BatchError> {
        let tokens = prompts.iter().map(|prompt| prompt.input_ids.len()).sum();
        let answers = match &self.flights {
            Some(flights) => flights.admit(prompts, terms, &self.queue)?,
            None => {
                let mut answers = Vec::with_capacity(prompts.len());
                self.queue.admit(tokens, terms, || {
                    prompts.drain(..).map(|prompt| {
                        let (reply, answer) = oneshot::channel();
                        answers.push(Lookup::Coming(answer));
                        (prompt, Reply::One(reply))
                    })
                })?;
                answers
            }
        };
        let in_work = terms.connection.as_ref().map(|load| Arc::clone(load).add(tokens));
        Ok(Admitted { answers, gone: Gone(Some(Arc::clone(&self.queue))), _in_work: in_work })
    }

    /// Encodes a prompt before all that wait and whatever the limits, to see whether the encoders
    /// work.
    ///
    /// # Errors
    ///
    /// If the batcher is closed or the encoder fails.
    pub async fn probe(&self, prompt: Prompt) -> Result<Encoded, BatchError> {
        let (reply, answer) = oneshot::channel();
        self.queue.admit_first(prompt, Reply::One(reply))?;
        arrived(answer).await
    }

    /// How the encoders have been doing.
    pub fn pulse(&self) -> Pulse {
        self.queue.pulse()
    }

    /// How much there is to do.
    pub fn situation(&self) -> Situation {
        self.queue.situation()
    }

    /// What the workers have counted so far.
    pub fn metrics(&self) -> &BatchMetrics {
        self.queue.metrics()
    }

    /// Whether every worker is there and none has been at one batch for longer than `patience`.
    pub fn is_whole(&self, patience: Duration) -> bool {
        self.crew.is_whole(patience)
    }

    /// Whether no worker is there: all are lost, and could not be replaced.
    pub fn is_deserted(&self) -> bool {
        self.crew.is_deserted()
    }

    /// Gives up workers that have been at one batch for longer than `patience` or have died, and puts
    /// others in their places. Returns whether all are there. Takes a while: not for an async thread.
    pub fn tend(&self, patience: Duration) -> bool {
        self.crew.tend(patience)
    }

    /// Tells that the process is alive. Between beats lies `period`; where much more does, the process
    /// stood still, and no worker is late for that time.
    pub fn beat(&self, period: Duration) {
        self.crew.heartbeat.beat(Instant::now(), period);
    }

    /// Time that the process stood still, as far as beats tell.
    pub fn lost_time(&self) -> Duration {
        self.crew.heartbeat.lost(Instant::now())
    }

    /// Where the prompts of one call are put together.
    pub fn distinct(&self) -> Distinct {
        Distinct::new(self.queue.limits().max_queued_tokens)
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
    /// [`Batcher::abandon`]; one that does not come back is not waited for for ever. Blocks the thread.
    pub fn join(&self) {
        self.crew.join();
    }
}

/// The prompts of one call that were taken in. Dropped, it gives them up.
pub struct Admitted {
    answers: Vec<Lookup>,
    gone: Gone,
    _in_work: Option<InWork>,
}

/// Tells the queue if a call is dropped before it is answered.
struct Gone(Option<Arc<Queue>>);

impl Drop for Gone {
    fn drop(&mut self) {
        if let Some(queue) = &self.0 {
            queue.caller_has_gone();
        }
    }
}

impl Admitted {
    /// What the encoder made of them, in their order.
    ///
    /// # Errors
    ///
    /// If the encoder fails on a batch that holds one of them, or they waited too long.
    pub async fn answers(mut self) -> Result<Vec<Encoded>, BatchError> {
        let mut encoded = Vec::with_capacity(self.answers.len());
        for answer in self.answers {
            encoded.push(match answer {
                Lookup::Known(known) => known,
                Lookup::Coming(answer) => arrived(answer).await?,
            });
        }
        self.gone.0 = None;
        Ok(encoded)
    }
}

async fn arrived(answer: oneshot::Receiver<Answer>) -> Answer {
    answer.await.unwrap_or_else(|_| {
        let message = "a worker ended without an answer".to_owned();
        Err(BatchError::Encoder(message))
    })
}

impl Drop for Batcher {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
mod tests;
