//! `evaluate` from outside: what stands beside the metrics.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::{fixtures, server::checkpoints};

/// A checkpoint with two tasks and files for them.
struct Stage {
    home: TempDir,
}

impl Stage {
    fn new() -> Self {
        let home = tempfile::tempdir().expect("a directory");
        checkpoints::write(
            &home.path().join("model"),
            &[checkpoints::POLARITY, checkpoints::INTENSITY, checkpoints::MATCH],
        );
        let texts = ["is great", "is awful, sadly", "broke on the very first day", "works"];
        let label = |at: usize| if at.is_multiple_of(3) { "negative" } else { "positive" };
        let rows = |from: usize, to: usize| -> String {
            let row = |at: usize| {
                let text = texts[at % texts.len()].repeat(1 + at % 5);
                format!("{at},\"The thing {at} {text}\",{},{}\n", label(at), (at % 9) as f64 - 4.0)
            };
            (from..to).map(row).collect()
        };
        let header = "id,text,label,rating\n";
        for (name, from, to) in [("test.csv", 0, 60), ("train.csv", 100, 130)] {
            fs::write(home.path().join(name), format!("{header}{}", rows(from, to)))
                .expect("written");
        }
        Self { home }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn evaluate(&self, task: &str, more: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dynamar"));
        command.current_dir(fixtures::root()).env_remove("RUST_BACKTRACE");
        command.args(["evaluate", "--task", task, "--model"]).arg(self.path("model"));
        command.arg("--data").arg(self.path("test.csv")).args(more);
        command.output().expect("the binary runs")
    }

    fn succeed(&self, task: &str, more: &[&str]) -> String {
        let output = self.evaluate(task, more);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{more:?}: {stderr}");
        String::from_utf8(output.stdout).expect("text")
    }

    fn fail(&self, task: &str, more: &[&str], code: i32, words: &[&str]) {
        let output = self.evaluate(task, more);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{more:?}: {stderr}");
        assert!(words.iter().all(|word| stderr.contains(word)), "{more:?}: {stderr}");
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

#[test]
fn a_threshold_has_its_figures_beside_the_stored_one() {
    let stage = Stage::new();
    let json: Value =
        serde_json::from_str(&stage.succeed("polarity", &["--threshold", "0.1", "--json"]))
            .expect("JSON");
    let thresholds = &json["thresholds"];
    assert_eq!(thresholds["chosen"]["threshold"].to_string(), "0.1");
    assert_eq!(thresholds["stored"]["threshold"], 0.5, "none other is stored");
    assert_eq!((&thresholds["label"], &thresholds["positives"]), (&"positive".into(), &40.into()));
    let chosen = &thresholds["chosen"];
    let (said, right) = (chosen["said"].as_f64(), chosen["right"].as_f64());
    let precision = right.expect("right") / said.expect("said").max(1.0);
    assert!((chosen["precision"].as_f64().expect("precision") - precision).abs() < 1e-9, "{json}");
    assert!(json["accuracy"].is_f64() && json["mistakes"].is_u64(), "{json}");
    let told = stage.succeed("polarity", &["--threshold", "0.1"]);
    assert!(told.contains("from 0.100 (chosen with --threshold"), "{told}");
    assert!(told.contains("from 0.500 (the more probable label, stored with the task"), "{told}");
}

#[test]
fn a_threshold_that_cannot_be_is_refused() {
    let stage = Stage::new();
    for value in ["1.5", "-0.1", "NaN", "half"] {
        stage.fail("polarity", &["--threshold", value], 2, &["--threshold", value]);
    }
    stage.fail("intensity", &["--threshold", "0.5"], 1, &["two labels", "predicts a number"]);
    stage.fail("match", &["--threshold", "0.5"], 1, &["two labels", "\"match\" has 4"]);
}

#[test]
fn every_mistake_is_written_with_its_own_columns() {
    let stage = Stage::new();
    let errors = stage.path("errors.csv");
    // At 0 every text is positive, so the mistakes are the negative ones.
    let asked = ["--threshold", "0", "--errors", text(&errors), "--json"];
    let json: Value = serde_json::from_str(&stage.succeed("polarity", &asked)).expect("JSON");
    assert_eq!(json["mistakes"], 20);
    let mut reader = csv::Reader::from_path(&errors).expect("written");
    let header: Vec<String> =
        reader.headers().expect("a header").iter().map(str::to_owned).collect();
    let added = ["true_label", "predicted_label", "predicted_probability", "true_probability"];
    assert_eq!(header, [&["id", "text", "label", "rating"][..], &added].concat());
    let rows: Vec<csv::StringRecord> = reader.records().map(|row| row.expect("a row")).collect();
    assert_eq!(rows.len(), 20);
    for row in &rows {
        assert_eq!((&row[2], &row[4], &row[5]), ("negative", "negative", "positive"));
        let id: usize = row[0].parse().expect("a number");
        assert!(id.is_multiple_of(3) && row[1].starts_with(&format!("The thing {id} ")), "{row:?}");
        let [said, truth] = [6, 7].map(|at| row[at].parse::<f64>().expect("a probability"));
        assert!((said + truth - 1.0).abs() < 1e-5, "{row:?}");
    }
    let left: Vec<_> = fs::read_dir(stage.home.path()).expect("a directory").collect();
    assert_eq!(left.len(), 4, "nothing beside it: {left:?}");
}

#[test]
fn numbers_that_are_far_off_are_mistakes() {
    let stage = Stage::new();
    let errors = stage.path("errors.csv");
    let json = stage.succeed("intensity", &["--errors", text(&errors), "--json"]);
    let json: Value = serde_json::from_str(&json).expect("JSON");
    let rmse = json["rmse"].as_f64().expect("rmse");
    let mut reader = csv::Reader::from_path(&errors).expect("written");
    let rows: Vec<csv::StringRecord> = reader.records().map(|row| row.expect("a row")).collect();
    assert_eq!(json["mistakes"], rows.len());
    assert!(!rows.is_empty() && rows.len() < 60);
    assert!(rows.iter().all(|row| row[6].parse::<f64>().expect("a number") > rmse), "{rows:?}");
}

#[test]
fn a_place_for_mistakes_that_is_none_is_said_before_anything_is_computed() {
    let stage = Stage::new();
    let nowhere = stage.path("nowhere/errors.csv");
    stage.fail("polarity", &["--errors", text(&nowhere)], 1, &["there is no such directory"]);
    let header = "id,text,label,true_label\n1,Good.,positive,x\n";
    fs::write(stage.path("test.csv"), header).expect("written");
    let errors = stage.path("errors.csv");
    let words = ["test.csv has a column \"true_label\"", "rename it"];
    stage.fail("polarity", &["--errors", text(&errors)], 1, &words);
    assert!(!errors.exists());
}

#[test]
fn the_page_shows_mistakes_margins_lengths_and_the_simplest_answers() {
    let stage = Stage::new();
    let (page, train) = (stage.path("page.html"), stage.path("train.csv"));
    let asked = ["--html", text(&page), "--train", text(&train), "--threshold", "0.4", "--json"];
    let json: Value = serde_json::from_str(&stage.succeed("polarity", &asked)).expect("JSON");
    let simplest = &json["baselines"]["majority"];
    assert!((simplest["accuracy"].as_f64().expect("accuracy") - 2.0 / 3.0).abs() < 1e-9, "{json}");
    assert_eq!(json["lengths"].as_array().map(Vec::len), Some(4), "{json}");
    let html = fs::read_to_string(&page).expect("a page");
    for words in [
        "majority",
        "bag of words",
        "Worst mistakes",
        "nearest training example",
        "Least sure answers",
        "By the length of the text",
        "chosen 0.400",
        "Words on this page",
        "With --templates",
    ] {
        assert!(html.contains(words), "{words}");
    }
    for foreign in ["<script", "http://", "https://", "url("] {
        assert!(!html.contains(foreign), "{foreign}");
    }
    let told = stage.succeed("polarity", &["--train", text(&train)]);
    assert!(told.starts_with("Beside simpler answers to the same examples"), "{told}");
    let numbers = ["--html", text(&page), "--train", text(&train), "--ensemble"];
    let told = stage.succeed("intensity", &numbers);
    assert!(
        told.contains("majority") && told.contains("bag of words") && told.contains("this model"),
        "{told}"
    );
    let html = fs::read_to_string(&page).expect("a page");
    assert!(html.contains("The templates differ most here"), "the spread says how sure");
}
