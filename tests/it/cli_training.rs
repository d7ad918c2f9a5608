//! Training and comparing from outside: a killed process, a full disk, an experiment.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Output, Stdio},
};

use crate::fixtures;

const TASK: &str = "models/tasks/review-polarity.toml";

fn dynamar(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dynamar"));
    command.args(arguments).current_dir(fixtures::root()).env_remove("RUST_BACKTRACE");
    command
}

fn succeed(arguments: &[&str]) -> Output {
    let output = dynamar(arguments).output().expect("the binary runs");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {stderr}");
    output
}

fn fail(arguments: &[&str], words: &[&str]) {
    let output = dynamar(arguments).output().expect("the binary runs");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {stderr}");
    assert!(words.iter().all(|word| stderr.contains(word)), "{stderr:?} says {words:?}");
}

fn json(output: &Output) -> serde_json::Value {
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

/// Writes reviews of things that `name` tells from those in other files.
fn reviews(directory: &Path, name: &str, pairs: usize) -> String {
    let mut rows = "text,sentiment\n".to_owned();
    for at in 0..pairs {
        rows +=
            &format!("The {name} {at} is great.,positive\nThe {name} {at} is awful.,negative\n");
    }
    let path = directory.join(format!("{name}.csv"));
    fs::write(&path, rows).expect("written");
    text(&path).to_owned()
}

#[test]
fn a_run_killed_at_once_goes_on_to_the_same_weights() {
    let home = tempfile::tempdir().expect("a directory");
    let fixture = fixtures::encoder("bert-tiny");
    let encoder = fixture.path();
    let (train, dev) = (reviews(home.path(), "phone", 20), reviews(home.path(), "case", 4));
    let (whole, parts) = (home.path().join("whole"), home.path().join("parts"));
    let arguments = |out: &'static str| {
        let out = home.path().join(out);
        let files = ["--task", TASK, "--train", &train, "--dev", &dev].map(str::to_owned);
        let rest = ["--steps", "8", "--batch-size", "8", "--score-every", "1", "--save-every", "1"];
        let places = ["--encoder", text(&encoder), "--out", text(&out), "--json"];
        let all = ["train".to_owned()].into_iter().chain(files);
        let all = all.chain(rest.map(str::to_owned)).chain(places.map(str::to_owned));
        all.collect::<Vec<String>>()
    };
    let as_strs = |arguments: &[String]| -> Vec<String> { arguments.to_vec() };
    let run =
        |arguments: Vec<String>| succeed(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    let expected = json(&run(arguments("whole")))["model"].clone();
    let first = as_strs(&arguments("parts"));
    let first: Vec<&str> = first.iter().map(String::as_str).collect();
    let mut child = dynamar(&first).stderr(Stdio::piped()).stdout(Stdio::null()).spawn();
    let child = child.as_mut().expect("the binary runs");
    let lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
    // The state of the step before lies on disk when a step's score is told.
    let told = lines.map_while(Result::ok).any(|line| line.contains("step 4/8  dev"));
    child.kill().expect("killed");
    child.wait().expect("ended");
    assert!(told, "it was killed in the middle");
    assert!(!parts.exists() && whole.exists());
    fail(&first, &["--resume", "--restart"]);
    let resumed = run([arguments("parts"), vec!["--resume".to_owned()]].concat());
    assert!(String::from_utf8_lossy(&resumed.stderr).contains("going on after step"));
    assert_eq!(json(&resumed)["model"], expected);
    // A machine may be lost just after it has published.
    let again = run([arguments("parts"), vec!["--resume".to_owned()]].concat());
    assert_eq!(json(&again)["model"], expected);
    assert!(!String::from_utf8_lossy(&again.stderr).contains("step 1"));
    let mut other = arguments("parts");
    other.extend(["--resume", "--seed", "9"].map(str::to_owned));
    fail(&other.iter().map(String::as_str).collect::<Vec<_>>(), &["--replace"]);
    let names: Vec<String> = fs::read_dir(home.path())
        .expect("a directory")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .filter(|name| name.contains("state"))
        .collect();
    assert!(names.is_empty(), "{names:?}");
}

#[test]
fn a_training_after_a_search_is_known_to_be_finished() {
    let home = tempfile::tempdir().expect("a directory");
    let fixture = fixtures::encoder("bert-tiny");
    let encoder = fixture.path();
    let (train, dev) = (reviews(home.path(), "phone", 20), reviews(home.path(), "case", 4));
    let out = home.path().join("out");
    let files = ["train", "--task", TASK, "--train", &train, "--dev", &dev, "--out", text(&out)];
    let settings = ["--encoder", text(&encoder), "--steps", "2", "--budget", "1s", "--json"];
    let all = [&files[..], &settings].concat();
    let expected = json(&succeed(&all))["model"].clone();
    let again = succeed(&[&all[..], &["--resume"]].concat());
    assert_eq!(json(&again)["model"], expected);
    assert!(!String::from_utf8_lossy(&again.stderr).contains("search"), "nothing is left to do");
    let other = ["--budget", "2s", "--resume"];
    let all = all.iter().copied().filter(|word| !["--budget", "1s"].contains(word));
    fail(&all.chain(other).collect::<Vec<_>>(), &["--replace"]);
}

#[test]
fn a_disk_that_takes_no_more_is_said_and_leaves_no_half_checkpoint() {
    let home = tempfile::tempdir().expect("a directory");
    let fixture = fixtures::encoder("bert-tiny");
    let train = reviews(home.path(), "phone", 8);
    let out = home.path().join("out");
    let (encoder, program) = (fixture.path(), env!("CARGO_BIN_EXE_dynamar"));
    // A limit on the size of files stands for a full disk: writing fails half way. Without the
    // trap the signal would end the process.
    let script = format!(
        "trap '' XFSZ; ulimit -f 2000; exec {program} train --task {TASK} --train {train} \
         --encoder {} --out {} --steps 2",
        text(&encoder),
        text(&out)
    );
    let output = Command::new("bash")
        .args(["-c", &script])
        .current_dir(fixtures::root())
        .output()
        .expect("bash runs");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(
        stderr.contains("error: cannot write") && stderr.contains("encoder.weights"),
        "{stderr}"
    );
    let left: Vec<_> = fs::read_dir(home.path()).expect("a directory").collect();
    assert_eq!(left.len(), 1, "the data alone: {left:?}");
}

#[test]
fn what_is_most_likely_a_mistake_in_the_data_is_told_before_training() {
    let home = tempfile::tempdir().expect("a directory");
    let fixture = fixtures::encoder("bert-tiny");
    let path = |name: &str| text(&home.path().join(name)).to_owned();
    let long = "word ".repeat(600);
    let train = format!(
        "text,sentiment\ngood,positive\nbad,negative\nGood,negative\nbad,negative\n\
         \u{4f60}\u{597d}\u{1f642},positive\n{long},negative\n"
    );
    fs::write(path("train.csv"), train).expect("written");
    fs::write(path("dev.csv"), "text,sentiment\nfine,positive\nnice,positive\n").expect("written");
    let (train, dev, out, encoder) =
        (path("train.csv"), path("dev.csv"), path("out"), fixture.path());
    let files = ["train", "--task", TASK, "--train", &train, "--dev", &dev, "--out", &out];
    let output = succeed(&[&files[..], &["--encoder", text(&encoder), "--steps", "1"]].concat());
    let stderr = String::from_utf8_lossy(&output.stderr);
    for sentence in [
        "train.csv: 1 text has more than one answer (2 examples): line 2 is \"positive\", \
         line 4 is \"negative\"",
        "train.csv: 1 example repeats an earlier one (line 5 is line 3)",
        "dev.csv: every example is \"positive\"",
        "train.csv: in 1 of 6 examples (16.7 %), more than half of the tokens are unknown",
        "train.csv: 1 of 6 examples (16.7 %) are cut",
    ] {
        let found =
            stderr.lines().any(|line| line.starts_with("warning: ") && line.contains(sentence));
        assert!(found, "{sentence:?} in {stderr}");
    }
}

/// The arguments of a small experiment.
fn experiment(home: &Path, encoder: &Path) -> Vec<String> {
    let files = [("--train", "phone", 8), ("--dev", "case", 4), ("--test", "radio", 6)];
    let files = files.map(|(flag, name, pairs)| [flag.to_owned(), reviews(home, name, pairs)]);
    let work = home.join("work");
    let rest = [
        "--encoder",
        text(encoder),
        "--work",
        text(&work),
        "--shots",
        "2,4,all",
        "--seeds",
        "2",
        "--steps",
        "3",
        "--batch-size",
        "4",
        "--learning-rates",
        "1e-4,1e-3",
        "--json",
    ];
    let all = ["compare", "--task", TASK].map(str::to_owned).into_iter();
    all.chain(files.concat()).chain(rest.map(str::to_owned)).collect()
}

#[test]
fn an_experiment_goes_on_where_it_stopped_and_tells_the_same() {
    let home = tempfile::tempdir().expect("a directory");
    let fixture = fixtures::encoder("bert-tiny");
    let arguments = experiment(home.path(), &fixture.path());
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let page = home.path().join("report.html");
    let page = ["--html", text(&page)];
    let first = succeed(&[&arguments[..], &page].concat());
    let record = json(&first);
    let methods: Vec<&str> = record["methods"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|m| m["id"].as_str())
        .collect();
    assert_eq!(
        methods,
        [
            "majority",
            "bag of words",
            "frozen mean",
            "M0 standard",
            "M1 label words",
            "M2 static",
            "M3 DynaMaR",
            "M3 ensemble"
        ]
    );
    let accuracy = |method: &str| {
        record["tasks"][0]["methods"][method][2]["runs"][0]["metrics"]["accuracy"].as_f64()
    };
    assert_eq!((accuracy("majority"), accuracy("bag of words")), (Some(0.5), Some(1.0)));
    let results = &record["tasks"][0]["methods"]["M3 DynaMaR"];
    assert_eq!(results.as_array().map(Vec::len), Some(3), "{results}");
    assert_eq!(results[0]["shot"], "2");
    assert_eq!(results[0]["runs"].as_array().map(Vec::len), Some(2));
    let roles: Vec<&str> = results[0]["runs"][0]["templates"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|template| template["role"].as_str())
        .collect();
    assert_eq!(roles, ["canonical", "held_out"]);
    let html = fs::read_to_string(page[1]).expect("a page");
    assert!(
        html.contains("ensemble of prompts (M3)") && html.contains("<svg"),
        "a page with plots"
    );
    let drawn = home.path().join("work/review-polarity/k2-seed1/train.csv");
    assert_eq!(fs::read_to_string(drawn).expect("drawn").lines().count(), 5, "a header and 2 + 2");
    // One cell is lost; the others are not computed again.
    let lost = home.path().join("work/cells/review-polarity.dynamic.k4.s1.g");
    let cells = fs::read_dir(home.path().join("work/cells")).expect("a directory");
    let lost_cells: Vec<_> = cells
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| text(path).starts_with(text(&lost)) && text(path).contains("final"))
        .collect();
    assert_eq!(lost_cells.len(), 1);
    fs::remove_file(&lost_cells[0]).expect("removed");
    let second = succeed(&[&arguments[..], &page].concat());
    let stderr = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(stderr.contains("42 runs for the test sets, 41 of them finished before"), "{stderr}");
    let metrics = |record: &serde_json::Value| {
        record["tasks"][0]["methods"]["M3 DynaMaR"][1]["runs"][1]["metrics"].clone()
    };
    assert_eq!(metrics(&json(&second)), metrics(&record));
    assert_eq!(record["baseline"], "M0 standard");
    // The same cells against another column, and fewer of them.
    let other = ["--baseline", "M2 static", "--task-shots", "review-polarity=4"];
    let third = succeed(&[&arguments[..], &other].concat());
    let stderr = String::from_utf8_lossy(&third.stderr).into_owned();
    assert!(stderr.contains("14 runs for the test sets, 14 of them finished before"), "{stderr}");
    let third = json(&third);
    assert_eq!(third["baseline"], "M2 static");
    assert_eq!(third["tasks"][0]["methods"]["M2 static"].as_array().map(Vec::len), Some(1));
}

#[test]
fn an_experiment_that_cannot_be_is_refused() {
    let home = tempfile::tempdir().expect("a directory");
    let fixture = fixtures::encoder("bert-tiny");
    let arguments = experiment(home.path(), &fixture.path());
    let with = |flag: &str, value: &str| -> Vec<String> {
        let mut arguments = arguments.clone();
        let at = arguments.iter().position(|argument| argument == flag).expect("there");
        arguments[at + 1] = value.to_owned();
        arguments
    };
    let check = |arguments: &[String], words: &[&str]| {
        fail(&arguments.iter().map(String::as_str).collect::<Vec<_>>(), words);
    };
    check(&with("--shots", "9"), &["negative", "phone.csv", "8"]);
    let train =
        arguments[arguments.iter().position(|a| a == "--train").expect("there") + 1].clone();
    check(&with("--test", &train), &["phone.csv", "--allow-overlap"]);
    check(
        &[arguments.clone(), vec!["--metric".to_owned(), "x=f1".to_owned()]].concat(),
        &["x", "no such task"],
    );
    let more = |more: &[&str]| {
        let more = more.iter().map(|word| (*word).to_owned());
        arguments.iter().cloned().chain(more).collect::<Vec<String>>()
    };
    check(&more(&["--seed", "3"]), &["--seed", "--seeds"]);
    check(&more(&["--head", "label-words"]), &["trained alike"]);
    check(&with("--learning-rates", "1e-4,7"), &["learning rates"]);
    check(&more(&["--task-shots", "x=4"]), &["x", "no such task"]);
    check(&more(&["--task-shots", "review-polarity=0"]), &["at least 1"]);
    check(&more(&["--baseline", "M9"]), &["no column \"M9\"", "M0 standard"]);
    let outside = home.path().join("other.json");
    fs::write(&outside, r#"{"method": "M2 static", "results": []}"#).expect("written");
    check(&more(&["--add-results", text(&outside)]), &["a column \"M2 static\" already"]);
    let metric = ["--metric", "review-polarity=speed"].map(str::to_owned).to_vec();
    check(&[arguments, metric].concat(), &["no figure \"speed\"", "accuracy"]);
}
