//! Counters, gauges and histograms of names that are constants.

use prometheus::{
    Counter, Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    Opts,
};

/// What stands between a name and its instrument cannot happen: names, labels and buckets are
/// constants of this module, and every one of them is made by its tests.
const GOOD: &str = "a good name and ascending buckets";

#[expect(clippy::expect_used, reason = "see GOOD")]
pub(super) fn counter(name: &str, help: &str) -> IntCounter {
    IntCounter::new(name, help).expect(GOOD)
}

#[expect(clippy::expect_used, reason = "see GOOD")]
pub(super) fn seconds(name: &str, help: &str) -> Counter {
    Counter::new(name, help).expect(GOOD)
}

#[expect(clippy::expect_used, reason = "see GOOD")]
pub(super) fn counters(name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    IntCounterVec::new(Opts::new(name, help), labels).expect(GOOD)
}

#[expect(clippy::expect_used, reason = "see GOOD")]
pub(super) fn gauge(name: &str, help: &str) -> Gauge {
    Gauge::new(name, help).expect(GOOD)
}

#[expect(clippy::expect_used, reason = "see GOOD")]
pub(super) fn level(name: &str, help: &str) -> IntGauge {
    IntGauge::new(name, help).expect(GOOD)
}

#[expect(clippy::expect_used, reason = "see GOOD")]
pub(super) fn histogram(name: &str, help: &str, buckets: &[f64]) -> Histogram {
    let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
    Histogram::with_opts(options).expect(GOOD)
}

#[expect(clippy::expect_used, reason = "see GOOD")]
pub(super) fn histograms(name: &str, help: &str, labels: &[&str], buckets: &[f64]) -> HistogramVec {
    let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
    HistogramVec::new(options, labels).expect(GOOD)
}
