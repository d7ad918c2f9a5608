//! Which checkpoints serve: the first ones, and what becomes of them.

use std::{collections::BTreeSet, future::pending, sync::Arc, time::Duration};

use tokio::{
    sync::{Notify, watch},
    task::spawn_blocking,
    time::{self, Instant, Interval, MissedTickBehavior},
};

use super::{ServeError, control::Reloads, health::Health};
use crate::{
    config::ModelsConfig,
    panics::catch_panic,
    registry::{Loaded, Refused, Registry, RegistryError, Watcher},
};

/// Loads the checkpoints: the first ones, or those that changed, beside the ones that serve.
pub trait Load: FnMut(Option<&Registry>) -> Result<Loaded, RegistryError> + Send + 'static {}

impl<F> Load for F where
    F: FnMut(Option<&Registry>) -> Result<Loaded, RegistryError> + Send + 'static
{
}

/// What becomes of the checkpoints is told there.
pub(super) struct Outlets<'a> {
    pub publish: &'a watch::Sender<Option<Arc<Registry>>>,
    pub health: &'a Health,
    pub reloads: &'a watch::Sender<Reloads>,
}

/// What loads and what looks, always on a thread where it may take its time.
struct Files<L> {
    load: L,
    watcher: Watcher,
    /// What was wrong the last time.
    faults: Vec<String>,
}

/// Loads, publishes and reports ready, and then goes on with what the directory holds, which is
/// looked at every now and then and when `asked`. Returns only if the first part fails.
pub(super) async fn keep_current(
    load: impl Load,
    config: &ModelsConfig,
    asked: &Notify,
    outlets: Outlets<'_>,
) -> ServeError {
    let directory = config.directory.clone();
    let first = spawn_blocking(move || {
        // Before it is loaded, so that no change is missed.
        let watcher = Watcher::new(&directory);
        let mut files = Files { load, watcher, faults: Vec::new() };
        let loaded = files.load(None);
        (files, loaded)
    });
    let (mut files, Loaded { registry, refused }) = match first.await {
        Ok((files, Ok(Ok(loaded)))) => (files, loaded),
        Ok((_, Ok(Err(error)))) => return error.into(),
        Ok((_, Err(panic))) => return ServeError::Loading(panic),
        Err(error) => return ServeError::Loading(error.to_string()),
    };
    let tasks = registry.routes().len();
    outlets.reloads.send_modify(|reloads| reloads.refused = directories(&refused));
    outlets.publish.send_replace(Some(Arc::new(registry)));
    outlets.health.set_serving(true);
    tracing::info!(tasks, "serving");
    let mut polls = config.poll_interval().map(interval);
    loop {
        let is_asked = tokio::select! {
            () = asked.notified() => true,
            () = tick(polls.as_mut()) => false,
        };
        let current = outlets.publish.borrow().clone();
        let looked = spawn_blocking(move || {
            let outcome = files.reload(is_asked, current.as_deref());
            (files, outcome)
        });
        let outcome = match looked.await {
            Ok((kept, outcome)) => {
                files = kept;
                outcome
            }
            // Panics of loading are caught; this is one of looking.
            Err(error) => {
                tracing::error!(%error, "checkpoints are not watched any more");
                return pending().await;
            }
        };
        if let Some(outcome) = outcome {
            outlets.take(outcome);
        }
    }
}

impl<L: Load> Files<L> {
    fn load(
        &mut self,
        previous: Option<&Registry>,
    ) -> Result<Result<Loaded, RegistryError>, String> {
        // What it had begun is dropped; it begins anew each time.
        catch_panic(|| (self.load)(previous))
    }

    /// Loads what has changed, if anything has.
    fn reload(
        &mut self,
        is_asked: bool,
        current: Option<&Registry>,
    ) -> Option<Result<Loaded, String>> {
        if is_asked {
            self.watcher.look();
        } else if !self.watcher.poll() {
            return None;
        }
        let loaded = match self.load(current) {
            Ok(loaded) => loaded.map_err(|error| error.to_string()),
            Err(panic) => Err(format!("loading the checkpoints ended with a panic: {panic}")),
        };
        let refused = loaded.as_ref().map_or(&[][..], |loaded| &loaded.refused);
        let is_passing = refused.iter().any(|refused| refused.is_passing);
        let faults = match &loaded {
            Ok(_) => {
                refused.iter().map(|one| format!("{}: {}", one.directory, one.reason)).collect()
            }
            Err(reason) => vec![reason.clone()],
        };
        // Files may have been away and back again while they were read, or an encoder that was tried
        // may work the next time: neither looks like a change. What is wrong twice stays wrong.
        if is_passing || (!faults.is_empty() && faults != self.faults) {
            self.watcher.forget();
        }
        self.faults = faults;
        Some(loaded)
    }
}

impl Outlets<'_> {
    /// Hands out what was loaded again.
    fn take(&self, outcome: Result<Loaded, String>) {
        let (error, count) = match outcome {
            Ok(Loaded { registry, refused }) => {
                let tasks = registry.routes().len();
                let count = directories(&refused);
                let before = self.publish.send_replace(Some(Arc::new(registry)));
                // If no call holds it, a lot of memory is freed now.
                drop(spawn_blocking(move || drop(before)));
                let last = refused.into_iter().last();
                match &last {
                    None => tracing::info!(tasks, "serving what the checkpoints are now"),
                    Some(refused) => tracing::warn!(
                        tasks,
                        directory = refused.directory,
                        reason = refused.reason,
                        "serving what the checkpoints are now, without those that are refused"
                    ),
                }
                (last.map(|refused| refused.reason), count)
            }
            Err(reason) => {
                tracing::error!(reason, "the checkpoints stay as they are");
                // None of them was taken, however many there are.
                (Some(reason), self.reloads.borrow().refused.max(1))
            }
        };
        self.reloads.send_modify(|reloads| reloads.record(error, count));
    }
}

/// How many checkpoints these are.
fn directories(refused: &[Refused]) -> usize {
    refused.iter().map(|refused| &refused.directory).collect::<BTreeSet<_>>().len()
}

fn interval(period: Duration) -> Interval {
    let mut interval = time::interval_at(Instant::now() + period, period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

async fn tick(interval: Option<&mut Interval>) {
    match interval {
        Some(interval) => drop(interval.tick().await),
        None => pending().await,
    }
}
