//! The encoders in memory: their workers live as long as a registry or a call needs them.

use std::{
    io,
    num::NonZeroUsize,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

use super::{BoxedEncoder, NewEncoder, RegistryError, held::Held, memory, warm_up};
use crate::{
    batching::{Batcher, Replacements},
    config::{BatchingConfig, Config},
    inference::Device,
};

/// Every encoder that still has workers: those of the registry that serves, and those of older
/// ones whose last calls are under way.
#[derive(Default)]
pub(super) struct Fleet {
    running: Mutex<Vec<Arc<Running>>>,
}

/// The workers of an encoder.
struct Running {
    batcher: Arc<Batcher>,
    /// Whether they have ended. Held by whoever waits for that.
    ended: Mutex<bool>,
}

/// What keeps the workers of an encoder at work. Every route to it and every registry that holds
/// it has this; when the last one goes, the workers end, and their memory goes back.
pub(super) struct Lease {
    running: Arc<Running>,
    fleet: Arc<Fleet>,
    holders: Arc<Holders>,
}

/// The checkpoints that hold an encoder now: sessions for workers that are lost come from their files.
#[derive(Default)]
struct Holders(Mutex<Vec<Held>>);

impl Holders {
    fn lock(&self) -> MutexGuard<'_, Vec<Held>> {
        // Replaced as a whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why an encoder does not work.
pub(super) struct StartError {
    /// The number, among the checkpoints that share it, of the one whose fault it is; `None` if it is
    /// the encoder's.
    pub checkpoint: Option<usize>,
    pub error: Box<RegistryError>,
}

impl StartError {
    fn of_encoder(error: RegistryError) -> Self {
        Self { checkpoint: None, error: Box::new(error) }
    }
}

impl Fleet {
    /// Takes nothing in any more; what waits is still answered.
    pub fn close(&self) {
        self.all().iter().for_each(|running| running.batcher.close());
    }

    /// Takes nothing in any more and answers what waits with an error.
    pub fn abandon(&self) {
        self.all().iter().for_each(|running| running.batcher.abandon());
    }

    /// Waits for all workers to end, once closed or abandoned. Blocks the thread.
    pub fn join(&self) {
        self.all().iter().for_each(|running| running.join());
    }

    /// The ways to all of them.
    pub fn batchers(&self) -> Vec<Arc<Batcher>> {
        self.all().iter().map(|running| Arc::clone(&running.batcher)).collect()
    }

    fn all(&self) -> Vec<Arc<Running>> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Running>>> {
        // Pushed to and removed from, which a panic cannot leave half done.
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Running {
    fn join(&self) {
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        self.batcher.join();
        *ended = true;
    }

    fn has_ended(&self) -> bool {
        // Who holds the lock still waits for the end.
        self.ended.try_lock().is_ok_and(|ended| *ended)
    }
}

impl Lease {
    fn new(batcher: Batcher, fleet: &Arc<Fleet>, holders: Arc<Holders>) -> Self {
        let running = Running { batcher: Arc::new(batcher), ended: Mutex::new(false) };
        let running = Arc::new(running);
        fleet.lock().push(Arc::clone(&running));
        Self { running, fleet: Arc::clone(fleet), holders }
    }

    /// From now on these checkpoints hold the encoder: those before them may be gone.
    pub fn held_by(&self, holders: Vec<Held>) {
        *self.holders.lock() = holders;
    }

    /// The way to the encoder.
    pub fn batcher(&self) -> &Arc<Batcher> {
        &self.running.batcher
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let (running, fleet) = (Arc::clone(&self.running), Arc::clone(&self.fleet));
        running.batcher.close();
        if running.has_ended() {
            fleet.lock().retain(|other| !Arc::ptr_eq(other, &running));
            return;
        }
        // The last one to hold it may be a call, whose thread must not wait.
        let end = move || {
            running.join();
            fleet.lock().retain(|other| !Arc::ptr_eq(other, &running));
            drop(running);
            memory::give_back();
            tracing::info!("an encoder that serves no more has ended");
        };
        if let Err(error) = thread::Builder::new().name("encoder-end".to_owned()).spawn(end) {
            // The workers end all the same, only nobody sees it.
            tracing::warn!(%error, "nobody waits for workers to end");
        }
    }
}

/// Makes, warms up and starts the workers of checkpoints that share an encoder, of which there is
/// at least one.
pub(super) fn start(
    group: &[&Held],
    config: &Config,
    fleet: &Arc<Fleet>,
    new_encoder: &NewEncoder,
) -> Result<Lease, StartError> {
    let warm = |threads| warm(group, threads, new_encoder);
    let threads = config.inference.intra_op_threads.get();
    let first = warm(threads)?;
    let device = first.device();
    let crew = Crew::on(device, config);
    let others = (1..crew.workers).map(|_| warm(threads));
    let encoders = std::iter::once(Ok(first)).chain(others).collect::<Result<Vec<_>, _>>()?;
    let lone = crew.lone_threads.map(warm).transpose()?;
    let no_threads = |error: io::Error| StartError::of_encoder(RegistryError::Workers(error));
    let batcher = Batcher::start(encoders, lone, &crew.batching).map_err(no_threads)?;
    let (checkpoint, workers) = (&group[0].model.id, crew.workers);
    tracing::info!(checkpoint, %device, workers, "an encoder is ready");
    let holders = Arc::new(Holders(Mutex::new(group.iter().copied().cloned().collect())));
    let batcher = batcher
        .with_replacements(replacements(Arc::clone(&holders), threads, Arc::clone(new_encoder)))
        .with_cache(config.cache.max_bytes);
    Ok(Lease::new(batcher, fleet, holders))
}

/// Who computes on a device.
#[derive(Debug, PartialEq)]
struct Crew {
    workers: usize,
    /// Threads of the session for a batch that has the machine to itself, if there is one.
    lone_threads: Option<usize>,
    batching: BatchingConfig,
}

impl Crew {
    /// A GPU computes one batch after the other and gains by large ones, so that it has one worker
    /// unless more are asked for, and no batch is handed out to several threads.
    fn on(device: Device, config: &Config) -> Self {
        let mut batching = config.batching.clone();
        match device {
            Device::Cpu => {
                let lone_threads = config.inference.lone_request_threads().get();
                let is_worth_it = lone_threads > config.inference.intra_op_threads.get();
                let workers = batching.worker_count().get();
                Self { workers, lone_threads: is_worth_it.then_some(lone_threads), batching }
            }
            Device::Cuda(_) => {
                let most = batching.max_queued_tokens;
                batching.max_batch_tokens = config.cuda.max_batch_tokens.min(most);
                let workers = batching.workers.map_or(1, NonZeroUsize::get);
                Self { workers, lone_threads: None, batching }
            }
        }
    }
}

fn warm(
    group: &[&Held],
    threads: usize,
    new_encoder: &NewEncoder,
) -> Result<BoxedEncoder, StartError> {
    let mut encoder = new_encoder(&group[0].model, threads)
        .map_err(|error| StartError::of_encoder(error.into()))?;
    for (at, held) in group.iter().enumerate() {
        warm_up::run(held, encoder.as_mut())
            .map_err(|error| StartError { checkpoint: Some(at), error: Box::new(error) })?;
    }
    Ok(encoder)
}

/// Sessions for workers that are lost. They come from the files of a checkpoint that holds the encoder
/// now, which have to be what they were.
fn replacements(holders: Arc<Holders>, threads: usize, new_encoder: NewEncoder) -> Replacements {
    let from = move |held: &Held| {
        let encoder = warm(&[held], threads, &new_encoder).map_err(|error| error.error)?;
        held.check_unchanged()?;
        Ok::<_, Box<RegistryError>>(encoder)
    };
    Box::new(move || {
        let mut reason = "no checkpoint holds the encoder".to_owned();
        let holders = holders.lock().clone();
        for held in &holders {
            match from(held) {
                Ok(encoder) => return Ok(encoder),
                Err(error) => reason = error.to_string(),
            }
        }
        Err(reason)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Override;

    fn config(settings: &[(&str, usize)]) -> Config {
        let overrides: Vec<Override> =
            settings.iter().map(|(key, value)| Override::new(*key, "--test", value)).collect();
        let directory = std::path::Path::new("/nonexistent");
        Config::load_from(directory, None, [], &overrides).expect("good").config
    }

    #[test]
    fn a_gpu_has_one_worker_with_large_batches_unless_more_are_asked_for() {
        let check = |settings: &[(&str, usize)], device, workers, lone_threads, max_batch| {
            let crew = Crew::on(device, &config(settings));
            assert_eq!((crew.workers, crew.lone_threads), (workers, lone_threads), "{settings:?}");
            assert_eq!(crew.batching.max_batch_tokens.get(), max_batch, "{settings:?}");
        };
        let gpu = Device::Cuda(Default::default());
        let threads = ("inference.lone_request_threads", 4);
        check(&[("batching.workers", 3), threads], Device::Cpu, 3, Some(4), 256);
        check(
            &[("batching.workers", 3), ("inference.lone_request_threads", 1)],
            Device::Cpu,
            3,
            None,
            256,
        );
        check(&[threads], gpu, 1, None, 8192);
        check(&[("batching.workers", 2), ("cuda.max_batch_tokens", 64)], gpu, 2, None, 64);
        let queue = ("batching.max_queued_tokens", 1000);
        check(&[queue], gpu, 1, None, 1000);
    }
}
