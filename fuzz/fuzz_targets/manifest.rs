//! Any manifest, over small files that are as it says and over none.

#![no_main]

use std::fs;

use dynamar::{
    checkpoint::{Checkpoint, MANIFEST, Manifest},
    inference::Model,
};
use dynamar_fuzz::{TASK, TOKENIZER, directory, written};
use libfuzzer_sys::fuzz_target;

/// SHA-256 of the files that stand for all others.
const TASK_SHA256: &str = include_str!("../data/task.sha256");
const TOKENIZER_SHA256: &str = include_str!("../data/tokenizer.sha256");

fuzz_target!(|bytes: &[u8]| {
    let home = directory();
    let place = home.path().join("a");
    fs::create_dir(&place).expect("made");
    fs::write(place.join(MANIFEST), bytes).expect("written");
    let _ = Checkpoint::open(&place);
    // The same with an id and with files that fit, as somebody who means harm would have it.
    let Ok(mut manifest) = serde_json::from_slice::<Manifest>(bytes) else { return };
    let tokenizer = manifest.tokenizer.clone();
    for (name, entry) in &mut manifest.files {
        let (content, sha256) = if *name == tokenizer {
            (TOKENIZER, TOKENIZER_SHA256)
        } else {
            (TASK.as_bytes(), TASK_SHA256)
        };
        entry.bytes = content.len() as u64;
        sha256.trim().clone_into(&mut entry.sha256);
        // Those that lead elsewhere are for the reader to refuse.
        let plain =
            name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.') && !name.contains("..");
        if plain && !name.is_empty() && name.len() < 64 && name != "." {
            written(&home, &format!("a/{name}"), content);
        }
    }
    manifest.id = manifest.expected_id();
    let json = serde_json::to_vec(&manifest).expect("written");
    fs::write(place.join(MANIFEST), json).expect("written");
    if let Ok(checkpoint) = Checkpoint::open(&place) {
        assert_eq!(checkpoint.manifest.id, manifest.id);
        for name in manifest.files.keys() {
            checkpoint.read(name).expect("it was just verified");
        }
        let _ = Model::from_checkpoint(&checkpoint);
    }
});
