//! Where results go: links and pipes stay what they are.

use std::{
    fs,
    os::unix::fs::{FileTypeExt, symlink},
    path::Path,
    process::{Command, Stdio},
    thread,
};

use super::cases::{check, dynamar, text};
use crate::bulk::stage::{Stage, reviews};

fn pipe(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().expect("it runs").success());
}

fn is_pipe(path: &Path) -> bool {
    fs::symlink_metadata(path).expect("there").file_type().is_fifo()
}

/// `predict` over rows of a file to a place.
fn predict(stage: &Stage, input: &Path, out: &Path) -> Command {
    let model = stage.path("model");
    let model = ["predict", "--model", text(&model), "--task", "polarity"];
    dynamar(&[&model[..], &["--in", text(input), "--out", text(out)]].concat())
}

#[test]
fn rows_come_from_a_pipe_and_leave_nothing_behind() {
    let stage = Stage::new();
    let (rows, out) = (stage.path("rows"), stage.path("out.csv"));
    pipe(&rows);
    let feed = |content: String| {
        let rows = rows.clone();
        thread::spawn(move || fs::write(rows, content))
    };
    let writer = feed(reviews(3));
    check(&predict(&stage, &rows, &out).output().expect("it runs"), 0, &["3 rows"]);
    writer.join().expect("no panic").expect("taken");
    assert_eq!(stage.files(), ["out.csv", "rows"]);
    assert!(is_pipe(&rows));
    // A run that fails leaves nothing that stands in the way of the next.
    fs::remove_file(&out).expect("removed");
    let writer = feed("id,text\n1,\n".to_owned());
    let failed = predict(&stage, &rows, &out).args(["--max-errors", "0"]).output();
    check(&failed.expect("it runs"), 1, &["1 rows have failed"]);
    writer.join().expect("no panic").expect("taken");
    assert_eq!(stage.files(), ["rows"]);
    let writer = feed("{\"text\":\"Good.\"}\n".to_owned());
    let out = stage.path("out.jsonl");
    check(&predict(&stage, &rows, &out).output().expect("it runs"), 0, &["1 rows"]);
    writer.join().expect("no panic").expect("taken");
    assert_eq!(stage.files(), ["out.jsonl", "rows"]);
}

#[test]
fn an_output_that_is_a_link_or_a_pipe_stays_one() {
    let stage = Stage::new();
    let input = stage.file("in.csv", reviews(2));
    let [target, link, sink] = ["target.csv", "link.csv", "sink.csv"].map(|name| stage.path(name));
    symlink("target.csv", &link).expect("linked");
    check(&predict(&stage, &input, &link).output().expect("it runs"), 0, &["2 rows"]);
    assert!(fs::symlink_metadata(&link).expect("there").is_symlink());
    assert_eq!(fs::read_to_string(&target).expect("there").lines().count(), 3);
    let again = predict(&stage, &input, &link).output().expect("it runs");
    check(&again, 1, &["target.csv exists already"]);
    let again = predict(&stage, &input, &link).arg("--replace").output().expect("it runs");
    check(&again, 0, &["2 rows"]);
    assert!(fs::symlink_metadata(&link).expect("there").is_symlink());
    pipe(&sink);
    let from = sink.clone();
    let reader = thread::spawn(move || fs::read_to_string(from).expect("read"));
    check(&predict(&stage, &input, &sink).output().expect("it runs"), 0, &["2 rows"]);
    assert_eq!(reader.join().expect("no panic").lines().count(), 3);
    assert!(is_pipe(&sink));
    let null = Path::new("/dev/null");
    let output = predict(&stage, &input, null).args(["--out-format", "jsonl"]).output();
    check(&output.expect("it runs"), 0, &["2 rows"]);
    assert!(fs::metadata(null).expect("there").file_type().is_char_device());
    let own = predict(&stage, &input, Path::new("/dev/stdout"))
        .args(["--out-format", "csv"])
        .stdout(Stdio::piped())
        .output()
        .expect("it runs");
    check(&own, 0, &["id,text,label,probability,truncated,error\n0,"]);
    assert_eq!(stage.files(), ["in.csv", "link.csv", "sink.csv", "target.csv"]);
}
