//! How calls come to the services: a connection, and what every call goes through on its way in.

use std::{future::Future, sync::Arc};

use tokio::net::TcpListener;
use tonic::service::Routes;
use tower::Layer;

use super::{
    access::Access,
    connections::{self, Limits},
    layers::EveryCall,
    traced::Traced,
};
use crate::{config::ServerConfig, metrics::ConnectionMetrics, telemetry::Traces};

/// What every call and every connection goes through.
pub(super) struct Entrance {
    pub access: Access,
    pub every_call: EveryCall,
    pub traces: Traces,
    pub metrics: Arc<ConnectionMetrics>,
}

/// Serves `routes` on `listener` to those who have access. When `stopped` completes, nobody else is
/// let in; completes when the last connection is closed.
pub(super) async fn serve(
    config: &ServerConfig,
    entrance: Entrance,
    routes: Routes,
    listener: TcpListener,
    stopped: impl Future<Output = ()>,
) {
    let Entrance { access, every_call, traces, metrics } = entrance;
    let limits = Limits::new(config);
    // Who calls is asked inside, so that a refusal has its id and its line in the log.
    let traced = Traced { traces, methods: every_call.methods() };
    let service = traced.layer(every_call.layer(access.guard().layer(routes.prepare())));
    let served = connections::serve(listener, service, limits, access.tls(), metrics, stopped);
    tokio::select! {
        () = served => {}
        never = access.keep_fresh() => match never {},
    }
}
