//! ONNX Runtime's shared library.

use std::{
    path::{Path, PathBuf},
    sync::{Mutex, OnceLock, PoisonError},
};

use ort::environment::Environment;

use super::{
    super::onnx_runtime::{RuntimeNotFound, candidates},
    arena,
};

/// The shared library, loaded. There is one for a process.
#[derive(Clone)]
pub struct Runtime(pub(super) Environment);

static RUNTIME: OnceLock<Runtime> = OnceLock::new();
static LOADING: Mutex<()> = Mutex::new(());

impl Runtime {
    /// Loads ONNX Runtime from the configured path or from where it is usually found. Once it is
    /// loaded, later calls return the same one.
    pub fn load(configured: Option<&Path>) -> Result<Self, RuntimeNotFound> {
        // The lock guards no data, so a panic of its holder spoils nothing.
        let _guard = LOADING.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(runtime) = RUNTIME.get() {
            return Ok(runtime.clone());
        }
        let executable = std::env::current_exe().ok();
        let mut tried = Vec::new();
        for path in candidates(configured, executable.as_deref()) {
            match load_from(&path) {
                Ok(environment) => return Ok(RUNTIME.get_or_init(|| Self(environment)).clone()),
                Err(why) => tried.push((path, why)),
            }
        }
        Err(RuntimeNotFound { tried })
    }
}

fn load_from(path: &Path) -> Result<Environment, String> {
    let path: PathBuf = std::path::absolute(path).map_err(|error| error.to_string())?;
    if !path.exists() {
        return Err("not there".to_owned());
    }
    let builder = ort::init_from(&path).map_err(|error| error.to_string())?;
    let environment = builder.with_telemetry(false).build().map_err(|error| error.to_string())?;
    arena::register(&environment).map_err(|error| error.to_string())?;
    Ok(environment)
}
