//! A server from its first call to its last.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    net::TcpListener,
    sync::{Notify, oneshot, watch},
    time,
};

use super::{
    Control, Load, ServeError,
    access::Access,
    answerer::Answerer,
    control::Stop,
    health,
    layers::EveryCall,
    monitoring::{self, Metrics, Sources},
    probes,
    reload::{self, Outlets},
    routes,
    transport::{self, Entrance},
    vitals,
};
use crate::{
    config::Config,
    prediction_log::{PredictionLog, Writer},
    registry::Registry,
    telemetry,
};

/// How long the errors that answer calls broken off may take to reach their callers, and the last spans
/// their collector.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Where a server listens.
pub struct Listeners {
    /// For calls.
    pub calls: TcpListener,
    /// For whoever collects metrics.
    pub metrics: Option<TcpListener>,
    /// For probes alone.
    pub health: Option<TcpListener>,
}

/// For calls alone.
impl From<TcpListener> for Listeners {
    fn from(calls: TcpListener) -> Self {
        Self { calls, metrics: None, health: None }
    }
}

/// Serves those who have `access` on `listeners` until told to stop.
///
/// Calls are taken from the first moment on. Until `load` has returned, on a thread of its own,
/// they are answered with UNAVAILABLE and health is NOT_SERVING. Afterwards the models directory is
/// watched, and `load` is called again for what changes; what it returns serves from then on.
///
/// Told to stop, health is NOT_SERVING again, and for `server.stop_delay_ms` calls are answered as
/// before. Then no new connection is taken, and calls under way have `server.drain_timeout_ms` to
/// finish; streams end once what was read of them is answered. Told again, the server does not wait
/// for the one, or the other.
///
/// # Errors
///
/// If the first `load` fails, which also ends the server.
pub async fn run(
    config: &Config,
    access: Access,
    load: impl Load,
    listeners: impl Into<Listeners>,
    mut control: Control,
) -> Result<(), ServeError> {
    let (health, health_service) = health::new();
    let (publish, current) = watch::channel(None);
    let (stop, stopped) = oneshot::channel::<Infallible>();
    let (end_streams, stopping) = watch::channel(false);
    let metrics = Metrics::default();
    let (log, writer) = PredictionLog::open(&config.prediction_log)?.unzip();
    let answerer = Answerer::new(&config.server, current.clone(), metrics.clone(), log.clone());
    let routes = routes::all(&config.server, answerer, stopping, health_service.clone())?;
    // The sender is dropped, never used: that is the signal.
    let stopped = async { drop(stopped.await) };
    let look_at_access = access.reload();
    let reopened = log.clone();
    let (traces, sending) = telemetry::start(&config.traces)?;
    let listeners: Listeners = listeners.into();
    let sources = Sources {
        metrics: metrics.clone(),
        current: current.clone(),
        serving: health.watch(),
        reloads: control.reloads.subscribe(),
        access: access.clone(),
        log,
    };
    let every_call = EveryCall::new(metrics.calls)?;
    let probed = probes::serve(listeners.health, health_service, every_call.clone());
    let entrance = Entrance { access, every_call, traces, metrics: metrics.connections };
    let server = transport::serve(&config.server, entrance, routes, listeners.calls, stopped);
    // What is told about the server is told to its end.
    let server = async {
        tokio::select! {
            () = server => {}
            never = monitoring::serve(listeners.metrics, sources) => match never {},
            never = probed => match never {},
        }
    };
    let mut server = Box::pin(server);
    let (asked, reloads) = (Notify::new(), control.reloads.clone());
    let outlets = Outlets { publish: &publish, health: &health, reloads: &reloads };
    let outcome = tokio::select! {
        // Not before it is told to.
        () = &mut server => return Ok(()),
        failed = reload::keep_current(load, &config.models, &asked, outlets) => Err(failed),
        never = vitals::keep(&config.health, current.clone(), &health, &asked) => match never {},
        how = control.told_to_stop(|| {
            asked.notify_one();
            look_at_access.notify_one();
            reopened.iter().for_each(PredictionLog::reopen);
        }) => Ok(how),
    };
    // The log ends when nobody is left who could hand it lines.
    drop(reopened);
    health.stop();
    let registry = current.borrow().clone();
    // Nobody sends calls to a server that never was ready.
    let has_served = registry.is_some();
    if let Ok(Stop::Delayed) = outcome
        && has_served
    {
        let delay = config.server.stop_delay();
        tracing::info!(?delay, "stopping: calls are answered until those who send them know");
        tokio::select! {
            () = &mut server => return Ok(()),
            _ = time::timeout(delay, control.told_again()) => {}
        }
    }
    // A stream ends when its client likes, and could keep the stop waiting.
    end_streams.send_replace(true);
    drop(stop);
    let patience = config.server.drain_timeout();
    let end = Instant::now() + patience;
    drain(server, patience, &mut control, registry.as_deref()).await;
    end_workers(registry).await;
    let left = || end.saturating_duration_since(Instant::now()).max(LAST_WORDS);
    if let Some(writer) = writer {
        end_log(writer, left()).await;
    }
    sending.stop(left()).await;
    outcome.map(drop)
}

/// Waits until every connection is closed, but not for long.
async fn drain(
    mut server: Pin<Box<impl Future<Output = ()>>>,
    patience: Duration,
    control: &mut Control,
    registry: Option<&Registry>,
) {
    tracing::info!("stopping: calls under way are answered");
    let ended = tokio::select! {
        ended = time::timeout(patience, server.as_mut()) => ended.is_ok(),
        () = control.told_again() => false,
    };
    if ended {
        return;
    }
    tracing::warn!(?patience, "calls still under way are broken off");
    if let Some(registry) = registry {
        registry.abandon();
    }
    // Whoever does not close the connection now loses it with the server.
    let _ = time::timeout(LAST_WORDS, server).await;
}

/// Waits until what was handed to the log is written, but not for long: its last holders end with the
/// connections, and a disk or a connection that hangs must not hold up the end.
async fn end_log(writer: Writer, patience: Duration) {
    let counts = writer.counts();
    let written = tokio::task::spawn_blocking(move || writer.join());
    if time::timeout(patience, written).await.is_err() {
        let lines = counts.waiting();
        tracing::warn!(
            ?patience,
            lines,
            "the prediction log takes too long: its last lines are lost"
        );
    }
}

async fn end_workers(registry: Option<Arc<Registry>>) {
    let Some(registry) = registry else { return };
    registry.close();
    let joined = tokio::task::spawn_blocking(move || registry.join()).await;
    if let Err(error) = joined {
        tracing::error!(%error, "the workers did not end well");
    }
}
