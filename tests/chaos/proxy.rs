//! A bad line: TCP connections to the server that are cut, stalled, and slow.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinHandle,
    time,
};

use crate::spell::{Active, Spell};

/// What is read at once.
const CHUNK: usize = 16 << 10;

/// Bytes that a dripping line lets through, and how often.
const DROP_BYTES: usize = 48;
const DROP_INTERVAL: Duration = Duration::from_millis(4);

/// How a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    Clear,
    /// Nothing gets through, and nothing is lost.
    Stalled,
    /// Little by little.
    Dripping,
    /// Connections are cut, and new ones at once.
    Down,
    /// The same with a reset instead of an end.
    Reset,
}

/// A way to the server.
pub struct Line {
    /// Where to connect instead.
    pub address: SocketAddr,
    flow: watch::Sender<Flow>,
    cut: Arc<Spell>,
    accepting: JoinHandle<()>,
}

impl Line {
    pub async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let flow = watch::Sender::new(Flow::Clear);
        let accepting = tokio::spawn(accept(listener, server, flow.subscribe()));
        Self { address, flow, cut: Arc::default(), accepting }
    }

    /// From now on it is like this. While it is cut, what is returned has to be kept.
    pub fn set(&self, flow: Flow) -> Option<Active> {
        let cut = matches!(flow, Flow::Down | Flow::Reset).then(|| self.cut.begin());
        self.flow.send_replace(flow);
        cut
    }

    /// Whether a call that began then may have lost its connection.
    pub fn was_cut_since(&self, since: Instant) -> bool {
        self.cut.was_on_since(since)
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, server: SocketAddr, flow: watch::Receiver<Flow>) {
    while let Ok((client, _)) = listener.accept().await {
        // Connections end with their ends; nobody waits for them.
        tokio::spawn(forward(client, server, flow.clone()));
    }
}

fn is_cut(flow: &Flow) -> bool {
    matches!(flow, Flow::Down | Flow::Reset)
}

async fn forward(client: TcpStream, server: SocketAddr, flow: watch::Receiver<Flow>) {
    if is_cut(&flow.borrow()) {
        return;
    }
    let Ok(server) = TcpStream::connect(server).await else { return };
    // An error means that it is closed already, which is seen soon enough.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let up = pump(from_client, to_server, flow.clone());
    let down = pump(from_server, to_client, flow.clone());
    let ends = tokio::join!(up, down);
    if *flow.borrow() == Flow::Reset {
        for end in [&ends.0, &ends.1] {
            let _ = AsRef::<TcpStream>::as_ref(end).set_zero_linger();
        }
    }
}

/// One direction, until its end or the line's. Returns the end that was read from.
async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut flow: watch::Receiver<Flow>,
) -> OwnedReadHalf {
    let mut chunk = vec![0; CHUNK];
    loop {
        let read = tokio::select! {
            read = from.read(&mut chunk) => read,
            _ = flow.wait_for(is_cut) => return from,
        };
        match read {
            Ok(bytes) if bytes > 0 => {
                if !send(&mut to, &chunk[..bytes], &mut flow).await {
                    return from;
                }
            }
            _ => {
                // Says that no more comes; an error means that the other side has gone too.
                let _ = to.shutdown().await;
                return from;
            }
        }
    }
}

/// Lets bytes through as the line is. Returns whether it still is one.
async fn send(to: &mut OwnedWriteHalf, mut bytes: &[u8], flow: &mut watch::Receiver<Flow>) -> bool {
    let mut drops = time::interval(DROP_INTERVAL);
    while !bytes.is_empty() {
        let Ok(now) = flow.wait_for(|flow| *flow != Flow::Stalled).await.map(|flow| *flow) else {
            return false;
        };
        let size = match now {
            Flow::Down | Flow::Reset => return false,
            Flow::Dripping => {
                drops.tick().await;
                DROP_BYTES.min(bytes.len())
            }
            Flow::Clear | Flow::Stalled => bytes.len(),
        };
        tokio::select! {
            written = to.write(&bytes[..size]) => match written {
                Ok(written) => bytes = &bytes[written..],
                Err(_) => return false,
            },
            _ = flow.wait_for(is_cut) => return false,
        }
    }
    true
}
