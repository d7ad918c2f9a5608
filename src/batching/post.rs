//! Where a worker says what it is doing, so that others can see when it does not come back, and
//! answer its callers in its place.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::{heartbeat::Heartbeat, reply::Reply};

/// Who waits for one prompt of a batch that is run.
pub(super) struct Caller {
    pub reply: Reply,
    /// When the prompt came.
    pub since: Instant,
    pub tokens: usize,
}

/// What is known of one worker.
pub(super) struct Post {
    duty: Mutex<Duty>,
    heartbeat: Arc<Heartbeat>,
}

#[derive(Default)]
enum Duty {
    #[default]
    Free,
    Running(Running),
    /// Others do its work now; when it comes back, it ends.
    GivenUp,
}

/// A batch that is run.
pub(super) struct Running {
    since: Instant,
    /// Time that the process had lost by then.
    lost_before: Duration,
    pub callers: Vec<Caller>,
    pub tokens: usize,
}

impl Running {
    /// Whether the worker has been at it for longer than this, with time that the whole process lost
    /// left out.
    fn is_late(&self, patience: Duration, heartbeat: &Heartbeat, now: Instant) -> bool {
        let lost = heartbeat.lost(now).saturating_sub(self.lost_before);
        now.saturating_duration_since(self.since).saturating_sub(lost) > patience
    }
}

impl Post {
    pub(super) fn new(heartbeat: Arc<Heartbeat>) -> Self {
        Self { duty: Mutex::default(), heartbeat }
    }

    /// The worker begins a batch.
    pub(super) fn begin(&self, callers: Vec<Caller>, tokens: usize) -> Instant {
        let since = Instant::now();
        let lost_before = self.heartbeat.lost(since);
        *self.lock() = Duty::Running(Running { since, lost_before, callers, tokens });
        since
    }

    /// The worker is done with it and answers these; `None` if it was given up.
    pub(super) fn end(&self) -> Option<Vec<Caller>> {
        let mut duty = self.lock();
        match std::mem::take(&mut *duty) {
            Duty::Running(running) => Some(running.callers),
            Duty::Free => Some(Vec::new()),
            Duty::GivenUp => {
                *duty = Duty::GivenUp;
                None
            }
        }
    }

    /// Gives the worker up if it has been at a batch for longer than this, or in any case; what it
    /// was at, if anything.
    pub(super) fn give_up(&self, patience: Option<Duration>) -> Option<Running> {
        let mut duty = self.lock();
        let now = Instant::now();
        let is_late = |running: &Running| {
            patience.is_none_or(|patience| running.is_late(patience, &self.heartbeat, now))
        };
        if !matches!(&*duty, Duty::Running(running) if is_late(running)) {
            return None;
        }
        match std::mem::replace(&mut *duty, Duty::GivenUp) {
            Duty::Running(running) => Some(running),
            Duty::Free | Duty::GivenUp => None,
        }
    }

    /// Whether the worker has been at a batch for longer than this.
    pub(super) fn is_late(&self, patience: Duration) -> bool {
        let (duty, now) = (self.lock(), Instant::now());
        matches!(&*duty, Duty::Running(running) if running.is_late(patience, &self.heartbeat, now))
    }

    pub(super) fn is_given_up(&self) -> bool {
        matches!(&*self.lock(), Duty::GivenUp)
    }

    fn lock(&self) -> MutexGuard<'_, Duty> {
        // Nothing that can panic runs between changes that belong together.
        self.duty.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_that_the_process_lost_makes_no_worker_late() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let heartbeat = Heartbeat::default();
        let running = |at: u32| Running {
            since: start + at * second,
            lost_before: heartbeat.lost(start + at * second),
            callers: Vec::new(),
            tokens: 0,
        };
        let is_late = |running: &Running, at: u32| {
            running.is_late(20 * second, &heartbeat, start + at * second)
        };
        heartbeat.beat(start, second);
        let (early, at_once) = (running(0), running(1));
        // Stopped for 25 seconds: the first look knows it, and later ones too.
        assert!(!is_late(&early, 27) && !is_late(&at_once, 27));
        for at in 27..60 {
            heartbeat.beat(start + at * second, second);
            // Of these seconds 25 are lost.
            assert_eq!(is_late(&early, at), at > 45, "{at}");
        }
        let later = running(60);
        heartbeat.beat(start + 61 * second, second);
        heartbeat.beat(start + 62 * second, second);
        assert!(!is_late(&later, 62));
        // Without beats nothing is lost.
        let still = Heartbeat::default();
        assert!(early.is_late(20 * second, &still, start + 21 * second));
    }
}
