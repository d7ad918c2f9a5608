//! How calls come to the services: a connection, and what every call goes through on its way in.

use std::future::Future;

use tokio::net::TcpListener;
use tonic::service::Routes;
use tower::Layer;

use super::{
    access::Access,
    connections::{self, Limits},
    layers::EveryCall,
    traced::Traced,
};
use crate::{config::ServerConfig, telemetry::Traces};

/// Serves `routes` on `listener` to those who have access. When `stopped` completes, nobody else is
/// let in; completes when the last connection is closed.
pub(super) async fn serve(
    config: &ServerConfig,
    access: Access,
    (traces, every_call): (Traces, EveryCall),
    routes: Routes,
    listener: TcpListener,
    stopped: impl Future<Output = ()>,
) {
    let limits = Limits::new(config);
    // Who calls is asked inside, so that a refusal has its id and its line in the log.
    let service = every_call.layer(access.guard().layer(routes.prepare()));
    let service = Traced(traces).layer(service);
    let served = connections::serve(listener, service, limits, access.tls(), stopped);
    tokio::select! {
        () = served => {}
        never = access.keep_fresh() => match never {},
    }
}
