//! What is taken before and after, and whether all in all it held.

use crate::{tally::Tally, vitals::Vitals};

/// KiB by which resident memory may grow from the warm-up to the end. What is freed goes back to the
/// system only where nothing is left beside it, so it depends on what met: two encoders while one takes
/// the place of the other, and lost workers with theirs, each of which takes 17 MiB. A leak of that
/// size, in every reload or with every lost worker, takes ten times as much in a minute.
const GROWTH: u64 = 64 << 10;

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
        let (memory, of) = (main.rss as f64 / 1024.0, warm.rss as f64 / 1024.0);
        println!(
            "chaos: {}: {}; memory {of:.0} -> {memory:.0} MiB, threads {} -> {} -> {} -> {}, \
             files {} -> {} -> {} -> {}",
            match failures {
                0 => "passed".to_owned(),
                count => format!("FAILED {count} times"),
            },
            tally.outcomes(),
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

    /// Threads and files are countable: not one may be left over.
    fn compare(&self, tally: &Tally) {
        let Self { before, warm, main, after } = self;
        tally.expect(main.rss <= warm.rss + GROWTH, || {
            format!("memory has grown: {warm}, then {main}")
        });
        for (earlier, later, what) in
            [(warm, main, "the main phase"), (before, after, "the server")]
        {
            let is_left = later.threads > earlier.threads || later.files > earlier.files;
            tally.expect(!is_left, || {
                format!("something is left over of {what}: {earlier}, then {later}")
            });
        }
    }
}
