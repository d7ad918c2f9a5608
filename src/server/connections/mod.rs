//! Connections: who is let in, what HTTP/2 may do, and when one is closed.
//!
//! The loop is our own, not tonic's, because certificates change while it runs, because everything
//! that a peer can make grow or keep waiting has a limit here, and because deadlines of calls are
//! answered by our own layers.
//!
//! - `limits`: how much there may be of what, and how long it may take.
//! - `room`: which connection goes where a new one is one too many.
//! - `accept`: errors of the listener, and connections over the limit.
//! - `connection`: what is known of one connection, and when it is overdue.
//! - `opening`: whether it begins with HTTP/2, and what it is answered if not.
//! - `watched`: the bytes of one, with the beginning of HTTP/2 and stalled writing noticed.
//! - `calls`: each call's task, and answers that their client does not take.
//! - `answer`, `request`: the bodies, both ways; `zstd`: what compressed ones may claim.

mod accept;
mod answer;
mod calls;
mod connection;
mod limits;
mod opening;
mod request;
mod room;
mod watched;
mod zstd;

use std::{
    convert::Infallible,
    future::{Future, poll_fn},
    io,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::Arc,
    time::Duration,
};

use hyper::{body::Incoming, server::conn::http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::TcpStream,
    sync::watch,
    task::JoinSet,
    time::{self, Instant},
};
use tonic::{
    body::Body,
    codegen::http::{Request, Response},
};
use tower::Service;

pub(super) use accept::Accept;
pub(super) use answer::keep_until_sent;
pub(super) use connection::Connection;
pub(super) use limits::Limits;

use super::access::Tls;
use crate::metrics::ConnectionMetrics;
use accept::{Arrivals, Arrived};
use answer::AnswerBody;
use calls::Calls;
use connection::Overdue;
use request::RequestBody;
use room::Room;
use watched::{Stream, Watched};

/// A connection is asked for a sign of life this often, so that clients that vanished without a
/// word do not stay connected for ever, and those that stop in the middle of a header neither.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);

/// How long a connection may take to give it.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);

/// Bytes of answers that HTTP/2 itself keeps for one stream whose client does not take them.
const MAX_SEND_BUFFER_BYTES: usize = 64 << 10;

/// Streams that the server may have to reset over the life of one connection because its client
/// breaks the protocol. Well-behaved clients cause one now and then, when data crosses with an
/// early answer; each costs a frame that waits to be sent.
const MAX_LOCAL_RESETS: usize = 8192;

/// What answers calls, on every connection.
pub(super) trait Answers:
    Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send + 'static>
    + Clone
    + Send
    + 'static
{
}

impl<S> Answers for S where
    S: Service<
            Request<Body>,
            Response = Response<Body>,
            Error = Infallible,
            Future: Send + 'static,
        > + Clone
        + Send
        + 'static
{
}

/// Takes connections from `listener`, with TLS if there is any, counts them, and has `service` answer
/// their calls. When `stopped` completes, no more are taken and clients are told to make no further
/// calls; completes when the last connection is closed. Dropped, it closes them all.
pub(super) async fn serve(
    listener: impl Accept,
    service: impl Answers,
    limits: Limits,
    tls: Option<Tls>,
    metrics: Arc<ConnectionMetrics>,
    stopped: impl Future<Output = ()>,
) {
    let mut open = JoinSet::new();
    let (stop, stopping) = watch::channel(false);
    let mut room = Room::new(&limits);
    let mut arrivals = Arrivals::new(listener, room.max_open(), Arc::clone(&metrics));
    let mut stopped = pin!(stopped);
    loop {
        let count = open.len();
        metrics.set_open(count);
        tokio::select! {
            () = &mut stopped => break,
            Some(ended) = open.join_next() => {
                report(ended);
                arrivals.one_has_left();
            }
            Arrived { stream, peer } = arrivals.next(count) => {
                let served = Serving {
                    limits,
                    tls: tls.clone(),
                    service: service.clone(),
                    stopping: stopping.clone(),
                };
                // Before the peer hears of it.
                metrics.set_open(count + 1);
                room.take(|| open.spawn(served.connection(stream, peer, Instant::now())));
            }
        }
    }
    // The port is free from here on.
    drop(arrivals);
    stop.send_replace(true);
    while let Some(ended) = open.join_next().await {
        report(ended);
        metrics.set_open(open.len());
    }
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    // One that made room for another was cancelled.
    if let Err(error) = ended
        && !error.is_cancelled()
    {
        tracing::error!(%error, "a connection ended with a panic");
    }
}

/// What every connection is served with.
struct Serving<S> {
    limits: Limits,
    tls: Option<Tls>,
    service: S,
    stopping: watch::Receiver<bool>,
}

impl<S: Answers> Serving<S> {
    /// From the first byte to the last.
    async fn connection(self, stream: TcpStream, peer: SocketAddr, opened: Instant) {
        // An error means that it is closed already, which is seen soon enough.
        let _ = stream.set_nodelay(true);
        let mut stopping = self.stopping.clone();
        let shaken =
            time::timeout_at(opened + self.limits.handshake, shake_hands(self.tls.clone(), stream));
        let (stream, names) = tokio::select! {
            _ = stopping.wait_for(|stopping| *stopping) => return,
            shaken = shaken => match shaken {
                Ok(Ok(established)) => established,
                Ok(Err(error)) => return tracing::debug!(%peer, %error, "no TLS connection"),
                Err(_) => return tracing::debug!(%peer, "the TLS handshake took too long"),
            }
        };
        let connection = Arc::new(Connection::new(peer, names, opened));
        tracing::debug!(connection = connection.id(), %peer, "connected");
        self.drive(stream, &connection).await;
        tracing::debug!(connection = connection.id(), "disconnected");
    }

    /// HTTP/2, until one of the two sides has had enough.
    async fn drive(mut self, mut stream: Stream, connection: &Arc<Connection>) {
        let begun = tokio::select! {
            begun = opening::open(&mut stream) => match begun {
                Some(begun) => begun,
                None => return tracing::debug!(connection = connection.id(), "it is not HTTP/2"),
            },
            reason = connection.broken_off() => {
                return tracing::info!(connection = connection.id(), reason, "broken off");
            }
            // It is overdue before HTTP/2 has begun.
            _ = connection.overdue(&self.limits) => return,
            _ = self.stopping.wait_for(|stopping| *stopping) => return,
        };
        let io = Watched::new(stream, self.limits.send, Arc::clone(connection)).after(begun);
        let entrance = Entrance {
            service: self.service,
            connection: Arc::clone(connection),
            limits: self.limits,
        };
        let http2 = http2(&self.limits, connection);
        let mut served = pin!(http2.serve_connection(TokioIo::new(io), entrance));
        let id = connection.id();
        tokio::select! {
            ended = served.as_mut() => return log_end(id, ended),
            reason = connection.broken_off() => {
                let peer = connection.peer();
                return tracing::info!(connection = id, %peer, reason, "a connection is broken off");
            }
            overdue = connection.overdue(&self.limits) => {
                tracing::debug!(connection = id, ?overdue, "a connection is closed");
                if matches!(overdue, Overdue::Handshake) {
                    return;
                }
            }
            _ = self.stopping.wait_for(|stopping| *stopping) => {
                if !connection.is_established() {
                    return;
                }
            }
        }
        served.as_mut().graceful_shutdown();
        // Calls that came meanwhile are answered; a peer that just does not go is not waited for.
        tokio::select! {
            ended = served.as_mut() => log_end(id, ended),
            _ = connection.broken_off() => {}
            () = connection.without_calls_for(self.limits.handshake, Instant::now()) => {}
        }
    }
}

/// Returns the names in the client's certificate too, if it shows one.
async fn shake_hands(tls: Option<Tls>, stream: TcpStream) -> io::Result<(Stream, Vec<String>)> {
    match tls {
        None => Ok((Stream::Plain(stream), Vec::new())),
        Some(tls) => {
            let (stream, names) = tls.accept(stream).await?;
            Ok((Stream::Tls(Box::new(stream)), names))
        }
    }
}

fn http2(limits: &Limits, connection: &Arc<Connection>) -> http2::Builder<Calls> {
    let mut http2 = http2::Builder::new(Calls::new(Arc::clone(connection), limits.send));
    http2
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(limits.header_bytes)
        .max_send_buf_size(MAX_SEND_BUFFER_BYTES)
        .keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        // As many as may be open: who cancels all of its calls at once, as clients that ask
        // several servers do, has done nothing wrong.
        .max_pending_accept_reset_streams(limits.streams as usize)
        .max_local_error_reset_streams(MAX_LOCAL_RESETS);
    http2
}

fn log_end(connection: u64, ended: hyper::Result<()>) {
    if let Err(error) = ended {
        tracing::debug!(connection, %error, "a connection ended badly");
    }
}

/// Hands the calls of one connection to the service.
struct Entrance<S> {
    service: S,
    connection: Arc<Connection>,
    limits: Limits,
}

impl<S: Answers> hyper::service::Service<Request<Incoming>> for Entrance<S> {
    type Response = Response<AnswerBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let mut request = RequestBody::of(request, &self.limits);
        request.extensions_mut().insert(Arc::clone(&self.connection));
        let mut service = self.service.clone();
        Box::pin(async move {
            poll_fn(|context| service.poll_ready(context)).await?;
            Ok(service.call(request).await?.map(AnswerBody::new))
        })
    }
}
