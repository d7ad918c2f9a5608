//! Files that lie in a directory instead of weights that are read, and how to get such weights.

use std::{fs, path::Path};

use super::{confined::is_there, error::listed, python};

/// Weights that are not read, and how to get ones that are.
const OTHERS: [(&str, Advice); 3] = [
    ("tf_model.h5", Advice::From("from_tf")),
    ("flax_model.msgpack", Advice::From("from_flax")),
    ("adapter_model.safetensors", Advice::Merge),
];

/// Endings of files that look like weights.
const ENDINGS: [&str; 8] = ["safetensors", "bin", "pt", "pth", "ckpt", "gguf", "onnx", "msgpack"];

/// Entries of a directory that are looked through.
const MAX_ENTRIES: usize = 10_000;

enum Advice {
    /// transformers reads it with this option.
    From(&'static str),
    Merge,
}

/// Text that goes on after the names that were looked for; empty where nothing looks like weights.
pub fn describe(model: &Path) -> String {
    let other = OTHERS.iter().find(|(name, _)| is_there(&model.join(name)));
    match other {
        None => under_other_names(model),
        Some((name, Advice::From(option))) => {
            let command = python::other_library(model, option);
            format!("; {name} is there, which transformers before 5 converts: {command}")
        }
        Some((name, Advice::Merge)) => {
            format!(
                "; {name} is there: merge it into its base model (merge_and_unload) and save that"
            )
        }
    }
}

/// Files that look like weights under other names.
fn under_other_names(model: &Path) -> String {
    let entries = fs::read_dir(model).into_iter().flatten().take(MAX_ENTRIES).flatten();
    let mut names: Vec<String> = entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| Path::new(name).extension().is_some_and(|e| ENDINGS.iter().any(|x| e == *x)))
        .collect();
    if names.is_empty() {
        return String::new();
    }
    names.sort_unstable();
    format!("; under other names there are {}", listed(names.iter().map(String::as_str)))
}
