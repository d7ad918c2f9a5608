//! What is counted of calls.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use prometheus::{Histogram, HistogramVec, IntCounterVec, IntGauge};

use super::{
    Page,
    instruments::{counters, histogram, histograms, level},
};

const CALL_SECONDS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
const TOKENIZATION_SECONDS: &[f64] =
    &[0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5];

/// What is counted of calls.
pub struct CallMetrics {
    requests: IntCounterVec,
    durations: HistogramVec,
    in_flight: IntGauge,
    refused: IntCounterVec,
    tokenization: Histogram,
}

impl Default for CallMetrics {
    fn default() -> Self {
        Self {
            requests: counters(
                "dynamar_requests_total",
                "Calls that are over, and requests of streams; the task where it is one.",
                &["method", "task", "code"],
            ),
            durations: histograms(
                "dynamar_request_duration_seconds",
                "How long they took, whatever they were answered.",
                &["method", "task"],
                CALL_SECONDS,
            ),
            in_flight: level(
                "dynamar_requests_in_flight",
                "Calls and streams that are open, and requests of streams.",
            ),
            refused: counters(
                "dynamar_refused_total",
                "Calls and requests of streams that were answered with an error, by its reason, or its \
                 code where it has none.",
                &["reason"],
            ),
            tokenization: histogram(
                "dynamar_tokenization_duration_seconds",
                "How long it took to make the prompts of a call.",
                TOKENIZATION_SECONDS,
            ),
        }
    }
}

impl CallMetrics {
    /// The prompts of a call were made.
    pub fn tokenized(&self, time: Duration) {
        self.tokenization.observe(time.as_secs_f64());
    }

    /// Writes it all down.
    pub fn show(&self, page: &mut Page) {
        page.add(&[], &self.requests);
        page.add(&[], &self.durations);
        page.add(&[], &self.in_flight);
        page.add(&[], &self.refused);
        page.add(&[], &self.tokenization);
    }
}

/// A call that is under way. Dropped before its end, it was given up; dropped by a panic, it failed.
pub struct Call {
    metrics: Arc<CallMetrics>,
    method: Arc<str>,
    /// Whether it is a stream, whose requests are counted in its place.
    is_stream: bool,
    begun: Instant,
    task: OnceLock<String>,
    ended: AtomicBool,
    failure: Arc<Failure>,
}

/// What a stream and its requests have in common: the error of a request is that of its stream too, and
/// is counted once.
#[derive(Default)]
struct Failure {
    /// Whether the reason of an error was counted.
    is_refused: AtomicBool,
    /// Whether a request of a stream failed.
    is_of_request: AtomicBool,
}

impl Call {
    /// One begins.
    pub fn begin(metrics: &Arc<CallMetrics>, method: &Arc<str>, is_stream: bool) -> Self {
        metrics.in_flight.inc();
        Self {
            metrics: Arc::clone(metrics),
            method: Arc::clone(method),
            is_stream,
            begun: Instant::now(),
            task: OnceLock::new(),
            ended: AtomicBool::new(false),
            failure: Arc::default(),
        }
    }

    /// A request of this stream begins.
    pub fn request(&self) -> Self {
        let mut request = Self::begin(&self.metrics, &self.method, false);
        request.failure = Arc::clone(&self.failure);
        request
    }

    /// What is asked; of a task that serves, for it stays on the page.
    pub fn set_task(&self, task: &str) {
        // The first one is it.
        let _ = self.task.set(task.to_owned());
    }

    /// It is answered with an error that has this reason. Only the first time counts.
    pub fn refuse(&self, reason: &str) {
        if !self.failure.is_refused.swap(true, Ordering::Relaxed) {
            self.metrics.refused.with_label_values(&[reason]).inc();
        }
    }

    /// Whether the reason of its error is known.
    pub fn is_refused(&self) -> bool {
        self.failure.is_refused.load(Ordering::Relaxed)
    }

    /// It is over. Only the first time counts.
    pub fn end(&self, code: &str) {
        if self.ended.swap(true, Ordering::Relaxed) {
            return;
        }
        self.metrics.in_flight.dec();
        let is_error = !matches!(code, "OK" | "CANCELLED");
        if is_error {
            self.refuse(code);
        }
        let failed = &self.failure.is_of_request;
        if !self.is_stream {
            failed.fetch_or(is_error, Ordering::Relaxed);
        } else if !is_error || failed.load(Ordering::Relaxed) {
            // Of a stream its requests are counted, and it only if it failed with none of them.
            return;
        }
        let task = self.task.get().map_or("", String::as_str);
        self.metrics.requests.with_label_values(&[&self.method, task, code]).inc();
        let seconds = self.begun.elapsed().as_secs_f64();
        self.metrics.durations.with_label_values(&[&self.method, task]).observe(seconds);
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.end(if thread::panicking() { "INTERNAL" } else { "CANCELLED" });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(metrics: &CallMetrics) -> Vec<String> {
        let mut page = Page::default();
        metrics.show(&mut page);
        let text = page.text().expect("text");
        let counts = |line: &&str| line.starts_with("dynamar_re") && !line.contains("_duration_");
        text.lines().filter(counts).map(str::to_owned).collect()
    }

    #[test]
    fn a_call_is_counted_once_and_one_that_is_given_up_too() {
        let metrics = Arc::new(CallMetrics::default());
        let classify: Arc<str> = "Classify".into();
        let answered = Call::begin(&metrics, &classify, false);
        answered.set_task("mood");
        answered.set_task("other");
        answered.end("OK");
        answered.end("INTERNAL");
        drop(answered);
        let refused = Call::begin(&metrics, &classify, false);
        refused.refuse("OVERLOADED");
        refused.end("RESOURCE_EXHAUSTED");
        let open = Call::begin(&metrics, &classify, false);
        drop(Call::begin(&metrics, &classify, false));
        let expected = [
            r#"dynamar_refused_total{reason="OVERLOADED"} 1"#,
            "dynamar_requests_in_flight 1",
            r#"dynamar_requests_total{code="CANCELLED",method="Classify",task=""} 1"#,
            r#"dynamar_requests_total{code="OK",method="Classify",task="mood"} 1"#,
            r#"dynamar_requests_total{code="RESOURCE_EXHAUSTED",method="Classify",task=""} 1"#,
        ];
        let mut found = lines(&metrics);
        found.sort();
        assert_eq!(found, expected);
        drop(open);
    }

    #[test]
    fn of_a_stream_the_requests_are_counted() {
        let metrics = Arc::new(CallMetrics::default());
        let stream = Call::begin(&metrics, &"ClassifyStream".into(), true);
        stream.request().end("OK");
        stream.request().end("OK");
        stream.end("OK");
        let count = r#"dynamar_requests_total{code="OK",method="ClassifyStream",task=""} 2"#;
        assert_eq!(lines(&metrics), ["dynamar_requests_in_flight 0", count]);
        Call::begin(&metrics, &"ClassifyStream".into(), true).end("UNAUTHENTICATED");
        assert!(lines(&metrics).iter().any(|line| line.contains("UNAUTHENTICATED")));
    }

    #[test]
    fn the_error_that_ends_a_stream_is_counted_once_whoever_made_it() {
        type Fails = fn(&Call);
        let ends: [(&str, Fails); 3] = [
            ("its request", |stream| {
                let request = stream.request();
                request.refuse("NOT_FOUND");
                request.end("NOT_FOUND");
            }),
            ("itself", |stream| stream.refuse("NOT_FOUND")),
            ("nobody knows", |_| ()),
        ];
        for (who, fails) in ends {
            let metrics = Arc::new(CallMetrics::default());
            let stream = Call::begin(&metrics, &"ClassifyStream".into(), true);
            fails(&stream);
            stream.end("NOT_FOUND");
            let expected = [
                r#"dynamar_refused_total{reason="NOT_FOUND"} 1"#,
                "dynamar_requests_in_flight 0",
                r#"dynamar_requests_total{code="NOT_FOUND",method="ClassifyStream",task=""} 1"#,
            ];
            assert_eq!(lines(&metrics), expected, "{who}");
        }
    }

    #[test]
    fn a_call_that_panics_is_a_failure() {
        let metrics = Arc::new(CallMetrics::default());
        let call = Call::begin(&metrics, &"Classify".into(), false);
        let panicked = thread::spawn(move || {
            let _call = call;
            panic!("as a defect would");
        });
        panicked.join().expect_err("it panicked");
        let text = lines(&metrics).join(" ");
        assert!(text.contains(r#"dynamar_requests_total{code="INTERNAL""#), "{text}");
        assert!(text.contains(r#"dynamar_refused_total{reason="INTERNAL"} 1"#), "{text}");
    }
}
