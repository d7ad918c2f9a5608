//! Callers that come when they come, whether or not those before them were answered.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow};
use serde_json::{Value, json};
use tokio::{sync::mpsc, task::JoinSet};
use tonic::{Code, Status};

use super::classify;
use crate::{
    mixes::Mix,
    random::Random,
    server::{CALLERS_PER_CONNECTION, Server},
    statistics::Latencies,
};

/// Calls that arrive in this time are made but not counted.
const WARM_UP: Duration = Duration::from_millis(500);

/// What an open loop gave.
pub struct Open {
    /// Calls in a second, as scheduled.
    pub rate: f64,
    pub latencies: Latencies,
    /// Calls that the server refused because it had too much to do.
    pub refused: usize,
}

impl Open {
    pub fn json(&self) -> Value {
        let mut json = self.latencies.json();
        json["rate"] = json!(self.rate);
        json["refused"] = json!(self.refused);
        json
    }
}

/// A call that is due.
struct Arrival {
    number: usize,
    /// When it was to be made. Latency counts from here, so a call that could not be made in time
    /// because of others counts as slow.
    due: Instant,
    counts: bool,
}

/// Poisson arrivals at `rate` calls in a second.
pub async fn run(server: &Server, mix: &Arc<Mix>, rate: f64, length: Duration) -> Result<Open> {
    let (send, mut arrivals) = mpsc::unbounded_channel();
    let pacer = thread::spawn(move || pace(rate, length, &send));
    let mut running = JoinSet::new();
    while let Some(arrival) = arrivals.recv().await {
        let Arrival { number, due, counts } = arrival;
        // In turns, so that every connection carries its share.
        let (mix, mut client) = (Arc::clone(mix), server.client(number * CALLERS_PER_CONNECTION));
        running.spawn(async move {
            let answered = classify(&mut client, mix.item(number)).await;
            (counts, answered.map(|_| due.elapsed()))
        });
    }
    let mut outcomes = Vec::new();
    while let Some(joined) = running.join_next().await {
        let (counts, outcome) = joined.context("a caller panicked")?;
        let outcome = unless_refused(outcome).map_err(|error| server.explain(error))?;
        outcomes.extend(counts.then_some(outcome));
    }
    pacer.join().map_err(|_| anyhow!("the pacer panicked"))?;
    let refused = outcomes.iter().filter(|outcome| outcome.is_none()).count();
    Ok(Open { rate, latencies: Latencies::of(outcomes.into_iter().flatten()), refused })
}

/// The latency, or nothing if the server had too much to do: at 95 % of what it can, that is an
/// answer. Anything else is a failure.
fn unless_refused(outcome: Result<Duration, Status>) -> Result<Option<Duration>> {
    match outcome {
        Ok(latency) => Ok(Some(latency)),
        Err(status) if status.code() == Code::ResourceExhausted => Ok(None),
        Err(status) => Err(anyhow!("a call failed: {status}")),
    }
}

/// Sends each arrival at its time. A thread of its own: tokio's timers are a millisecond coarse.
fn pace(rate: f64, length: Duration, send: &mpsc::UnboundedSender<Arrival>) {
    let mut random = Random::new(3);
    let begin = Instant::now();
    let mut at = 0.0;
    for number in 0.. {
        at += random.exponential() / rate;
        let offset = Duration::from_secs_f64(at);
        if offset > WARM_UP + length {
            return;
        }
        let due = begin + offset;
        while let Some(left) = due.checked_duration_since(Instant::now()).filter(|l| !l.is_zero()) {
            thread::park_timeout(left);
        }
        if send.send(Arrival { number, due, counts: offset > WARM_UP }).is_err() {
            // The run has failed.
            return;
        }
    }
}
