//! The bytes of a connection, watched: whether HTTP/2 has begun, and whether writing gets on.

use std::{
    future::Future,
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use hyper::body::Bytes;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{self, Sleep},
};

use super::Connection;
use crate::server::access::TlsStream;

/// `PRI * HTTP/2.0 ...`, with which a client begins.
const PREFACE_BYTES: usize = 24;

/// What stands before the content of a frame; its first three bytes are the content's length.
const FRAME_HEADER_BYTES: usize = 9;

/// A connection's bytes, encrypted on their way or not.
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream>),
}

macro_rules! of_either {
    ($stream:expr, $inner:ident => $done:expr) => {
        match $stream {
            Stream::Plain($inner) => $done,
            Stream::Tls($inner) => $done,
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        of_either!(self.get_mut(), inner => Pin::new(inner).poll_read(context, buffer))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        of_either!(self.get_mut(), inner => Pin::new(inner).poll_write(context, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        of_either!(self.get_mut(), inner => Pin::new(inner).poll_write_vectored(context, parts))
    }

    fn is_write_vectored(&self) -> bool {
        of_either!(self, inner => inner.is_write_vectored())
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        of_either!(self.get_mut(), inner => Pin::new(inner).poll_flush(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        of_either!(self.get_mut(), inner => Pin::new(inner).poll_shutdown(context))
    }
}

/// A stream that tells its connection when HTTP/2 has begun, and that fails when no byte can be
/// written for long.
pub(super) struct Watched<S> {
    stream: S,
    /// What was read of it before, and is read again.
    begun: Bytes,
    connection: Arc<Connection>,
    /// `None` once HTTP/2 has begun.
    beginning: Option<Beginning>,
    send_timeout: Duration,
    /// Runs while a write waits.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<S> Watched<S> {
    pub(super) fn new(stream: S, send_timeout: Duration, connection: Arc<Connection>) -> Self {
        let beginning = Some(Beginning::default());
        let begun = Bytes::new();
        Self { stream, begun, connection, beginning, send_timeout, stalled: None }
    }

    /// The same, of which these bytes were read already.
    pub(super) fn after(self, begun: Vec<u8>) -> Self {
        Self { begun: begun.into(), ..self }
    }

    /// What a write came to, unless it has waited for too long.
    fn checked<T>(
        &mut self,
        written: Poll<io::Result<T>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let limit = self.send_timeout;
        let stalled = self
            .stalled
            .get_or_insert_with(|| Box::pin(time::sleep_until(time::Instant::now() + limit)));
        stalled.as_mut().poll(context).map(|()| {
            let message = format!("the client has taken nothing for {limit:?}");
            Err(io::Error::new(io::ErrorKind::TimedOut, message))
        })
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let read = match this.begun.len().min(buffer.remaining()) {
            0 => Pin::new(&mut this.stream).poll_read(context, buffer),
            count => {
                buffer.put_slice(&this.begun.split_to(count));
                Poll::Ready(Ok(()))
            }
        };
        if let Some(beginning) = &mut this.beginning
            && beginning.is_over_after(&buffer.filled()[before..])
        {
            this.beginning = None;
            this.connection.establish();
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(context, bytes);
        this.checked(written, context)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(context, parts);
        this.checked(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.stream).poll_flush(context);
        this.checked(flushed, context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let shut = Pin::new(&mut this.stream).poll_shutdown(context);
        this.checked(shut, context)
    }
}

/// How far a client has come with its preface and its SETTINGS. What they say is HTTP/2's affair;
/// here only their length counts.
#[derive(Default)]
struct Beginning {
    read: usize,
    /// The content's length, as far as it is read.
    settings_bytes: usize,
}

impl Beginning {
    fn is_over_after(&mut self, bytes: &[u8]) -> bool {
        let length = PREFACE_BYTES..PREFACE_BYTES + 3;
        for (at, &byte) in (self.read..).zip(bytes) {
            if length.contains(&at) {
                self.settings_bytes = self.settings_bytes << 8 | usize::from(byte);
            }
            if at >= length.end {
                break;
            }
        }
        self.read += bytes.len();
        self.read >= PREFACE_BYTES + FRAME_HEADER_BYTES + self.settings_bytes
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    fn watched<S>(stream: S, send_timeout: Duration) -> Watched<S> {
        let peer = "127.0.0.1:1".parse().expect("an address");
        let connection = Connection::new(peer, Vec::new(), time::Instant::now());
        Watched::new(stream, send_timeout, Arc::new(connection))
    }

    #[tokio::test]
    async fn a_write_that_nobody_takes_fails_and_one_that_is_taken_slowly_does_not() {
        let limit = Duration::from_millis(50);
        let (mut peer, stream) = tokio::io::duplex(16);
        let mut stream = watched(stream, limit);
        let begun = time::Instant::now();
        let error = stream.write_all(&[0; 32]).await.expect_err("nobody reads");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(begun.elapsed() >= limit);

        // Every byte that is taken gives the next one its full time.
        let mut rest = [0; 16];
        peer.read_exact(&mut rest).await.expect("read");
        let mut stream = watched(stream.stream, Duration::from_secs(60));
        let (written, read) = tokio::join!(stream.write_all(&[1; 500]), async {
            let mut byte = [0; 1];
            for _ in 0..500 {
                peer.read_exact(&mut byte).await.expect("read");
            }
            byte[0]
        });
        written.expect("taken");
        assert_eq!(read, 1);
        assert!(stream.stalled.is_none());
    }

    #[test]
    fn http2_has_begun_after_the_settings_however_they_are_cut() {
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        bytes.extend([0, 0, 12, 4, 0, 0, 0, 0, 0]);
        bytes.extend([0; 12]);
        for cut in 1..bytes.len() {
            let mut beginning = Beginning::default();
            let mut parts = bytes.chunks(cut).peekable();
            while let Some(part) = parts.next() {
                assert_eq!(beginning.is_over_after(part), parts.peek().is_none(), "cut at {cut}");
            }
        }
        bytes.push(0);
        assert!(Beginning::default().is_over_after(&bytes));
    }
}
