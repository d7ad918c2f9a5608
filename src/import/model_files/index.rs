//! Reads the index of weights that are split over several files: `weight_map`, from the name of a
//! tensor to the name of its file.

use std::{
    collections::BTreeMap,
    path::{Component, Path},
};

use serde::Deserialize;

use super::{
    confined::{Home, is_there},
    error::{FileError, listed, shown},
};

/// An index has at most this many bytes; one of 100 000 tensors has about 10 MB.
const MAX_INDEX_BYTES: u64 = 32 << 20;

/// Files of one model. All stay open.
const MAX_SHARDS: usize = 256;

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// File names of an index with the tensors that each holds. Every file is there.
pub fn read(home: &Home, path: &Path) -> Result<BTreeMap<String, Vec<String>>, FileError> {
    let display = || path.display().to_string();
    let bytes = home.read(path, MAX_INDEX_BYTES)?;
    let index: Index = serde_json::from_slice(&bytes)
        .map_err(|source| FileError::Json { path: display(), source })?;
    let mut shards: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (tensor, file) in index.weight_map {
        shards.entry(file).or_default().push(tensor);
    }
    if shards.len() > MAX_SHARDS {
        let (found, limit) = (shards.len(), MAX_SHARDS);
        return Err(FileError::TooManyShards { path: display(), found, limit });
    }
    if let Some(name) = shards.keys().find(|name| !is_plain(name)) {
        return Err(FileError::ShardName { path: display(), name: shown(name) });
    }
    let is_missing = |name: &&String| !is_there(&path.with_file_name(name));
    let missing: Vec<&str> = shards.keys().filter(is_missing).map(String::as_str).collect();
    if missing.is_empty() {
        return Ok(shards);
    }
    Err(FileError::MissingShards { path: display(), names: listed(missing) })
}

/// A name of a file, with no directory in it.
fn is_plain(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    let single = matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None));
    single && !name.contains(['/', '\0'])
}
