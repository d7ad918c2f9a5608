//! The span of each call of ours: outermost, so that it covers whatever is done for the call. Probes
//! and tools have none.

use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tonic::{
    Code,
    body::Body,
    codegen::http::{Request, Response},
};
use tower::{Layer, Service};

use super::{access_log, routes};
use crate::telemetry::{Trace, Traces};

/// The layer.
#[derive(Clone)]
pub(super) struct Traced {
    pub traces: Traces,
    /// The names of all methods, by their paths.
    pub methods: Arc<BTreeMap<String, Arc<str>>>,
}

/// A service under it.
#[derive(Clone)]
pub(super) struct UnderTraced<S> {
    inner: S,
    of: Traced,
}

impl<S> Layer<S> for Traced {
    type Service = UnderTraced<S>;

    fn layer(&self, inner: S) -> Self::Service {
        UnderTraced { inner, of: self.clone() }
    }
}

type Answering<E> = Pin<Box<dyn Future<Output = Result<Response<Body>, E>> + Send>>;

impl<S, E> Service<Request<Body>> for UnderTraced<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = E, Future = Answering<E>>,
    E: 'static,
{
    type Response = Response<Body>;
    type Error = E;
    type Future = Answering<E>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), E>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let trace = self.of.begin(&request);
        if !trace.is_on() {
            return self.inner.call(request);
        }
        request.extensions_mut().insert(trace.clone());
        let mut outcome = Outcome { trace, is_known: false };
        let answering = self.inner.call(request);
        Box::pin(async move {
            let answer = answering.await;
            if let Ok(response) = &answer {
                // That of an answer without an error is still to come.
                let code = access_log::code_in(response.headers());
                outcome.tell(code.unwrap_or(Code::Ok));
            }
            answer
        })
    }
}

impl Traced {
    fn begin(&self, request: &Request<Body>) -> Trace {
        let path = request.uri().path();
        // One that does not exist would be called what its caller likes.
        let Some(method) = self.methods.get(path) else { return Trace::default() };
        let path = path.trim_start_matches('/');
        let Some((service, _)) = path.split_once('/') else { return Trace::default() };
        if !routes::is_inference(path) {
            return Trace::default();
        }
        let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
        self.traces.call(service, method, header)
    }
}

/// Notes how a call ended.
pub(super) fn tell(trace: &Trace, code: Code) {
    let is_fault = matches!(
        code,
        Code::Unknown
            | Code::DeadlineExceeded
            | Code::Unimplemented
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss
    );
    trace.set_code(code as i32, is_fault);
}

/// Also that it was dropped, for then its caller has gone.
struct Outcome {
    trace: Trace,
    is_known: bool,
}

impl Outcome {
    fn tell(&mut self, code: Code) {
        self.is_known = true;
        tell(&self.trace, code);
    }
}

impl Drop for Outcome {
    fn drop(&mut self) {
        if !self.is_known {
            self.tell(Code::Cancelled);
        }
    }
}
