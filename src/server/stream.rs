//! A stream of requests, answered in their order, with a limited number worked on at a time.
//!
//! The answers are themselves what drives it: they are asked for as fast as the client takes them,
//! and only then are further requests read. So a client that does not read, or sends too much, is
//! held up by the flow control of HTTP/2, and nothing piles up here.

use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Instant,
};

use tokio::{task::JoinHandle, time};
use tokio_stream::Stream;
use tonic::{Code, Status, Streaming};
use tracing::{Instrument, Span};

use super::{
    incoming::Incoming,
    status::{self, CallError},
    traced,
};
use crate::batching::BatchError;

/// Answers one request.
pub(super) type Answering<Q, A> = Box<dyn Fn(Q) -> Pending<Result<A, CallError>> + Send>;

/// Something that is still to come.
pub(super) type Pending<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// What a stream may take up.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Requests that are worked on at a time.
    pub max_in_flight: usize,
    /// When its caller gives up.
    pub deadline: Option<Instant>,
}

/// The answers to a stream of requests.
pub(super) struct Answers<Q, A, S = Streaming<Q>> {
    /// `None` once no more are read.
    requests: Option<S>,
    answering: Answering<Q, A>,
    max_in_flight: usize,
    /// Oldest first.
    in_flight: VecDeque<InFlight<A>>,
    /// Requests that are answered.
    answered: usize,
    /// With what the stream ends when all that is in flight is answered.
    end: Option<Status>,
    /// Comes when the server is told to stop.
    stopping: Pending<()>,
    /// Comes when the caller gives up.
    deadline: Option<Pending<()>>,
    call: Incoming,
    span: Span,
}

impl<Q, A, S> Answers<Q, A, S>
where
    A: Send + 'static,
    S: Stream<Item = Result<Q, Status>> + Unpin,
{
    pub(super) fn new(
        requests: S,
        answering: Answering<Q, A>,
        limits: Limits,
        stopping: Pending<()>,
        call: Incoming,
    ) -> Self {
        let deadline = limits.deadline.map(|deadline| {
            let deadline = time::sleep_until(deadline.into());
            Box::pin(deadline) as Pending<()>
        });
        Self {
            requests: Some(requests),
            answering,
            max_in_flight: limits.max_in_flight,
            in_flight: VecDeque::new(),
            answered: 0,
            end: None,
            stopping,
            deadline,
            call,
            span: Span::current(),
        }
    }

    /// Begins to work on what has come, as far as it may.
    fn read(&mut self, context: &mut Context<'_>) {
        if self.requests.is_some() && self.stopping.as_mut().poll(context).is_ready() {
            self.finish(Some(self.call.refuse(BatchError::Closed.into())));
        }
        while self.in_flight.len() < self.max_in_flight
            && let Some(requests) = &mut self.requests
        {
            match Pin::new(requests).poll_next(context) {
                Poll::Pending => return,
                Poll::Ready(Some(Ok(request))) => self.begin(request),
                Poll::Ready(Some(Err(status))) => {
                    let at = self.answered + self.in_flight.len();
                    let status = match CallError::of_decoding(&status) {
                        Some(error) => self.call.refuse(error),
                        None => status,
                    };
                    self.finish(Some(status::of_request(status, at)));
                }
                Poll::Ready(None) => self.finish(None),
            }
        }
    }

    fn begin(&mut self, request: Q) {
        let at = self.answered + self.in_flight.len();
        // A span of its own: what is recorded in that of the call stays there for its whole life.
        let empty = tracing::field::Empty;
        let span = tracing::info_span!(parent: &self.span, "request", at, task = empty, examples = empty,
                trace_id = empty, span_id = empty);
        // A task of its own, so that a panic costs this call alone and not its whole connection.
        let answer = (self.answering)(request).instrument(span);
        self.in_flight.push_back(InFlight(tokio::spawn(answer)));
    }

    /// The next answer, or the end.
    fn poll_answer(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<A, Status>>> {
        if self.is_too_late(context) {
            let status = self.call.refuse(BatchError::Expired.into());
            return Poll::Ready(Some(Err(status::of_request(status, self.answered))));
        }
        self.read(context);
        let Some(oldest) = self.in_flight.front_mut() else {
            return match self.requests {
                Some(_) => Poll::Pending,
                None => Poll::Ready(self.end.take().map(Err)),
            };
        };
        let answer = ready!(Pin::new(&mut oldest.0).poll(context));
        let answer = answer.unwrap_or_else(|error| Err(CallError::Panic(error.to_string())));
        self.in_flight.pop_front();
        let answer = answer.map_err(|error| {
            self.finish(None);
            self.in_flight.clear();
            status::of_request(self.call.refuse(error), self.answered)
        });
        self.answered += usize::from(answer.is_ok());
        Poll::Ready(Some(answer))
    }

    /// Whether the caller has given up, and is told so now.
    fn is_too_late(&mut self, context: &mut Context<'_>) -> bool {
        let Some(deadline) = &mut self.deadline else { return false };
        let is_too_late = deadline.as_mut().poll(context).is_ready();
        if is_too_late {
            self.deadline = None;
            self.finish(None);
            self.in_flight.clear();
        }
        is_too_late
    }

    /// Reads no more. What is in flight is still answered.
    fn finish(&mut self, end: Option<Status>) {
        self.requests = None;
        self.end = end;
    }
}

impl<Q, A, S> Unpin for Answers<Q, A, S> {}

impl<Q, A, S> Stream for Answers<Q, A, S>
where
    A: Send + 'static,
    S: Stream<Item = Result<Q, Status>> + Unpin,
{
    type Item = Result<A, Status>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let next = this.poll_answer(context);
        if let Poll::Ready(Some(Err(status))) = &next {
            traced::tell(&this.call.trace, status.code());
        }
        next
    }
}

impl<Q, A, S> Drop for Answers<Q, A, S> {
    fn drop(&mut self) {
        // For its line in the log.
        self.span.record("answered", self.answered);
        if self.requests.is_some() {
            // Its caller has gone.
            traced::tell(&self.call.trace, Code::Cancelled);
        }
    }
}

/// A request that is worked on. Dropped, it is given up.
struct InFlight<A>(JoinHandle<Result<A, CallError>>);

impl<A> Drop for InFlight<A> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests;
