use opentelemetry::trace::{Tracer, TracerProvider};
use opentelemetry_sdk::trace::SdkTracerProvider;
use tokio::sync::Semaphore;

use super::*;

/// Takes a batch for each permit, and tells how large it was.
struct Gated {
    permits: Arc<Semaphore>,
    taken: mpsc::UnboundedSender<usize>,
    answer: Result<(), String>,
    /// Told when a batch has come.
    asked: Option<mpsc::UnboundedSender<()>>,
}

impl Sink for Gated {
    async fn send(&mut self, batch: Vec<SpanData>) -> Result<(), String> {
        if let Some(asked) = &self.asked {
            asked.send(()).expect("the test listens");
        }
        self.permits.acquire().await.expect("open").forget();
        self.taken.send(batch.len()).expect("the test listens");
        self.answer.clone()
    }
}

struct Bench {
    provider: SdkTracerProvider,
    dropped: Arc<AtomicU64>,
    delivery: Delivery<Gated>,
    permits: Arc<Semaphore>,
    taken: mpsc::UnboundedReceiver<usize>,
}

fn bench(answer: Result<(), String>) -> Bench {
    let permits = Arc::new(Semaphore::new(0));
    let (sender, taken) = mpsc::unbounded_channel();
    let sink = Gated { permits: Arc::clone(&permits), taken: sender, answer, asked: None };
    let (outbox, delivery) = new(sink);
    let dropped = Arc::clone(&outbox.dropped);
    let provider = SdkTracerProvider::builder().with_span_processor(outbox).build();
    Bench { provider, dropped, delivery, permits, taken }
}

impl Bench {
    fn end_spans(&self, count: usize) {
        let tracer = self.provider.tracer("test");
        (0..count).for_each(|_| drop(tracer.start("span")));
    }
}

#[tokio::test]
async fn a_sink_that_takes_nothing_holds_nobody_up_and_fills_no_memory() {
    let mut bench = bench(Ok(()));
    bench.end_spans(MAX_WAITING + 10);
    assert_eq!(bench.dropped.load(Ordering::Relaxed), 10);
    let stop = Arc::new(Notify::new());
    let running = tokio::spawn(bench.delivery.run(Arc::clone(&stop)));
    bench.permits.add_permits(MAX_WAITING / MAX_BATCH);
    for _ in 0..MAX_WAITING / MAX_BATCH {
        assert_eq!(bench.taken.recv().await, Some(MAX_BATCH));
    }
    stop.notify_one();
    running.await.expect("no panic");
    assert_eq!(bench.taken.recv().await, None);
}

#[tokio::test]
async fn what_has_come_by_the_stop_is_sent_though_more_could_be_gathered() {
    let mut bench = bench(Ok(()));
    bench.delivery.pace.gathering = Duration::from_secs(3600);
    bench.end_spans(3);
    bench.permits.add_permits(1);
    let stop = Arc::new(Notify::new());
    stop.notify_one();
    bench.delivery.run(stop).await;
    assert_eq!(bench.taken.recv().await, Some(3));
    assert_eq!(bench.taken.recv().await, None);
}

#[tokio::test]
async fn a_stop_does_not_break_off_what_is_being_sent() {
    let mut bench = bench(Ok(()));
    bench.delivery.pace.gathering = Duration::ZERO;
    let (asked, mut asking) = mpsc::unbounded_channel();
    bench.delivery.sink.asked = Some(asked);
    bench.end_spans(2);
    let stop = Arc::new(Notify::new());
    let running = tokio::spawn(bench.delivery.run(Arc::clone(&stop)));
    asking.recv().await.expect("it is being sent");
    stop.notify_one();
    tokio::task::yield_now().await;
    bench.permits.add_permits(1);
    running.await.expect("no panic");
    assert_eq!(bench.taken.recv().await, Some(2));
}

#[tokio::test]
async fn a_sink_that_does_not_answer_is_given_up_and_its_spans_are_lost() {
    let mut bench = bench(Ok(()));
    bench.delivery.pace = Pace { gathering: Duration::ZERO, sending: Duration::ZERO };
    bench.end_spans(2);
    bench.delivery.gather().await;
    bench.delivery.send().await;
    assert!(bench.taken.try_recv().is_err());
    assert!(bench.delivery.complaints.last.is_some(), "told");
}

#[tokio::test]
async fn the_stop_does_not_wait_for_a_sink_longer_than_it_may() {
    let bench = bench(Ok(()));
    bench.end_spans(1);
    let stop = Arc::new(Notify::new());
    let running = tokio::spawn(bench.delivery.run(Arc::clone(&stop)));
    let sending = super::super::Sending(Some((stop, running)));
    sending.stop(Duration::ZERO).await;
}

#[test]
fn lost_spans_are_told_once_in_a_while_with_their_number() {
    let dropped = Arc::new(AtomicU64::new(0));
    let mut complaints = Complaints { dropped: Arc::clone(&dropped), lost: 0, last: None };
    let begun = Instant::now();
    let mut check = |seconds, spans, reason: Option<&str>, expected: Option<(u64, &str)>| {
        let now = begun + Duration::from_secs(seconds);
        let told = complaints.due(spans, reason.map(str::to_owned), now);
        assert_eq!(told, expected.map(|(lost, why)| (lost, why.to_owned())), "at {seconds} s");
    };
    check(0, 5, None, None);
    check(1, 5, Some("away"), Some((5, "away")));
    check(2, 7, Some("away"), None);
    check(60, 1, Some("away"), None);
    check(61, 2, Some("still away"), Some((10, "still away")));
    check(200, 2, None, None);
    dropped.store(4, Ordering::Relaxed);
    check(201, 2, None, Some((4, "the collector is too slow")));
}

#[tokio::test]
async fn calls_of_nobody_known_displace_nothing() {
    let mut bench = bench(Ok(()));
    let tracer = bench.provider.tracer("test");
    for code in [UNAUTHENTICATED, 0] {
        let refused = KeyValue::new(GRPC_STATUS_CODE, code);
        drop(tracer.span_builder("call").with_attributes([refused]).start(&tracer));
    }
    bench.permits.add_permits(1);
    let stop = Arc::new(Notify::new());
    stop.notify_one();
    bench.delivery.run(stop).await;
    assert_eq!(bench.taken.recv().await, Some(1));
}
