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
    layers::RequestId,
    status::{self, CallError},
    traced,
};
use crate::{batching::BatchError, telemetry::Trace};

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
    id: RequestId,
    span: Span,
    trace: Trace,
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
        id: RequestId,
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
            id,
            span: Span::current(),
            trace: Trace::default(),
        }
    }

    /// The same, with a trace that is told how it ends, and ends with it.
    pub(super) fn traced(mut self, trace: Trace) -> Self {
        self.trace = trace;
        self
    }

    /// Begins to work on what has come, as far as it may.
    fn read(&mut self, context: &mut Context<'_>) {
        if self.requests.is_some() && self.stopping.as_mut().poll(context).is_ready() {
            self.finish(Some(CallError::from(BatchError::Closed).into_status(&self.id)));
        }
        while self.in_flight.len() < self.max_in_flight
            && let Some(requests) = &mut self.requests
        {
            match Pin::new(requests).poll_next(context) {
                Poll::Pending => return,
                Poll::Ready(Some(Ok(request))) => self.begin(request),
                Poll::Ready(Some(Err(status))) => {
                    let at = self.answered + self.in_flight.len();
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
            let status = CallError::from(BatchError::Expired).into_status(&self.id);
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
            status::of_request(error.into_status(&self.id), self.answered)
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
            traced::tell(&this.trace, status.code());
        }
        next
    }
}

impl<Q, A, S> Drop for Answers<Q, A, S> {
    fn drop(&mut self) {
        tracing::info!(parent: &self.span, answered = self.answered, "the stream has ended");
        if self.requests.is_some() {
            // Its caller has gone.
            traced::tell(&self.trace, Code::Cancelled);
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
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use tokio::sync::oneshot;
    use tokio_stream::StreamExt;

    type Requests = Box<dyn Stream<Item = Result<usize, Status>> + Unpin>;

    type Sender = oneshot::Sender<Result<usize, CallError>>;

    /// Answers to 0, 1, 2, ... that come when the test says so.
    struct Bench {
        answers: Answers<usize, usize, Requests>,
        begun: Arc<Mutex<Vec<Sender>>>,
        stop: oneshot::Sender<()>,
    }

    fn bench(requests: Vec<Result<usize, Status>>, max_in_flight: usize) -> Bench {
        let begun = Arc::new(Mutex::new(Vec::new()));
        let requests: Requests = Box::new(tokio_stream::iter(requests));
        let answering: Answering<usize, usize> = {
            let begun = Arc::clone(&begun);
            Box::new(move |at| {
                let (answer, told) = oneshot::channel();
                let mut begun = begun.lock().expect("no panic");
                assert_eq!(begun.len(), at, "read in order");
                begun.push(answer);
                Box::pin(async move { told.await.expect("the test answers") })
            })
        };
        let (stop, stopped) = oneshot::channel();
        let stopping = Box::pin(async move { drop(stopped.await) });
        let id = RequestId::from_header(None);
        Bench {
            answers: Answers::new(
                requests,
                answering,
                Limits { max_in_flight, deadline: None },
                stopping,
                id,
            ),
            begun,
            stop,
        }
    }

    impl Bench {
        fn is_waiting(&mut self) -> bool {
            let mut context = Context::from_waker(std::task::Waker::noop());
            Pin::new(&mut self.answers).poll_next(&mut context).is_pending()
        }

        fn begun(&self) -> usize {
            self.begun.lock().expect("no panic").len()
        }

        fn answer(&self, at: usize, answer: Result<usize, CallError>) {
            let (unused, _) = oneshot::channel();
            let sender = std::mem::replace(&mut self.begun.lock().expect("no panic")[at], unused);
            sender.send(answer).expect("it is waited for");
        }
    }

    #[tokio::test]
    async fn no_more_is_read_than_may_be_in_flight_and_order_is_kept() {
        let mut bench = bench((0..4).map(Ok).collect(), 2);
        assert!(bench.is_waiting());
        assert_eq!(bench.begun(), 2);
        bench.answer(1, Ok(11));
        assert!(bench.is_waiting(), "the first comes first");
        assert_eq!(bench.begun(), 2);
        bench.answer(0, Ok(10));
        assert_eq!(bench.answers.next().await.expect("told").expect("good"), 10);
        assert_eq!(bench.answers.next().await.expect("told").expect("good"), 11);
        assert!(bench.is_waiting());
        assert_eq!(bench.begun(), 4);
        bench.answer(2, Ok(12));
        bench.answer(3, Ok(13));
        assert_eq!(bench.answers.next().await.expect("told").expect("good"), 12);
        assert_eq!(bench.answers.next().await.expect("told").expect("good"), 13);
        assert!(bench.answers.next().await.is_none());
    }

    #[tokio::test]
    async fn an_error_comes_in_its_place_and_gives_up_what_follows() {
        let mut bench = bench((0..4).map(Ok).collect(), 4);
        assert!(bench.is_waiting());
        bench.answer(1, Err(CallError::Loading));
        bench.answer(0, Ok(10));
        assert_eq!(bench.answers.next().await.expect("told").expect("good"), 10);
        let error = bench.answers.next().await.expect("told").expect_err("it failed");
        assert_eq!(error.code(), Code::Unavailable);
        assert!(error.message().starts_with("request 1 of the stream: loading"), "{error:?}");
        assert!(bench.answers.next().await.is_none());
        let mut last = bench.begun.lock().expect("no panic").remove(3);
        last.closed().await;
    }

    #[tokio::test]
    async fn what_cannot_be_read_ends_the_stream_after_the_answers_before_it() {
        let unreadable = Err(Status::out_of_range("too large"));
        let mut bench = bench(vec![Ok(0), unreadable, Ok(1)], 4);
        assert!(bench.is_waiting());
        assert_eq!(bench.begun(), 1);
        bench.answer(0, Ok(10));
        assert_eq!(bench.answers.next().await.expect("told").expect("good"), 10);
        let error = bench.answers.next().await.expect("told").expect_err("unreadable");
        assert_eq!(error.message(), "request 1 of the stream: too large");
        assert!(bench.answers.next().await.is_none());
    }

    #[tokio::test]
    async fn dropped_or_stopped_it_reads_no_more() {
        let mut dropped = bench((0..3).map(Ok).collect(), 2);
        assert!(dropped.is_waiting());
        let mut last = dropped.begun.lock().expect("no panic").remove(1);
        drop(dropped.answers);
        last.closed().await;

        let mut stopped = bench((0..3).map(Ok).collect(), 1);
        assert!(stopped.is_waiting());
        drop(std::mem::replace(&mut stopped.stop, oneshot::channel().0));
        stopped.answer(0, Ok(10));
        assert_eq!(stopped.answers.next().await.expect("told").expect("good"), 10);
        let error = stopped.answers.next().await.expect("told").expect_err("stopped");
        assert_eq!(error.code(), Code::Unavailable);
        assert!(stopped.answers.next().await.is_none());
        assert_eq!(stopped.begun(), 1);
    }

    #[tokio::test]
    async fn at_its_deadline_a_stream_ends_and_gives_up_what_it_is_at() {
        let mut bench = bench((0..3).map(Ok).collect(), 2);
        bench.answers.deadline = Some(Box::pin(std::future::pending()));
        assert!(bench.is_waiting());
        bench.answer(0, Ok(10));
        assert_eq!(bench.answers.next().await.expect("told").expect("good"), 10);
        bench.answers.deadline = Some(Box::pin(std::future::ready(())));
        let error = bench.answers.next().await.expect("told").expect_err("too late");
        assert_eq!(error.code(), Code::DeadlineExceeded);
        assert!(error.message().starts_with("request 1 of the stream"), "{error:?}");
        assert!(bench.answers.next().await.is_none());
        let mut given_up = bench.begun.lock().expect("no panic").remove(1);
        given_up.closed().await;
    }

    #[tokio::test]
    async fn a_panic_costs_the_stream_and_tells_nothing() {
        let requests: Requests = Box::new(tokio_stream::iter([Ok(0)]));
        let answering: Answering<usize, usize> =
            Box::new(|_| Box::pin(async { panic!("a secret of the house") }));
        let (never, id) = (Box::pin(std::future::pending()), RequestId::from_header(None));
        let mut answers = Answers::new(
            requests,
            answering,
            Limits { max_in_flight: 1, deadline: None },
            never,
            id,
        );
        let error = answers.next().await.expect("told").expect_err("it panicked");
        assert_eq!(error.code(), Code::Internal);
        assert!(!error.message().contains("secret"), "{error:?}");
        assert!(answers.next().await.is_none());
    }
}
