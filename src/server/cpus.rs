//! Where a call's own computation happens: tokenising and heads.

use std::{num::NonZeroUsize, sync::Arc, thread};

use tokio::sync::Semaphore;

use super::status::CallError;

/// How much there is to compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    /// Less than it takes to hand it to another thread and back, or not much more.
    Small,
    /// More than a thread that serves connections may be kept from them.
    Large,
}

impl Work {
    /// `Small` up to this size.
    pub(super) fn up_to(limit: usize, size: usize) -> Self {
        if size <= limit { Self::Small } else { Self::Large }
    }
}

/// Turns to compute; as many calls do that at once as there are CPUs.
pub(super) struct Cpus {
    turns: Arc<Semaphore>,
}

impl Cpus {
    pub(super) fn new() -> Self {
        let cpus = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Self { turns: Arc::new(Semaphore::new(cpus)) }
    }

    /// Does small work at once, where it is: another thread would cost two switches, tens of
    /// microseconds. Takes large work away from the threads that serve connections.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        size: Work,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, CallError> {
        if size == Work::Small {
            return Ok(work());
        }
        // The semaphore is never closed; should it be, work goes on without its limit.
        let turn = Arc::clone(&self.turns).acquire_owned().await.ok();
        let done = tokio::task::spawn_blocking(move || {
            // Held by the work itself, which goes on when the call is given up.
            let _turn = turn;
            work()
        })
        .await;
        done.map_err(|error| CallError::Panic(error.to_string()))
    }
}
