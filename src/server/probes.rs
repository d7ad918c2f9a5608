//! Health on a port of its own, for probes: without TLS, without certificates of clients, and beside
//! the connections of callers. A probe that callers can crowd out has servers restarted when there is
//! most to do, and their callers go to the next. Nor can anybody crowd it out here: who connects is let
//! in, and if need be the oldest connection ends.

use std::{convert::Infallible, future::pending, sync::Arc};

use tokio::net::TcpListener;
use tonic::service::Routes;
use tower::Layer;

use super::{
    connections::{self, Limits},
    health::HealthService,
    layers::EveryCall,
};

/// Tells on `listener` for ever how the server is; without one, does nothing for ever.
pub(super) async fn serve(
    listener: Option<TcpListener>,
    health: HealthService,
    every_call: EveryCall,
) -> Infallible {
    if let Some(listener) = listener {
        let service = every_call.layer(Routes::new(health.into_server()).prepare());
        // What is counted are the connections of callers.
        let metrics = Arc::default();
        connections::serve(listener, service, Limits::for_probes(), None, metrics, pending()).await;
    }
    pending().await
}
