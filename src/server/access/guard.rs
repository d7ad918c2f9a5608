//! Asks every call who makes it, before any service sees it.

use std::{
    future::{Future, ready},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tonic::{
    body::Body,
    codegen::http::{Request, Response, header::AUTHORIZATION},
};
use tower::{Layer, Service};

use super::{
    Caller,
    files::Kept,
    tokens::{Callers, Refusal},
};
use crate::{
    metrics::Call,
    server::{connections::Connection, request_id::RequestId, routes, status::CallError},
};

/// The layer. Without callers, everybody is let in.
#[derive(Clone)]
pub(in crate::server) struct Guard(Option<Arc<Kept<Callers>>>);

/// A service that only those are let through to who may call.
#[derive(Clone)]
pub(in crate::server) struct Guarded<S> {
    guard: Guard,
    inner: S,
}

impl Guard {
    pub(super) fn new(callers: Option<Arc<Kept<Callers>>>) -> Self {
        Self(callers)
    }

    fn caller(&self, request: &Request<Body>) -> Result<Arc<Caller>, Refusal> {
        let connection = request.extensions().get::<Arc<Connection>>();
        let names = connection.map_or(&[][..], |connection| connection.names());
        match &self.0 {
            None => Ok(Arc::new(Caller::anyone(names.first().map_or("", String::as_str)))),
            Some(_) if routes::is_open(request.uri().path()) => Ok(Arc::new(Caller::nobody())),
            Some(callers) => {
                let credentials = request.headers().get_all(AUTHORIZATION).iter();
                callers.current().identify(credentials, names)
            }
        }
    }
}

impl<S> Layer<S> for Guard {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Guarded<S> {
        Guarded { guard: self.clone(), inner }
    }
}

impl<S> Service<Request<Body>> for Guarded<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        match self.guard.caller(&request) {
            Ok(caller) => {
                if !caller.name().is_empty() {
                    tracing::Span::current().record("caller", caller.name());
                }
                // Nobody behind this has a use for the token.
                request.headers_mut().remove(AUTHORIZATION);
                request.extensions_mut().insert(caller);
                Box::pin(self.inner.call(request))
            }
            Err(refusal) => {
                let id = request.extensions().get::<RequestId>().cloned();
                let id = id.unwrap_or_else(|| RequestId::from_header(None));
                let refused = CallError::from(refusal);
                if let Some(count) = request.extensions().get::<Arc<Call>>() {
                    count.refuse(refused.reason().1);
                }
                let status = refused.into_status(&id);
                Box::pin(ready(Ok(status.into_http())))
            }
        }
    }
}
