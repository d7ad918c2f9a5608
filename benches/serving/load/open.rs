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
    clocks,
    mixes::Mix,
    random::Random,
    server::{CALLERS_PER_CONNECTION, Server},
    statistics::Latencies,
};

/// Calls that arrive in this time are made but not counted.
const WARM_UP: Duration = Duration::from_millis(500);

/// Calls between two looks at the server's memory.
const LOOK_EVERY: usize = 200;

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
    /// When it was to be made, from the beginning on. Latency counts from here, so a call that could
    /// not be made in time because of others counts as slow.
    due: Duration,
}

/// So many calls in a second for so long.
#[derive(Clone, Copy)]
pub struct Phase {
    rate: f64,
    length: Duration,
}

impl Phase {
    pub fn new(rate: f64, length: Duration) -> Self {
        Self { rate, length }
    }
}

/// A call that has come back; times are from the beginning on.
pub struct Call {
    /// When it was to be made.
    pub due: Duration,
    /// When its answer, or a refusal, was there.
    pub done: Duration,
    /// Its arithmetic by the mean of its mix.
    pub work: f64,
    /// How long the batch took that it was in; nothing if the server had too much to do.
    pub batch: Option<Duration>,
}

impl Call {
    pub fn is_good(&self) -> bool {
        self.batch.is_some()
    }
}

/// Poisson arrivals at `rate` calls in a second.
pub async fn run(server: &Server, mix: &Arc<Mix>, rate: f64, length: Duration) -> Result<Open> {
    let (calls, _) = phases(server, mix, &[Phase::new(rate, WARM_UP + length)]).await?;
    let counted = || calls.iter().filter(|call| call.due > WARM_UP);
    let good = counted().filter(|call| call.is_good());
    let latencies = Latencies::of(good.map(|call| call.done.saturating_sub(call.due)));
    Ok(Open { rate, refused: counted().count() - latencies.count(), latencies })
}

/// One phase after the other. Every call, and the most memory that the server had meanwhile.
///
/// # Errors
///
/// If a call is neither answered nor refused because the server has too much to do.
pub async fn phases(server: &Server, mix: &Arc<Mix>, phases: &[Phase]) -> Result<(Vec<Call>, f64)> {
    let (send, mut arrivals) = mpsc::unbounded_channel();
    let (begin, phases) = (Instant::now(), phases.to_vec());
    let pacer = thread::spawn(move || pace(begin, &phases, &send));
    let mut running = JoinSet::new();
    let (mut calls, mut peak) = (Vec::new(), 0.0_f64);
    while let Some(Arrival { number, due }) = arrivals.recv().await {
        // In turns, so that every connection carries its share.
        let (mix, mut client) = (Arc::clone(mix), server.client(number * CALLERS_PER_CONNECTION));
        running.spawn(async move {
            let answer = classify(&mut client, mix.item(number)).await;
            (due, begin.elapsed(), mix.item(number).work, answer)
        });
        if number % LOOK_EVERY == 0 {
            peak = peak.max(clocks::resident_bytes(server.pid())?);
        }
        while let Some(joined) = running.try_join_next() {
            calls.push(came_back(joined.context("a caller panicked")?, server)?);
        }
    }
    while let Some(joined) = running.join_next().await {
        calls.push(came_back(joined.context("a caller panicked")?, server)?);
    }
    pacer.join().map_err(|_| anyhow!("the pacer panicked"))?;
    Ok((calls, peak))
}

/// Too much to do is an answer. Anything else is a failure.
fn came_back(
    (due, done, work, answer): (Duration, Duration, f64, Result<Duration, Status>),
    server: &Server,
) -> Result<Call> {
    match answer {
        Ok(batch) => Ok(Call { due, done, work, batch: Some(batch) }),
        Err(status) if status.code() == Code::ResourceExhausted => {
            Ok(Call { due, done, work, batch: None })
        }
        Err(status) => Err(server.explain(anyhow!("a call failed: {status}"))),
    }
}

/// Sends each arrival at its time. A thread of its own: tokio's timers are a millisecond coarse.
fn pace(begin: Instant, phases: &[Phase], send: &mpsc::UnboundedSender<Arrival>) {
    let (mut random, mut number) = (Random::new(3), 0);
    let mut end = Duration::ZERO;
    for phase in phases {
        let mut due = end;
        end += phase.length;
        loop {
            due += Duration::from_secs_f64(random.exponential() / phase.rate);
            if due > end {
                break;
            }
            let due_at = begin + due;
            while let Some(left) =
                due_at.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
            {
                thread::park_timeout(left);
            }
            if send.send(Arrival { number, due }).is_err() {
                // The run has failed.
                return;
            }
            number += 1;
        }
    }
}
