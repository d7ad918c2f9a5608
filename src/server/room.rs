//! What one stream has in the queues. A client that sends faster than the encoders work fills
//! them by itself; that must slow it down and not end its stream.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Mutex, Notify};

use crate::batching::BatchError;

/// The room that the requests of one stream take.
#[derive(Default)]
pub(super) struct Room {
    /// Held by the one request that tries to enter; those after it stand in line.
    turn: Mutex<()>,
    /// Requests that are in.
    inside: AtomicUsize,
    /// Told when one of them leaves. One request waits at most: the one whose turn it is.
    left: Notify,
}

/// A request that is in. Dropped, it leaves.
pub(super) struct Stay<'a>(&'a Room);

impl Room {
    /// Tries to enter a queue until there is room.
    ///
    /// # Errors
    ///
    /// At once, unless it passes when others of the stream leave. If none is in, then others fill
    /// the queue, and nothing tells when they leave.
    pub(super) async fn enter(
        &self,
        mut try_enter: impl FnMut() -> Result<(), BatchError>,
    ) -> Result<Stay<'_>, BatchError> {
        let _turn = self.turn.lock().await;
        loop {
            // Read before the attempt: who leaves in between has left room for another one.
            let inside = self.inside.load(Ordering::Acquire);
            match try_enter() {
                Ok(()) => break,
                Err(error) if error.is_passing() && inside > 0 => self.left.notified().await,
                Err(error) => return Err(error),
            }
        }
        self.inside.fetch_add(1, Ordering::AcqRel);
        Ok(Stay(self))
    }
}

impl Drop for Stay<'_> {
    fn drop(&mut self) {
        self.0.inside.fetch_sub(1, Ordering::AcqRel);
        // Kept for the next one who waits if nobody does now.
        self.0.left.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, task::Poll};

    use super::*;

    const FULL: BatchError = BatchError::Full { queued_tokens: 9, max_queued_tokens: 9 };

    fn poll<T>(future: std::pin::Pin<&mut impl Future<Output = T>>) -> Poll<T> {
        future.poll(&mut std::task::Context::from_waker(std::task::Waker::noop()))
    }

    #[test]
    fn a_stream_waits_for_its_own_requests_and_for_nobody_else() {
        let (room, free) = (Room::default(), Cell::new(1));
        let enter = || match free.get() {
            0 => Err(FULL),
            places => {
                free.set(places - 1);
                Ok(())
            }
        };
        let mut first = Box::pin(room.enter(enter));
        let Poll::Ready(Ok(first)) = poll(first.as_mut()) else { panic!("there is room") };
        let (mut second, mut third) = (Box::pin(room.enter(enter)), Box::pin(room.enter(enter)));
        assert!(poll(second.as_mut()).is_pending());
        assert!(poll(third.as_mut()).is_pending());
        free.set(1);
        drop(first);
        assert!(poll(third.as_mut()).is_pending(), "it is not its turn");
        let Poll::Ready(Ok(second_in)) = poll(second.as_mut()) else { panic!("there is room") };
        assert!(poll(third.as_mut()).is_pending());
        // Somebody else takes the place that is left.
        drop(second_in);
        assert!(matches!(poll(third.as_mut()), Poll::Ready(Err(FULL))));
    }

    #[test]
    fn other_errors_end_the_attempt_and_give_the_turn_on() {
        let room = Room::default();
        let mut closed = Box::pin(room.enter(|| Err(BatchError::Closed)));
        assert!(matches!(poll(closed.as_mut()), Poll::Ready(Err(BatchError::Closed))));
        drop(closed);
        let mut next = Box::pin(room.enter(|| Ok(())));
        assert!(matches!(poll(next.as_mut()), Poll::Ready(Ok(_))));
    }
}
