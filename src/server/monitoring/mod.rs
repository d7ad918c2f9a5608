//! What the server tells about itself over HTTP, for Prometheus: what was counted, and how things
//! stand at the moment it is asked.

mod endpoint;
mod scrape;

pub(super) use endpoint::serve;
pub(super) use scrape::Sources;

use std::sync::Arc;

use crate::metrics::{CallMetrics, ConnectionMetrics, PredictionMetrics};

/// What connections, calls and their answers count.
#[derive(Clone, Default)]
pub(super) struct Metrics {
    pub connections: Arc<ConnectionMetrics>,
    pub calls: Arc<CallMetrics>,
    pub predictions: Arc<PredictionMetrics>,
}
