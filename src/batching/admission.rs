//! Whether a call is taken in: by how long it would wait, which follows from what waits already and
//! how fast the encoders have been.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use super::BatchError;

/// How much a batch moves the measured rate. One that was held up for seconds,
/// because the machine was, must not make the next hundred calls look hopeless.
const WEIGHT: f64 = 0.2;

/// Batches before anything is said about the rate.
const FIRST_BATCHES: usize = 4;

/// On what terms a call comes.
#[derive(Debug, Clone, Default)]
pub struct Terms {
    /// When its caller gives up.
    pub deadline: Option<Instant>,
    /// What the calls of its connection have in work.
    pub connection: Option<Arc<Load>>,
}

/// Tokens that the calls of one connection have in work.
#[derive(Debug, Default)]
pub struct Load(AtomicUsize);

impl Load {
    pub(super) fn tokens(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// Counts tokens for as long as the result lives.
    pub(super) fn add(self: Arc<Self>, tokens: usize) -> InWork {
        self.0.fetch_add(tokens, Ordering::Relaxed);
        InWork { load: self, tokens }
    }
}

/// What one call adds to the load of its connection.
pub(super) struct InWork {
    load: Arc<Load>,
    tokens: usize,
}

impl Drop for InWork {
    fn drop(&mut self) {
        self.load.0.fetch_sub(self.tokens, Ordering::Relaxed);
    }
}

/// Tokens per second of one worker: a geometric mean over the last batches.
#[derive(Debug, Default)]
pub(super) struct Rate {
    /// Its logarithm; the highest so far until there are enough.
    log: f64,
    batches: usize,
}

impl Rate {
    /// A worker took so long for a batch of so many tokens. Only for batches such as are made under
    /// load, on which waiting depends: small ones take longer for a token.
    pub(super) fn measure(&mut self, tokens: usize, time: Duration) {
        let log = (tokens as f64 / time.as_secs_f64().max(1e-9)).max(1.0).ln();
        self.log = match self.batches {
            // The first batches of an encoder are slow, each for the first time.
            0..FIRST_BATCHES => self.log.max(log),
            _ => self.log + WEIGHT * (log - self.log),
        };
        self.batches = self.batches.saturating_add(1);
    }

    /// `None` after too few batches.
    pub(super) fn tokens_per_second(&self) -> Option<f64> {
        (self.batches >= FIRST_BATCHES).then(|| self.log.exp())
    }

    /// How long so many workers take for so many tokens; nothing is known after too few batches.
    pub(super) fn time_for(&self, tokens: usize, workers: usize) -> Duration {
        let Some(tokens_per_second) = self.tokens_per_second() else { return Duration::ZERO };
        Duration::from_secs_f64(tokens as f64 / (tokens_per_second * workers.max(1) as f64))
    }
}

/// What a call would find: tokens before its first prompt, and those until its last is done.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ahead {
    pub first: usize,
    pub last: usize,
}

/// What is allowed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub max_queued_tokens: usize,
    /// How long a call may wait for its first prompt to begin.
    pub max_delay: Duration,
}

impl Limits {
    /// Whether a call is taken in that would find this. Who finds nobody waiting always is: a wrong
    /// rate could otherwise refuse everybody, and with nothing computed it would stay wrong.
    ///
    /// # Errors
    ///
    /// If it would wait too long, or longer than its caller.
    pub(super) fn check(
        &self,
        ahead: Ahead,
        terms: &Terms,
        now: Instant,
        time_for: impl Fn(usize) -> Duration,
    ) -> Result<(), BatchError> {
        if terms.deadline.is_some_and(|deadline| deadline <= now) {
            return Err(BatchError::Expired);
        }
        if ahead.first == 0 {
            return Ok(());
        }
        let wait = time_for(ahead.first);
        let max_wait = self.max_delay_for(terms, time_for(1));
        if wait > max_wait {
            return Err(BatchError::Overloaded { wait, max_wait });
        }
        match terms.deadline.map(|deadline| deadline.duration_since(now)) {
            Some(left) if time_for(ahead.last) > left => {
                Err(BatchError::TooLate { wait: time_for(ahead.last), left })
            }
            _ => Ok(()),
        }
    }

    /// A connection that has more than half of what may wait in work already is refused at half the
    /// delay, so that one caller alone does not keep out all others.
    fn max_delay_for(&self, terms: &Terms, per_token: Duration) -> Duration {
        let half = self.max_delay / 2;
        let tokens = terms.connection.as_ref().map_or(0, |connection| connection.tokens());
        let in_work = per_token.as_secs_f64() * tokens as f64;
        if in_work > half.as_secs_f64() { half } else { self.max_delay }
    }

    /// Tokens that the calls of one connection may have in work together.
    pub(super) fn max_connection_tokens(&self) -> usize {
        self.max_queued_tokens / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn rate(tokens_per_second: usize) -> Rate {
        let mut rate = Rate::default();
        for _ in 0..FIRST_BATCHES {
            rate.measure(tokens_per_second, Duration::from_secs(1));
        }
        rate
    }

    fn assert_near(found: Duration, expected: Duration) {
        let ratio = found.as_secs_f64() / expected.as_secs_f64();
        assert!((0.999..1.001).contains(&ratio), "{found:?}, expected {expected:?}");
    }

    #[test]
    fn the_rate_follows_and_forgives_a_batch_that_was_held_up() {
        let mut rate = rate(1000);
        assert_near(rate.time_for(500, 1), 500 * MS);
        assert_near(rate.time_for(500, 2), 250 * MS);
        rate.measure(100, Duration::from_secs(100));
        let after = rate.time_for(1000, 1);
        assert!(after < Duration::from_secs(5), "1000 times slower once: {after:?}");
        for _ in 0..60 {
            rate.measure(100, 50 * MS);
        }
        assert_near(rate.time_for(2000, 1), 1000 * MS);
    }

    #[test]
    fn slow_first_batches_say_little() {
        let mut rate = Rate::default();
        for time in [1000, 400, 100, 200] {
            assert_eq!(rate.time_for(1000, 1), Duration::ZERO, "nothing is known");
            rate.measure(100, time * MS);
        }
        assert_near(rate.time_for(1000, 1), 1000 * MS);
    }

    #[test]
    fn a_call_is_refused_if_it_would_wait_too_long_or_longer_than_its_caller() {
        let limits = Limits { max_queued_tokens: 10_000, max_delay: 1000 * MS };
        let now = Instant::now();
        let check = |first, last, left: Option<Duration>| {
            let terms = Terms { deadline: left.map(|left| now + left), connection: None };
            let rate = rate(1000);
            limits.check(Ahead { first, last }, &terms, now, |tokens| rate.time_for(tokens, 1))
        };
        assert_eq!(check(900, 5000, None), Ok(()));
        assert!(matches!(check(1100, 1101, None), Err(BatchError::Overloaded { .. })));
        assert_eq!(check(400, 490, Some(500 * MS)), Ok(()));
        assert!(matches!(check(400, 510, Some(500 * MS)), Err(BatchError::TooLate { .. })));
        assert_eq!(check(0, 5000, Some(MS)), Ok(()), "nobody waits, whatever the rate says");
        assert_eq!(check(0, 1, Some(Duration::ZERO)), Err(BatchError::Expired));
    }

    #[test]
    fn a_busy_connection_is_refused_before_others() {
        let limits = Limits { max_queued_tokens: 10_000, max_delay: 1000 * MS };
        let connection = Arc::new(Load::default());
        let check = |connection: Option<&Arc<Load>>| {
            let terms = Terms { deadline: None, connection: connection.cloned() };
            let rate = rate(1000);
            let ahead = Ahead { first: 600, last: 610 };
            limits.check(ahead, &terms, Instant::now(), |tokens| rate.time_for(tokens, 1)).is_ok()
        };
        let little = Arc::clone(&connection).add(400);
        assert!(check(None) && check(Some(&connection)));
        let more = Arc::clone(&connection).add(200);
        assert!(check(None) && !check(Some(&connection)));
        drop((little, more));
        assert!(check(Some(&connection)));
        assert_eq!(connection.tokens(), 0);
    }
}
