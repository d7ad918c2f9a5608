//! The gRPC server: how it starts, what it serves and how it stops.
//!
//! The only module that names tonic. Wire types are converted in `convert`, errors are mapped to
//! gRPC codes in `status`, and both nowhere else.

mod answerer;
mod call;
mod caller;
mod convert;
mod cpus;
mod deadline;
pub mod health;
mod layers;
mod room;
mod routes;
mod service;
mod status;
mod stream;
mod transport;

/// The types and the client of `proto/dynamar/v1/inference.proto`.
pub mod proto {
    tonic::include_proto!("dynamar.v1");

    /// The definition in binary, with comments, for reflection.
    pub const FILE_DESCRIPTOR_SET: &[u8] = tonic::include_file_descriptor_set!("dynamar_v1");
}

use std::{
    convert::Infallible,
    future::Future,
    pin::{Pin, pin},
    sync::Arc,
    time::Duration,
};

use tokio::{
    net::TcpListener,
    sync::{oneshot, watch},
    task::JoinError,
    time,
};
use tonic::transport::server::TcpIncoming;

use crate::{
    config::ServerConfig,
    registry::{Registry, RegistryError},
};
use health::Health;

/// How long the errors that answer calls broken off may take to reach their callers.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// The registry that serves now, for everybody who answers calls. `None` while it is loaded.
type CurrentRegistry = watch::Receiver<Option<Arc<Registry>>>;

/// Why the server cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// There is nothing to serve.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// A defect of this program.
    #[error("loading the checkpoints ended with a panic: {0}")]
    Loading(JoinError),
    /// A defect of this program.
    #[error("the service definition cannot be read: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// The transport gave up.
    #[error("the server ended: {0}")]
    Transport(#[from] tonic::transport::Error),
}

/// Serves on `listener` until `shutdown` completes.
///
/// Calls are taken from the first moment on. Until `load` has returned, on a thread of its own,
/// they are answered with UNAVAILABLE and health is NOT_SERVING. After `shutdown` health is
/// NOT_SERVING again, no new connection is taken, and calls under way have
/// `config.drain_timeout_ms` to finish; streams end once what was read of them is answered.
///
/// # Errors
///
/// If `load` fails, which also ends the server.
pub async fn run(
    config: &ServerConfig,
    load: impl FnOnce() -> Result<Registry, RegistryError> + Send + 'static,
    listener: TcpListener,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let (health, health_service) = health::new();
    let (publish, current) = watch::channel(None);
    let (stop, stopped) = oneshot::channel::<Infallible>();
    let (end_streams, stopping) = watch::channel(false);
    let routes = routes::all(config, current.clone(), stopping, health_service)?;
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    // The sender is dropped, never used: that is the signal.
    let stopped = async { drop(stopped.await) };
    let mut server =
        pin!(transport::server(routes).serve_with_incoming_shutdown(incoming, stopped));
    let outcome = tokio::select! {
        ended = &mut server => return ended.map_err(ServeError::from),
        failed = become_ready(load, &publish, &health) => Err(failed),
        () = shutdown => Ok(()),
    };
    health.stop();
    // A stream ends when its client likes, and could keep the stop waiting.
    end_streams.send_replace(true);
    drop(stop);
    let registry = current.borrow().clone();
    drain(server, config.drain_timeout(), registry.as_deref()).await;
    end_workers(registry).await;
    outcome
}

/// Loads, publishes and reports ready, and then waits for ever; returns only if that fails.
async fn become_ready(
    load: impl FnOnce() -> Result<Registry, RegistryError> + Send + 'static,
    publish: &watch::Sender<Option<Arc<Registry>>>,
    health: &Health,
) -> ServeError {
    let registry = match tokio::task::spawn_blocking(load).await {
        Ok(Ok(registry)) => registry,
        Ok(Err(error)) => return error.into(),
        Err(error) => return ServeError::Loading(error),
    };
    let tasks = registry.routes().len();
    publish.send_replace(Some(Arc::new(registry)));
    health.serving();
    tracing::info!(tasks, "serving");
    std::future::pending().await
}

/// Waits until every connection is closed, but not for long.
async fn drain(
    mut server: Pin<&mut impl Future<Output = Result<(), tonic::transport::Error>>>,
    patience: Duration,
    registry: Option<&Registry>,
) {
    tracing::info!("stopping");
    let ended = time::timeout(patience, server.as_mut()).await;
    let Ok(ended) = ended else {
        tracing::warn!(?patience, "calls still under way are broken off");
        if let Some(registry) = registry {
            registry.abandon();
        }
        // Whoever does not close the connection now loses it with the process.
        let _ = time::timeout(LAST_WORDS, server).await;
        return;
    };
    if let Err(error) = ended {
        tracing::warn!(%error, "a connection ended badly");
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
