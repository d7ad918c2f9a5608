//! The span of a call, and those beneath it.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Instant, SystemTime},
};

use opentelemetry::{
    Context, KeyValue,
    propagation::{Extractor, TextMapPropagator},
    trace::{SpanBuilder, SpanKind, Status, TraceContextExt, Tracer},
};
use opentelemetry_sdk::{propagation::TraceContextPropagator, trace::SdkTracer};
use tracing::Span;

use super::Traces;

/// The attribute that says how a call ended.
pub(super) const GRPC_STATUS_CODE: &str = "rpc.grpc.status_code";

/// The span of a call or of a part of it. It ends when the last clone is dropped. Does nothing if
/// traces are off.
#[derive(Clone, Default)]
pub struct Trace(Option<Arc<Open>>);

/// A span that has not ended.
struct Open {
    tracer: SdkTracer,
    context: Context,
    clock: Clock,
    outcome: Mutex<Option<Outcome>>,
}

/// How a call ended.
#[derive(Clone, Copy)]
struct Outcome {
    code: i32,
    is_fault: bool,
}

/// Turns times that were measured into those of the day. One for a call, so that its spans lie
/// within each other even if the day's clock is set.
#[derive(Clone, Copy)]
struct Clock(SystemTime, Instant);

impl Clock {
    fn at(self, instant: Instant) -> SystemTime {
        let Self(day, begun) = self;
        day + instant.saturating_duration_since(begun)
    }
}

impl Traces {
    /// The span of a call that begins now; `header` gives what was sent with it. Within the trace of
    /// `traceparent` if that is there and right, else in one of its own.
    pub fn call<'h>(
        &self,
        service: &str,
        method: &str,
        header: impl Fn(&'static str) -> Option<&'h str>,
    ) -> Trace {
        let Some(tracer) = &self.0 else { return Trace(None) };
        let parent = header("traceparent").filter(|parent| is_well_formed(parent));
        let w3c = TraceContext { parent, state: header("tracestate") };
        let parent = TraceContextPropagator::new().extract_with_context(&Context::new(), &w3c);
        let attributes = [
            KeyValue::new("rpc.system", "grpc"),
            KeyValue::new("rpc.service", service.to_owned()),
            KeyValue::new("rpc.method", method.to_owned()),
        ];
        let builder = SpanBuilder::from_name(format!("{service}/{method}"))
            .with_kind(SpanKind::Server)
            .with_attributes(attributes);
        let clock = Clock(SystemTime::now(), Instant::now());
        Trace::open(tracer, builder.with_start_time(clock.0), &parent, clock)
    }
}

/// Whether its parts are as long as they have to be: the library takes shorter ones as numbers.
fn is_well_formed(parent: &str) -> bool {
    let lengths = parent.trim().split('-').map(str::len);
    lengths.take(4).eq([2, 32, 16, 2])
}

/// The two headers of the W3C's Trace Context.
struct TraceContext<'h> {
    parent: Option<&'h str>,
    state: Option<&'h str>,
}

impl Extractor for TraceContext<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        match key {
            "traceparent" => self.parent,
            "tracestate" => self.state,
            _ => None,
        }
    }

    fn keys(&self) -> Vec<&str> {
        vec!["traceparent", "tracestate"]
    }
}

impl Trace {
    fn open(tracer: &SdkTracer, builder: SpanBuilder, parent: &Context, clock: Clock) -> Self {
        let span = tracer.build_with_context(builder, parent);
        let context = parent.with_span(span);
        let (tracer, outcome) = (tracer.clone(), Mutex::default());
        Self(Some(Arc::new(Open { tracer, context, clock, outcome })))
    }

    /// What is recorded, if anything is.
    fn recording(&self) -> Option<&Open> {
        self.0.as_deref().filter(|open| open.context.span().is_recording())
    }

    /// Says in a span of the log in which trace this is.
    pub fn log_ids(&self, log: &Span) {
        let Some(open) = &self.0 else { return };
        let span = open.context.span();
        let ids = span.span_context();
        log.record("trace_id", tracing::field::display(ids.trace_id()));
        log.record("span_id", tracing::field::display(ids.span_id()));
    }

    /// The id of the trace that this is in; `None` if nothing is recorded.
    pub fn id(&self) -> Option<String> {
        self.recording().map(|open| open.context.span().span_context().trace_id().to_string())
    }

    /// Notes a text about it.
    pub fn set_text(&self, name: &'static str, value: impl Into<String>) {
        if let Some(open) = self.recording() {
            open.context.span().set_attribute(KeyValue::new(name, value.into()));
        }
    }

    /// Notes a number about it.
    pub fn set_count(&self, name: &'static str, value: usize) {
        if let Some(open) = self.recording() {
            open.context.span().set_attribute(count(name, value));
        }
    }

    /// Notes with which gRPC code it ended, and whether that is the server's fault. What is noted last
    /// counts: a stream that begins well may end badly.
    pub fn set_code(&self, code: i32, is_fault: bool) {
        if let Some(open) = self.recording() {
            // Replaced as a whole.
            let mut outcome = open.outcome.lock().unwrap_or_else(PoisonError::into_inner);
            *outcome = Some(Outcome { code, is_fault });
        }
    }

    /// Another span beneath it, for a part that has parts itself.
    pub fn part(&self, name: &'static str) -> Self {
        let Some(open) = &self.0 else { return Self(None) };
        let builder = SpanBuilder::from_name(name).with_start_time(open.clock.at(Instant::now()));
        Self::open(&open.tracer, builder, &open.context, open.clock)
    }

    /// A part that begins now and ends when what is returned is dropped.
    #[must_use]
    pub fn stage(&self, name: &'static str) -> Stage<'_> {
        Stage { trace: self, name, begun: self.recording().map(|_| Instant::now()) }
    }

    /// A part that is over, with numbers about it. What was done before the call began, for others,
    /// is left out.
    pub fn past(
        &self,
        name: &'static str,
        begun: Instant,
        ended: Instant,
        counts: &[(&'static str, usize)],
    ) {
        let Some(open) = self.recording() else { return };
        let attributes = counts.iter().map(|&(name, value)| count(name, value));
        let mut span = SpanBuilder::from_name(name)
            .with_start_time(open.clock.at(begun))
            .with_attributes(attributes)
            .start_with_context(&open.tracer, &open.context);
        opentelemetry::trace::Span::end_with_timestamp(&mut span, open.clock.at(ended));
    }

    /// Whether traces are on at all.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Whether anything is recorded.
    pub fn is_recording(&self) -> bool {
        self.recording().is_some()
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let span = self.context.span();
        let outcome = self.outcome.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(Outcome { code, is_fault }) = *outcome {
            span.set_attribute(KeyValue::new(GRPC_STATUS_CODE, i64::from(code)));
            if is_fault {
                span.set_status(Status::error(""));
            }
        }
        span.end_with_timestamp(self.clock.at(Instant::now()));
    }
}

impl std::fmt::Debug for Trace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trace").field("is_recording", &self.is_recording()).finish()
    }
}

/// A part of a call that goes on.
pub struct Stage<'t> {
    trace: &'t Trace,
    name: &'static str,
    /// `None` if nothing is recorded.
    begun: Option<Instant>,
}

impl Drop for Stage<'_> {
    fn drop(&mut self) {
        if let Some(begun) = self.begun {
            self.trace.past(self.name, begun, Instant::now(), &[]);
        }
    }
}

fn count(name: &'static str, value: usize) -> KeyValue {
    KeyValue::new(name, i64::try_from(value).unwrap_or(i64::MAX))
}
