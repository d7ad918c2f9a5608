use std::{fs, os::unix::fs::symlink};

use super::*;

/// modules.json of a sentence encoder whose Transformer lies at this path.
fn modules(path: &str) -> Vec<u8> {
    let transformer = "sentence_transformers.models.Transformer";
    let list = serde_json::json!([
        {"idx": 0, "name": "0", "path": path, "type": transformer},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
    ]);
    serde_json::to_vec(&list).expect("written")
}

fn locate_error(files: &[(&str, &[u8])], words: &str) {
    let directory = directory(files);
    let error = ModelDirectory::locate(directory.path()).expect_err(words).to_string();
    assert!(error.contains(words), "{error}: expected {words}");
    assert!(error.contains(&directory.path().display().to_string()), "{error} names the file");
}

#[test]
fn a_directory_without_modules_holds_the_model_itself() {
    let directory = directory(&[("config.json", b"{}"), ("tokenizer.json", b"{}")]);
    let model = ModelDirectory::locate(directory.path()).expect("a model");
    assert_eq!(model.config(), directory.path().join("config.json"));
    assert_eq!(model.tokenizer().expect("there"), directory.path().join("tokenizer.json"));
}

#[test]
fn modules_tell_where_the_transformer_lies() {
    for path in ["", "0_Transformer", "deep/down", "./0_Transformer"] {
        let directory = directory(&[("modules.json", &modules(path)), ("tokenizer.json", b"{}")]);
        let model = directory.path().join(path);
        put(&model, "config.json", b"{}");
        put(&model, "model.safetensors", &with_tensors(&["a"]));
        let located = ModelDirectory::locate(directory.path()).expect("a model");
        assert_eq!(located.config(), model.join("config.json"));
        // The tokenizer at the top serves until there is one beside the weights.
        assert_eq!(located.tokenizer().expect("there"), directory.path().join("tokenizer.json"));
        put(&model, "tokenizer.json", b"{}");
        assert_eq!(located.tokenizer().expect("there"), model.join("tokenizer.json"));
        let files = TensorFiles::open(&located).expect("readable");
        assert_eq!(read(&files, "a"), halves(&[2]));
    }
}

#[test]
fn modules_that_lead_outside_are_refused() {
    for path in ["/etc", "..", "0_Transformer/../..", "a/../../b"] {
        locate_error(&[("modules.json", &modules(path))], "no path inside the directory");
    }
    locate_error(&[("modules.json", &modules("not-there"))], "No such file");
    locate_error(&[("modules.json", &modules("a\0b"))], "a\0b");
    locate_error(&[("modules.json", &modules("file")), ("file", b"x")], "is no directory");

    let elsewhere = directory(&[("config.json", b"{}")]);
    let directory = directory(&[("modules.json", &modules("0_Transformer"))]);
    symlink(elsewhere.path(), directory.path().join("0_Transformer")).expect("linked");
    let error = ModelDirectory::locate(directory.path()).expect_err("outside").to_string();
    assert!(error.contains("leads outside"), "{error}");
}

#[test]
fn modules_that_are_something_else_are_refused() {
    locate_error(&[("modules.json", b"{}")], "not the JSON that is expected");
    locate_error(&[("modules.json", b"[]")], "lists 0 modules");
    let twice = br#"[{"type": "a.Transformer"}, {"type": "b.Transformer", "path": "b"}]"#;
    locate_error(&[("modules.json", twice)], "lists 2 modules");
    locate_error(&[("modules.json", b"<html>")], "HTML");
    locate_error(&[("modules.json", &vec![b' '; (1 << 20) + 1])], "at most 1048576");
}

const LFS_POINTER: &[u8] = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n";

#[test]
fn a_config_must_be_there_and_be_a_file() {
    locate_error(&[], "config.json");
    locate_error(&[("config.json", LFS_POINTER)], "Git LFS");
    locate_error(&[("config.json", b"")], "empty file");
    locate_error(&[("config.json/a", b"")], "no regular file");
    let file = directory(&[("a", b"")]);
    let error = ModelDirectory::locate(&file.path().join("a")).expect_err("a file").to_string();
    assert!(error.contains("is no directory"), "{error}");
}

#[test]
fn links_stay_inside_but_for_the_cache_of_the_hub() {
    let elsewhere = directory(&[("config.json", b"{}"), ("secret", b"{}")]);
    let inside = directory(&[("files/config", b"{}")]);
    symlink("files/config", inside.path().join("config.json")).expect("linked");
    ModelDirectory::locate(inside.path()).expect("inside");

    fs::remove_file(inside.path().join("config.json")).expect("removed");
    symlink(elsewhere.path().join("secret"), inside.path().join("config.json")).expect("linked");
    let error = ModelDirectory::locate(inside.path()).expect_err("outside").to_string();
    assert!(error.contains("leads outside"), "{error}");

    let hub = directory(&[("blobs/0123", b"{}"), ("other", b"{}"), ("snapshots/main/a", b"")]);
    let snapshot = hub.path().join("snapshots/main");
    symlink("../../blobs/0123", snapshot.join("config.json")).expect("linked");
    symlink("../../other", snapshot.join("tokenizer.json")).expect("linked");
    let located = ModelDirectory::locate(&snapshot).expect("a snapshot");
    let error = located.tokenizer().expect_err("not a blob").to_string();
    assert!(error.contains("leads outside"), "{error}");
}

#[test]
fn a_slow_tokenizer_comes_with_the_line_that_makes_a_fast_one() {
    let check = |files: &[(&str, &[u8])], words: &str| {
        let directory = directory(files);
        put(directory.path(), "config.json", b"{}");
        let model = ModelDirectory::locate(directory.path()).expect("a model");
        let error = model.tokenizer().expect_err(words).to_string();
        assert!(error.contains(words), "{error}: expected {words}");
        error
    };
    let error = check(&[("vocab.txt", b"a")], "vocab.txt (WordPiece)");
    assert!(
        error.contains("python3 -c \"from transformers import AutoTokenizer; AutoTokenizer."),
        "{error}"
    );
    check(&[("vocab.json", b"{}"), ("merges.txt", b"")], "byte-level BPE");
    for name in ["spiece.model", "sentencepiece.bpe.model", "spm.model", "other.model"] {
        check(&[(name, b"x")], &format!("{name} (SentencePiece"));
    }
    check(&[("spm.model", b"x")], "the packages sentencepiece and protobuf");
    check(&[("vocab.json", b"{}")], "has no tokenizer.json");
    for (vocabulary, option) in [
        ("[UNK]\nGood\n##ly", ", do_lower_case=False)"),
        ("[UNK]\ngood\n##ly", ", do_lower_case=True)"),
    ] {
        check(&[("vocab.txt", vocabulary.as_bytes())], option);
    }
    let said: &[u8] = br#"{"do_lower_case": true}"#;
    let error = check(&[("vocab.txt", b"Good"), ("tokenizer_config.json", said)], "WordPiece");
    assert!(!error.contains("do_lower_case"), "{error}");
    for (name, bytes) in [
        ("bpe.codes", "x"),
        ("tokenizer_config.json", r#"{"word_tokenizer_type": "mecab"}"#),
        ("tokenizer_config.json", r#"{"tokenizer_class": "BertweetTokenizer"}"#),
    ] {
        let error = check(&[("vocab.txt", b"a"), (name, bytes.as_bytes())], "a program in Python");
        assert!(!error.contains("python3"), "{error}");
    }
    check(&[("tokenizer.json", LFS_POINTER)], "Git LFS");
    check(&[("tokenizer.json", b""), ("vocab.txt", b"a")], "empty file");
}
