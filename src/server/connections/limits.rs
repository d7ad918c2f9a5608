//! How much there may be of what on connections, and how long it may take.

use std::time::Duration;

use crate::config::ServerConfig;

/// Connections of probes at a time.
pub(in crate::server) const PROBE_CONNECTIONS: usize = 64;

/// What becomes of a connection that is one too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::server) enum WhenFull {
    /// It is closed: those that are open have calls.
    RefuseNew,
    /// It is let in, and the oldest is closed: who is new has a question, and who is old has had its
    /// answer.
    EndOldest,
}

/// Limits on connections.
#[derive(Debug, Clone, Copy)]
pub(in crate::server) struct Limits {
    /// Connections at a time.
    pub connections: usize,
    pub when_full: WhenFull,
    /// Calls at a time on one of them.
    pub streams: u32,
    /// Bytes of a call's headers.
    pub header_bytes: u32,
    /// Bytes of a message.
    pub message_bytes: usize,
    pub handshake: Duration,
    pub first_call: Duration,
    pub idle: Duration,
    pub age: Option<Duration>,
    pub receive: Duration,
    pub send: Duration,
}

impl Limits {
    /// For whoever calls.
    pub fn new(config: &ServerConfig) -> Self {
        let ms = Duration::from_millis;
        Self {
            connections: config.max_connections.get(),
            when_full: WhenFull::RefuseNew,
            streams: config.max_connection_streams.get(),
            header_bytes: config.max_header_bytes.get(),
            message_bytes: config.max_message_bytes.get(),
            handshake: ms(config.handshake_timeout_ms),
            first_call: ms(config.first_call_timeout_ms),
            idle: ms(config.idle_timeout_ms),
            age: config.max_connection_age(),
            receive: ms(config.receive_timeout_ms),
            send: ms(config.send_timeout_ms),
        }
    }

    /// For probes alone, of which there are few: each connects, asks and goes, or asks again soon.
    pub fn for_probes() -> Self {
        Self {
            connections: PROBE_CONNECTIONS,
            when_full: WhenFull::EndOldest,
            streams: 4,
            header_bytes: 8 << 10,
            message_bytes: 4 << 10,
            handshake: Duration::from_secs(2),
            first_call: Duration::from_secs(2),
            idle: Duration::from_secs(60),
            age: None,
            receive: Duration::from_secs(2),
            send: Duration::from_secs(2),
        }
    }
}
