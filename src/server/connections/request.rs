//! Requests on their way in: whole within a time unless they are streams, and compressed only in
//! ways that cost little to undo.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use hyper::body::{Bytes, Frame, Incoming, SizeHint};
use tokio::time::{self, Instant, Sleep};
use tonic::{Status, body::Body, codegen::http::Request};

use super::{Limits, zstd::Messages};
use crate::server::routes;

/// The body of a request.
pub(super) struct RequestBody<B = Incoming> {
    body: B,
    receiving: Option<Receiving>,
    /// If messages may be compressed with zstd.
    messages: Option<Messages>,
}

/// Until when all must have come. The timer is made when there is something to wait for.
struct Receiving {
    limit: Duration,
    end: Instant,
    timer: Option<Pin<Box<Sleep>>>,
}

impl RequestBody {
    /// A request as it comes from HTTP/2, with its body under these limits.
    pub(super) fn of(request: Request<Incoming>, limits: &Limits) -> Request<Body> {
        let streams = routes::takes_stream(request.uri().path());
        let receiving = (!streams).then(|| Receiving::new(limits.receive));
        let encoding = request.headers().get("grpc-encoding");
        let is_zstd = encoding.is_some_and(|name| name == "zstd");
        let messages = is_zstd.then(|| Messages::new(limits.message_bytes));
        request.map(|body| Body::new(Self { body, receiving, messages }))
    }
}

impl Receiving {
    fn new(limit: Duration) -> Self {
        Self { limit, end: Instant::now() + limit, timer: None }
    }

    /// Ready when the time is over.
    fn poll_late(&mut self, context: &mut Context<'_>) -> Poll<Status> {
        let end = self.end;
        let timer = self.timer.get_or_insert_with(|| Box::pin(time::sleep_until(end)));
        let limit = self.limit;
        timer.as_mut().poll(context).map(|()| {
            Status::deadline_exceeded(format!("the request has not arrived within {limit:?}"))
        })
    }
}

impl<B> hyper::body::Body for RequestBody<B>
where
    B: hyper::body::Body<Data = Bytes> + Unpin,
    B::Error: std::error::Error + Send + Sync + 'static,
{
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        match Pin::new(&mut this.body).poll_frame(context) {
            Poll::Pending => match &mut this.receiving {
                Some(receiving) => receiving.poll_late(context).map(|late| Some(Err(late))),
                None => Poll::Pending,
            },
            Poll::Ready(frame) => Poll::Ready(frame.map(|frame| {
                let frame = frame.map_err(|error| Status::from_error(Box::new(error)))?;
                if let (Some(messages), Some(data)) = (&mut this.messages, frame.data_ref()) {
                    messages.check(data)?;
                }
                Ok(frame)
            })),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
