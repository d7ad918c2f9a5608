//! The prompts that wait, in the order in which they are served. Pure.
//!
//! Calls take turns: a call's prompts stand in the line in shares of one batch, a share in each
//! round. So a call of one prompt waits for no more than a share of any other call, however large
//! that is, and a large one gets its share in every round, however many small ones come. Calls of
//! no more than a share are served first come, first served.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use super::{BatchError, admission::Ahead, former, reply::Reply};
use crate::tokenization::Prompt;

/// A batch is made from this many of the first prompts. More would find neighbours a little
/// nearer in length and hold the lock longer.
const WINDOW: usize = 512;

/// Before all rounds of calls.
const FIRST_ROUND: u64 = 0;

/// What the prompts of a call have in common.
#[derive(Debug, Default)]
pub(super) struct Call {
    /// When nobody waits for it any more.
    pub deadline: Option<Instant>,
    /// Whether a prompt of it has been served. What was begun is finished.
    begun: AtomicBool,
}

impl Call {
    pub(super) fn new(deadline: Option<Instant>) -> Arc<Self> {
        Arc::new(Self { deadline, begun: AtomicBool::new(false) })
    }
}

/// A prompt that waits.
pub(super) struct Waiting {
    pub prompt: Prompt,
    pub since: Instant,
    pub reply: Reply,
    pub call: Arc<Call>,
}

impl Waiting {
    pub(super) fn tokens(&self) -> usize {
        self.prompt.input_ids.len()
    }

    /// Why it is not served any more, if so. `None` inside for those that nobody asks after.
    fn is_over(&self, now: Instant, max_delay: Duration) -> Option<BatchError> {
        // Others may have joined a shared reply, with later deadlines.
        let deadline = if self.reply.is_shared() { None } else { self.call.deadline };
        if self.reply.is_abandoned() || deadline.is_some_and(|deadline| deadline <= now) {
            return Some(BatchError::Expired);
        }
        let wait = now.saturating_duration_since(self.since);
        let is_begun = self.call.begun.load(Ordering::Relaxed);
        let max_wait = max_delay;
        (wait > max_wait && !is_begun).then_some(BatchError::Overloaded { wait, max_wait })
    }
}

/// Where a prompt stands: its round, and among those of a round when it came.
type Place = (u64, u64);

pub(super) struct Line {
    waiting: BTreeMap<Place, Waiting>,
    /// Tokens of each round that is not over.
    rounds: BTreeMap<u64, usize>,
    /// Of all that wait.
    tokens: usize,
    /// The round that is served now.
    round: u64,
    /// Prompts that have come.
    arrivals: u64,
    /// Tokens of one call in one round.
    share: usize,
}

/// What was taken out of the line.
#[derive(Default)]
pub(super) struct Taken {
    /// To be served.
    pub batch: Vec<Waiting>,
    /// Not to be served any more, and why.
    pub refused: Vec<(Reply, BatchError)>,
}

impl Line {
    pub(super) fn new(share: usize) -> Self {
        Self {
            waiting: BTreeMap::new(),
            rounds: BTreeMap::new(),
            tokens: 0,
            round: FIRST_ROUND,
            arrivals: 0,
            share: share.max(1),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Of all that wait.
    pub(super) fn tokens(&self) -> usize {
        self.tokens
    }

    /// What a call with so many tokens would find.
    pub(super) fn ahead(&self, tokens: usize) -> Ahead {
        let until = |rounds: u64| self.rounds.range(..=self.round + rounds).map(|(_, n)| n).sum();
        let rounds = tokens.div_ceil(self.share).max(1) as u64;
        let before_last: usize = until(rounds);
        Ahead { first: until(1), last: before_last + tokens }
    }

    /// The prompts of one call, in their order.
    pub(super) fn extend(&mut self, call: impl Iterator<Item = Waiting>) -> usize {
        let (mut before, mut count) = (0, 0);
        for waiting in call {
            let round = self.round + 1 + (before / self.share) as u64;
            before += waiting.tokens();
            count += 1;
            self.put(round, waiting);
        }
        count
    }

    /// One that is served next, whatever waits.
    pub(super) fn put_first(&mut self, waiting: Waiting) {
        self.put(FIRST_ROUND, waiting);
    }

    fn put(&mut self, round: u64, waiting: Waiting) {
        self.tokens += waiting.tokens();
        *self.rounds.entry(round).or_default() += waiting.tokens();
        self.waiting.insert((round, self.arrivals), waiting);
        self.arrivals += 1;
    }

    /// The next batch of up to so many tokens, and what need not be served any more.
    pub(super) fn take(&mut self, max_tokens: usize, max_delay: Duration, now: Instant) -> Taken {
        let mut over = Vec::new();
        let (mut window, mut lengths) = (Vec::new(), Vec::new());
        for (&place, waiting) in &self.waiting {
            if window.len() == WINDOW {
                break;
            }
            match waiting.is_over(now, max_delay) {
                Some(error) => over.push((place, error)),
                None => {
                    window.push(place);
                    lengths.push(waiting.tokens());
                }
            }
        }
        self.round = window.first().map_or(self.round, |first| self.round.max(first.0));
        let mut taken = Taken::default();
        for (place, error) in over {
            taken.refused.extend(self.remove(place).map(|waiting| (waiting.reply, error)));
        }
        for at in former::form(&lengths, max_tokens) {
            taken.batch.extend(self.remove(window[at]));
        }
        for waiting in &taken.batch {
            waiting.call.begun.store(true, Ordering::Relaxed);
        }
        taken
    }

    /// Callers that have gone must not keep others out.
    pub(super) fn forget_abandoned(&mut self) {
        let gone = self.waiting.iter().filter(|(_, waiting)| waiting.reply.is_abandoned());
        let gone: Vec<Place> = gone.map(|(place, _)| *place).collect();
        for place in gone {
            self.remove(place);
        }
    }

    /// All that wait.
    pub(super) fn take_all(&mut self) -> impl Iterator<Item = Waiting> {
        self.tokens = 0;
        self.rounds.clear();
        std::mem::take(&mut self.waiting).into_values()
    }

    fn remove(&mut self, place: Place) -> Option<Waiting> {
        let waiting = self.waiting.remove(&place)?;
        self.tokens -= waiting.tokens();
        if let Some(tokens) = self.rounds.get_mut(&place.0) {
            *tokens -= waiting.tokens();
            if *tokens == 0 {
                self.rounds.remove(&place.0);
            }
        }
        Some(waiting)
    }
}

#[cfg(test)]
#[path = "tests/line.rs"]
mod tests;
