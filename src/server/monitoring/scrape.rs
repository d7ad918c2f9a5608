//! Puts the page together.

use std::sync::Arc;

use tokio::sync::watch;

use super::Metrics;
use crate::{
    batching::{Batcher, Situation},
    metrics::{Page, show_log_lines, show_process},
    prediction_log::PredictionLog,
    registry::{Registry, Route},
    server::{CurrentRegistry, access::Access, control::Reloads},
};

/// Characters of a digest that tell an encoder from others.
const DIGEST_CHARACTERS: usize = 12;

/// Where what is told comes from.
#[derive(Clone)]
pub(in crate::server) struct Sources {
    pub metrics: Metrics,
    pub current: CurrentRegistry,
    /// Whether health is SERVING.
    pub serving: watch::Receiver<bool>,
    pub reloads: watch::Receiver<Reloads>,
    pub access: Access,
    pub log: Option<PredictionLog>,
}

impl Sources {
    /// The page as it is now.
    ///
    /// # Errors
    ///
    /// A defect of this program.
    pub fn page(&self) -> Result<String, String> {
        let mut page = Page::default();
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        page.gauge("dynamar_build_info", "1, for the version that runs.", &version, 1.0);
        let serving = f64::from(u8::from(*self.serving.borrow()));
        page.gauge("dynamar_serving", "1 while health is SERVING, else 0.", &[], serving);
        self.show_reloads(&mut page);
        self.show_access(&mut page);
        self.show_log(&mut page);
        self.metrics.calls.show(&mut page);
        self.metrics.connections.show(&mut page);
        let registry = self.current.borrow().clone();
        if let Some(registry) = registry {
            self.show_registry(&mut page, &registry);
        }
        show_log_lines(&mut page);
        show_process(&mut page);
        page.text()
    }

    fn show_reloads(&self, page: &mut Page) {
        let reloads = self.reloads.borrow().clone();
        for (outcome, count) in [("succeeded", reloads.succeeded), ("failed", reloads.failed)] {
            let help = "Times that checkpoints were loaded again.";
            page.counter("dynamar_reloads_total", help, &[("outcome", outcome)], count);
        }
        let help = "Checkpoints in the models directory that are refused as they are now.";
        page.gauge("dynamar_checkpoints_refused", help, &[], reloads.refused as f64);
    }

    fn show_access(&self, page: &mut Page) {
        let stale = self.access.stale();
        for section in ["tls", "auth"] {
            let help =
                "1 while files of this section are of no use and what they said before holds.";
            let is_stale = f64::from(u8::from(stale.contains(&section)));
            page.gauge("dynamar_access_files_refused", help, &[("section", section)], is_stale);
        }
        let Some(expires_at) = self.access.certificate_expires_at() else { return };
        let help = "When the certificate in force expires, in seconds since 1970.";
        page.gauge("dynamar_certificate_expiry_timestamp_seconds", help, &[], expires_at as f64);
    }

    fn show_log(&self, page: &mut Page) {
        let Some(log) = &self.log else { return };
        for (outcome, count) in [("written", log.written()), ("dropped", log.dropped())] {
            let help = "Lines of the prediction log.";
            page.counter("dynamar_prediction_log_total", help, &[("outcome", outcome)], count);
        }
    }

    fn show_registry(&self, page: &mut Page, registry: &Registry) {
        self.metrics.predictions.show(page);
        // After it was told for the last time.
        self.metrics.predictions.retain(|task, checkpoint| registry.has(task, checkpoint));
        for route in registry.routes() {
            let labels = [
                ("task", route.name()),
                ("checkpoint", &route.checkpoint),
                ("encoder", short(&route.encoder)),
            ];
            page.gauge("dynamar_checkpoint_info", "1, for each task that serves.", &labels, 1.0);
        }
        for route in registry.one_of_each_encoder() {
            show_encoder(page, &route);
        }
    }
}

fn show_encoder(page: &mut Page, route: &Arc<Route>) {
    let labels = [("encoder", short(&route.encoder))];
    let batcher: &Batcher = &route.batcher;
    batcher.metrics().show(page, &labels);
    let Situation { workers, queued_tokens, tokens_per_second, predicted_wait } =
        batcher.situation();
    let mut gauge = |name, help, value| page.gauge(name, help, &labels, value);
    gauge("dynamar_workers", "Worker threads that are alive.", workers as f64);
    gauge("dynamar_queued_tokens", "Tokens that wait for a worker.", queued_tokens as f64);
    gauge(
        "dynamar_predicted_wait_seconds",
        "How long a call that came now would wait.",
        predicted_wait.as_secs_f64(),
    );
    if let Some(speed) = tokens_per_second {
        let help = "Tokens that one worker computes in a second, measured under load.";
        gauge("dynamar_encoder_tokens_per_second", help, speed);
    }
    let Some(cache) = batcher.cache_counters() else { return };
    for (name, help, count) in [
        ("dynamar_cache_hits_total", "Prompts that were answered from memory.", cache.hits),
        ("dynamar_cache_misses_total", "Prompts that had to be encoded.", cache.misses),
        (
            "dynamar_cache_joined_total",
            "Prompts that were on their way to the encoder already.",
            cache.joined,
        ),
        ("dynamar_cache_evictions_total", "Vectors that gave way to others.", cache.evictions),
    ] {
        page.counter(name, help, &labels, count);
    }
    let help = "Bytes that remembered vectors and their keys take.";
    page.gauge("dynamar_cache_bytes", help, &labels, cache.bytes as f64);
}

/// The beginning of a digest.
fn short(digest: &str) -> &str {
    let end = digest.floor_char_boundary(DIGEST_CHARACTERS);
    &digest[..end]
}
