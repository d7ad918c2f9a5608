//! Medians and percentiles.

use std::time::Duration;

use serde_json::{Value, json};

/// The middle value, or the mean of the two in the middle.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.into_iter().collect();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => sorted[middle],
        _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}

/// Latencies of calls, in order.
#[derive(Clone, Default)]
pub struct Latencies(Vec<Duration>);

impl Latencies {
    pub fn of(calls: impl IntoIterator<Item = Duration>) -> Self {
        let mut sorted: Vec<Duration> = calls.into_iter().collect();
        sorted.sort_unstable();
        Self(sorted)
    }

    /// The latencies of several blocks as if they were one.
    pub fn joined<'a>(blocks: impl IntoIterator<Item = &'a Self>) -> Self {
        Self::of(blocks.into_iter().flat_map(|block| block.0.iter().copied()))
    }

    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Milliseconds that a share `quantile` of the calls did not exceed (nearest rank).
    pub fn ms(&self, quantile: f64) -> f64 {
        let rank = (quantile * self.0.len() as f64).ceil() as usize;
        let at = rank.clamp(1, self.0.len().max(1)) - 1;
        self.0.get(at).map_or(f64::NAN, |latency| 1e3 * latency.as_secs_f64())
    }

    pub fn json(&self) -> Value {
        json!({
            "p50_ms": self.ms(0.5),
            "p99_ms": self.ms(0.99),
            "p99_9_ms": self.ms(0.999),
            "calls": self.count(),
        })
    }
}
