//! HTTP/2 and what every call goes through on its way in.

use std::time::Duration;

use tonic::{
    service::Routes,
    transport::{Server, server::Router},
};
use tower::layer::util::{Identity, Stack as LayeredBy};

use super::layers::EveryCall;

/// Calls that a client may have open on one connection; its next ones wait.
const MAX_CONCURRENT_STREAMS: u32 = 1024;

/// An idle connection is asked for a sign of life this often, so that clients that vanished
/// without a word do not stay connected for ever.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);

/// How long a connection may take to give it.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);

/// A server of these.
pub(super) fn server(routes: Routes) -> Router<LayeredBy<EveryCall, Identity>> {
    Server::builder()
        .max_concurrent_streams(MAX_CONCURRENT_STREAMS)
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .layer(EveryCall)
        .add_routes(routes)
}
