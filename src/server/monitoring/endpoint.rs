//! The page over HTTP/1.1: `GET /metrics`, and nothing else.

use std::{convert::Infallible, future::pending, sync::Arc, time::Duration};

use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{ALLOW, CONTENT_TYPE},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
    time,
};

use super::Sources;
use crate::metrics::TEXT_FORMAT;

/// Who collects metrics is one or two; others wait.
const MAX_CONNECTIONS: usize = 16;

/// A connection is for one request, which is small, and its answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Bytes of a request's head.
const MAX_HEAD_BYTES: usize = 16 << 10;

/// After an error of the listener, such as too many open files.
const PAUSE: Duration = Duration::from_millis(100);

const PATH: &str = "/metrics";

/// Serves the page on `listener` for ever; without one, does nothing for ever. Dropped, it ends with all
/// its connections.
pub(in crate::server) async fn serve(
    listener: Option<TcpListener>,
    sources: Sources,
) -> Infallible {
    let Some(listener) = listener else { return pending().await };
    let free = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        // The semaphore is never closed.
        let Ok(permit) = Arc::clone(&free).acquire_owned().await else { return pending().await };
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, _)) => {
                let sources = sources.clone();
                connections.spawn(async move {
                    let _permit = permit;
                    // Its end is of interest to the peer alone.
                    let _ = time::timeout(PATIENCE, converse(stream, sources)).await;
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection for metrics could not be taken");
                // Nothing tells when there are files again.
                let _ = time::timeout(PAUSE, pending::<()>()).await;
            }
        }
    }
}

async fn converse(stream: TcpStream, sources: Sources) -> Result<(), hyper::Error> {
    let answer = service_fn(move |request: Request<Incoming>| {
        let sources = sources.clone();
        async move { Ok::<_, Infallible>(respond(&request, &sources)) }
    });
    http1::Builder::new()
        .keep_alive(false)
        .max_buf_size(MAX_HEAD_BYTES)
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), answer)
        .await
}

fn respond(request: &Request<Incoming>, sources: &Sources) -> Response<Full<Bytes>> {
    if request.uri().path() != PATH {
        return text(StatusCode::NOT_FOUND, "metrics are at /metrics\n".to_owned());
    }
    if ![Method::GET, Method::HEAD].contains(request.method()) {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "ask with GET\n".to_owned());
        response.headers_mut().insert(ALLOW, hyper::header::HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match sources.page() {
        Ok(page) => text(StatusCode::OK, page),
        Err(reason) => {
            tracing::error!(reason, "the metrics cannot be written down");
            text(StatusCode::INTERNAL_SERVER_ERROR, "see the server's log\n".to_owned())
        }
    }
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    let content_type = hyper::header::HeaderValue::from_static(TEXT_FORMAT);
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}
