//! The checkpoints that serve: which task is answered by which checkpoint and which encoder.
//!
//! A registry is loaded whole, verified and warmed up before anything is asked of it, and does not
//! change afterwards: who wants another one loads it beside this one and hands it out instead.

mod memory;
mod warm_up;

use std::{
    collections::{BTreeMap, btree_map::Entry},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    batching::Batcher,
    checkpoint::MANIFEST,
    config::Config,
    inference::{
        EncoderError, EncoderSource, LoadError, MaskEncoder, Model, Runtime, RuntimeNotFound,
        ServedTask,
    },
};

/// Why there is nothing to serve.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// No checkpoint with a task.
    #[error(
        "there is no task to serve in {directory}: {found}; `make serve` trains two on public \
         data and serves them, `dynamar train --out {directory}/NAME` makes one of your own data"
    )]
    Empty {
        /// Where was looked.
        directory: String,
        /// What is there instead.
        found: &'static str,
    },
    /// The directory of the checkpoints cannot be listed.
    #[error("cannot read the models directory {directory}: {source}")]
    Directory {
        /// The directory.
        directory: String,
        /// Why not.
        source: io::Error,
    },
    /// ONNX Runtime cannot be loaded.
    #[error(transparent)]
    Runtime(#[from] RuntimeNotFound),
    /// A checkpoint is damaged or does not fit this program.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A task's name must say who answers.
    #[error(
        "the task {task:?} is in two checkpoints, {first} and {second}: take one of them out of \
         the models directory"
    )]
    Duplicate {
        /// The task.
        task: String,
        /// Directory of a checkpoint that holds it.
        first: String,
        /// Directory of another.
        second: String,
    },
    /// A checkpoint is whole but gives no usable prediction.
    #[error("the task {task:?} of {directory} cannot predict: {message}")]
    WarmUp {
        /// The task.
        task: String,
        /// Directory of its checkpoint.
        directory: String,
        /// What is wrong.
        message: String,
    },
    /// The system gives no more threads.
    #[error("cannot start the workers: {0}")]
    Workers(io::Error),
}

/// Who answers for a task.
pub struct Route {
    /// The task with its head.
    pub task: Arc<ServedTask>,
    /// The id of the checkpoint that holds it.
    pub checkpoint: String,
    /// The way to its encoder, which other tasks may share.
    pub batcher: Arc<Batcher>,
}

impl Route {
    /// The task's name.
    pub fn name(&self) -> &str {
        &self.task.predictor.file.task.name
    }
}

/// The tasks that are served, by name, and the workers behind them.
pub struct Registry {
    routes: BTreeMap<String, Arc<Route>>,
    batchers: Vec<Arc<Batcher>>,
}

/// A session of an encoder, or what stands for one.
pub type BoxedEncoder = Box<dyn MaskEncoder + Send>;

/// A loaded checkpoint and where it lies, for messages.
struct Located {
    model: Model,
    directory: String,
}

impl Registry {
    /// Loads ONNX Runtime and every checkpoint of the configured directory.
    ///
    /// Reads all their files and runs their encoders: seconds of work, not for an async thread.
    ///
    /// # Errors
    ///
    /// If a checkpoint is damaged, no task is found or one is found twice.
    pub fn open(config: &Config) -> Result<Self, RegistryError> {
        let runtime = Runtime::load(config.onnxruntime.path.as_deref())?;
        // Sessions of one encoder share its weights.
        let mut sources: BTreeMap<String, EncoderSource> = BTreeMap::new();
        Self::load(&config.models.directory, config, |model, threads| {
            let source = match sources.entry(model.encoder_digest.clone()) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(free) => free.insert(model.encoder_source(&runtime)?),
            };
            Ok(Box::new(source.session(threads)?))
        })
    }

    /// Loads every checkpoint of `directory`: itself if it is one, else its subdirectories that
    /// are. `new_encoder` is asked once per worker and distinct encoder, for a session that computes
    /// with so many threads, and once more for the one of lone requests.
    ///
    /// # Errors
    ///
    /// As [`Registry::open`].
    pub fn load(
        directory: &Path,
        config: &Config,
        mut new_encoder: impl FnMut(&Model, usize) -> Result<BoxedEncoder, EncoderError>,
    ) -> Result<Self, RegistryError> {
        let models = load_models(directory)?;
        refuse_duplicates(&models)?;
        let mut registry = Self { routes: BTreeMap::new(), batchers: Vec::new() };
        // Checkpoints with the same encoder share its workers.
        let mut groups: BTreeMap<&str, Vec<&Located>> = BTreeMap::new();
        for located in &models {
            let digest = located.model.encoder_digest.as_str();
            groups.entry(digest).or_default().push(located);
        }
        for group in groups.values() {
            registry.start(group, config, &mut new_encoder)?;
        }
        drop(new_encoder);
        memory::give_back();
        Ok(registry)
    }

    /// Makes, warms up and starts the workers of checkpoints that share an encoder.
    fn start(
        &mut self,
        group: &[&Located],
        config: &Config,
        new_encoder: &mut impl FnMut(&Model, usize) -> Result<BoxedEncoder, EncoderError>,
    ) -> Result<(), RegistryError> {
        let mut warm = |threads| -> Result<BoxedEncoder, RegistryError> {
            let mut encoder = new_encoder(&group[0].model, threads).map_err(LoadError::from)?;
            for located in group {
                warm_up::run(located, encoder.as_mut())?;
            }
            Ok(encoder)
        };
        let threads = config.inference.intra_op_threads.get();
        let workers = config.batching.worker_count().get();
        let encoders = (0..workers).map(|_| warm(threads)).collect::<Result<Vec<_>, _>>()?;
        let lone_threads = config.inference.lone_request_threads().get();
        let lone = (lone_threads > threads).then(|| warm(lone_threads)).transpose()?;
        let batcher =
            Batcher::start(encoders, lone, &config.batching).map_err(RegistryError::Workers)?;
        let batcher = Arc::new(batcher.with_cache(config.cache.max_bytes));
        for located in group {
            for (name, task) in &located.model.tasks {
                let route = Route {
                    task: Arc::clone(task),
                    checkpoint: located.model.id.clone(),
                    batcher: Arc::clone(&batcher),
                };
                self.routes.insert(name.clone(), Arc::new(route));
            }
        }
        self.batchers.push(batcher);
        Ok(())
    }

    /// Who answers for the task with this name.
    pub fn route(&self, task: &str) -> Option<Arc<Route>> {
        self.routes.get(task).cloned()
    }

    /// All tasks, in order of their names.
    pub fn routes(&self) -> impl ExactSizeIterator<Item = &Route> {
        self.routes.values().map(Arc::as_ref)
    }

    /// Takes nothing in any more; what waits is still answered.
    pub fn close(&self) {
        self.batchers.iter().for_each(|batcher| batcher.close());
    }

    /// Takes nothing in any more and answers what waits with an error.
    pub fn abandon(&self) {
        self.batchers.iter().for_each(|batcher| batcher.abandon());
    }

    /// Waits for the workers to end, once closed or abandoned. Blocks the thread.
    pub fn join(&self) {
        self.batchers.iter().for_each(|batcher| batcher.join());
    }
}

fn load_models(directory: &Path) -> Result<Vec<Located>, RegistryError> {
    let empty = |found| RegistryError::Empty { directory: directory.display().to_string(), found };
    let checkpoints = checkpoints(directory)?.ok_or(empty("there is no such directory"))?;
    if checkpoints.is_empty() {
        return Err(empty("it holds no checkpoint"));
    }
    let mut models = Vec::new();
    for checkpoint in checkpoints {
        let model = Model::load(&checkpoint)?;
        let directory = checkpoint.display().to_string();
        tracing::info!(
            checkpoint = model.id,
            directory,
            tasks = model.tasks.len(),
            "loaded and verified"
        );
        if !model.tasks.is_empty() {
            models.push(Located { model, directory });
        }
    }
    if models.is_empty() {
        return Err(empty("its checkpoints hold an encoder but no task"));
    }
    Ok(models)
}

/// The checkpoints of a directory, in order of their names; `None` if there is no directory.
fn checkpoints(directory: &Path) -> Result<Option<Vec<PathBuf>>, RegistryError> {
    if directory.join(MANIFEST).exists() {
        return Ok(Some(vec![directory.to_owned()]));
    }
    let unreadable =
        |source| RegistryError::Directory { directory: directory.display().to_string(), source };
    let entries = match std::fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        entries => entries.map_err(unreadable)?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(unreadable)?;
        // A checkpoint in the making is hidden.
        let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        if !hidden && entry.path().join(MANIFEST).exists() {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(Some(found))
}

fn refuse_duplicates(models: &[Located]) -> Result<(), RegistryError> {
    let mut holders: BTreeMap<&str, &str> = BTreeMap::new();
    for located in models {
        for task in located.model.tasks.keys() {
            match holders.entry(task) {
                Entry::Vacant(free) => {
                    free.insert(&located.directory);
                }
                Entry::Occupied(taken) => {
                    return Err(RegistryError::Duplicate {
                        task: task.clone(),
                        first: (*taken.get()).to_owned(),
                        second: located.directory.clone(),
                    });
                }
            }
        }
    }
    Ok(())
}
