//! Finds the directory that holds the config, and the tokenizer.
//!
//! A Sentence-Transformers directory has `modules.json`, whose Transformer module names the
//! sub-directory with config and weights; its tokenizer lies there or at the top. A directory without
//! `modules.json` holds everything itself.

use std::path::{Component, Path, PathBuf};

use serde::Deserialize;

use super::{
    confined::{Home, OpenFile, is_there},
    error::{FileError, shown},
    slow_tokenizer,
    tensor_files::TensorFiles,
};

/// `modules.json` has at most this many bytes.
const MAX_MODULES_BYTES: u64 = 1 << 20;

/// File that lists the modules of Sentence-Transformers.
const MODULES: &str = "modules.json";

/// Tokenizer in the format of the `tokenizers` library.
const TOKENIZER: &str = "tokenizer.json";

/// Places of a graph in the layout of optimum.
const GRAPHS: [&str; 2] = ["model.onnx", "onnx/model.onnx"];

/// Directory with the files of one model.
#[derive(Debug)]
pub struct ModelDirectory {
    home: Home,
    /// Holds config and weights; `home` or below it.
    model: PathBuf,
}

/// Entry of `modules.json`.
#[derive(Deserialize)]
struct Module {
    #[serde(default)]
    path: String,
    #[serde(rename = "type")]
    kind: String,
}

impl ModelDirectory {
    /// Finds the model in `directory`. Its config.json is there and readable.
    pub fn locate(directory: &Path) -> Result<Self, FileError> {
        let home = Home::open(directory)?;
        let modules = directory.join(MODULES);
        let model = if is_there(&modules) {
            transformer_directory(&home, &modules)?
        } else {
            directory.to_owned()
        };
        let found = Self { home, model };
        found.home.file(&found.config())?;
        Ok(found)
    }

    /// Bytes of a file of the directory, which may have so many.
    pub fn read(&self, path: &Path, limit: u64) -> Result<Vec<u8>, FileError> {
        self.home.read(path, limit)
    }

    /// Path of config.json.
    pub fn config(&self) -> PathBuf {
        self.model.join("config.json")
    }

    /// Path of tokenizer.json, which is there and readable.
    pub fn tokenizer(&self) -> Result<PathBuf, FileError> {
        for directory in self.tokenizer_directories() {
            let path = directory.join(TOKENIZER);
            if is_there(&path) {
                self.home.file(&path)?;
                return Ok(path);
            }
        }
        let mut directories = self.tokenizer_directories().into_iter();
        let other =
            directories.find_map(|directory| slow_tokenizer::describe(&self.home, directory));
        let none = || FileError::NoTokenizer { path: self.model.display().to_string() };
        Err(other.unwrap_or_else(none))
    }

    /// Path of the ONNX graph to import: the one that is named, a path in the directory, or one where
    /// optimum puts it, unless there are weights.
    pub fn graph(&self, named: Option<&Path>) -> Result<Option<PathBuf>, FileError> {
        if let Some(named) = named {
            let path = self.home.directory().join(named);
            self.home.file(&path)?;
            return Ok(Some(path));
        }
        if TensorFiles::are_there(self) {
            return Ok(None);
        }
        let places = [&self.model, self.home.directory()];
        let mut paths =
            places.into_iter().flat_map(|place| GRAPHS.iter().map(move |name| place.join(name)));
        Ok(paths.find(|path| is_there(path)))
    }

    /// Opens a file of the directory.
    pub fn open(&self, path: &Path) -> Result<OpenFile, FileError> {
        self.home.file(path)
    }

    /// Path of a file beside config.json.
    pub fn beside_config(&self, name: &str) -> PathBuf {
        self.model.join(name)
    }

    /// Tells whether something lies at this path.
    pub fn has(&self, path: &Path) -> bool {
        is_there(path)
    }

    /// Directory that holds config and weights.
    pub(super) fn model(&self) -> &Path {
        &self.model
    }

    /// Bounds in which files are opened.
    pub(super) fn home(&self) -> &Home {
        &self.home
    }

    fn tokenizer_directories(&self) -> [&Path; 2] {
        [&self.model, self.home.directory()]
    }
}

/// Directory of the one Transformer module.
fn transformer_directory(home: &Home, modules: &Path) -> Result<PathBuf, FileError> {
    let path = modules.display().to_string();
    let bytes = home.read(modules, MAX_MODULES_BYTES)?;
    let listed: Vec<Module> = serde_json::from_slice(&bytes)
        .map_err(|source| FileError::Json { path: path.clone(), source })?;
    let mut transformers = listed.iter().filter(|module| module.kind.ends_with("Transformer"));
    let (Some(module), None) = (transformers.next(), transformers.next()) else {
        let found = listed.iter().filter(|module| module.kind.ends_with("Transformer")).count();
        return Err(FileError::Modules { path, found });
    };
    let inside = |part| matches!(part, Component::Normal(_) | Component::CurDir);
    // A NUL or any other byte that no path may have fails when the directory is looked at.
    if !Path::new(&module.path).components().all(inside) {
        return Err(FileError::ModulePath { path, name: shown(&module.path) });
    }
    if module.path.is_empty() {
        return Ok(home.directory().to_owned());
    }
    let directory = home.directory().join(&module.path);
    home.check_directory(&directory)?;
    Ok(directory)
}
