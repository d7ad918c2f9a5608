//! What is known of one connection, for its calls and for whoever closes it.

use std::{
    future::pending,
    hash::{BuildHasher, RandomState},
    net::SocketAddr,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{self, Instant},
};

use super::Limits;
use crate::batching::Load;

/// A connection. Every request has its own among its extensions, as `Arc<Connection>`.
#[derive(Debug)]
pub(in crate::server) struct Connection {
    id: u64,
    peer: SocketAddr,
    names: Vec<String>,
    /// What its calls have in work.
    load: Arc<Load>,
    opened: Instant,
    /// Whether HTTP/2 has begun.
    established: AtomicBool,
    /// Told when it has, and again when the first call has.
    progress: Notify,
    calls: Mutex<OpenCalls>,
    broken_off: OnceLock<&'static str>,
    breaking_off: Notify,
}

#[derive(Debug)]
struct OpenCalls {
    count: usize,
    /// Whether there ever was one.
    begun: bool,
    /// When the last one ended; when the connection was opened if there was none.
    quiet_since: Instant,
}

/// Why a connection is closed that did nothing wrong but wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Overdue {
    /// HTTP/2 has not begun.
    Handshake,
    /// It has made no call.
    FirstCall,
    /// It has made none for long.
    Idle,
    /// It is old.
    Age,
}

impl Connection {
    pub(super) fn new(peer: SocketAddr, names: Vec<String>, opened: Instant) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let calls = OpenCalls { count: 0, begun: false, quiet_since: opened };
        Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            peer,
            names,
            load: Arc::default(),
            opened,
            established: AtomicBool::new(false),
            progress: Notify::new(),
            calls: Mutex::new(calls),
            broken_off: OnceLock::new(),
            breaking_off: Notify::new(),
        }
    }

    /// Different for every connection of this process.
    pub(in crate::server) fn id(&self) -> u64 {
        self.id
    }

    /// Where it comes from.
    pub(in crate::server) fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// The names in the certificate that the client showed; none without one.
    pub(in crate::server) fn names(&self) -> &[String] {
        &self.names
    }

    /// What its calls have in work.
    pub(in crate::server) fn load(&self) -> &Arc<Load> {
        &self.load
    }

    /// Ends it as soon as possible, calls and all.
    pub(in crate::server) fn break_off(&self, reason: &'static str) {
        // The first reason is the true one.
        let _ = self.broken_off.set(reason);
        self.breaking_off.notify_one();
    }

    /// Completes when it is to be broken off, with the reason.
    pub(super) async fn broken_off(&self) -> &'static str {
        loop {
            if let Some(reason) = self.broken_off.get() {
                return reason;
            }
            self.breaking_off.notified().await;
        }
    }

    /// HTTP/2 has begun.
    pub(super) fn establish(&self) {
        self.established.store(true, Ordering::Release);
        self.progress.notify_one();
    }

    pub(super) fn is_established(&self) -> bool {
        self.established.load(Ordering::Acquire)
    }

    pub(super) fn begin_call(&self) {
        let is_first = self.with_calls(|calls| {
            calls.count += 1;
            !std::mem::replace(&mut calls.begun, true)
        });
        if is_first {
            self.progress.notify_one();
        }
    }

    pub(super) fn end_call(&self) {
        self.with_calls(|calls| {
            calls.count -= 1;
            calls.quiet_since = Instant::now();
        });
    }

    fn with_calls<T>(&self, act: impl FnOnce(&mut OpenCalls) -> T) -> T {
        act(&mut self.calls.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Completes when one of the limits on waiting is reached.
    pub(super) async fn overdue(&self, limits: &Limits) -> Overdue {
        if !self.comes_by(self.opened + limits.handshake, || self.is_established()).await {
            return Overdue::Handshake;
        }
        let has_call = || self.with_calls(|calls| calls.begun);
        if !self.comes_by(self.opened + limits.first_call, has_call).await {
            return Overdue::FirstCall;
        }
        let aged = async {
            match limits.age {
                Some(age) => time::sleep_until(self.opened + varied(age, self.id)).await,
                None => pending().await,
            }
        };
        tokio::select! {
            () = self.without_calls_for(limits.idle, self.opened) => Overdue::Idle,
            () = aged => Overdue::Age,
        }
    }

    /// Waits for progress until then, and returns whether it came.
    async fn comes_by(&self, end: Instant, has_come: impl Fn() -> bool) -> bool {
        while !has_come() {
            if time::timeout_at(end, self.progress.notified()).await.is_err() {
                return has_come();
            }
        }
        true
    }

    /// Completes when there has been no call for this long, counted from `from` at the earliest.
    pub(super) async fn without_calls_for(&self, limit: Duration, from: Instant) {
        loop {
            let quiet_since = self.with_calls(|calls| match calls.count {
                0 => calls.quiet_since,
                _ => Instant::now(),
            });
            let end = quiet_since.max(from) + limit;
            if end <= Instant::now() {
                return;
            }
            time::sleep_until(end).await;
        }
    }
}

/// Up to a tenth more or less, so that connections that were opened together do not all go together.
fn varied(age: Duration, connection: u64) -> Duration {
    let share = RandomState::new().hash_one(connection) as f64 / u64::MAX as f64;
    age.mul_f64(0.9 + 0.2 * share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_differ_by_a_tenth_at_most() {
        let age = Duration::from_secs(100);
        let ages: Vec<_> = (0..100).map(|connection| varied(age, connection)).collect();
        assert!(ages.iter().all(|one| one.abs_diff(age) <= Duration::from_secs(10)), "{ages:?}");
        assert!(ages.windows(2).any(|two| two[0].abs_diff(two[1]) > Duration::from_secs(1)));
    }
}
