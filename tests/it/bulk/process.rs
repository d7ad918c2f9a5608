//! The verbs from outside.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Output, Stdio},
};

use super::stage::{Stage, reviews};
use crate::fixtures;

fn dynamar(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dynamar"));
    command.args(arguments).current_dir(fixtures::root()).env_remove("RUST_BACKTRACE");
    command
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

fn check(output: &Output, code: i32, words: &[&str]) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    let told = format!("{}{stderr}", String::from_utf8_lossy(&output.stdout));
    assert_eq!(output.status.code(), Some(code), "{told}");
    assert!(words.iter().all(|word| told.contains(word)), "{told}");
}

#[test]
fn a_killed_process_goes_on_to_the_same_bytes() {
    let stage = Stage::new();
    let (model, input) = (stage.path("model"), stage.file("in.csv", reviews(6000)));
    let predict = |out: &Path, more: &[&str]| {
        let files = ["--model", text(&model), "--in", text(&input), "--out", text(out)];
        let rest = ["--task", "polarity", "--chunk-rows", "4", "--progress"];
        dynamar(&[&["predict"], &files[..], &rest, more].concat())
    };
    let (whole, parts) = (stage.path("whole.csv"), stage.path("parts.csv"));
    check(&predict(&whole, &[]).output().expect("it runs"), 0, &["6000 rows"]);
    let mut child = predict(&parts, &[]).stderr(Stdio::piped()).spawn().expect("it runs");
    let stderr = BufReader::new(child.stderr.take().expect("piped"));
    // The first rows are safe when they are told.
    let told = stderr.lines().map_while(Result::ok).any(|line| line.contains("of 6000 rows"));
    child.kill().expect("killed");
    child.wait().expect("ended");
    assert!(told && !parts.exists());
    check(&predict(&parts, &[]).output().expect("it runs"), 1, &["--resume", "--restart"]);
    let resumed = predict(&parts, &["--resume"]).output().expect("it runs");
    check(&resumed, 0, &["going on after row", "6000 rows"]);
    assert!(fs::read(&parts).expect("there") == fs::read(&whole).expect("there"));
    let again = predict(&parts, &["--resume"]).output().expect("it runs");
    check(&again, 0, &["is there already"]);
}

#[test]
fn streams_shards_and_figures() {
    let stage = Stage::new();
    let (directory, input) = (stage.path("model"), stage.file("in.csv", reviews(9)));
    let model = ["predict", "--model", text(&directory), "--task", "polarity"];
    let mut piped = dynamar(&[&model[..], &["--in", "-", "--out", "-"]].concat())
        .args(["--in-format", "csv", "--out-format", "jsonl"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    let mut stdin = piped.stdin.take().expect("piped");
    stdin.write_all(reviews(3).as_bytes()).expect("taken");
    drop(stdin);
    let output = piped.wait_with_output().expect("ended");
    check(&output, 0, &["-: 3 rows"]);
    assert_eq!(String::from_utf8_lossy(&output.stdout).lines().count(), 3);
    let emoji = "text\n\u{1f642}\u{1f642} \u{1f44d}\nFine.\n";
    let (emoji, scored) = (stage.file("emoji.csv", emoji), stage.path("emoji.jsonl"));
    let files = ["--in", text(&emoji), "--out", text(&scored)];
    let output = dynamar(&[&model[..], &files].concat()).output().expect("it runs");
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        told.contains("; 1 of whose tokens the encoder's tokenizer knows less than half"),
        "{told}"
    );
    let out = stage.path("out.csv");
    let shard = |index: &str| {
        let mut command = dynamar(&[&model[..], &["--in", text(&input), "--shards", "2"]].concat());
        command.args(["--out", text(&out), "--json"]).env("JOB_COMPLETION_INDEX", index);
        command.output().expect("it runs")
    };
    let first = shard("0");
    let json: serde_json::Value = serde_json::from_slice(&first.stdout).expect("JSON");
    assert_eq!((&json["rows"], &json["errors"]), (&4.into(), &0.into()), "{json}");
    assert!(json["out"].as_str().is_some_and(|out| out.ends_with("out-00000-of-00002.csv")));
    check(&shard("1"), 0, &["\"rows\": 5"]);
    check(&shard("2"), 1, &["no shard 2 of 2"]);
    let files = ["--in", text(&input), "--out", text(&out)];
    let fail = |more: &[&str], code, words: &[&str]| {
        let output = dynamar(&[&model[..], &files, more].concat()).output().expect("it runs");
        check(&output, code, words);
    };
    fail(&["--template", "x"], 1, &["no template \"x\"", "it-was"]);
    fail(&["--field", "text"], 2, &["FIELD=COLUMN"]);
    fail(&["--shard", "2/2"], 2, &["counted from 0"]);
    fail(&["--shards", "2"], 1, &["JOB_COMPLETION_INDEX"]);
    let other = ["predict", "--model", text(&directory), "--task", "x"];
    let output = dynamar(&[&other[..], &files].concat()).output().expect("it runs");
    check(&output, 1, &["no task \"x\"", "polarity"]);
}

#[test]
fn the_first_signal_ends_a_run_over_a_silent_pipe() {
    let stage = Stage::new();
    let directory = stage.path("model");
    let mut child = dynamar(&["predict", "--model", text(&directory), "--task", "polarity"])
        .args(["--in", "-", "--out", "-", "--in-format", "csv", "--out-format", "csv"])
        .args(["--chunk-rows", "1"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(b"id,text\n1,Good.\n").expect("taken");
    let stdout = BufReader::new(child.stdout.take().expect("piped"));
    // With the row it is beyond doubt that it listens to signals.
    assert_eq!(stdout.lines().take(2).map_while(Result::ok).count(), 2);
    let killed = Command::new("kill").arg(child.id().to_string()).status().expect("it runs");
    assert!(killed.success());
    check(&child.wait_with_output().expect("ended"), 1, &["interrupted after 1 rows"]);
    drop(stdin);
}

#[test]
fn shells_and_the_manual_know_every_verb() {
    for shell in ["bash", "zsh", "fish"] {
        let output = dynamar(&["completions", shell]).output().expect("it runs");
        check(&output, 0, &["predict", "chunk-rows", "completions"]);
    }
    let script = dynamar(&["completions", "bash"]).output().expect("it runs").stdout;
    let mut bash = Command::new("bash").arg("-n").stdin(Stdio::piped()).spawn().expect("bash");
    bash.stdin.take().expect("piped").write_all(&script).expect("taken");
    assert!(bash.wait().expect("ended").success(), "bash can read it");
    let home = tempfile::tempdir().expect("a directory");
    let directory = home.path().join("man1");
    let output = dynamar(&["man", "--out", text(&directory)]).output().expect("it runs");
    check(&output, 0, &["pages"]);
    let entries = fs::read_dir(&directory).expect("a directory");
    let names: Vec<_> = entries.map(|entry| entry.expect("an entry").file_name()).collect();
    for verb in ["serve", "predict", "man"] {
        let page = fs::read_to_string(directory.join(format!("dynamar-{verb}.1"))).expect("a page");
        assert!(page.starts_with(".ie") || page.contains(".TH"), "{page}");
        assert!(page.contains(&format!("dynamar {verb}").replace('-', "\\-")), "{page}");
    }
    assert!(names.len() > 10 && names.iter().any(|name| name == "dynamar.1"), "{names:?}");
    let page = dynamar(&["man", "predict"]).output().expect("it runs");
    check(&page, 0, &["chunk\\-rows"]);
    check(&dynamar(&["man", "x"]).output().expect("it runs"), 1, &["no verb"]);
}
