//! What is counted of connections.

use prometheus::{IntCounter, IntGauge};

use super::{
    Page,
    instruments::{counter, level},
};

/// What is counted of connections.
pub struct ConnectionMetrics {
    open: IntGauge,
    refused: IntCounter,
}

impl Default for ConnectionMetrics {
    fn default() -> Self {
        Self {
            open: level(
                "dynamar_connections",
                "Connections that are open, those of probes too but at health.address.",
            ),
            refused: counter(
                "dynamar_connections_refused_total",
                "Connections that were closed at once because too many were open.",
            ),
        }
    }
}

impl ConnectionMetrics {
    /// So many are open now.
    pub fn set_open(&self, count: usize) {
        self.open.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// One was closed at once.
    pub fn refused(&self) {
        self.refused.inc();
    }

    /// Writes it all down.
    pub fn show(&self, page: &mut Page) {
        page.add(&[], &self.open);
        page.add(&[], &self.refused);
    }
}
