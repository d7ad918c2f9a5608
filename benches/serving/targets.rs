//! What the figures should be. Missing one is said, and is no failure: machines differ.

use serde_json::{Map, Value};

use crate::mixes::ALL_16;

/// A figure and what it should be.
pub struct Target {
    /// The key in the JSON file.
    pub key: String,
    pub bound: Bound,
}

#[derive(Clone, Copy)]
pub enum Bound {
    AtMost(f64),
    Below(f64),
    AtLeast(f64),
}

use Bound::{AtLeast, AtMost, Below};

/// Targets that do not depend on a mix.
const FIGURES: [(&str, Bound); 11] = [
    ("added_latency_ms", Below(0.4)),
    ("cpu_gain_over_fifo8", AtLeast(2.3)),
    ("int8_speedup", AtLeast(2.0)),
    ("overload_goodput_over_capacity", AtLeast(0.9)),
    ("overload_p99_over_limit", AtMost(1.0)),
    ("overload_refused_a_second_later", AtMost(0.0)),
    ("overload_rss_after_over_before", AtMost(1.05)),
    ("p99_over_p50_at_80", Below(6.0)),
    ("predict_throughput_ratio_to_ceiling", AtLeast(0.95)),
    ("rss_over_weights", Below(1.6)),
    ("start_seconds", Below(0.6)),
];

impl Target {
    /// All targets; two for every mix.
    pub fn all<'a>(mixes: impl Iterator<Item = &'a str> + Clone) -> Vec<Self> {
        let cpu = |mix: &str| {
            // The shortest requests: the work round the encoder weighs most.
            let bound = AtMost(if mix == ALL_16 { 1.12 } else { 1.08 });
            Self { key: format!("cpu_ratio_to_ceiling.{mix}"), bound }
        };
        let throughput = |mix: &str| {
            let key = format!("throughput_ratio_to_ceiling.{mix}");
            Self { key, bound: AtLeast(0.88) }
        };
        let figure = |(key, bound): (&str, Bound)| Self { key: key.to_owned(), bound };
        let of_mixes = mixes.clone().map(cpu).chain(mixes.map(throughput));
        of_mixes.chain(FIGURES.map(figure)).collect()
    }

    /// The line of the table; nothing if the figure was not measured.
    pub fn line(&self, figures: &Map<String, Value>) -> Option<(String, bool)> {
        let figure = figures.get(&self.key)?.as_f64()?;
        let (words, bound, reached) = match self.bound {
            AtMost(bound) => ("at most", bound, figure <= bound),
            Below(bound) => ("below", bound, figure < bound),
            AtLeast(bound) => ("at least", bound, figure >= bound),
        };
        let verdict = if reached { "reached" } else { "missed" };
        let line = format!("{:46}{figure:8.3}   {words:>8} {bound:<6}{verdict}", self.key);
        Some((line, reached))
    }
}
