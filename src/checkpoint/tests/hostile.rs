//! Directories and manifests that somebody else has made.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use super::{check, write};
use crate::{
    architecture::Architecture,
    checkpoint::{
        Checkpoint, Draft, FileEntry, ForeignGraph, ForeignInput, GraphOutput, MANIFEST, Manifest,
        TaskEntry,
    },
};

const FILES: [&str; 6] = [
    "encoder.onnx",
    "tokenizer.json",
    "tasks/polarity/task.toml",
    "tasks/polarity/head.safetensors",
    "tasks/polarity/report.json",
    MANIFEST,
];

/// Puts something else where the file is, which is moved out of the directory.
fn exchange(place: &Path, file: &str, put: impl Fn(&Path, &Path)) {
    let (path, away) = (place.join(file), place.with_file_name("away"));
    fs::rename(&path, &away).expect("moved");
    put(&away, &path);
}

#[test]
fn links_out_of_the_directory_are_not_followed() {
    for file in FILES {
        let link = |place: &Path| exchange(place, file, |to, at| symlink(to, at).expect("linked"));
        check(link, &[file, "leads out of its checkpoint's directory", "away"]);
        let relative = |place: &Path| {
            let up = PathBuf::from("../".repeat(file.split('/').count())).join("away");
            exchange(place, file, |_, at| symlink(&up, at).expect("linked"));
        };
        check(relative, &[file, "leads out"]);
    }
    for to in ["/etc/passwd", "/dev/zero", "/proc/self/environ"] {
        let link = |place: &Path| {
            exchange(place, "tokenizer.json", |_, at| symlink(to, at).expect("linked"));
        };
        check(link, &["tokenizer.json", "leads out", to.split('/').next_back().expect("a name")]);
    }
    let directory = |place: &Path| {
        exchange(place, "tasks", |to, at| symlink(to, at).expect("linked"));
    };
    check(directory, &["leads out", "away/polarity"]);
}

#[test]
fn what_is_no_file_is_not_opened() {
    for file in FILES {
        let pipe = |place: &Path| {
            exchange(place, file, |_, at| {
                // Opened like a file, it would wait for a writer for ever.
                assert!(Command::new("mkfifo").arg(at).status().expect("run").success());
            });
        };
        check(pipe, &[file, "no regular file"]);
        let directory =
            |place: &Path| exchange(place, file, |_, at| fs::create_dir(at).expect("made"));
        check(directory, &[file, "no regular file"]);
        let nowhere =
            |place: &Path| exchange(place, file, |_, at| symlink("gone", at).expect("linked"));
        check(nowhere, &[]);
        let round = |place: &Path| exchange(place, file, |_, at| symlink(at, at).expect("linked"));
        check(round, &[]);
    }
}

/// As Kubernetes mounts a ConfigMap, and as an operator names the current one of several.
#[test]
fn links_within_the_directory_and_to_it_are_followed() {
    let home = tempfile::tempdir().expect("a directory");
    let place = home.path().join("mount");
    let first = write(&place.join("..2026_01"), b"graph", false).expect("written");
    symlink("..2026_01", place.join("..data")).expect("linked");
    for file in ["encoder.onnx", "tokenizer.json", "tasks", MANIFEST] {
        symlink(Path::new("..data").join(file), place.join(file)).expect("linked");
    }
    let check = |place: &Path| {
        let opened = Checkpoint::open(place).expect("intact");
        assert_eq!(opened.manifest, first);
        assert_eq!(opened.read("tasks/polarity/head.safetensors").expect("read"), b"head");
    };
    check(&place);
    symlink("mount", home.path().join("current")).expect("linked");
    check(&home.path().join("current"));
    // A directory that is one of a mount's own entries.
    check(&place.join("..data"));
    // What takes files over from there takes the files.
    let from = Checkpoint::open(&place).expect("intact");
    let copy = home.path().join("copy");
    let mut draft = Draft::new(&copy, false).expect("begun");
    for file in ["encoder.onnx", "tokenizer.json"] {
        draft.share(&from, file).expect("shared");
    }
    draft.share_task(&from, &from.manifest.tasks[0]).expect("shared");
    let written =
        draft.publish(from.manifest.encoder.clone(), "tokenizer.json", first.provenance.clone());
    written.expect("written");
    fs::remove_dir_all(&place).expect("removed");
    assert_eq!(Checkpoint::open(&copy).expect("intact").manifest.id, first.id);
}

#[test]
fn a_file_that_changed_since_it_was_verified_is_not_used() {
    let home = tempfile::tempdir().expect("a directory");
    let place = home.path().join("a");
    write(&place, b"graph", false).expect("written");
    let opened = Checkpoint::open(&place).expect("intact");
    fs::write(place.join("tokenizer.json"), b"[]").expect("written");
    let error = opened.read("tokenizer.json").expect_err("another").to_string();
    assert!(error.contains("tokenizer.json is damaged: expected 2 bytes with"), "{error}");
    let mut memory = [0; 2];
    assert!(opened.read_into("tokenizer.json", &mut memory).is_err());
    let error = opened.read("../away").expect_err("not listed").to_string();
    assert!(error.contains("does not list"), "{error}");
}

/// Changes a manifest, gives it the id that it then has, and expects these words.
fn forge(change: impl Fn(&mut Manifest), words: &[&str]) {
    let damage = |place: &Path| {
        let path = place.join(MANIFEST);
        let text = fs::read_to_string(&path).expect("read");
        let mut manifest: Manifest = serde_json::from_str(&text).expect("a manifest");
        change(&mut manifest);
        manifest.id = manifest.expected_id();
        fs::write(path, serde_json::to_vec(&manifest).expect("written")).expect("written");
    };
    check(damage, words);
}

#[test]
fn a_manifest_cannot_ask_for_more_than_an_encoder_needs() {
    let grow = |file: &'static str, bytes: u64| {
        move |manifest: &mut Manifest| {
            manifest.files.get_mut(file).expect("listed").bytes = bytes;
        }
    };
    for (file, bytes) in [
        ("encoder.onnx", 2 << 20),
        ("tokenizer.json", (64 << 20) + 1),
        ("tasks/polarity/task.toml", (1 << 20) + 1),
        ("tasks/polarity/head.safetensors", 1 << 20),
        ("tasks/polarity/report.json", u64::MAX),
    ] {
        forge(grow(file, bytes), &[file, &bytes.to_string(), "no more than"]);
    }
    forge(|m| m.encoder.architecture.vocabulary_size = 3_000_000, &["vocabulary_size"]);
    forge(|m| m.encoder.architecture.layers = usize::MAX, &["layers"]);
    let huge = |m: &mut Manifest| {
        m.encoder.architecture.hidden_size = 16_384;
        m.encoder.architecture.intermediate_size = 65_536;
        m.encoder.architecture.layers = 128;
    };
    forge(huge, &["parameters", "no more than 4294967296"]);
    let crowd = |m: &mut Manifest| {
        let task = m.tasks[0].clone();
        let named = |at: u32| TaskEntry { name: at.to_string(), ..task.clone() };
        m.tasks = (0..1025).map(named).collect();
    };
    forge(crowd, &["1025 tasks"]);
    forge(|m| m.tasks.push(m.tasks[0].clone()), &["named twice"]);
    let unnamed = |m: &mut Manifest| {
        let entry = m.files["tokenizer.json"].clone();
        m.files.insert("more".to_owned(), FileEntry { bytes: 1 << 40, ..entry });
    };
    forge(unnamed, &["\"more\" has 1099511627776 bytes"]);
}

#[test]
fn a_manifest_says_nothing_that_upsets_a_terminal_or_a_log() {
    forge(|m| m.encoder.name = "\u{1b}[2J".to_owned(), &["control characters"]);
    forge(|m| m.provenance.encoder_from = "a\nb".to_owned(), &["control characters"]);
    forge(|m| m.tasks[0].name = "x".repeat(5000), &["longer than 4096 bytes"]);
    let sha = |m: &mut Manifest| {
        m.files.get_mut("tokenizer.json").expect("listed").sha256 = "\u{7}".repeat(64);
    };
    forge(sha, &["64 digits"]);
}

#[test]
fn a_manifest_is_no_puzzle() {
    let put =
        |text: String| move |place: &Path| fs::write(place.join(MANIFEST), &text).expect("written");
    check(put("[".repeat(100_000)), &["damaged"]);
    check(put(format!("{{\"format_version\": 1, \"id\": {}", "[".repeat(100_000))), &["damaged"]);
    check(put("{\"format_version\": 1, \"format_version\": 2}".to_owned()), &["duplicate field"]);
    check(put(" ".repeat((16 << 20) + 1)), &["at most 16777216"]);
    let twice = |place: &Path| {
        let path = place.join(MANIFEST);
        let text = fs::read_to_string(&path).expect("read");
        let entry = text.find("\"tokenizer.json\": {").expect("listed");
        let again = "\"tokenizer.json\": {\"bytes\": 0, \"sha256\": \"\"},";
        fs::write(path, format!("{}{again}{}", &text[..entry], &text[entry..])).expect("written");
    };
    check(twice, &["\"tokenizer.json\" is listed twice"]);
}

#[test]
fn a_graph_from_elsewhere_is_described_as_one() {
    let graph = || ForeignGraph {
        inputs: vec![ForeignInput::InputIds, ForeignInput::AttentionMask],
        output: "last_hidden_state".to_owned(),
        gives: GraphOutput::HiddenStates,
        padding_id: 0,
        first_position: 0,
        one_at_a_time: false,
    };
    let foreign = |m: &mut Manifest| {
        m.encoder.architecture = Architecture::foreign(8, 20, 16, 0);
        m.encoder.graph = Some(graph());
    };
    let change = |change: fn(&mut ForeignGraph)| {
        move |m: &mut Manifest| {
            foreign(m);
            m.encoder.graph.iter_mut().for_each(change);
        }
    };
    forge(|m| m.encoder.graph = Some(graph()), &["of an encoder that is not foreign"]);
    let nameless = |m: &mut Manifest| m.encoder.architecture = Architecture::foreign(8, 20, 16, 0);
    forge(nameless, &["does not say how to run"]);
    forge(change(|g| g.inputs.truncate(1)), &["inputs of its graph are not each there once"]);
    forge(change(|g| g.inputs.push(ForeignInput::InputIds)), &["not each there once"]);
    forge(change(|g| g.output = "\u{1b}[2J".to_owned()), &["not printable"]);
    forge(change(|g| g.padding_id = 20), &["lies outside the vocabulary"]);
    let layered = |m: &mut Manifest| {
        foreign(m);
        m.encoder.architecture.layers = 2;
    };
    forge(layered, &["no more than widths, vocabulary and positions"]);
    let head = |m: &mut Manifest| {
        foreign(m);
        m.encoder.language_head = Some(m.tokenizer.clone());
    };
    forge(head, &["has no language head"]);
}
