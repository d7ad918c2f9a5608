//! The operator's line to a server that runs.

use std::future::pending;

use tokio::sync::{mpsc, watch};

/// What an operator wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event {
    /// Look at checkpoints, certificates and tokens now.
    Reload,
    /// Stop when whoever sends calls has had time to learn of it. Said again, do not wait for
    /// what is waited for.
    Stop,
    /// The same without that time.
    StopNow,
}

/// How often checkpoints were loaded again, and with what success.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reloads {
    /// Times that all went well.
    pub succeeded: u64,
    /// Times that a checkpoint was refused, or all were.
    pub failed: u64,
    /// Why, the last time.
    pub last_error: Option<String>,
    /// Checkpoints that were refused the last time, and so still are.
    pub refused: usize,
}

impl Reloads {
    /// Times that checkpoints were loaded again.
    pub fn count(&self) -> u64 {
        self.succeeded + self.failed
    }

    pub(super) fn record(&mut self, error: Option<String>, refused: usize) {
        self.refused = refused;
        match error {
            None => self.succeeded += 1,
            Some(error) => {
                self.failed += 1;
                self.last_error = Some(error);
            }
        }
    }
}

/// The operator's end. Dropped, the server stops.
#[derive(Debug)]
pub struct Operator {
    events: mpsc::UnboundedSender<Event>,
    reloads: watch::Receiver<Reloads>,
}

/// The server's end.
#[derive(Debug)]
pub struct Control {
    events: mpsc::UnboundedReceiver<Event>,
    pub(super) reloads: watch::Sender<Reloads>,
}

/// How the server is to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// After the configured delay.
    Delayed,
    Now,
}

/// The two ends.
pub fn control() -> (Operator, Control) {
    let (sender, events) = mpsc::unbounded_channel();
    let (reloads, outcomes) = watch::channel(Reloads::default());
    (Operator { events: sender, reloads: outcomes }, Control { events, reloads })
}

impl Operator {
    /// Looks at the checkpoints, the certificates and the tokens at once and loads what has changed.
    pub fn reload(&self) {
        self.send(Event::Reload);
    }

    /// Stops: says so to whoever asks for its health, goes on for the configured delay, answers
    /// what is under way, and ends. Said again, ends what it is at of these.
    pub fn stop(&self) {
        self.send(Event::Stop);
    }

    /// The same without the delay.
    pub fn stop_now(&self) {
        self.send(Event::StopNow);
    }

    /// What became of reloading, now and whenever that changes.
    pub fn reloads(&self) -> watch::Receiver<Reloads> {
        self.reloads.clone()
    }

    fn send(&self, event: Event) {
        // An error means that the server has ended.
        let _ = self.events.send(event);
    }
}

impl Control {
    /// Waits until the server is to stop; tells of every wish to reload before.
    pub(super) async fn told_to_stop(&mut self, mut reload: impl FnMut()) -> Stop {
        loop {
            match self.events.recv().await {
                Some(Event::Reload) => reload(),
                Some(Event::Stop) => return Stop::Delayed,
                Some(Event::StopNow) | None => return Stop::Now,
            }
        }
    }

    /// Waits until the operator is tired of waiting.
    pub(super) async fn told_again(&mut self) {
        loop {
            match self.events.recv().await {
                Some(Event::Reload) => tracing::info!("stopping: nothing is loaded any more"),
                Some(Event::Stop | Event::StopNow) => return,
                None => pending().await,
            }
        }
    }
}
