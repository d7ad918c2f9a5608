//! What a manifest may ask for. It comes from whoever made the checkpoint, and what it says decides
//! how much is read and allocated: each limit lies far above what an honest one needs.

use std::collections::BTreeSet;

use super::{FileEntry, Manifest};
use crate::architecture::Architecture;

/// Tasks of a checkpoint. Each has a head in memory and is warmed up before it serves.
const MAX_TASKS: usize = 1024;

/// Files of a checkpoint: three for each task, and the encoder's.
const MAX_FILES: usize = 4 * MAX_TASKS;

/// Bytes of a name or another short text: a path's length on Linux.
const MAX_TEXT_BYTES: usize = 4096;

/// Parameters of an encoder, which decide what its files may have: twelve times those of the largest
/// BERT. With four bytes each they are 16 GiB.
const MAX_PARAMETERS: u64 = 1 << 32;

/// Bytes of a graph beside its numbers: nodes and names, here and in each layer (6 KB are used).
const GRAPH_BYTES: u64 = 1 << 20;
const LAYER_BYTES: u64 = 64 << 10;

/// Bytes of a graph that another program exported, without its matrices: ten times a large encoder's.
/// Such matrices may be as large as those of the largest encoder of ours.
const FOREIGN_GRAPH_BYTES: u64 = 64 << 20;
const FOREIGN_WEIGHTS_BYTES: u64 = 4 * MAX_PARAMETERS;

/// Bytes by which a matrix may be put off to begin at a page.
const PAGE_BYTES: u64 = 4096;

/// Bytes of a tokenizer.json; one of 250,000 words has 17 MB, or 34 MB where each merge is a list, and
/// parsing takes many times as much.
pub const MAX_TOKENIZER_BYTES: u64 = 64 << 20;

/// Bytes of a task file, of a report, and of a file that nothing names.
const MAX_TASK_FILE_BYTES: u64 = 1 << 20;
const MAX_REPORT_BYTES: u64 = 1 << 20;
const MAX_UNNAMED_BYTES: u64 = 1 << 20;

/// Outputs of a head: a task has no more labels (`prompt`).
const MAX_OUTPUTS: u64 = 1000;

/// Numbers by which a head compares pairs, at most (`lexical`).
const SIMILARITIES: u64 = 192;

/// Bytes of a file of numbers beside them: names, shapes, a calibration.
const HEADER_BYTES: u64 = 128 << 10;

/// What is too much, too long or not printable in a manifest, if anything. The architecture has
/// been checked.
pub(super) fn fault(manifest: &Manifest) -> Option<String> {
    let (tasks, files) = (manifest.tasks.len(), manifest.files.len());
    if tasks > MAX_TASKS || files > MAX_FILES {
        return Some(format!(
            "it lists {tasks} tasks and {files} files; a checkpoint has no more than {MAX_TASKS} \
             and {MAX_FILES}"
        ));
    }
    let parameters = parameters(&manifest.encoder.architecture, |_| true);
    if parameters > MAX_PARAMETERS {
        return Some(format!(
            "its encoder has {parameters} parameters; no more than {MAX_PARAMETERS} are taken"
        ));
    }
    let mut names = BTreeSet::new();
    if let Some(twice) = manifest.tasks.iter().find(|task| !names.insert(&task.name)) {
        return Some(format!("the task {:?} is named twice", twice.name));
    }
    text_fault(manifest).or_else(|| {
        manifest.files.iter().find_map(|(name, entry)| file_fault(manifest, name, entry))
    })
}

/// Texts reach messages, the log and terminals.
fn text_fault(manifest: &Manifest) -> Option<String> {
    let provenance = [&manifest.provenance.created_by, &manifest.provenance.encoder_from];
    let tasks = manifest.tasks.iter().map(|task| &task.name);
    let all = manifest.files.keys().chain(provenance).chain(tasks).chain([&manifest.encoder.name]);
    let is_good = |text: &str| text.len() <= MAX_TEXT_BYTES && !text.chars().any(char::is_control);
    let bad = all.into_iter().find(|text| !is_good(text))?;
    let shown: String = bad.chars().take(40).collect();
    Some(format!(
        "the text beginning with {shown:?} is longer than {MAX_TEXT_BYTES} bytes or holds control \
         characters"
    ))
}

fn file_fault(manifest: &Manifest, name: &str, entry: &FileEntry) -> Option<String> {
    let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    if entry.sha256.len() != 64 || !entry.sha256.bytes().all(is_hex) {
        return Some(format!("the sha256 of {name:?} is not 64 digits of 0-9 and a-f"));
    }
    let (bytes, limit) = (entry.bytes, limit(manifest, name));
    (bytes > limit)
        .then(|| format!("{name:?} has {bytes} bytes, but such a file has no more than {limit}"))
}

/// The most bytes that a file may have: of what it is used for, the least.
fn limit(manifest: &Manifest, name: &str) -> u64 {
    let encoder = &manifest.encoder;
    let architecture = &encoder.architecture;
    let is = |file: &String| file == name;
    let mut limits = Vec::new();
    if is(&encoder.file) {
        // Matrices lie in the graph where it names no file beside it.
        let inside = |shape: &[usize]| encoder.weights.is_none() || shape.len() < 2;
        let layers = architecture.layers as u64;
        limits.push(match encoder.graph {
            None => 4 * parameters(architecture, inside) + GRAPH_BYTES + layers * LAYER_BYTES,
            Some(_) => FOREIGN_GRAPH_BYTES,
        });
    }
    if encoder.weights.as_ref().is_some_and(is) && encoder.graph.is_some() {
        limits.push(FOREIGN_WEIGHTS_BYTES);
    } else if encoder.weights.as_ref().is_some_and(is) {
        let derived = architecture.derived();
        let matrices = (architecture.parameters().len() + derived.len()) as u64;
        let values: u64 = derived.iter().map(|(_, shape)| size(shape)).sum();
        let values = values.saturating_add(parameters(architecture, |_| true));
        // In 8 bits each has its scales beside it.
        limits.push(4 * values + 2 * matrices * PAGE_BYTES);
    }
    if is(&manifest.tokenizer) {
        limits.push(MAX_TOKENIZER_BYTES);
    }
    let hidden = architecture.hidden_size as u64;
    if encoder.language_head.as_ref().is_some_and(is) {
        let width = architecture.embedding_size() as u64;
        let values = width * (hidden + 3) + architecture.vocabulary_size as u64;
        limits.push(4 * values + HEADER_BYTES);
    }
    for task in &manifest.tasks {
        if is(&task.task_file) {
            limits.push(MAX_TASK_FILE_BYTES);
        }
        if is(&task.head) {
            let values = hidden * (hidden + 3) + (hidden + SIMILARITIES + 2) * MAX_OUTPUTS;
            limits.push(4 * values + HEADER_BYTES);
        }
        if is(&task.report) {
            limits.push(MAX_REPORT_BYTES);
        }
    }
    limits.into_iter().min().unwrap_or(MAX_UNNAMED_BYTES)
}

/// The numbers of the parameters whose shape is `counted`.
fn parameters(architecture: &Architecture, counted: impl Fn(&[usize]) -> bool) -> u64 {
    let all = architecture.parameters();
    all.iter()
        .map(|parameter| &parameter.shape)
        .filter(|shape| counted(shape))
        .map(|s| size(s))
        .sum()
}

/// The numbers of an array of this shape, each dimension of which has been checked.
fn size(shape: &[usize]) -> u64 {
    shape.iter().map(|&size| size as u64).product()
}
