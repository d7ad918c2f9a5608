//! The checkpoints that serve: which task is answered by which checkpoint and which encoder.
//!
//! A registry is loaded, verified and warmed up before anything is asked of it, and does not change
//! afterwards. When the files change, another one is loaded beside it, which takes over the
//! encoders that are the same, and is handed out instead.

mod encoders;
mod error;
mod held;
mod listing;
mod loader;
mod loading;
mod memory;
mod name;
mod warm_up;
mod watcher;

use std::{
    collections::{BTreeMap, btree_map::Entry},
    path::Path,
    sync::Arc,
};

use crate::{
    batching::Batcher,
    config::Config,
    inference::{EncoderError, MaskEncoder, Model, ServedTask},
};
use encoders::{Fleet, Lease};
use held::Held;
use listing::Signature;

pub use error::RegistryError;
pub use loader::Loader;
pub use loading::{Loaded, Refused};
pub use warm_up::sample;
pub use watcher::Watcher;

/// Who answers for a task.
pub struct Route {
    /// What a call names: a task, or `TASK@VERSION`.
    name: String,
    /// The task with its head.
    pub task: Arc<ServedTask>,
    /// The id of the checkpoint that holds it.
    pub checkpoint: String,
    /// The digest of its encoder.
    pub encoder: String,
    /// The way to its encoder, which other tasks may share. It works as long as the route is kept.
    pub batcher: Arc<Batcher>,
    /// Keeps the encoder at work.
    _lease: Arc<Lease>,
}

impl Route {
    /// The name by which a call asks for it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The name of its task, whatever version a call asks for.
    pub fn task_name(&self) -> &str {
        &self.task.predictor.file.task.name
    }
}

/// The tasks that are served, by name, and the workers behind them.
pub struct Registry {
    /// Tasks, and their versions as `TASK@VERSION`.
    routes: BTreeMap<String, Arc<Route>>,
    /// The same as `TASK@ID`, with the id of a checkpoint.
    by_id: BTreeMap<String, Arc<Route>>,
    held: Vec<Held>,
    /// By the digest of their encoder.
    leases: BTreeMap<String, Arc<Lease>>,
    left_out: LeftOut,
    fleet: Arc<Fleet>,
}

/// What lies in the directory and does not serve.
struct LeftOut {
    refused: Vec<Refused>,
    /// Directories that cannot be looked into.
    passed_over: Vec<String>,
}

/// A session of an encoder, or what stands for one.
pub type BoxedEncoder = Box<dyn MaskEncoder + Send>;

/// Makes a session of a checkpoint's encoder that computes with so many threads.
pub type NewEncoder =
    Arc<dyn Fn(&Model, usize) -> Result<BoxedEncoder, EncoderError> + Send + Sync>;

impl Registry {
    /// Loads the checkpoints of `directory`: itself if it is one, else its subdirectories that are.
    /// `new_encoder` is asked once per worker and distinct encoder, once more for the session of lone
    /// requests, and later whenever a worker has to be replaced.
    ///
    /// Beside a `previous` registry, checkpoints that are the same are taken over from it, and so
    /// are encoders; a checkpoint that cannot be loaded is refused, and the one that served from its
    /// directory goes on.
    ///
    /// Reads files and runs encoders: seconds of work, not for an async thread.
    ///
    /// # Errors
    ///
    /// If there is no task to serve, or the directory cannot be listed. Without a `previous`, also
    /// if a checkpoint is damaged.
    pub fn load(
        directory: &Path,
        config: &Config,
        previous: Option<&Self>,
        new_encoder: &NewEncoder,
    ) -> Result<Loaded, RegistryError> {
        loading::load(directory, config, previous, new_encoder)
    }

    /// Of checkpoints with distinct tasks, but for versions of one name, and their encoders.
    fn new(
        held: Vec<Held>,
        leases: BTreeMap<String, Arc<Lease>>,
        fleet: Arc<Fleet>,
        left_out: LeftOut,
    ) -> Self {
        let (routes, by_id) = (BTreeMap::new(), BTreeMap::new());
        let mut registry = Self { routes, by_id, held, leases, left_out, fleet };
        for held in registry.held.clone() {
            registry.add_routes(&held);
        }
        registry
    }

    fn add_routes(&mut self, held: &Held) {
        let Some(lease) = self.leases.get(&held.model.encoder_digest) else {
            // It has no task.
            return;
        };
        let is_default = self.is_default(held);
        for (task, served) in &held.model.tasks {
            let route = |name: &str| {
                let route = Route {
                    name: name.to_owned(),
                    task: Arc::clone(served),
                    checkpoint: held.model.id.clone(),
                    encoder: held.model.encoder_digest.clone(),
                    batcher: Arc::clone(lease.batcher()),
                    _lease: Arc::clone(lease),
                };
                (name.to_owned(), Arc::new(route))
            };
            let version = held.name.version.as_deref();
            let versioned = version.map(|version| name::of_version(task, version));
            self.routes.extend(versioned.as_deref().map(route));
            self.routes.extend(is_default.then(|| route(task)));
            if let Entry::Vacant(free) = self.by_id.entry(name::of_version(task, &held.model.id)) {
                let (_, route) = route(free.key());
                free.insert(route);
            }
        }
    }

    /// Whether it is what answers when no version is asked for.
    fn is_default(&self, held: &Held) -> bool {
        let mut versions = self
            .held
            .iter()
            .filter(|other| other.name.name == held.name.name && !other.model.tasks.is_empty());
        versions.all(|other| held.name.compare_versions(&other.name).is_ge())
    }

    /// Who answers for the task with this name, of this version or checkpoint where it names one.
    pub fn route(&self, task: &str) -> Option<Arc<Route>> {
        self.routes.get(task).or_else(|| self.by_id.get(task)).cloned()
    }

    /// Whether this checkpoint serves and holds this task.
    pub fn has(&self, task: &str, checkpoint: &str) -> bool {
        self.by_id.contains_key(&name::of_version(task, checkpoint))
    }

    /// All tasks and all versions of them, in order of their names.
    pub fn routes(&self) -> impl ExactSizeIterator<Item = &Route> {
        self.routes.values().map(Arc::as_ref)
    }

    /// A task of each encoder.
    pub fn one_of_each_encoder(&self) -> Vec<Arc<Route>> {
        let mut found: Vec<Arc<Route>> = Vec::new();
        for route in self.routes.values() {
            let is_same = |other: &Arc<Route>| Arc::ptr_eq(&other.batcher, &route.batcher);
            if !found.iter().any(is_same) {
                found.push(Arc::clone(route));
            }
        }
        found
    }

    /// The ways to encoders that serve no more but for the last calls of registries before this one.
    pub fn leaving(&self) -> Vec<Arc<Batcher>> {
        let serves = |batcher: &Arc<Batcher>| {
            self.routes.values().any(|route| Arc::ptr_eq(&route.batcher, batcher))
        };
        self.fleet.batchers().into_iter().filter(|batcher| !serves(batcher)).collect()
    }

    /// The checkpoint that serves from a directory.
    fn held_in(&self, directory: &str) -> Option<&Held> {
        self.held.iter().find(|held| held.directory == directory)
    }

    /// The checkpoint that was loaded from these very files, wherever they lay.
    fn held_like(&self, signature: &Signature) -> Option<&Held> {
        self.held.iter().find(|held| held.has(signature))
    }

    /// Takes nothing in any more; what waits is still answered. This holds also for the registries
    /// before this one, whose last calls may be under way.
    pub fn close(&self) {
        self.fleet.close();
    }

    /// Takes nothing in any more and answers what waits with an error, here and before.
    pub fn abandon(&self) {
        self.fleet.abandon();
    }

    /// Waits for all workers to end, once closed or abandoned. Blocks the thread.
    pub fn join(&self) {
        self.fleet.join();
    }
}
