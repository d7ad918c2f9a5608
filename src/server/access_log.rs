//! The span of a call, and the one line that is logged when it is over: whole, with the code that stands
//! behind the last of its answers. It is written when the answer has left: no client waits for the log.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Instant,
};

use hyper::body::{Body as _, Bytes, Frame, SizeHint};
use tonic::{
    Code, Status,
    body::Body,
    codegen::http::{HeaderMap, Response},
};
use tracing::{Span, field};

use super::{connections::keep_until_sent, request_id::RequestId, routes, status};
use crate::metrics::Call;

/// Where the code of an answer stands: in its headers if it is nothing but an error, else in its trailers.
const GRPC_STATUS: &str = "grpc-status";

/// Characters of a path that are logged; those of real methods are shorter.
const MAX_LOGGED_PATH: usize = 100;

/// The span of a call and the one line that is logged when it is over. The services record in the
/// span what they learn about the call.
pub(super) struct AccessLine {
    span: Span,
    begun: Instant,
    count: Arc<Call>,
    /// Whether it is one of our own calls. Probes and tools call often and say little.
    is_inference: bool,
    outcome: Option<Outcome>,
}

/// How a call ended.
#[derive(Clone, Copy)]
struct Outcome {
    code: Code,
    ms: f64,
}

impl AccessLine {
    pub(super) fn begin(path: &str, id: &RequestId, count: Arc<Call>) -> Self {
        let path = path.trim_start_matches('/');
        let end = path.floor_char_boundary(MAX_LOGGED_PATH);
        let span = tracing::info_span!(
            "call",
            method = &path[..end],
            request_id = id.as_str(),
            caller = field::Empty,
            task = field::Empty,
            examples = field::Empty,
            answered = field::Empty,
            trace_id = field::Empty,
            span_id = field::Empty,
        );
        Self {
            span,
            begun: Instant::now(),
            count,
            is_inference: routes::is_inference(path),
            outcome: None,
        }
    }

    pub(super) fn span(&self) -> &Span {
        &self.span
    }

    /// Whether the call's error has a reason already.
    pub(super) fn is_refused(&self) -> bool {
        self.count.is_refused()
    }

    /// The call is answered with an error for this reason.
    pub(super) fn refuse(&self, reason: &str) {
        self.count.refuse(reason);
    }

    /// The same answer, which ends the line when its code is known.
    pub(super) fn follow(mut self, answer: Response<Body>) -> Response<Body> {
        let (head, body) = answer.into_parts();
        let code = match code_in(&head.headers) {
            None if !body.is_end_stream() => {
                let followed = Followed { body, span: self.span.clone(), line: Some(self) };
                return Response::from_parts(head, Body::new(followed));
            }
            code => code.unwrap_or(Code::Unknown),
        };
        self.end(code);
        keep_until_sent(self);
        Response::from_parts(head, body)
    }

    fn end(&mut self, code: Code) -> Outcome {
        self.count.end(status::code_name(code));
        let ms = self.begun.elapsed().as_secs_f64() * 1e3;
        *self.outcome.insert(Outcome { code, ms: (ms * 1e3).round() / 1e3 })
    }
}

impl Drop for AccessLine {
    fn drop(&mut self) {
        // One that has not ended was dropped: its caller has gone, or its time was over.
        let ended = self.outcome.unwrap_or_else(|| self.end(Code::Cancelled));
        let (code, ms) = (status::code_name(ended.code), ended.ms);
        if self.is_inference {
            tracing::info!(parent: &self.span, code, ms, "answered");
        } else {
            tracing::debug!(parent: &self.span, code, ms, "answered");
        }
    }
}

/// The code in headers or trailers, if it stands there.
pub(super) fn code_in(headers: &HeaderMap) -> Option<Code> {
    headers.get(GRPC_STATUS).map(|code| Code::from_bytes(code.as_bytes()))
}

/// An answer whose code is still to come.
struct Followed {
    body: Body,
    span: Span,
    /// Until it is known.
    line: Option<AccessLine>,
}

impl Followed {
    fn end(&mut self, code: Code) {
        if let Some(mut line) = self.line.take() {
            if code == Code::Internal && !line.is_refused() {
                tracing::error!(parent: &self.span, "an answer could not be encoded");
            }
            line.end(code);
            keep_until_sent(line);
        }
    }
}

impl hyper::body::Body for Followed {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        // What is logged while the answer is made belongs to the call.
        let frame = ready!(this.span.in_scope(|| Pin::new(&mut this.body).poll_frame(context)));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(trailers) = frame.trailers_ref() {
                    this.end(code_in(trailers).unwrap_or(Code::Unknown));
                }
            }
            Some(Err(status)) => this.end(status.code()),
            None => this.end(Code::Unknown),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
