//! Where ended spans wait to be sent: bounded, and never waited for.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::{
    error::OTelSdkResult,
    trace::{Span, SpanData, SpanProcessor},
};
use tokio::{
    sync::{Notify, mpsc},
    time::{self, Instant},
};

use super::trace::GRPC_STATUS_CODE;

/// The code of calls whose caller is not known.
const UNAUTHENTICATED: i64 = 16;

/// Spans that wait; a few MB.
const MAX_WAITING: usize = 4096;

/// Spans that are sent at once.
const MAX_BATCH: usize = 512;

/// How long things may take.
#[derive(Debug, Clone, Copy)]
struct Pace {
    /// Spans wait for others to go with.
    gathering: Duration,
    /// A collector takes a batch.
    sending: Duration,
}

const PACE: Pace = Pace { gathering: Duration::from_secs(1), sending: Duration::from_secs(10) };

/// Between two words in the log about spans that are lost.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(60);

/// Where spans are sent to.
pub(super) trait Sink: Send + 'static {
    /// Sends these; the error is for the log.
    fn send(&mut self, batch: Vec<SpanData>) -> impl Future<Output = Result<(), String>> + Send;
}

/// Takes spans that have ended.
#[derive(Debug)]
pub(super) struct Outbox {
    waiting: mpsc::Sender<SpanData>,
    dropped: Arc<AtomicU64>,
}

/// Sends them.
pub(super) struct Delivery<S> {
    waiting: mpsc::Receiver<SpanData>,
    batch: Vec<SpanData>,
    sink: S,
    pace: Pace,
    complaints: Complaints,
}

/// What is lost, and when that was told last.
struct Complaints {
    /// For want of room, since that was last looked at.
    dropped: Arc<AtomicU64>,
    lost: u64,
    last: Option<Instant>,
}

/// An outbox, and what empties it.
pub(super) fn new<S: Sink>(sink: S) -> (Outbox, Delivery<S>) {
    let (sender, waiting) = mpsc::channel(MAX_WAITING);
    let dropped = Arc::new(AtomicU64::new(0));
    let complaints = Complaints { dropped: Arc::clone(&dropped), lost: 0, last: None };
    let delivery = Delivery { waiting, batch: Vec::new(), sink, pace: PACE, complaints };
    (Outbox { waiting: sender, dropped }, delivery)
}

impl SpanProcessor for Outbox {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        let is_wanted = span.span_context.is_sampled() && !is_of_nobody(&span);
        if is_wanted && self.waiting.try_send(span).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        // `Sending::stop` does that.
        Ok(())
    }
}

/// Whether it is a call of somebody who may not call at all, and who could displace everybody's spans by
/// asking for more of them.
fn is_of_nobody(span: &SpanData) -> bool {
    let refused = KeyValue::new(GRPC_STATUS_CODE, UNAUTHENTICATED);
    span.attributes.contains(&refused)
}

impl<S: Sink> Delivery<S> {
    /// Sends what comes, and when told to stop what has come by then.
    pub(super) async fn run(mut self, stop: Arc<Notify>) {
        let mut is_stopping = false;
        loop {
            // Only gathering is broken off, which loses nothing; what is being sent is sent.
            tokio::select! {
                () = stop.notified(), if !is_stopping => {
                    is_stopping = true;
                    self.waiting.close();
                }
                () = self.gather() => {
                    if self.batch.is_empty() {
                        break;
                    }
                    self.send().await;
                }
            }
        }
        self.complaints.lost_at_last();
    }

    /// Waits for spans, and once there is one a while for others. None come if no more can come.
    async fn gather(&mut self) {
        let mut due = None;
        while self.batch.len() < MAX_BATCH {
            let room = MAX_BATCH - self.batch.len();
            let more = self.waiting.recv_many(&mut self.batch, room);
            let came = match due {
                None => more.await,
                Some(due) => time::timeout_at(due, more).await.unwrap_or(0),
            };
            if came == 0 {
                return;
            }
            due.get_or_insert_with(|| Instant::now() + self.pace.gathering);
        }
    }

    async fn send(&mut self) {
        let batch = std::mem::take(&mut self.batch);
        let spans = batch.len();
        let sent = time::timeout(self.pace.sending, self.sink.send(batch)).await;
        let reason = match sent {
            Ok(Ok(())) => None,
            Ok(Err(reason)) => Some(reason),
            Err(_) => Some(format!("no answer within {:?}", self.pace.sending)),
        };
        if let Some((lost, reason)) = self.complaints.due(spans, reason, Instant::now()) {
            tracing::warn!(spans = lost, reason, "traces are lost");
        }
    }
}

impl Complaints {
    /// Counts what became of a batch, and says what is to be told now, if anything: how many spans
    /// are lost since the last time, and why.
    fn due(&mut self, spans: usize, reason: Option<String>, now: Instant) -> Option<(u64, String)> {
        self.lost += self.dropped.swap(0, Ordering::Relaxed);
        self.lost += reason.as_ref().map_or(0, |_| spans as u64);
        let is_silent = self.last.is_some_and(|last| now < last + COMPLAINT_INTERVAL);
        if self.lost == 0 || is_silent {
            return None;
        }
        self.last = Some(now);
        let reason = reason.unwrap_or_else(|| "the collector is too slow".to_owned());
        Some((std::mem::take(&mut self.lost), reason))
    }

    fn lost_at_last(&mut self) {
        self.lost += self.dropped.swap(0, Ordering::Relaxed);
        if self.lost > 0 {
            tracing::warn!(spans = self.lost, reason = "see before", "traces are lost");
        }
    }
}

#[cfg(test)]
mod tests;
