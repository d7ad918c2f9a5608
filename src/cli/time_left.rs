//! How long training still takes, from the work that is left: texts to encode, and steps.
//!
//! With a frozen encoder each text is encoded once, when a step first asks for it, and a step alone
//! costs next to nothing. An average over the steps so far would tell hours of what takes minutes.

use std::time::Duration;

use crate::training::StepReport;

/// Texts of a training set that are encoded together.
const BLOCK: f64 = 64.0;

/// Adds up what steps took.
#[derive(Debug, Default)]
pub struct TimeLeft {
    /// Steps that encoded nothing that is kept, and their seconds.
    plain: (f64, f64),
    /// Steps that encoded texts, their seconds, and the texts.
    encoding: (f64, f64, f64),
    /// Prompts of all steps.
    prompts: f64,
    /// Texts that are still to be encoded.
    unencoded: f64,
}

impl TimeLeft {
    /// Takes in a step, which took so long.
    pub fn add(&mut self, report: &StepReport, took: Duration) {
        let seconds = took.as_secs_f64();
        self.prompts += report.prompts as f64;
        self.unencoded = report.unencoded as f64;
        if report.encoded == 0 {
            self.plain.0 += 1.0;
            self.plain.1 += seconds;
        } else {
            self.encoding.0 += 1.0;
            self.encoding.1 += seconds;
            self.encoding.2 += report.encoded as f64;
        }
    }

    /// Whether steps encode texts that are kept.
    pub fn has_encoded(&self) -> bool {
        self.encoding.0 > 0.0
    }

    /// Estimates the time of so many steps more.
    pub fn of(&self, steps: usize) -> Duration {
        let steps = steps as f64;
        let per_step = if self.plain.0 > 0.0 { self.plain.1 / self.plain.0 } else { 0.0 };
        let (count, seconds, texts) = self.encoding;
        let per_text = (seconds - count * per_step).max(0.0) / texts.max(1.0);
        let left = steps * per_step + self.to_encode(steps) * per_text;
        Duration::try_from_secs_f64(left).unwrap_or(Duration::MAX)
    }

    /// Of the texts that are not encoded yet those that so many steps will ask for: draws fall on
    /// blocks, and a block that was met is encoded whole.
    fn to_encode(&self, steps: f64) -> f64 {
        let all = self.encoding.2 + self.unencoded;
        if all == 0.0 {
            return 0.0;
        }
        let draws = steps * self.prompts / (self.plain.0 + self.encoding.0).max(1.0);
        self.unencoded * (1.0 - (-draws * BLOCK / all).exp())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A run with this many texts, of which each takes 10 ms, and steps of 2 ms and 32 prompts.
    fn check(texts: usize, steps: usize) {
        let (mut left, mut unseen, mut times, mut estimates) =
            (TimeLeft::default(), vec![true; texts.div_ceil(64)], Vec::new(), Vec::new());
        let mut state = 7u64;
        for step in 1..=steps {
            let mut encoded = 0;
            for _ in 0..32 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let block = (state >> 33) as usize % unseen.len();
                encoded += if std::mem::take(&mut unseen[block]) { 64 } else { 0 };
            }
            let unencoded = 64 * unseen.iter().filter(|unseen| **unseen).count();
            let took = Duration::from_millis(2 + 10 * encoded as u64);
            let report =
                StepReport { step, loss: 0.0, learning_rate: 0.0, prompts: 32, encoded, unencoded };
            left.add(&report, took);
            times.push(took.as_secs_f64());
            estimates.push(left.of(steps - step).as_secs_f64());
        }
        for step in 10..steps {
            let (real, told) = (times[step..].iter().sum::<f64>(), estimates[step - 1]);
            // What is nearly over may be told roughly.
            let factor = told.max(1.0) / real.max(1.0);
            assert!(
                (0.5..=2.0).contains(&factor),
                "step {step} of {steps}: {told} s, took {real} s"
            );
        }
    }

    #[test]
    fn from_the_tenth_step_on_it_is_right_within_a_factor_of_two() {
        check(64 * 300, 2000);
        check(64 * 300, 40);
        check(64 * 20, 500);
        // No texts are kept: each step encodes its own.
        let mut left = TimeLeft::default();
        for step in 1..=10 {
            let report = StepReport {
                step,
                loss: 0.0,
                learning_rate: 0.0,
                prompts: 32,
                encoded: 0,
                unencoded: 0,
            };
            left.add(&report, Duration::from_millis(500));
        }
        assert_eq!(left.of(100), Duration::from_secs(50));
    }
}
