//! What a call's trace tells of the encoders: how long its prompts waited, and the batches that they were
//! computed in.

use std::{collections::BTreeMap, time::Instant};

use super::call::Cost;
use crate::{
    batching::{Batched, Encoded},
    telemetry::Trace,
};

/// Batches of one call that have spans of their own, the first ones; a large call can have hundreds.
const MAX_BATCHES: usize = 32;

/// The prompts of a call that were computed in one batch.
struct Share {
    batch: Batched,
    /// When the first of them came, and when the batch was done.
    came: Instant,
    done: Instant,
    prompts: usize,
    tokens: usize,
}

/// Notes what the encoders did for a call, and what it cost.
pub(super) fn trace_batches(trace: &Trace, passes: &[Vec<Encoded>], cost: &Cost) {
    if !trace.is_recording() {
        return;
    }
    trace.set_count("dynamar.tokens", cost.tokens);
    trace.set_count("dynamar.cached", cost.cached);
    let shares: Vec<Share> = passes.iter().flat_map(|pass| shares(pass)).collect();
    trace.set_count("dynamar.batches", shares.len());
    for share in shares.iter().take(MAX_BATCHES) {
        trace.past("queue", share.came, share.batch.started, &[]);
        let counts = [
            ("dynamar.prompts", share.prompts),
            ("dynamar.tokens", share.tokens),
            ("dynamar.batch.prompts", share.batch.prompts),
            ("dynamar.batch.tokens", share.batch.tokens),
        ];
        trace.past("encode", share.batch.started, share.done, &counts);
    }
}

/// In the order in which they were computed. No two batches of an encoder that begin at the same
/// instant are of the same size but by chance, and then they are told as one.
fn shares(pass: &[Encoded]) -> Vec<Share> {
    let mut shares: BTreeMap<(Instant, usize, usize), Share> = BTreeMap::new();
    for one in pass {
        let Some(batch) = one.batch else { continue };
        let came = batch.started.checked_sub(one.queue_time).unwrap_or(batch.started);
        let done = batch.started + one.inference_time;
        let share = shares.entry((batch.started, batch.prompts, batch.tokens)).or_insert(Share {
            batch,
            came,
            done,
            prompts: 0,
            tokens: 0,
        });
        share.came = share.came.min(came);
        share.prompts += 1;
        share.tokens += one.tokens;
    }
    shares.into_values().collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn prompts_of_one_batch_are_told_together_with_the_longest_wait() {
        let begun = Instant::now();
        let after = |ms| begun + Duration::from_millis(ms);
        let encoded = |batch, queue_ms, tokens| Encoded {
            tokens,
            batch: Some(batch),
            queue_time: Duration::from_millis(queue_ms),
            inference_time: Duration::from_millis(7),
            ..Encoded::default()
        };
        let first = Batched { started: after(10), prompts: 5, tokens: 60 };
        let second = Batched { started: after(17), prompts: 1, tokens: 9 };
        let cached = Encoded::default();
        let pass = [encoded(second, 17, 9), encoded(first, 2, 20), cached, encoded(first, 10, 10)];
        let shares = shares(&pass);
        let told: Vec<_> =
            shares.iter().map(|s| (s.came, s.batch, s.done, s.prompts, s.tokens)).collect();
        let expected = [(after(0), first, after(17), 2, 30), (after(0), second, after(24), 1, 9)];
        assert_eq!(told, expected);
    }
}
