//! The prompts that wait for a worker: first in, first out, bounded by their tokens.

use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use tokio::sync::oneshot;

use super::{BatchError, Encoded, flights::Flight, former};
use crate::tokenization::Prompt;

/// A batch is made from this many of the oldest prompts. More would find neighbours a little
/// nearer in length and hold the lock longer.
const WINDOW: usize = 512;

/// A batch of fewer tokens is not divided among workers: its parts would make poor use of them.
const LEAST_SHARE_TOKENS: usize = 64;

/// What one prompt's caller gets.
pub(super) type Answer = Result<Encoded, BatchError>;

/// Where the answer to a prompt goes.
pub(super) enum Reply {
    /// To the one who asked.
    One(oneshot::Sender<Answer>),
    /// To all who have asked by now, and into the cache.
    Shared(Flight),
}

impl Reply {
    pub(super) fn send(self, answer: Answer) {
        match self {
            // An error means that the caller has gone.
            Self::One(reply) => drop(reply.send(answer)),
            Self::Shared(flight) => flight.land(answer),
        }
    }

    /// Whether nobody waits for the answer any more.
    fn is_abandoned(&self) -> bool {
        match self {
            Self::One(reply) => reply.is_closed(),
            Self::Shared(flight) => flight.is_abandoned(),
        }
    }
}

/// A prompt that waits.
pub(super) struct Waiting {
    pub prompt: Prompt,
    pub since: Instant,
    pub reply: Reply,
}

impl Waiting {
    fn tokens(&self) -> usize {
        self.prompt.input_ids.len()
    }

    /// Whether nobody waits for the answer any more.
    fn is_abandoned(&self) -> bool {
        self.reply.is_abandoned()
    }
}

/// Prompts that a worker runs together.
pub(super) struct Batch {
    pub waiting: Vec<Waiting>,
    /// Whether the other workers had nothing to do and nothing waited: all CPUs are free for it.
    pub is_alone: bool,
}

impl Batch {
    /// Tokens of its prompts.
    pub fn tokens(&self) -> usize {
        self.waiting.iter().map(Waiting::tokens).sum()
    }
}

pub(super) struct Queue {
    state: Mutex<State>,
    /// Told when prompts come in and when the queue closes.
    changed: Condvar,
    workers: usize,
    max_batch_tokens: usize,
    max_queued_tokens: usize,
}

#[derive(Default)]
struct State {
    /// Oldest first.
    waiting: VecDeque<Waiting>,
    /// Of all that wait.
    tokens: usize,
    /// Workers that run a batch.
    busy: usize,
    closed: bool,
}

impl Queue {
    pub(super) fn new(workers: usize, max_batch_tokens: usize, max_queued_tokens: usize) -> Self {
        Self {
            state: Mutex::default(),
            changed: Condvar::new(),
            workers,
            max_batch_tokens,
            max_queued_tokens,
        }
    }

    pub(super) fn max_queued_tokens(&self) -> usize {
        self.max_queued_tokens
    }

    /// Takes in all `arrivals`, which have this many tokens together, or does not ask for them.
    pub(super) fn admit<I: Iterator<Item = (Prompt, Reply)>>(
        &self,
        tokens: usize,
        arrivals: impl FnOnce() -> I,
    ) -> Result<(), BatchError> {
        let since = Instant::now();
        let mut state = self.lock();
        state.make_room(tokens, self.max_queued_tokens)?;
        state.tokens += tokens;
        let before = state.waiting.len();
        let arrivals = arrivals().map(|(prompt, reply)| Waiting { prompt, since, reply });
        state.waiting.extend(arrivals);
        let arrived = state.waiting.len() - before;
        drop(state);
        match arrived {
            1 => self.changed.notify_one(),
            _ => self.changed.notify_all(),
        }
        Ok(())
    }

    /// The next batch, as soon as there is one; `None` once the queue is closed and empty. Whoever
    /// takes it calls [`Queue::done`] after it.
    pub(super) fn next_batch(&self) -> Option<Batch> {
        let mut state = self.lock();
        loop {
            let share = self.share(&state);
            let waiting = state.take_batch(share);
            if !waiting.is_empty() {
                let is_alone = state.busy == 0 && state.waiting.is_empty();
                state.busy += 1;
                return Some(Batch { waiting, is_alone });
            }
            if state.closed {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// A worker has run its batch.
    pub(super) fn done(&self) {
        let mut state = self.lock();
        state.busy = state.busy.saturating_sub(1);
    }

    /// Most tokens of the next batch: what waits is divided among the workers that are free, so that
    /// the prompts of one call do not queue up behind each other while a CPU is idle.
    fn share(&self, state: &State) -> usize {
        let free = self.workers.saturating_sub(state.busy).max(1);
        let share = state.tokens.div_ceil(free);
        share.max(LEAST_SHARE_TOKENS).min(self.max_batch_tokens)
    }

    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    pub(super) fn abandon(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.tokens = 0;
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        self.changed.notify_all();
        for abandoned in waiting {
            abandoned.reply.send(Err(BatchError::Closed));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that can panic runs between changes that belong together.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn make_room(&mut self, tokens: usize, max_queued_tokens: usize) -> Result<(), BatchError> {
        if self.closed {
            return Err(BatchError::Closed);
        }
        if tokens > max_queued_tokens {
            return Err(BatchError::TooLarge { tokens, max_queued_tokens });
        }
        if self.tokens + tokens > max_queued_tokens {
            self.forget_abandoned();
        }
        if self.tokens + tokens > max_queued_tokens {
            return Err(BatchError::Full { queued_tokens: self.tokens, max_queued_tokens });
        }
        Ok(())
    }

    /// Callers that have gone must not keep others out.
    fn forget_abandoned(&mut self) {
        self.waiting.retain(|waiting| !waiting.is_abandoned());
        self.tokens = self.waiting.iter().map(Waiting::tokens).sum();
    }

    fn take_batch(&mut self, max_tokens: usize) -> Vec<Waiting> {
        let window = self.take_window();
        let lengths: Vec<usize> = window.iter().map(Waiting::tokens).collect();
        let mut chosen = former::form(&lengths, max_tokens);
        let mut batch = Vec::with_capacity(chosen.len());
        // From the youngest on, so that those left over go back in their order.
        for (at, waiting) in window.into_iter().enumerate().rev() {
            if chosen.pop_if(|last| *last == at).is_some() {
                self.tokens -= waiting.tokens();
                batch.push(waiting);
            } else {
                self.waiting.push_front(waiting);
            }
        }
        batch
    }

    /// Takes out the oldest prompts that somebody still waits for.
    fn take_window(&mut self) -> Vec<Waiting> {
        let mut window = Vec::with_capacity(WINDOW.min(self.waiting.len()));
        while window.len() < WINDOW
            && let Some(waiting) = self.waiting.pop_front()
        {
            if waiting.is_abandoned() {
                self.tokens -= waiting.tokens();
            } else {
                window.push(waiting);
            }
        }
        window
    }
}
