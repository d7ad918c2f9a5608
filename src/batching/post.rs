//! Where a worker says what it is doing, so that others can see when it does not come back, and
//! answer its callers in its place.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::reply::Reply;

/// Who waits for one prompt of a batch that is run.
pub(super) struct Caller {
    pub reply: Reply,
    /// When the prompt came.
    pub since: Instant,
    pub tokens: usize,
}

/// What is known of one worker.
#[derive(Default)]
pub(super) struct Post(Mutex<Duty>);

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
    pub callers: Vec<Caller>,
    pub tokens: usize,
}

impl Running {
    fn is_late(&self, patience: Duration) -> bool {
        self.since.elapsed() > patience
    }
}

impl Post {
    /// The worker begins a batch.
    pub(super) fn begin(&self, callers: Vec<Caller>, tokens: usize) -> Instant {
        let since = Instant::now();
        *self.lock() = Duty::Running(Running { since, callers, tokens });
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
        let is_late =
            |running: &Running| patience.is_none_or(|patience| running.since.elapsed() > patience);
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
        matches!(&*self.lock(), Duty::Running(running) if running.is_late(patience))
    }

    pub(super) fn is_given_up(&self) -> bool {
        matches!(&*self.lock(), Duty::GivenUp)
    }

    fn lock(&self) -> MutexGuard<'_, Duty> {
        // Nothing that can panic runs between changes that belong together.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
