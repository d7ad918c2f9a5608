//! Weights of a model: one file or several, read one tensor at a time.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use super::{
    confined::{Home, OpenFile, is_there},
    directory::ModelDirectory,
    error::{FileError, listed},
    index, other_weights, safetensors,
    stored_tensor::StoredTensor,
    torch,
};
use crate::weights::Array;

/// Names under which weights are looked for, in this order.
const SOURCES: [(&str, Format, Split); 4] = [
    ("model.safetensors", Format::Safetensors, Split::One),
    ("model.safetensors.index.json", Format::Safetensors, Split::Index),
    ("pytorch_model.bin", Format::Torch, Split::One),
    ("pytorch_model.bin.index.json", Format::Torch, Split::Index),
];

#[derive(Clone, Copy)]
enum Format {
    Safetensors,
    Torch,
}

#[derive(Clone, Copy)]
enum Split {
    One,
    Index,
}

/// Tensors of a model by name, each in its range of its file.
#[derive(Debug)]
pub struct TensorFiles {
    /// Single file of weights, or their index.
    path: PathBuf,
    files: Vec<OpenFile>,
    /// Tensors with the number of their file.
    tensors: BTreeMap<String, (usize, StoredTensor)>,
}

impl TensorFiles {
    /// Finds the weights and reads their headers.
    pub fn open(directory: &ModelDirectory) -> Result<Self, FileError> {
        let (home, model) = (directory.home(), directory.model());
        for (name, format, split) in SOURCES {
            let path = model.join(name);
            if !is_there(&path) {
                continue;
            }
            return match split {
                Split::One => Self::open_one(home, path, format),
                Split::Index => Self::open_shards(home, path, format),
            };
        }
        Err(no_weights(model))
    }

    /// Tells whether there are weights that can be read.
    pub fn are_there(directory: &ModelDirectory) -> bool {
        SOURCES.iter().any(|(name, ..)| is_there(&directory.model().join(name)))
    }

    fn open_one(home: &Home, path: PathBuf, format: Format) -> Result<Self, FileError> {
        let file = home.file(&path)?;
        let tensors = read_header(&file, format)?;
        let tensors = tensors.into_iter().map(|(name, stored)| (name, (0, stored))).collect();
        Ok(Self { path, files: vec![file], tensors })
    }

    fn open_shards(home: &Home, path: PathBuf, format: Format) -> Result<Self, FileError> {
        let (mut files, mut tensors) = (vec![], BTreeMap::new());
        for (shard, names) in index::read(home, &path)? {
            let file = home.file(&path.with_file_name(shard))?;
            let mut stored = read_header(&file, format)?;
            let mut missing = vec![];
            for name in names {
                match stored.remove(&name) {
                    Some(tensor) => drop(tensors.insert(name, (files.len(), tensor))),
                    None => missing.push(name),
                }
            }
            if !missing.is_empty() {
                let names = listed(missing.iter().map(String::as_str));
                let index = path.display().to_string();
                return Err(FileError::MissingTensors { path: file.name(), index, names });
            }
            files.push(file);
        }
        Ok(Self { path, files, tensors })
    }

    /// Single file of weights, or their index: what an error names where a tensor is missing.
    pub fn location(&self) -> &Path {
        &self.path
    }

    /// File that holds the tensor; [`Self::location`] where none does.
    pub fn path(&self, name: &str) -> &Path {
        let file = self.tensors.get(name).and_then(|(file, _)| self.files.get(*file));
        file.map_or(&self.path, OpenFile::path)
    }

    /// Names of all tensors, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// Shape of the tensor; nothing is read.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.tensors.get(name).map(|(_, stored)| stored.shape.as_slice())
    }

    /// Values of the tensor as 32-bit floats, `None` where there is none of this name. Takes memory
    /// for all of them: look at [`Self::shape`] first.
    pub fn read(&self, name: &str) -> Result<Option<Array>, FileError> {
        let Some((file, stored)) = self.tensors.get(name) else { return Ok(None) };
        let Some(file) = self.files.get(*file) else { return Ok(None) };
        stored.read(file, name).map(Some)
    }
}

fn read_header(
    file: &OpenFile,
    format: Format,
) -> Result<BTreeMap<String, StoredTensor>, FileError> {
    match format {
        Format::Safetensors => safetensors::read(file),
        Format::Torch => torch::read(file),
    }
}

fn no_weights(model: &Path) -> FileError {
    let expected = SOURCES.map(|(name, ..)| name).join(", ");
    let found = other_weights::describe(model);
    FileError::NoWeights { path: model.display().to_string(), expected, found }
}
