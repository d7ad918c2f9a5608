//! New connections: errors of the listener, and those over the limit.

use std::{future::Future, io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream},
    time::{self, Instant},
};

use crate::metrics::ConnectionMetrics;

/// How long nobody is let in after an error of the listener, unless a connection ends before: what
/// is missing as a rule are file descriptors.
const PAUSE: Duration = Duration::from_secs(1);

/// How often the same complaint is logged.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(10);

/// Where connections come from.
pub(in crate::server) trait Accept {
    /// The next one. Can be dropped and called again without losing any.
    fn accept(&self) -> impl Future<Output = io::Result<(TcpStream, SocketAddr)>> + Send;
}

impl Accept for TcpListener {
    fn accept(&self) -> impl Future<Output = io::Result<(TcpStream, SocketAddr)>> + Send {
        Self::accept(self)
    }
}

/// A new connection.
pub(super) struct Arrived {
    pub stream: TcpStream,
    pub peer: SocketAddr,
}

/// New connections, up to the limit.
pub(super) struct Arrivals<L> {
    listener: L,
    max_open: usize,
    metrics: Arc<ConnectionMetrics>,
    /// Until when nobody is let in.
    pause: Option<Instant>,
    full: Complaint,
    failing: Complaint,
}

impl<L: Accept> Arrivals<L> {
    pub(super) fn new(listener: L, max_open: usize, metrics: Arc<ConnectionMetrics>) -> Self {
        let (full, failing) = (Complaint::default(), Complaint::default());
        Self { listener, max_open, metrics, pause: None, full, failing }
    }

    /// The next connection that may stay, beside `open` ones. Can be dropped and called again.
    pub(super) async fn next(&mut self, open: usize) -> Arrived {
        loop {
            if let Some(end) = self.pause {
                time::sleep_until(end).await;
                self.pause = None;
            }
            match self.listener.accept().await {
                Ok((stream, peer)) if open < self.max_open => return Arrived { stream, peer },
                Ok((stream, _)) => {
                    drop(stream);
                    self.metrics.refused();
                    if let Some(refused) = self.full.again() {
                        let limit = self.max_open;
                        tracing::warn!(
                            limit,
                            refused,
                            "connections are refused: server.max_connections are open"
                        );
                    }
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    if let Some(times) = self.failing.again() {
                        tracing::error!(%error, times, "connections cannot be taken");
                    }
                    self.pause = Some(Instant::now() + PAUSE);
                }
            }
        }
    }

    /// A connection has ended, and with it whatever it held.
    pub(super) fn one_has_left(&mut self) {
        self.pause = None;
    }
}

/// Whether the error is about a connection that ended before it was taken, and not about us.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    [ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted].contains(&error.kind())
}

/// Something that may happen very often and is logged now and then.
#[derive(Default)]
struct Complaint {
    logged: Option<Instant>,
    since: u64,
}

impl Complaint {
    /// It happened again. Returns how often since the last time it was logged, if it is time.
    fn again(&mut self) -> Option<u64> {
        self.since += 1;
        let is_time = self.logged.is_none_or(|logged| logged.elapsed() >= COMPLAINT_INTERVAL);
        is_time.then(|| {
            self.logged = Some(Instant::now());
            std::mem::take(&mut self.since)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Fails as when there are no file descriptors, and then has a connection.
    struct Failing {
        failures: usize,
        asked: AtomicUsize,
        kind: fn() -> io::Error,
        inner: TcpListener,
    }

    impl Accept for &Failing {
        async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
            if self.asked.fetch_add(1, Ordering::Relaxed) < self.failures {
                return Err((self.kind)());
            }
            self.inner.accept().await
        }
    }

    async fn failing(failures: usize, kind: fn() -> io::Error) -> (Failing, TcpStream) {
        let inner = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = inner.local_addr().expect("an address");
        let client = TcpStream::connect(address).await.expect("connected");
        (Failing { failures, asked: AtomicUsize::new(0), kind, inner }, client)
    }

    #[tokio::test]
    async fn without_file_descriptors_it_waits_for_a_connection_to_end() {
        let (failing, client) = failing(1, || io::Error::from_raw_os_error(libc::EMFILE)).await;
        let mut arrivals = Arrivals::new(&failing, 9, Arc::default());
        let brief = Duration::from_millis(20);
        time::timeout(brief, arrivals.next(0)).await.err().expect("it pauses");
        time::timeout(brief, arrivals.next(0)).await.err().expect("it still does");
        assert_eq!(failing.asked.load(Ordering::Relaxed), 1, "it does not spin");
        arrivals.one_has_left();
        let arrived = arrivals.next(0).await;
        assert_eq!(arrived.peer, client.local_addr().expect("an address"));
    }

    #[tokio::test]
    async fn a_connection_that_ended_too_early_holds_up_nobody() {
        let (failing, client) = failing(3, || io::ErrorKind::ConnectionAborted.into()).await;
        let mut arrivals = Arrivals::new(&failing, 9, Arc::default());
        assert_eq!(arrivals.next(0).await.peer, client.local_addr().expect("an address"));
        assert!(arrivals.pause.is_none());
    }

    #[tokio::test]
    async fn complaints_are_counted_and_rare() {
        let mut complaint = Complaint::default();
        assert_eq!(complaint.again(), Some(1));
        assert_eq!((complaint.again(), complaint.again()), (None, None));
        complaint.logged = Instant::now().checked_sub(COMPLAINT_INTERVAL);
        assert_eq!(complaint.again(), Some(3));
    }
}
