//! ONNX Runtime's shared library.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use ort::{environment::Environment, logging::LogLevel};

use super::{
    super::onnx_runtime::{RuntimeNotFound, candidates},
    arena,
};

/// The shared library, loaded. There is one for a process.
#[derive(Clone)]
pub struct Runtime {
    pub(super) environment: Environment,
    library: Arc<Path>,
}

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
                Ok(environment) => {
                    let loaded = Self { environment, library: path.into() };
                    return Ok(RUNTIME.get_or_init(|| loaded).clone());
                }
                Err(why) => tried.push((path, why)),
            }
        }
        Err(RuntimeNotFound { tried })
    }

    /// The library's file.
    pub fn library(&self) -> &Path {
        &self.library
    }
}

/// What ONNX Runtime would write to stderr itself, between our lines. Its errors come back to us
/// besides.
fn log(level: LogLevel, _category: &str, _id: &str, place: &str, message: &str) {
    match level {
        LogLevel::Fatal => tracing::error!(place, "ONNX Runtime: {message}"),
        LogLevel::Error | LogLevel::Warning => tracing::debug!(place, "ONNX Runtime: {message}"),
        LogLevel::Info | LogLevel::Verbose => tracing::trace!(place, "ONNX Runtime: {message}"),
    }
}

fn load_from(path: &Path) -> Result<Environment, String> {
    let path: PathBuf = std::path::absolute(path).map_err(|error| error.to_string())?;
    if !path.exists() {
        return Err("not there".to_owned());
    }
    let builder = ort::init_from(&path).map_err(|error| error.to_string())?;
    let builder = builder.with_telemetry(false).with_logger(Arc::new(log));
    let environment = builder.build().map_err(|error| error.to_string())?;
    arena::register(&environment).map_err(|error| error.to_string())?;
    Ok(environment)
}
