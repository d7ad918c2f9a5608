//! Where callers leave their prompts and workers fetch them: bounded by tokens and by the time that
//! they would wait.

use std::{
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use super::{
    BatchError, Terms,
    admission::{Ahead, Limits, Rate},
    line::{Call, Line, Taken, Waiting},
    reply::Reply,
};
use crate::{config::BatchingConfig, metrics::BatchMetrics, tokenization::Prompt};

/// A batch of fewer tokens is not divided among workers: its parts would make poor use of them.
const LEAST_SHARE_TOKENS: usize = 64;

/// Prompts that a worker runs together.
pub(super) struct Batch {
    pub waiting: Vec<Waiting>,
    /// Whether the other workers had nothing to do and nothing waited: all CPUs are free for it.
    pub is_alone: bool,
}

impl Batch {
    /// Tokens of its longest prompt.
    pub fn longest(&self) -> usize {
        self.waiting.iter().map(Waiting::tokens).max().unwrap_or(0)
    }

    /// Tokens of its prompts.
    pub fn tokens(&self) -> usize {
        self.waiting.iter().map(Waiting::tokens).sum()
    }
}

/// What became of a batch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ran {
    pub tokens: usize,
    pub time: Duration,
    /// Whether one worker ran it by itself, as all do when there is much to do.
    pub by_worker: bool,
    pub succeeded: bool,
}

/// How the encoders have been doing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pulse {
    /// When a batch last came out well.
    pub last_success: Option<Instant>,
    /// Batches that have failed since.
    pub failures: usize,
}

/// How much an encoder has to do.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Situation {
    /// Workers that have not ended.
    pub workers: usize,
    /// Tokens that wait for one.
    pub queued_tokens: usize,
    /// What one worker computes under load; `None` before it was measured.
    pub tokens_per_second: Option<f64>,
    /// How long a call that came now would wait, by that speed.
    pub predicted_wait: Duration,
}

pub(super) struct Queue {
    state: Mutex<State>,
    /// Told when prompts come in, when the queue closes and when a worker ends.
    changed: Condvar,
    /// Whether a caller has gone whose prompts may still wait.
    has_gone: AtomicBool,
    workers: usize,
    max_batch_tokens: usize,
    limits: Limits,
    metrics: BatchMetrics,
}

struct State {
    line: Line,
    rate: Rate,
    pulse: Pulse,
    /// Workers that run a batch.
    busy: usize,
    /// Tokens of the batches that they run.
    running: usize,
    /// Workers that have not ended.
    alive: usize,
    closed: bool,
}

impl Queue {
    pub(super) fn new(workers: usize, config: &BatchingConfig) -> Self {
        let max_batch_tokens = config.max_batch_tokens.get();
        Self {
            state: Mutex::new(State {
                line: Line::new(max_batch_tokens),
                rate: Rate::default(),
                pulse: Pulse::default(),
                busy: 0,
                running: 0,
                alive: 0,
                closed: false,
            }),
            changed: Condvar::new(),
            has_gone: AtomicBool::new(false),
            workers,
            max_batch_tokens,
            limits: Limits {
                max_queued_tokens: config.max_queued_tokens.get(),
                max_delay: config.max_queue_delay(),
            },
            metrics: BatchMetrics::default(),
        }
    }

    pub(super) fn metrics(&self) -> &BatchMetrics {
        &self.metrics
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Whether a call of the least size would be taken in now. Cheap, so that one which would not can
    /// be refused before anything is done for it.
    pub(super) fn check(&self, terms: &Terms) -> Result<(), BatchError> {
        self.check_wait(&mut self.lock(), 0, terms, Instant::now())
    }

    /// Takes in all `arrivals`, which have this many tokens together, or does not ask for them.
    pub(super) fn admit<I: Iterator<Item = (Prompt, Reply)>>(
        &self,
        tokens: usize,
        terms: &Terms,
        arrivals: impl FnOnce() -> I,
    ) -> Result<(), BatchError> {
        let since = Instant::now();
        let call = Call::new(terms.deadline);
        let mut state = self.lock();
        self.make_room(&mut state, tokens, terms)?;
        self.check_wait(&mut state, tokens, terms, since)?;
        let arrivals = arrivals().map(|(prompt, reply)| Waiting {
            prompt,
            since,
            reply,
            call: Arc::clone(&call),
        });
        let arrived = state.line.extend(arrivals);
        drop(state);
        match arrived {
            1 => self.changed.notify_one(),
            _ => self.changed.notify_all(),
        }
        Ok(())
    }

    /// Takes in a prompt that is served next, whatever waits and whatever the limits.
    pub(super) fn admit_first(&self, prompt: Prompt, reply: Reply) -> Result<(), BatchError> {
        let mut state = self.lock();
        if state.closed {
            return Err(BatchError::Closed);
        }
        let (since, call) = (Instant::now(), Call::new(None));
        state.line.put_first(Waiting { prompt, since, reply, call });
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    fn make_room(&self, state: &mut State, tokens: usize, terms: &Terms) -> Result<(), BatchError> {
        let max_queued_tokens = self.limits.max_queued_tokens;
        if state.closed {
            return Err(BatchError::Closed);
        }
        if tokens > max_queued_tokens {
            return Err(BatchError::TooLarge { tokens, max_queued_tokens });
        }
        let in_work = terms.connection.as_ref().map_or(0, |connection| connection.tokens());
        if in_work > 0 && in_work + tokens > self.limits.max_connection_tokens() {
            let max_tokens = self.limits.max_connection_tokens();
            return Err(BatchError::ConnectionFull { tokens: in_work, max_tokens });
        }
        if state.line.tokens() + tokens > max_queued_tokens {
            self.forget_gone(state);
        }
        if state.line.tokens() + tokens > max_queued_tokens {
            let queued_tokens = state.line.tokens();
            return Err(BatchError::Full { queued_tokens, max_queued_tokens });
        }
        Ok(())
    }

    fn check_wait(
        &self,
        state: &mut State,
        tokens: usize,
        terms: &Terms,
        now: Instant,
    ) -> Result<(), BatchError> {
        let check = |state: &State| {
            let ahead = self.ahead(state, tokens);
            let time_for = |tokens| state.rate.time_for(tokens, self.workers);
            self.limits.check(ahead, terms, now, time_for)
        };
        match check(state) {
            Ok(()) => Ok(()),
            Err(error) => {
                if self.forget_gone(state) {
                    check(state)
                } else {
                    Err(error)
                }
            }
        }
    }

    /// What a call of so many tokens would find now.
    fn ahead(&self, state: &State, tokens: usize) -> Ahead {
        let mut ahead = state.line.ahead(tokens);
        // Of what is being computed half is still to come, on the average.
        ahead.first += state.running / 2;
        ahead.last += state.running / 2;
        // A worker that has nothing to do takes it at once.
        if state.line.is_empty() && state.busy < self.workers {
            ahead.first = 0;
        }
        ahead
    }

    /// Forgets the prompts of callers that have gone. Returns whether there may have been any.
    fn forget_gone(&self, state: &mut State) -> bool {
        let has_gone = self.has_gone.swap(false, Ordering::Relaxed);
        if has_gone {
            state.line.forget_abandoned();
        }
        has_gone
    }

    /// A caller has gone whose prompts may still wait.
    pub(super) fn caller_has_gone(&self) {
        self.has_gone.store(true, Ordering::Relaxed);
    }

    /// The next batch, as soon as there is one; `None` once the queue is closed and empty. Whoever
    /// takes it calls [`Queue::done`] after it.
    pub(super) fn next_batch(&self) -> Option<Batch> {
        let mut state = self.lock();
        loop {
            let share = self.share(&state);
            let Taken { batch, refused } =
                state.line.take(share, self.limits.max_delay, Instant::now());
            let is_alone = state.busy == 0 && state.line.is_empty();
            let batch = Batch { waiting: batch, is_alone };
            let tokens = batch.tokens();
            if tokens > 0 {
                state.busy += 1;
                state.running += tokens;
            }
            if !refused.is_empty() {
                drop(state);
                for (reply, error) in refused {
                    reply.send(Err(error));
                }
                state = self.lock();
            } else if tokens == 0 {
                if state.closed {
                    return None;
                }
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            if tokens > 0 {
                return Some(batch);
            }
        }
    }

    /// A worker has run its batch.
    pub(super) fn done(&self, ran: Ran) {
        let mut state = self.lock();
        state.set_down(ran.tokens);
        if ran.succeeded {
            state.pulse = Pulse { last_success: Some(Instant::now()), failures: 0 };
        } else {
            state.pulse.failures += 1;
        }
        if ran.succeeded && ran.by_worker && 2 * ran.tokens >= self.max_batch_tokens {
            state.rate.measure(ran.tokens, ran.time);
        }
    }

    /// A worker begins.
    pub(super) fn joined(&self) {
        self.lock().alive += 1;
    }

    /// A worker ends.
    pub(super) fn left(&self) {
        let mut state = self.lock();
        state.alive = state.alive.saturating_sub(1);
        drop(state);
        self.changed.notify_all();
    }

    /// Waits until all workers have ended, but no longer than this. Returns whether they have.
    pub(super) fn until_left(&self, patience: Duration) -> bool {
        let state = self.lock();
        let waited = self.changed.wait_timeout_while(state, patience, |state| state.alive > 0);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.alive == 0
    }

    pub(super) fn pulse(&self) -> Pulse {
        self.lock().pulse
    }

    pub(super) fn situation(&self) -> Situation {
        let state = self.lock();
        let ahead = self.ahead(&state, 0);
        Situation {
            workers: state.alive,
            queued_tokens: state.line.tokens(),
            tokens_per_second: state.rate.tokens_per_second(),
            predicted_wait: state.rate.time_for(ahead.first, self.workers),
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Most tokens of the next batch: what waits is divided among the workers that are free, so that
    /// the prompts of one call do not queue up behind each other while a CPU is idle.
    fn share(&self, state: &State) -> usize {
        let free = self.workers.saturating_sub(state.busy).max(1);
        let share = state.line.tokens().div_ceil(free);
        share.max(LEAST_SHARE_TOKENS).min(self.max_batch_tokens)
    }

    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    pub(super) fn abandon(&self) {
        let mut state = self.lock();
        state.closed = true;
        let waiting: Vec<Waiting> = state.line.take_all().collect();
        drop(state);
        self.changed.notify_all();
        for abandoned in waiting {
            abandoned.reply.send(Err(BatchError::Closed));
        }
    }

    /// Answers what waits with an error of the encoder, and goes on.
    pub(super) fn turn_away(&self, reason: &str) {
        let waiting: Vec<Waiting> = self.lock().line.take_all().collect();
        for turned_away in waiting {
            turned_away.reply.send(Err(BatchError::Encoder(reason.to_owned())));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that can panic runs between changes that belong together.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// A batch of so many tokens is no longer run, be it done or given up.
    fn set_down(&mut self, tokens: usize) {
        self.busy = self.busy.saturating_sub(1);
        self.running = self.running.saturating_sub(tokens);
    }
}
