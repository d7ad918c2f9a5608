//! Time that the whole process has lost: stopped by a signal, frozen with its container or virtual
//! machine, or kept from its CPUs. A batch that was under way meanwhile is not late for it.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Periods between two beats of which nothing counts as lost.
const PUNCTUAL: u32 = 2;

/// Beats at a steady period for as long as the process runs. Without beats, no time is lost.
#[derive(Default)]
pub(super) struct Heartbeat(Mutex<Beats>);

#[derive(Default)]
struct Beats {
    last: Option<Beat>,
    /// Before the last beat.
    lost: Duration,
}

#[derive(Clone, Copy)]
struct Beat {
    at: Instant,
    /// Until the next one.
    period: Duration,
}

impl Heartbeat {
    /// A beat. The next one is due after `period`.
    pub(super) fn beat(&self, now: Instant, period: Duration) {
        let mut beats = self.lock();
        beats.lost = beats.lost_until(now);
        beats.last = Some(Beat { at: now, period });
    }

    /// All time that was lost until now, a beat that is overdue included: whoever looks first after
    /// a pause knows of it.
    pub(super) fn lost(&self, now: Instant) -> Duration {
        self.lock().lost_until(now)
    }

    fn lock(&self) -> MutexGuard<'_, Beats> {
        // Both fields are set by assignments that cannot panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Beats {
    fn lost_until(&self, now: Instant) -> Duration {
        let overdue = |last: Beat| {
            let since = now.saturating_duration_since(last.at);
            since.saturating_sub(PUNCTUAL * last.period)
        };
        self.lost + self.last.map_or(Duration::ZERO, overdue)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_passes_without_a_beat_is_lost() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let heartbeat = Heartbeat::default();
        assert_eq!(heartbeat.lost(start + 100 * second), Duration::ZERO, "it has not begun");
        let beat = |at: u32| heartbeat.beat(start + at * second, second);
        let lost = |at: u32| heartbeat.lost(start + at * second).as_secs();
        [0, 1, 3].into_iter().for_each(beat);
        assert_eq!([lost(3), lost(5), lost(6), lost(28)], [0, 0, 1, 23]);
        beat(28);
        assert_eq!([lost(28), lost(30)], [23, 23], "a beat that comes late loses nothing twice");
        beat(29);
        beat(40);
        assert_eq!(lost(40), 32);
    }
}
