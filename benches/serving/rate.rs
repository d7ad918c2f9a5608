//! Work done in a time, and what it cost.

use std::time::Duration;

use serde_json::{Value, json};

/// What one block of a measurement gave.
///
/// Work is counted in requests of the mix's mean size: a block that happened to draw longer prompts
/// than another has not been slower for that. Size is the arithmetic that a prompt needs.
#[derive(Clone, Copy, Default)]
pub struct Rate {
    pub work: f64,
    pub seconds: f64,
    pub cpu_seconds: f64,
}

impl Rate {
    pub fn new(work: f64, time: Duration, cpu: Duration) -> Self {
        Self { work, seconds: time.as_secs_f64(), cpu_seconds: cpu.as_secs_f64() }
    }

    /// Requests in a second.
    pub fn per_second(&self) -> f64 {
        self.work / self.seconds
    }

    /// Milliseconds of CPU for a request.
    pub fn cpu_ms(&self) -> f64 {
        1e3 * self.cpu_seconds / self.work
    }
}

/// The same thing measured in several blocks.
#[derive(Clone, Default)]
pub struct Rates(pub Vec<Rate>);

impl Rates {
    pub fn per_second(&self) -> f64 {
        super::statistics::median(self.0.iter().map(Rate::per_second))
    }

    pub fn cpu_ms(&self) -> f64 {
        super::statistics::median(self.0.iter().map(Rate::cpu_ms))
    }

    pub fn json(&self) -> Value {
        json!({
            "requests_per_second": self.per_second(),
            "cpu_ms_per_request": self.cpu_ms(),
            "requests_per_second_of_blocks": self.0.iter().map(Rate::per_second).collect::<Vec<_>>(),
            "cpu_ms_per_request_of_blocks": self.0.iter().map(Rate::cpu_ms).collect::<Vec<_>>(),
        })
    }
}
