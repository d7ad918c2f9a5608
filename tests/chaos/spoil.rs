//! Ways to spoil a checkpoint. None of its files is shared with another.

use std::{fs, path::Path};

/// What it is counted as, and what is done.
pub type Spoiler = (&'static str, fn(&Path));

pub const SPOILERS: [Spoiler; 7] = [
    ("half-copied checkpoints", |at| fs::remove_file(at.join("encoder.weights")).expect("removed")),
    ("half-copied checkpoints", |at| fs::remove_file(at.join("manifest.json")).expect("removed")),
    ("truncated checkpoints", |at| cut(&at.join("encoder.weights"), 100_000)),
    ("truncated checkpoints", |at| cut(&at.join("manifest.json"), 200)),
    ("tampered checkpoints", |at| flip(&at.join("encoder.onnx"))),
    ("tampered checkpoints", |at| {
        let tasks = fs::read_dir(at.join("tasks")).expect("listed");
        for task in tasks {
            flip(&task.expect("an entry").path().join("head.safetensors"));
        }
    }),
    ("checkpoints of a later format", |at| {
        let manifest = at.join("manifest.json");
        let text = fs::read_to_string(&manifest).expect("read");
        let (before, after) = text.split_once("\"format_version\": ").expect("a version");
        let later = format!("{before}\"format_version\": 9{after}");
        fs::write(&manifest, later).expect("written");
    }),
];

fn cut(file: &Path, bytes: u64) {
    let file = fs::File::options().write(true).open(file).expect("opened");
    file.set_len(bytes).expect("cut");
}

/// Changes one bit in the middle.
fn flip(file: &Path) {
    let mut bytes = fs::read(file).expect("read");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(file, bytes).expect("written");
}
