//! Where the answer to a prompt goes.

use tokio::sync::oneshot;

use super::{BatchError, Encoded, flights::Flight};

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
    pub(super) fn is_abandoned(&self) -> bool {
        match self {
            Self::One(reply) => reply.is_closed(),
            Self::Shared(flight) => flight.is_abandoned(),
        }
    }

    pub(super) fn is_shared(&self) -> bool {
        matches!(self, Self::Shared(_))
    }
}
