//! What was done, what came of it, and what should not have.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Failures that are told in full; there may be thousands of one kind.
const MAX_TOLD: usize = 20;

/// Counts calls by outcome and faults by kind, and keeps what went wrong.
#[derive(Default)]
pub struct Tally(Mutex<Counts>);

#[derive(Default)]
struct Counts {
    outcomes: BTreeMap<&'static str, u64>,
    faults: BTreeMap<&'static str, u64>,
    failures: Vec<String>,
    untold: u64,
}

impl Tally {
    /// A call ended in this way, which was legitimate.
    pub fn outcome(&self, how: &'static str) {
        *self.counts().outcomes.entry(how).or_default() += 1;
    }

    /// A fault of this kind was injected.
    pub fn fault(&self, kind: &'static str) {
        *self.counts().faults.entry(kind).or_default() += 1;
    }

    /// Something happened that must not.
    pub fn failed(&self, what: String) {
        let mut counts = self.counts();
        if counts.failures.len() < MAX_TOLD {
            eprintln!("chaos: FAILED: {what}");
            counts.failures.push(what);
        } else {
            counts.untold += 1;
        }
    }

    /// What must hold, or a failure with these words.
    pub fn expect(&self, holds: bool, otherwise: impl FnOnce() -> String) {
        if !holds {
            self.failed(otherwise());
        }
    }

    pub fn failures(&self) -> u64 {
        let counts = self.counts();
        counts.failures.len() as u64 + counts.untold
    }

    /// How often a call ended in this way.
    pub fn count_of(&self, how: &str) -> u64 {
        self.counts().outcomes.get(how).copied().unwrap_or_default()
    }

    /// Calls by outcome, on one line.
    pub fn outcomes(&self) -> String {
        let counts = self.counts();
        format!("{} calls: {}", counts.outcomes.values().sum::<u64>(), list(&counts.outcomes))
    }

    /// Faults by kind, on one line.
    pub fn faults(&self) -> String {
        let counts = self.counts();
        format!("{} faults: {}", counts.faults.values().sum::<u64>(), list(&counts.faults))
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        // Counted up only, which a panic cannot leave half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn list(counts: &BTreeMap<&'static str, u64>) -> String {
    let parts: Vec<String> = counts.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    parts.join(", ")
}
