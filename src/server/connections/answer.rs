//! Answers on their way out: in pieces, each of which tells when it is gone.

use std::{
    future::Future,
    future::poll_fn,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use hyper::body::{Buf, Bytes, Frame, SizeHint};
use tokio::{
    sync::Notify,
    time::{self, Instant},
};
use tonic::{Status, body::Body};

/// Bytes of the largest piece. A client has to take one in the time that it has, so this and that
/// are the least speed; and HTTP/2 keeps no more than one piece above what the client asked for.
const PIECE_BYTES: usize = 16 << 10;

tokio::task_local! {
    /// What the call that is polled has not sent yet.
    pub(super) static UNSENT: Arc<Unsent>;
}

/// The body of an answer.
pub(super) struct AnswerBody {
    body: Body,
    /// What is left of the last frame.
    rest: Bytes,
}

impl AnswerBody {
    pub(super) fn new(body: Body) -> Self {
        Self { body, rest: Bytes::new() }
    }

    fn piece(&mut self) -> Frame<Piece> {
        let bytes = self.rest.split_to(self.rest.len().min(PIECE_BYTES));
        let unsent = UNSENT.try_with(Arc::clone).ok();
        if let Some(unsent) = &unsent {
            unsent.add();
        }
        Frame::data(Piece { bytes, unsent })
    }
}

impl hyper::body::Body for AnswerBody {
    type Data = Piece;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Piece>, Status>>> {
        let this = self.get_mut();
        if !this.rest.is_empty() {
            return Poll::Ready(Some(Ok(this.piece())));
        }
        let frame = ready!(Pin::new(&mut this.body).poll_frame(context));
        Poll::Ready(frame.map(|frame| {
            frame.map(|frame| match frame.into_data() {
                Ok(data) => {
                    this.rest = data;
                    this.piece()
                }
                Err(other) => match other.into_trailers() {
                    Ok(trailers) => Frame::trailers(trailers),
                    // There are no frames of other kinds.
                    Err(_) => this.piece(),
                },
            })
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        match self.rest.is_empty() {
            true => self.body.size_hint(),
            false => SizeHint::default(),
        }
    }
}

/// A part of an answer. HTTP/2 drops it when it has written it.
pub(super) struct Piece {
    bytes: Bytes,
    unsent: Option<Arc<Unsent>>,
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
    }

    fn copy_to_bytes(&mut self, count: usize) -> Bytes {
        self.bytes.copy_to_bytes(count)
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        if let Some(unsent) = &self.unsent {
            unsent.remove();
        }
    }
}

/// The pieces of one call that its client has not taken yet.
pub(super) struct Unsent {
    state: Mutex<State>,
    /// Told when the last one is gone.
    gone: Notify,
    /// Dropped then.
    kept: Mutex<Vec<Box<dyn Send>>>,
}

/// Keeps something until the answer that is made now has left, or cannot: for what has to be done in the
/// end, and need not keep the client waiting. Outside of a call it is dropped at once.
pub(in crate::server) fn keep_until_sent(what: impl Send + 'static) {
    if let Ok(unsent) = UNSENT.try_with(Arc::clone) {
        unsent.kept.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(what));
    }
}

struct State {
    pieces: usize,
    /// When the last one came or went.
    changed: Instant,
}

impl Unsent {
    pub(super) fn new() -> Arc<Self> {
        let state = Mutex::new(State { pieces: 0, changed: Instant::now() });
        Arc::new(Self { state, gone: Notify::new(), kept: Mutex::default() })
    }

    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn add(&self) {
        self.with(|state| {
            state.pieces += 1;
            state.changed = Instant::now();
        });
    }

    fn remove(&self) {
        let left = self.with(|state| {
            state.pieces -= 1;
            state.changed = Instant::now();
            state.pieces
        });
        if left == 0 {
            self.gone.notify_one();
        }
    }

    /// When the client took a piece last, or was given one, while it has one to take.
    fn waiting_since(&self) -> Option<Instant> {
        self.with(|state| (state.pieces > 0).then_some(state.changed))
    }

    /// Completes when the client has taken no piece for this long though there was one. Has to be
    /// polled by the task that produces the pieces, after it did.
    pub(super) async fn stalled(&self, limit: Duration) {
        let mut timer = None;
        poll_fn(|context| {
            loop {
                let Some(since) = self.waiting_since() else {
                    timer = None;
                    return Poll::Pending;
                };
                let end = since + limit;
                let timer = timer.get_or_insert_with(|| Box::pin(time::sleep_until(end)));
                ready!(timer.as_mut().poll(context));
                if timer.deadline() >= end {
                    return Poll::Ready(());
                }
                // Some went meanwhile.
                timer.as_mut().reset(end);
            }
        })
        .await;
    }

    /// Waits until all are gone, and returns whether that is so.
    pub(super) async fn gone(&self, limit: Duration) -> bool {
        while let Some(since) = self.waiting_since() {
            let told = time::timeout_at(since + limit, self.gone.notified()).await;
            if told.is_err() && self.waiting_since() == Some(since) {
                return false;
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_kept_goes_when_the_answer_has_left() {
        let (kept, unsent) = (Arc::new(()), Unsent::new());
        let piece = UNSENT.sync_scope(Arc::clone(&unsent), || {
            keep_until_sent(Arc::clone(&kept));
            unsent.add();
            Piece { bytes: Bytes::new(), unsent: Some(Arc::clone(&unsent)) }
        });
        drop(unsent);
        assert_eq!(Arc::strong_count(&kept), 2, "the answer has not left");
        drop(piece);
        assert_eq!(Arc::strong_count(&kept), 1);
        keep_until_sent(Arc::clone(&kept));
        assert_eq!(Arc::strong_count(&kept), 1, "outside of a call");
    }
}
