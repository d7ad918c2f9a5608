//! Callers that wait for an answer before they ask again.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow};
use dynamar::server::proto::inference_client::InferenceClient;
use tokio::{sync::Notify, task::JoinSet, time};
use tonic::{Status, transport::Channel};

use super::{classify, regress};
use crate::{clocks, mixes::Mix, rate::Rate, server::Server, statistics::Latencies};

/// Time for the callers to come to a steady state before a block begins.
const WARM_UP: Duration = Duration::from_millis(500);

/// One call in so many is a regression where calls are mixed.
const REGRESSION_EVERY: usize = 4;

/// What a block gave.
pub struct Block {
    /// CPU time is the server's.
    pub rate: Rate,
    pub latencies: Latencies,
    /// CPU time of the callers for a call, in microseconds.
    pub client_cpu_us: f64,
    /// CPUs that neither the server nor its callers had, on average.
    pub others: f64,
}

/// What the callers of a block share.
struct Shared {
    mix: Arc<Mix>,
    /// The next item that is asked for.
    next: Arc<AtomicUsize>,
    stop: AtomicBool,
    failed: Notify,
}

/// An answered call.
struct Call {
    work: f64,
    asked: Instant,
    answered: Instant,
    /// How long the encoder took for its batch.
    inference: Duration,
}

/// A moment, with the CPU time spent up to it.
struct Edge {
    at: Instant,
    server: Duration,
    client: Duration,
    /// The whole machine's.
    machine: Duration,
}

impl Edge {
    fn now(server: &Server) -> Result<Self> {
        let (server, client) = (clocks::process(server.pid())?, clocks::this_thread()?);
        Ok(Self { at: Instant::now(), server, client, machine: clocks::machine()? })
    }
}

/// So many callers for so long. `next` goes on where the block before this one ended.
pub async fn run(
    server: &Server,
    mix: &Arc<Mix>,
    next: &Arc<AtomicUsize>,
    callers: usize,
    block: Duration,
) -> Result<Block> {
    let shared = Arc::new(Shared {
        mix: Arc::clone(mix),
        next: Arc::clone(next),
        stop: AtomicBool::new(false),
        failed: Notify::new(),
    });
    let mut running = JoinSet::new();
    for caller in 0..callers {
        running.spawn(call_until_stopped(Arc::clone(&shared), server.client(caller)));
    }
    // A call that fails ends the wait early; the failure itself is found when callers are joined.
    let wait = async |long| time::timeout(long, shared.failed.notified()).await.is_ok();
    let failed = wait(WARM_UP).await;
    let begin = Edge::now(server)?;
    let _ = failed || wait(block).await;
    let end = Edge::now(server)?;
    shared.stop.store(true, Ordering::Relaxed);
    let mut calls = Vec::new();
    while let Some(joined) = running.join_next().await {
        let joined = joined.context("a caller panicked")?;
        calls.extend(joined.map_err(|status| server.explain(anyhow!("a call failed: {status}")))?);
    }
    Ok(summary(&calls, &begin, &end))
}

async fn call_until_stopped(
    shared: Arc<Shared>,
    mut client: InferenceClient<Channel>,
) -> Result<Vec<Call>, Status> {
    let mut calls = Vec::new();
    while !shared.stop.load(Ordering::Relaxed) {
        let item = shared.mix.item(shared.next.fetch_add(1, Ordering::Relaxed));
        let asked = Instant::now();
        let inference = classify(&mut client, item).await.inspect_err(|_| {
            shared.stop.store(true, Ordering::Relaxed);
            shared.failed.notify_one();
        })?;
        calls.push(Call { work: item.work, asked, answered: Instant::now(), inference });
    }
    Ok(calls)
}

fn summary(calls: &[Call], begin: &Edge, end: &Edge) -> Block {
    let work = calls.iter().map(|call| call.work * call.share_between(begin.at, end.at)).sum();
    let within = || calls.iter().filter(|call| (begin.at..end.at).contains(&call.answered));
    let server = end.server.saturating_sub(begin.server);
    let client = end.client.saturating_sub(begin.client);
    let others = end.machine.saturating_sub(begin.machine).saturating_sub(server + client);
    Block {
        rate: Rate::new(work, end.at - begin.at, server),
        latencies: Latencies::of(within().map(|call| call.answered - call.asked)),
        client_cpu_us: 1e6 * client.as_secs_f64() / within().count().max(1) as f64,
        others: others.as_secs_f64() / (end.at - begin.at).as_secs_f64(),
    }
}

impl Call {
    /// How much of the call's computation lies between two moments. Answers come in batches of up to
    /// a hundred; counting each where it arrives would make a block of seconds uncertain by as many
    /// as it may catch or miss at its ends.
    fn share_between(&self, begin: Instant, end: Instant) -> f64 {
        let Some(started) = self.answered.checked_sub(self.inference) else { return 0.0 };
        let inside = self.answered.min(end).saturating_duration_since(started.max(begin));
        if self.inference.is_zero() {
            return f64::from(u8::from((begin..end).contains(&self.answered)));
        }
        inside.as_secs_f64() / self.inference.as_secs_f64()
    }
}

/// So many mixed calls, a quarter of them regressions.
pub async fn mixed(
    server: &Server,
    mix: &Arc<Mix>,
    next: &Arc<AtomicUsize>,
    callers: usize,
    calls: usize,
) -> Result<()> {
    let end = next.load(Ordering::Relaxed) + calls;
    let mut running = JoinSet::new();
    for caller in 0..callers {
        let (mix, next, mut client) = (Arc::clone(mix), Arc::clone(next), server.client(caller));
        running.spawn(async move {
            loop {
                let taken = next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |at| {
                    (at < end).then_some(at + 1)
                });
                let Ok(at) = taken else { return Ok(()) };
                if at % REGRESSION_EVERY == 0 {
                    regress(&mut client, mix.item(at)).await?;
                } else {
                    classify(&mut client, mix.item(at)).await?;
                }
            }
        });
    }
    while let Some(joined) = running.join_next().await {
        let joined: Result<(), Status> = joined.context("a caller panicked")?;
        joined.map_err(|status| server.explain(anyhow!("a call failed: {status}")))?;
    }
    Ok(())
}
