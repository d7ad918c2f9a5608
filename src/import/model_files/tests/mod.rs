//! Tests with directories that they make themselves, and with files of torch.save.

mod directory;
mod hostile_archives;
mod safetensors;
mod torch;
mod zip_writer;

use std::{fs, path::Path};

use ::safetensors::{Dtype, tensor::TensorView};
use tempfile::TempDir;

use super::{FileError, ModelDirectory, TensorFiles};
use crate::weights::Array;

/// Directory with these files, and directories above them.
fn directory(files: &[(&str, &[u8])]) -> TempDir {
    let directory = tempfile::tempdir().expect("a temporary directory");
    for (name, content) in files {
        put(directory.path(), name, content);
    }
    directory
}

fn put(directory: &Path, name: &str, content: &[u8]) {
    let path = directory.join(name);
    fs::create_dir_all(path.parent().expect("a parent")).expect("made");
    fs::write(path, content).expect("written");
}

fn open(directory: &Path) -> Result<TensorFiles, FileError> {
    TensorFiles::open(&ModelDirectory::locate(directory)?)
}

/// Opens a directory with config.json and these files, which must fail with these words and name the
/// directory.
fn refused(files: &[(&str, &[u8])], words: &str) {
    let directory = directory(files);
    put(directory.path(), "config.json", b"{}");
    let error = open(directory.path()).expect_err(words).to_string();
    assert!(error.contains(words), "{error}: expected {words}");
    assert!(error.contains(&directory.path().display().to_string()), "{error} names the file");
}

fn read(files: &TensorFiles, name: &str) -> Array {
    files.read(name).expect("readable").expect("there")
}

/// 0, 1/2, 1, ... in this shape.
fn halves(shape: &[usize]) -> Array {
    let count = shape.iter().product::<usize>();
    Array { shape: shape.to_vec(), data: (0..count).map(|k| k as f32 / 2.0).collect() }
}

/// A safetensors file.
fn serialised(tensors: &[(&str, Dtype, &[usize], Vec<u8>)]) -> Vec<u8> {
    let views = tensors.iter().map(|(name, dtype, shape, bytes)| {
        (*name, TensorView::new(*dtype, shape.to_vec(), bytes).expect("sizes agree"))
    });
    ::safetensors::serialize(views, None).expect("serialised")
}

/// A safetensors file with a tensor `[2]` of 32-bit floats under each name.
fn with_tensors(names: &[&str]) -> Vec<u8> {
    let bytes: Vec<u8> = halves(&[2]).data.iter().flat_map(|value| value.to_le_bytes()).collect();
    let shape: &[usize] = &[2];
    let tensors: Vec<_> =
        names.iter().map(|name| (*name, Dtype::F32, shape, bytes.clone())).collect();
    serialised(&tensors)
}
