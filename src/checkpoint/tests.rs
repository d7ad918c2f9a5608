mod hostile;

use std::path::Path;

use super::*;
use crate::weights::{Precision, tests::small};

fn encoder() -> EncoderEntry {
    EncoderEntry {
        name: "small".to_owned(),
        file: "encoder.onnx".to_owned(),
        weights: None,
        precision: Precision::Fp32,
        architecture: small().architecture,
        language_head: None,
        graph: None,
    }
}

fn write(target: &Path, graph: &[u8], replace: bool) -> Result<Manifest, CheckpointError> {
    let mut draft = Draft::new(target, replace)?;
    draft.add("encoder.onnx", graph)?;
    draft.add("tokenizer.json", b"{}")?;
    draft.add_task("polarity", "name", b"head", b"{}")?;
    draft.publish(encoder(), "tokenizer.json", Provenance::new("here"))
}

fn entries(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(directory)
        .expect("a directory")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn what_is_written_opens_and_is_the_same_every_time() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let first = write(&home.path().join("a"), b"graph", false).expect("written");
    let second = write(&home.path().join("deep/er/b"), b"graph", false).expect("written");
    assert_eq!(first, second);
    let opened = Checkpoint::open(&home.path().join("a")).expect("intact");
    assert_eq!(opened.manifest, first);
    assert_eq!(opened.read(&opened.task("polarity").expect("there").head).expect("read"), b"head");
    assert_eq!(entries(home.path()), ["a", "deep"], "nothing temporary is left");
    let error = opened.task("intensity").expect_err("no such task").to_string();
    assert!(error.contains("polarity"), "{error}");
}

#[test]
fn a_language_head_is_named_and_a_manifest_without_one_keeps_its_id() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let place = home.path().join("a");
    let plain = write(&place, b"graph", false).expect("written");
    assert_eq!(plain.format_version, 1);
    let created_by = "dynamar 0.1.0".to_owned();
    let provenance = Provenance { created_by, encoder_from: "here".to_owned() };
    // The id that such a manifest had before there were language heads.
    assert_eq!(Manifest { provenance, ..plain }.expected_id(), "196fddce0928");
    let text = std::fs::read_to_string(place.join(MANIFEST)).expect("read");
    assert!(!text.contains("language_head"), "{text}");
    let with = |file: Option<&str>| {
        let mut draft = Draft::new(&home.path().join("b"), true).expect("begun");
        draft.add("encoder.onnx", b"graph").expect("written");
        draft.add("tokenizer.json", b"{}").expect("written");
        draft.add(LANGUAGE_HEAD_FILE, b"language head").expect("written");
        let entry = EncoderEntry { language_head: file.map(str::to_owned), ..encoder() };
        draft.publish(entry, "tokenizer.json", Provenance::new("here"))
    };
    let manifest = with(Some(LANGUAGE_HEAD_FILE)).expect("written");
    assert_eq!(manifest.format_version, 2);
    let opened = Checkpoint::open(&home.path().join("b")).expect("intact");
    assert_eq!(opened.manifest, manifest);
    let error = with(Some("other.safetensors")).expect_err("not listed").to_string();
    assert!(error.contains("\"other.safetensors\" is named but not listed"), "{error}");
}

#[test]
fn an_unfinished_draft_leaves_nothing() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let mut draft = Draft::new(&home.path().join("a"), false).expect("begun");
    draft.add("encoder.onnx", b"graph").expect("written");
    drop(draft);
    assert!(entries(home.path()).is_empty());
}

#[test]
fn existing_directories_are_replaced_only_when_asked_and_only_checkpoints() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let place = home.path().join("a");
    std::fs::create_dir(&place).expect("made");
    let old = write(&place, b"old", false).expect("an empty directory is no obstacle");
    let error = write(&place, b"new", false).expect_err("exists");
    assert!(matches!(error, CheckpointError::Exists { .. }), "{error}");
    let new = write(&place, b"new", true).expect("replaced");
    assert_ne!(old.id, new.id);
    assert_eq!(Checkpoint::open(&place).expect("intact").manifest, new);
    assert_eq!(entries(home.path()), ["a"]);
    std::fs::remove_file(place.join(MANIFEST)).expect("removed");
    let error = write(&place, b"new", true).expect_err("foreign");
    assert!(matches!(error, CheckpointError::Foreign { .. }), "{error}");
}

#[test]
fn what_appears_in_the_meantime_is_left_as_it_is() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let place = home.path().join("a");
    let begin = |replace| {
        let mut draft = Draft::new(&place, replace).expect("begun");
        draft.add("encoder.onnx", b"mine").expect("written");
        draft.add("tokenizer.json", b"{}").expect("written");
        draft
    };
    let finish = |draft: Draft| {
        draft.publish(encoder(), "tokenizer.json", Provenance::new("here")).expect_err("refused")
    };
    let draft = begin(false);
    std::fs::create_dir(&place).expect("made");
    std::fs::write(place.join("notes.txt"), "mine").expect("written");
    assert!(matches!(finish(draft), CheckpointError::Foreign { .. }));
    std::fs::remove_dir_all(&place).expect("removed");
    let draft = begin(true);
    let theirs = write(&place, b"theirs", false).expect("written");
    assert!(matches!(finish(draft), CheckpointError::Changed { .. }));
    assert_eq!(Checkpoint::open(&place).expect("intact").manifest, theirs);
    assert_eq!(entries(home.path()), ["a"]);
}

#[test]
fn shared_files_are_links() {
    use std::os::unix::fs::MetadataExt;
    let home = tempfile::tempdir().expect("a temporary directory");
    let place = home.path().join("a");
    write(&place, b"graph", false).expect("written");
    let first = Checkpoint::open(&place).expect("intact");
    let mut draft = Draft::new(&home.path().join("b"), false).expect("begun");
    draft.share(&first, "encoder.onnx").expect("shared");
    draft.share(&first, "tokenizer.json").expect("shared");
    draft.share_task(&first, &first.manifest.tasks[0]).expect("shared");
    draft.add_task("more", "name", b"head", b"{}").expect("added");
    draft.publish(encoder(), "tokenizer.json", Provenance::new("a")).expect("written");
    let second = Checkpoint::open(&home.path().join("b")).expect("intact");
    assert_eq!(second.manifest.tasks.len(), 2);
    let inode = |c: &Checkpoint| std::fs::metadata(c.path("encoder.onnx")).expect("there").ino();
    assert_eq!(inode(&first), inode(&second));
}

/// Damages a good checkpoint and expects these words.
fn check(damage: impl Fn(&Path), words: &[&str]) {
    let home = tempfile::tempdir().expect("a temporary directory");
    let place = home.path().join("a");
    write(&place, b"graph", false).expect("written");
    damage(&place);
    let error = Checkpoint::open(&place).expect_err("damaged").to_string();
    for word in words {
        assert!(error.contains(word), "{error:?} says {word:?}");
    }
}

fn edit(place: &Path, from: &str, to: &str) {
    let path = place.join(MANIFEST);
    let text = std::fs::read_to_string(&path).expect("read");
    assert!(text.contains(from), "{from:?} is in the manifest");
    std::fs::write(path, text.replace(from, to)).expect("written");
}

#[test]
fn damage_is_found_and_named() {
    let put = |name: &'static str, bytes: &'static [u8]| {
        move |place: &Path| std::fs::write(place.join(name), bytes).expect("written")
    };
    check(
        put("encoder.onnx", b"grapx"),
        &["encoder.onnx", "expected 5 bytes with sha256", "found 5 bytes with sha256"],
    );
    check(put("tokenizer.json", b"{} "), &["tokenizer.json", "expected 2 bytes, found 3"]);
    check(put(MANIFEST, b"{"), &[MANIFEST, "damaged"]);
    check(put(MANIFEST, b"{}"), &["no format_version"]);
    let remove = |name: &'static str| {
        move |place: &Path| std::fs::remove_file(place.join(name)).expect("removed")
    };
    check(remove("tasks/polarity/head.safetensors"), &["head.safetensors"]);
    check(remove(MANIFEST), &["is no checkpoint"]);
    check(|p| edit(p, "\"format_version\": 1", "\"format_version\": 9"), &["version 9", "newer"]);
    check(|p| edit(p, "\"encoder.onnx\"", "\"../encoder.onnx\""), &["leads outside"]);
    check(|p| edit(p, "\"bytes\": 5", "\"bytes\": 6"), &["id does not fit"]);
    check(|p| edit(p, "\"heads\": 2", "\"heads\": 4"), &["id does not fit"]);
    check(|p| edit(p, "\"layers\": 2", "\"layers\": 0"), &["layers = 0"]);
    let swap = |p: &Path| edit(p, &crate::checkpoint::digest::of_bytes(b"head"), &"0".repeat(64));
    check(swap, &["id does not fit"]);
}
