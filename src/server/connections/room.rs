//! Who goes where a new connection is one too many.

use std::collections::VecDeque;

use tokio::task::AbortHandle;

use super::limits::{Limits, WhenFull};

/// Room for so many connections.
pub(super) struct Room {
    limit: usize,
    when_full: WhenFull,
    /// Those that are open, the oldest first; empty where none has to go.
    open: VecDeque<AbortHandle>,
}

impl Room {
    pub(super) fn new(limits: &Limits) -> Self {
        Self { limit: limits.connections, when_full: limits.when_full, open: VecDeque::new() }
    }

    /// How many may be open before new ones are refused.
    pub(super) fn max_open(&self) -> usize {
        match self.when_full {
            WhenFull::RefuseNew => self.limit,
            WhenFull::EndOldest => usize::MAX,
        }
    }

    /// Makes room for a connection, and begins it.
    pub(super) fn take(&mut self, begin: impl FnOnce() -> AbortHandle) {
        if self.when_full == WhenFull::EndOldest {
            self.open.retain(|open| !open.is_finished());
            while self.open.len() >= self.limit {
                self.open.pop_front().inspect(AbortHandle::abort);
            }
            self.open.push_back(begin());
        } else {
            begin();
        }
    }
}
