//! What the workers of one encoder count.

use std::time::Duration;

use prometheus::{Histogram, IntCounter};

use super::{
    instruments::{counter, histogram},
    page::{Labels, Page},
};

const QUEUE_SECONDS: &[f64] =
    &[0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
const ENCODER_SECONDS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];
const PROMPTS: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0];
const TOKENS: &[f64] = &[16.0, 32.0, 64.0, 128.0, 192.0, 256.0, 512.0, 1024.0, 4096.0];

/// What the workers of one encoder count.
pub struct BatchMetrics {
    queue: Histogram,
    encoder: Histogram,
    prompts: Histogram,
    tokens: Histogram,
    padding: IntCounter,
    failed: IntCounter,
}

/// A batch that was run.
#[derive(Debug, Clone, Copy)]
pub struct BatchOutcome {
    /// Prompts in it.
    pub prompts: usize,
    /// Their tokens.
    pub tokens: usize,
    /// Tokens of its longest prompt.
    pub longest: usize,
    /// How long the encoder took.
    pub time: Duration,
    /// Whether it gave anything.
    pub succeeded: bool,
}

impl Default for BatchMetrics {
    fn default() -> Self {
        Self {
            queue: histogram(
                "dynamar_queue_duration_seconds",
                "How long a prompt waited for a worker.",
                QUEUE_SECONDS,
            ),
            encoder: histogram(
                "dynamar_encoder_duration_seconds",
                "How long the encoder took for a batch.",
                ENCODER_SECONDS,
            ),
            prompts: histogram("dynamar_batch_prompts", "Prompts of a batch.", PROMPTS),
            tokens: histogram("dynamar_batch_tokens", "Tokens of a batch.", TOKENS),
            padding: counter(
                "dynamar_padding_tokens_total",
                "Tokens that attention pads batches with; nothing else is padded.",
            ),
            failed: counter("dynamar_failed_batches_total", "Batches that the encoder failed on."),
        }
    }
}

impl BatchMetrics {
    /// A worker has run a batch.
    pub fn ran(&self, batch: BatchOutcome) {
        if !batch.succeeded {
            self.failed.inc();
            return;
        }
        self.encoder.observe(batch.time.as_secs_f64());
        self.prompts.observe(batch.prompts as f64);
        self.tokens.observe(batch.tokens as f64);
        let padded = batch.longest * batch.prompts;
        self.padding.inc_by(padded.saturating_sub(batch.tokens) as u64);
    }

    /// A prompt has waited so long.
    pub fn waited(&self, time: Duration) {
        self.queue.observe(time.as_secs_f64());
    }

    /// Writes it all down.
    pub fn show(&self, page: &mut Page, labels: Labels<'_>) {
        page.add(labels, &self.queue);
        page.add(labels, &self.encoder);
        page.add(labels, &self.prompts);
        page.add(labels, &self.tokens);
        page.add(labels, &self.padding);
        page.add(labels, &self.failed);
    }
}
