//! Several times what the server can do: what is still answered, how soon, and what it is like
//! afterwards.

use std::{
    sync::{Arc, atomic::AtomicUsize},
    time::Duration,
};

use anyhow::Result;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::{
    clocks,
    load::{
        closed, in_time,
        open::{self, Call, Phase},
    },
    mixes::Mix,
    report::Report,
    server::Server,
    statistics::{Latencies, median},
};

/// Calls by what the server can do.
const TIMES: f64 = 5.0;

/// Blocks that tell what it can do, before and after.
const BLOCKS: usize = 3;

/// Until the queue is as full as it gets.
const SETTLING: Duration = Duration::from_secs(5);

/// A load that it can bear, after the overload, and how long after that it is looked at.
const AFTER: f64 = 0.5;
const RECOVERY: Duration = Duration::from_secs(1);
const AFTER_LENGTH: Duration = Duration::from_secs(6);

/// How long a call may wait. Less than by default: what waits when the load goes has to be done before
/// it is as it was.
pub const SETTING: &str = "DYNAMAR_BATCHING__MAX_QUEUE_DELAY_MS";
pub const MAX_QUEUE_DELAY_MS: u32 = 1000;

/// Callers that keep the server busy and wait for less than that.
const CALLERS: usize = 16;

/// What was seen. Every call was answered or refused, or there is nothing to see.
pub struct Overload {
    mix: String,
    seconds: f64,
    /// Calls in a second that closed loops get answered, before.
    capacity: f64,
    /// Calls in a second that were answered in the overload, once it had settled.
    goodput: f64,
    answered: Latencies,
    /// How soon the others were told.
    refused: Latencies,
    /// The longest that a batch took.
    batch: Duration,
    resident: [f64; 3],
    /// From a second after the overload on: calls that were refused, and the others.
    refused_after: usize,
    answered_after: Latencies,
}

impl Overload {
    pub fn measure(
        tokio: &Runtime,
        server: &Server,
        mix: &Arc<Mix>,
        block: Duration,
        length: Duration,
    ) -> Result<Self> {
        let next = Arc::new(AtomicUsize::new(0));
        let mut rates = Vec::new();
        for _ in 0..BLOCKS {
            let block = closed::run(server, mix, &next, CALLERS, block);
            rates.push(tokio.block_on(in_time(block))?.rate.per_second());
        }
        let capacity = median(rates);
        let before = clocks::resident_bytes(server.pid())?;
        let phases =
            [Phase::new(TIMES * capacity, length), Phase::new(AFTER * capacity, AFTER_LENGTH)];
        let run = open::phases(server, mix, &phases);
        let (calls, peak) = tokio.block_on(in_time(run))?;
        let after = clocks::resident_bytes(server.pid())?;
        let mut overload = Self::of(&calls, length, capacity);
        overload.mix = mix.name.clone();
        overload.resident = [before, peak, after];
        Ok(overload)
    }

    fn of(calls: &[Call], length: Duration, capacity: f64) -> Self {
        let settled = |call: &&Call| call.due > SETTLING && call.due <= length;
        let latencies = |chosen: &dyn Fn(&&Call) -> bool| {
            Latencies::of(
                calls.iter().filter(chosen).map(|call| call.done.saturating_sub(call.due)),
            )
        };
        // By when they were answered, so that what the queue held in the end does not count.
        let good = |call: &&Call| call.is_good() && call.done > SETTLING && call.done <= length;
        let seconds = length.saturating_sub(SETTLING).as_secs_f64();
        let after = |call: &&Call| call.due > length + RECOVERY;
        Self {
            mix: String::new(),
            seconds: length.as_secs_f64(),
            capacity,
            goodput: calls.iter().filter(good).map(|call| call.work).sum::<f64>() / seconds,
            answered: latencies(&|call| settled(call) && call.is_good()),
            refused: latencies(&|call| settled(call) && !call.is_good()),
            batch: calls.iter().filter_map(|call| call.batch).max().unwrap_or_default(),
            resident: [0.0; 3],
            refused_after: calls.iter().filter(|call| after(call) && !call.is_good()).count(),
            answered_after: latencies(&|call| after(call) && call.is_good()),
        }
    }

    pub fn tell(&self, report: &mut Report) {
        report.set("overload_goodput_over_capacity", json!(self.goodput / self.capacity));
        report.set("overload_p99_over_limit", json!(self.answered.ms(0.99) / self.limit_ms()));
        report.set("overload_refused_a_second_later", json!(self.refused_after));
        let growth = self.resident[2] / self.resident[0];
        report.set("overload_rss_after_over_before", json!(growth));
        report.set("overload", self.json());
        report.say(self.sentence());
    }

    /// Milliseconds that a call may wait, and one batch.
    fn limit_ms(&self) -> f64 {
        f64::from(MAX_QUEUE_DELAY_MS) + 1e3 * self.batch.as_secs_f64()
    }

    fn sentence(&self) -> String {
        let [before, peak, after] = self.resident.map(|bytes| bytes / 1e6);
        format!(
            "{TIMES} times what it can do for {} s ({}): {:.0} answered in a second, {:.0} before \
             it; p99 {:.0} ms of those answered, {:.1} ms of those refused; resident {:.0} \
             MB before, {:.0} at most, {:.0} after; from a second later on {} refused of {}, p99 \
             {:.0} ms",
            self.seconds,
            self.mix,
            self.goodput,
            self.capacity,
            self.answered.ms(0.99),
            self.refused.ms(0.99),
            before,
            peak,
            after,
            self.refused_after,
            self.refused_after + self.answered_after.count(),
            self.answered_after.ms(0.99),
        )
    }

    fn json(&self) -> Value {
        json!({
            "mix": self.mix,
            "seconds": self.seconds,
            "capacity": self.capacity,
            "goodput": self.goodput,
            "answered": self.answered.json(),
            "refused": self.refused.json(),
            "longest_batch_ms": 1e3 * self.batch.as_secs_f64(),
            "resident_mb": self.resident.map(|bytes| bytes / 1e6),
            "a_second_later": {
                "refused": self.refused_after,
                "answered": self.answered_after.json(),
            },
        })
    }
}
