//! What is taken before and after, and whether all in all it held.

use crate::{tally::Tally, vitals::Vitals};

/// KiB by which what is allocated may grow, from the warm-up to the end and over the life of the server:
/// half of what an encoder takes, so that not one may be left over.
const GROWTH: u64 = 8 << 10;

/// KiB by which resident memory may grow. It also counts what is allocated past the C library, the
/// matrices that are lent to ONNX Runtime, and what is freed but lies on a page with something that is
/// not, of which there is more or less with what met.
const RESIDENT_GROWTH: u64 = 64 << 10;

/// Outcomes that there must have been: else not much was tried.
const EXPECTED: [&str; 7] = [
    "answered rightly",
    "RESOURCE_EXHAUSTED",
    "DEADLINE_EXCEEDED",
    "INTERNAL while encoders fail",
    "cut off",
    "dropped half-way",
    "refused as invalid",
];

/// What the process takes when nothing is asked of it.
pub struct Rests {
    /// Before the server was started.
    pub before: Vitals,
    /// After the warm-up.
    pub warm: Vitals,
    /// After the main phase.
    pub main: Vitals,
    /// When the server has ended.
    pub after: Vitals,
}

impl Rests {
    /// Prints it, the figure last; whether everything held.
    pub fn verdict(&self, tally: &Tally) -> bool {
        self.compare(tally);
        for outcome in EXPECTED {
            tally.expect(tally.count_of(outcome) > 0, || format!("no call ended in: {outcome}"));
        }
        let failures = tally.failures();
        println!("chaos: {}", tally.faults());
        let Self { before, warm, main, after } = self;
        let mib = |kib: u64| kib as f64 / 1024.0;
        println!(
            "chaos: {}: {}; memory {:.0} -> {:.0} MiB, in use {:.1} -> {:.1} MiB, \
             threads {} -> {} -> {} -> {}, files {} -> {} -> {} -> {}",
            match failures {
                0 => "passed".to_owned(),
                count => format!("FAILED {count} times"),
            },
            tally.outcomes(),
            mib(warm.rss),
            mib(main.rss),
            mib(warm.in_use),
            mib(main.in_use),
            before.threads,
            warm.threads,
            main.threads,
            after.threads,
            before.files,
            warm.files,
            main.files,
            after.files,
        );
        failures == 0
    }

    /// Threads and files are countable: not one may be left over. What was allocated is nearly so.
    fn compare(&self, tally: &Tally) {
        let Self { before, warm, main, after } = self;
        tally.expect(main.rss <= warm.rss + RESIDENT_GROWTH, || {
            format!("memory has grown: {warm}, then {main}")
        });
        for (earlier, later, what) in
            [(warm, main, "the main phase"), (before, after, "the server")]
        {
            let is_left = later.threads > earlier.threads || later.files > earlier.files;
            let is_held = later.in_use > earlier.in_use + GROWTH;
            tally.expect(!is_left && !is_held, || {
                format!("something is left over of {what}: {earlier}, then {later}")
            });
        }
    }
}
