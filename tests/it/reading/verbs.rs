//! The verbs from outside, over files of many kinds.

use std::{
    io::Write,
    process::{Output, Stdio},
};

use super::cases::{Desk, GOOD, check, dynamar, gzip, json, jsonl, separated_by, text, utf16};
use crate::{
    bulk::stage::{Stage, Table},
    fixtures,
};

/// Runs with this on standard input.
fn piped(arguments: &[&str], input: &str) -> Output {
    let mut child = dynamar(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    // Whoever refuses before reading is not written to to the end.
    let _ = child.stdin.take().expect("piped").write_all(input.as_bytes());
    child.wait_with_output().expect("ended")
}

/// Six reviews that the others are not, as rows of CSV.
fn others() -> String {
    GOOD.replace("The ", "My ")
        .replace("Best", "Good")
        .replace("Screen", "Case")
        .replace("Works", "Runs")
        .replace("Awful", "Bad")
        .replace("Fast", "Quick")
}

#[test]
fn train_and_evaluate_read_what_people_have() {
    let desk = Desk::new();
    let fixture = fixtures::encoder("bert-tiny");
    let encoder = fixture.path();
    let [task, out] = [desk.path("task.toml"), desk.path("out")];
    let [task, encoder, out] = [text(&task), text(&encoder), text(&out)];
    let train = [desk.file("tab.tsv", separated_by('\t')), desk.file("more.jsonl.gz", {
        gzip("{\"text\":\"Never again\",\"sentiment\":\"negative\"}\n{\"text\":\"x\",\"sentiment\":1}\n")
    })];
    let arguments = [
        "train",
        "--task",
        task,
        "--train",
        &train[0],
        "--train",
        &train[1],
        "--dev",
        "-",
        "--encoder",
        encoder,
        "--out",
        out,
        "--tune",
        "head",
        "--steps",
        "2",
    ];
    let dev = format!("{}The battery died,negative\n", others());
    check(&piped(&arguments, &dev), 1, &["more.jsonl.gz:2: column \"sentiment\": unknown label"]);
    let skip = [&arguments[..], &["--skip-faulty"]].concat();
    check(&piped(&skip, &dev), 1, &["standard input shares 1 of its 7", "--drop-overlap"]);
    let drop = [&skip[..], &["--drop-overlap"]].concat();
    check(
        &piped(&drop, &dev),
        0,
        &[
            "1 faulty row left out:",
            "standard input: 1 of its 7 examples are in",
            "pol: classification of 7 examples, 6 for development",
        ],
    );
    let evaluate = ["evaluate", "--model", out, "--task", "pol", "--json"];
    let utf16 = desk.file("utf16.csv", utf16(&others()));
    let json = desk.file("array.json", json());
    for more in [["--data", &utf16], ["--test", &json]] {
        check(
            &dynamar(&[&evaluate[..], &more].concat()).output().expect("it runs"),
            0,
            &["accuracy"],
        );
    }
    let output = piped(&[&evaluate[..], &["--test", "-"]].concat(), &jsonl());
    check(&output, 0, &["accuracy"]);
    let twice = [&evaluate[..], &["--test", "-", "--test", "-"]].concat();
    check(&piped(&twice, ""), 1, &["can be read once"]);
}

#[test]
fn predict_reads_what_people_have() {
    let stage = Stage::new();
    let model = stage.path("model");
    let predict = |input: &str, out: &str, more: &[&str]| {
        let (input, out) = (stage.path(input), stage.path(out));
        let files = ["--in", text(&input), "--out", text(&out)];
        let rest = ["predict", "--model", text(&model), "--task", "polarity"];
        dynamar(&[&rest[..], &files, more].concat()).output().expect("it runs")
    };
    stage.file("tab.tsv.gz", gzip("id\ttext\n1\tGood, really.\n2\tBad.\n"));
    check(&predict("tab.tsv.gz", "out.tsv", &[]), 0, &["2 rows", "0 with an error"]);
    let lines = stage.text("out.tsv");
    assert!(
        lines.starts_with("id\ttext\tlabel\t") && lines.contains("\n1\tGood, really.\t"),
        "{lines}"
    );
    stage.file("array.json", "[{\"text\": \"Good.\",\n \"n\": 1},\n{\"text\": 2}]");
    check(&predict("array.json", "out.jsonl", &[]), 0, &["2 rows", "1 with an error"]);
    let lines = stage.text("out.jsonl");
    assert!(lines.starts_with("{\"text\": \"Good.\",  \"n\": 1,\"label\":"), "{lines}");
    stage.file("p_spark.csv", "id,text\n1,\"He said \\\"never again\\\" twice\"\n2,\"fine\"\n");
    check(&predict("p_spark.csv", "spark.csv", &[]), 0, &["2 rows", "1 with an error"]);
    let table = Table::read(&stage.path("spark.csv"));
    let errors = table.column("error");
    assert!(errors[0].contains("line 2: a quoted value goes on"), "{errors:?}");
    assert_eq!(errors[1], "");
    let escaped = predict("p_spark.csv", "escaped.csv", &["--escape", "\\"]);
    check(&escaped, 0, &["2 rows", "0 with an error"]);
    let table = Table::read(&stage.path("escaped.csv"));
    assert_eq!(table.column("text")[0], "He said \"never again\" twice");
    stage.file("latin.csv", b"text\ncaf\xe9\n");
    check(&predict("latin.csv", "latin-1.csv", &[]), 0, &["1 with an error", "--encoding"]);
    check(&predict("latin.csv", "utf-8.csv", &["--encoding", "latin-1"]), 0, &["0 with an error"]);
    assert!(stage.text("utf-8.csv").contains("\ncaf\u{e9},"));
    check(&predict("latin.csv", "out.json", &[]), 1, &["out.json", "--out-format"]);
    stage.file("book.xlsx", b"PK\x03\x04 and more");
    check(&predict("book.xlsx", "book.csv", &[]), 1, &["book.xlsx", "Excel", "as CSV"]);
}

#[test]
fn a_mistyped_flag_leads_to_one_of_the_same_meaning() {
    let wrong = |arguments: &[&str], words: &[&str]| {
        let output = dynamar(arguments).output().expect("it runs");
        check(&output, 2, words);
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    wrong(&["train", "--data", "x"], &["--train"]);
    wrong(&["evaluate", "--valid", "x"], &["--valid"]);
    wrong(&["predict", "--delimiter", ";"], &["--separator"]);
    for flag in ["--replac", "--restar", "--reset"] {
        let told = wrong(&["train", flag], &[flag]);
        assert!(!told.contains("'--replace'") && !told.contains("'--restart'"), "{told}");
    }
    // Spelled alike in all verbs.
    check(&dynamar(&["health", "--address", "127.0.0.1:1"]).output().expect("it runs"), 1, &["1"]);
    let serve = dynamar(&["serve", "--print-config", "--addr", "127.0.0.1:1"]).output();
    check(&serve.expect("it runs"), 0, &["127.0.0.1:1"]);
}
