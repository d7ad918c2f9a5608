//! Whether predictions come out: every encoder is looked after, and asked for a prediction where
//! none has come out of it for a while. SERVING means that one has.

use std::{
    convert::Infallible,
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    sync::Notify,
    task::{JoinSet, spawn_blocking},
    time::{self, Interval, MissedTickBehavior},
};

use super::{CurrentRegistry, health::Health};
use crate::{
    config::HealthConfig,
    inference::TemplateChoice,
    registry::{self, Route},
};

/// Batches in a row that may fail before it is asked whether all do: one may have failed for what
/// was in it.
const MAX_FAILURES: usize = 3;

/// Looks in the time that has to pass before something is noticed.
const LOOKS: u32 = 4;

/// Beats in the time that one batch may take.
const BEATS: u32 = 16;

/// Looks after the encoders for ever, says in `health` whether they work, and asks for a `reload` where
/// one cannot be mended. While nothing is loaded, it says nothing.
pub(super) async fn keep(
    config: &HealthConfig,
    current: CurrentRegistry,
    health: &Health,
    reload: &Notify,
) -> Infallible {
    tokio::select! {
        never = beat(config.stall_timeout() / BEATS, &current) => never,
        never = look_after(config, &current, health, reload) => never,
    }
}

/// Tells all encoders that the process is alive.
async fn beat(period: Duration, current: &CurrentRegistry) -> Infallible {
    let mut beats = interval(period);
    loop {
        beats.tick().await;
        let Some(registry) = current.borrow().clone() else { continue };
        let serving = registry.one_of_each_encoder();
        let batchers = serving.iter().map(|route| &route.batcher);
        batchers.chain(&registry.leaving()).for_each(|batcher| batcher.beat(period));
    }
}

async fn look_after(
    config: &HealthConfig,
    current: &CurrentRegistry,
    health: &Health,
    reload: &Notify,
) -> Infallible {
    let mut looks = looks(config);
    let mut asked = None;
    loop {
        looks.tick().await;
        let Some(registry) = current.borrow().clone() else { continue };
        let mut checks = JoinSet::new();
        let encoders = registry.one_of_each_encoder();
        for route in &encoders {
            // Before it is replaced, which takes a while.
            if !route.batcher.is_whole(config.stall_timeout()) {
                health.set_serving(false);
            }
            checks.spawn(works(Arc::clone(route), config.clone()));
        }
        for batcher in registry.leaving() {
            // Nobody new depends on it, but the last calls must not wait for ever.
            let patience = config.stall_timeout();
            drop(spawn_blocking(move || batcher.tend(patience)));
        }
        // Not kept from ending while the encoders are asked.
        drop(registry);
        let mut all_work = true;
        while let Some(works) = checks.join_next().await {
            all_work &= works.unwrap_or(false);
        }
        health.set_serving(all_work);
        // Where workers could not be replaced, the files are no longer the encoder's: what they are now
        // can serve in its place.
        let is_whole = |route: &Arc<Route>| route.batcher.is_whole(config.stall_timeout());
        let is_due = |at: Instant| at.elapsed() > config.probe_interval();
        if !encoders.iter().all(is_whole) && asked.is_none_or(is_due) {
            asked = Some(Instant::now());
            reload.notify_one();
        }
    }
}

fn looks(config: &HealthConfig) -> Interval {
    let shorter = config.probe_interval().min(config.stall_timeout());
    interval(shorter / LOOKS)
}

fn interval(period: Duration) -> Interval {
    let mut interval = time::interval(period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

/// Whether an encoder has all its workers, after those that are lost were replaced, and predicts.
async fn works(route: Arc<Route>, config: HealthConfig) -> bool {
    let patience = config.stall_timeout();
    let was_whole = route.batcher.is_whole(patience);
    let batcher = Arc::clone(&route.batcher);
    let is_whole = spawn_blocking(move || batcher.tend(patience)).await.unwrap_or(false);
    if !is_whole {
        return false;
    }
    if was_whole && has_predicted(&route, config.probe_interval()) {
        return true;
    }
    predict_within(&route, patience)
        .await
        .inspect_err(|reason| tracing::error!(task = route.name(), reason, "it does not predict"))
        .is_ok()
}

/// Asks for a prediction and waits for it so long, not counting time in which the process stood still.
async fn predict_within(route: &Route, patience: Duration) -> Result<(), String> {
    let mut predicted = pin!(predict(route));
    let (mut wait, mut lost) = (patience, route.batcher.lost_time());
    loop {
        if let Ok(outcome) = time::timeout(wait, predicted.as_mut()).await {
            return outcome;
        }
        let lost_by_now = route.batcher.lost_time();
        wait = lost_by_now.saturating_sub(lost);
        if wait.is_zero() {
            return Err(format!("no answer within {patience:?}"));
        }
        lost = lost_by_now;
    }
}

/// Whether a prediction came out lately, and not only errors since.
fn has_predicted(route: &Route, lately: Duration) -> bool {
    let pulse = route.batcher.pulse();
    pulse.failures < MAX_FAILURES
        && pulse.last_success.is_some_and(|success| success.elapsed() < lately)
}

/// Asks for a prediction, before all that waits.
async fn predict(route: &Route) -> Result<(), String> {
    let predictor = &route.task.predictor;
    let templates =
        predictor.select(&TemplateChoice::Single(None)).map_err(|error| error.to_string())?;
    let sample = registry::sample(&route.task);
    let offsets = predictor.head.offsets(&sample);
    let read = predictor.read(&sample, &templates);
    let (prompts, reading) = read.map_err(|error| error.to_string())?;
    let mut vectors = Vec::with_capacity(prompts.len());
    for prompt in prompts {
        let encoded = route.batcher.probe(prompt).await;
        vectors.push(encoded.map_err(|error| error.to_string())?.mask_vector);
    }
    let vectors = vectors.iter().map(|vector| &**vector);
    match predictor.answer(vectors, &offsets, &reading).output.is_finite() {
        true => Ok(()),
        false => Err("its output is not a number".to_owned()),
    }
}
