//! When which fault was on: what a call may end in depends on what went on during it.

use std::{
    collections::BTreeMap,
    future::pending,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::time;

/// How long a fault that is over may still be felt: a connection that was cut is found to be so
/// by the next call, and an error may be on its way while its cause is mended.
const GRACE: Duration = Duration::from_millis(1000);

/// Lets time pass. Here that is not waiting for something: how long a fault lasts, and how long
/// it is quiet, is what is being tried.
pub async fn pass(time: Duration) {
    let _ = time::timeout(time, pending::<()>()).await;
}

/// A kind of fault, which may be on several times at once.
#[derive(Default)]
pub struct Spell(Mutex<Times>);

#[derive(Default)]
struct Times {
    on: usize,
    ended: Option<Instant>,
}

/// The fault is on until this is dropped.
pub struct Active(Arc<Spell>);

impl Spell {
    /// From now on.
    pub fn begin(self: &Arc<Self>) -> Active {
        self.times().on += 1;
        Active(Arc::clone(self))
    }

    /// Whether it was on at some time since then, or so shortly before that it may still be felt.
    pub fn was_on_since(&self, since: Instant) -> bool {
        let times = self.times();
        times.on > 0 || times.ended.is_some_and(|ended| ended + GRACE > since)
    }

    fn times(&self) -> MutexGuard<'_, Times> {
        // Changed in single steps.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        let mut times = self.0.times();
        times.on -= 1;
        times.ended = Some(Instant::now());
    }
}

/// The faults that a call may be told of, but for those of its connection.
pub struct Spells {
    /// Encoders fail, panic or hang.
    pub encoders: Arc<Spell>,
    /// A task is not in the models directory, by its name.
    pub removed: BTreeMap<&'static str, Arc<Spell>>,
}

impl Spells {
    pub fn new() -> Self {
        let tasks = ["polarity", "intensity", "match"];
        let removed = tasks.into_iter().map(|task| (task, Arc::default())).collect();
        Self { encoders: Arc::default(), removed }
    }
}
