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
    let call = Incoming::of(&tonic::Request::new(()));
    Bench {
        answers: Answers::new(
            requests,
            answering,
            Limits { max_in_flight, deadline: None },
            stopping,
            call,
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
    let (never, call) = (Box::pin(std::future::pending()), Incoming::of(&tonic::Request::new(())));
    let mut answers =
        Answers::new(requests, answering, Limits { max_in_flight: 1, deadline: None }, never, call);
    let error = answers.next().await.expect("told").expect_err("it panicked");
    assert_eq!(error.code(), Code::Internal);
    assert!(!error.message().contains("secret"), "{error:?}");
    assert!(answers.next().await.is_none());
}
