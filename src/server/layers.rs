//! What every call goes through on its way to a service and back: it gets an id, it is logged, it
//! ends at its deadline, and if it panics it is answered all the same.
//!
//! One tower layer with four steps, for their order is the point. The id comes first, so that
//! every answer and every log line bears it. The log comes round the rest, so that a call that
//! panicked or came too late has its line too. The deadline drops what it ends. The catching of
//! panics is innermost: what panics is a service, and the steps round it need an answer to work on.

use std::{
    collections::BTreeMap,
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use prost::DecodeError;
use tokio::time;
use tonic::{
    Status,
    body::Body,
    codegen::http::{Request, Response},
};
use tower::{Layer, Service};
use tracing::Instrument;

use super::{
    access_log::AccessLine,
    content_type::{self, NotGrpc},
    deadline::Deadline,
    request_id::{REQUEST_ID, RequestId},
    routes,
    status::{self, CallError},
};
use crate::{
    batching::BatchError,
    metrics::{Call, CallMetrics},
    panics::catch_panic,
    telemetry::Trace,
};

/// The layer.
#[derive(Clone)]
pub(super) struct EveryCall {
    metrics: Arc<CallMetrics>,
    /// By their paths.
    methods: Arc<BTreeMap<String, Arc<str>>>,
    /// What stands for methods that do not exist, whatever their callers call them.
    unknown: Arc<str>,
}

impl EveryCall {
    /// The layer that counts calls there.
    ///
    /// # Errors
    ///
    /// If the definition of a service cannot be read, a defect of this program.
    pub(super) fn new(metrics: Arc<CallMetrics>) -> Result<Self, DecodeError> {
        let methods = Arc::new(routes::methods()?);
        Ok(Self { metrics, methods, unknown: "(unknown)".into() })
    }

    /// The names of all methods, by their paths.
    pub(super) fn methods(&self) -> Arc<BTreeMap<String, Arc<str>>> {
        Arc::clone(&self.methods)
    }

    fn count(&self, path: &str) -> Call {
        let method = self.methods.get(path).unwrap_or(&self.unknown);
        Call::begin(&self.metrics, method, routes::takes_stream(path))
    }
}

/// A service under it.
#[derive(Clone)]
pub(super) struct UnderEveryCall<S> {
    every: EveryCall,
    inner: S,
}

impl<S> Layer<S> for EveryCall {
    type Service = UnderEveryCall<S>;

    fn layer(&self, inner: S) -> Self::Service {
        UnderEveryCall { every: self.clone(), inner }
    }
}

impl<S> Service<Request<Body>> for UnderEveryCall<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
    S::Error: 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let id = RequestId::from_header(request.headers().get(REQUEST_ID));
        request.extensions_mut().insert(id.clone());
        let deadline = Deadline::of(request.headers(), Instant::now());
        if let Some(deadline) = deadline {
            request.extensions_mut().insert(deadline);
        }
        let count = Arc::new(self.every.count(request.uri().path()));
        request.extensions_mut().insert(Arc::clone(&count));
        let line = AccessLine::begin(request.uri().path(), &id, count);
        if let Some(trace) = request.extensions().get::<Trace>() {
            trace.set_text("dynamar.request_id", id.as_str());
            trace.log_ids(line.span());
        }
        let span = line.span().clone();
        if let Some(fault) = content_type::fault(request.method(), request.headers()) {
            let answer = span.in_scope(|| refuse_other(fault, line, id));
            return Box::pin(async move { Ok(answer) });
        }
        let called = span.in_scope(|| catch_panic(|| self.inner.call(request)));
        let answer = async move {
            let answered = match called {
                Ok(future) => in_time(without_panic(future), deadline).await,
                Err(message) => Ok(Err(message)),
            };
            let mut response = match answered {
                Ok(Ok(answer)) => with_its_own_faults_alone(answer?, &line, &id),
                Ok(Err(message)) => {
                    tracing::error!(reason = message, "a call panicked");
                    status::internal(&id).into_http()
                }
                Err(expired) => {
                    line.refuse(expired.reason().1);
                    expired.into_status(&id).into_http()
                }
            };
            response.headers_mut().insert(REQUEST_ID, id.0);
            Ok(line.follow(response))
        };
        Box::pin(answer.instrument(span))
    }
}

/// Answers what is not gRPC.
fn refuse_other(fault: NotGrpc, line: AccessLine, id: RequestId) -> Response<Body> {
    let error = CallError::from(fault.clone());
    line.refuse(error.reason().1);
    let mut response = fault.answer(error.into_status(&id));
    response.headers_mut().insert(REQUEST_ID, id.0);
    line.follow(response)
}

/// The same answer, but INVALID_ARGUMENT where tonic says INTERNAL of a request that it cannot
/// decode. INTERNAL of ours has its reason by now.
fn with_its_own_faults_alone(
    answer: Response<Body>,
    line: &AccessLine,
    id: &RequestId,
) -> Response<Body> {
    if line.is_refused() {
        return answer;
    }
    let status = Status::from_header_map(answer.headers());
    match status.as_ref().and_then(CallError::of_decoding) {
        None => answer,
        Some(error) => {
            line.refuse(error.reason().1);
            error.into_status(id).into_http()
        }
    }
}

/// Runs a future to its end, or until the caller gives up: then it is dropped, and with it whatever
/// of it still waits.
pub(super) async fn in_time<F: Future>(
    future: F,
    deadline: Option<Deadline>,
) -> Result<F::Output, CallError> {
    match deadline {
        None => Ok(future.await),
        Some(Deadline(deadline)) => time::timeout_at(deadline.into(), future)
            .await
            .map_err(|_| CallError::from(BatchError::Expired)),
    }
}

/// Runs a future to its end or to its panic. It is not polled again after that.
async fn without_panic<F: Future>(future: F) -> Result<F::Output, String> {
    let mut future = pin!(future);
    poll_fn(|context| match catch_panic(|| future.as_mut().poll(context)) {
        Ok(poll) => poll.map(Ok),
        Err(message) => Poll::Ready(Err(message)),
    })
    .await
}

#[cfg(test)]
mod tests {
    use tonic::{
        Code,
        codegen::http::{HeaderValue, Method, header::CONTENT_TYPE},
    };

    use super::*;

    /// A call without a message.
    fn call() -> Request<Body> {
        let mut request = Request::new(Body::empty());
        *request.method_mut() = Method::POST;
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        request
    }

    fn layer() -> EveryCall {
        EveryCall::new(Arc::default()).expect("good definitions")
    }

    /// Panics when called, or when its future is polled.
    struct Panics {
        when_polled: bool,
    }

    impl Service<Request<Body>> for Panics {
        type Response = Response<Body>;
        type Error = std::convert::Infallible;
        type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: Request<Body>) -> Self::Future {
            assert!(self.when_polled, "a secret of the house");
            Box::pin(async { panic!("a secret of the house") })
        }
    }

    #[tokio::test]
    async fn a_call_that_panics_is_answered_with_its_id_and_nothing_else() {
        for when_polled in [false, true] {
            let mut service = layer().layer(Panics { when_polled });
            let mut request = call();
            let id = HeaderValue::from_static("mine");
            request.headers_mut().insert(REQUEST_ID, id.clone());
            let response = service.call(request).await.expect("an answer");
            assert_eq!(response.headers()[REQUEST_ID], id);
            let status = tonic::Status::from_header_map(response.headers()).expect("an error");
            assert_eq!(status.code(), Code::Internal);
            assert!(status.message().contains("mine"), "{status:?}");
            assert!(!status.message().contains("secret"), "{status:?}");
        }
    }

    #[tokio::test]
    async fn a_call_ends_at_its_deadline_and_what_it_waits_for_is_dropped() {
        let dropped = Arc::new(());
        let mut service = layer().layer(Waits(Arc::clone(&dropped)));
        let mut request = call();
        request.headers_mut().insert("grpc-timeout", HeaderValue::from_static("5m"));
        let response = service.call(request).await.expect("an answer");
        let status = tonic::Status::from_header_map(response.headers()).expect("an error");
        assert_eq!(status.code(), Code::DeadlineExceeded, "{status:?}");
        assert_eq!(Arc::strong_count(&dropped), 2, "the test's and the service's");
    }

    /// Waits for ever, holding what it has.
    struct Waits(Arc<()>);

    impl Service<Request<Body>> for Waits {
        type Response = Response<Body>;
        type Error = std::convert::Infallible;
        type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: Request<Body>) -> Self::Future {
            let held = Arc::clone(&self.0);
            Box::pin(async move {
                let _held = held;
                std::future::pending().await
            })
        }
    }
}
