//! Rows that fail, and files that are refused.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use dynamar::inference::PredictError;

use super::stage::{Stage, Table, reviews};

#[test]
fn each_row_has_its_own_error_and_the_others_their_answers() {
    let stage = Stage::new();
    let long = "x".repeat((1 << 20) + 1);
    let mut rows = b"id,text\n1,Good.\n2,\n3, \n4\n5,Good.,more\n6,\xff\n\xfe,Good.\n".to_vec();
    rows.extend(format!("8,{long}\n9,Good.\n\"10,Good.\n11,Good.\n").into_bytes());
    stage.file("in.csv", rows);
    let summary = stage.ask("in.csv", "out.csv").run().expect("scored");
    assert_eq!((summary.counts.rows, summary.counts.errors), (10, 8));
    assert!(summary.first_error.is_some_and(|first| first.starts_with("row 2: column \"text\"")));
    let text = std::fs::read(stage.path("out.csv")).expect("there");
    let text = String::from_utf8_lossy(&text).into_owned();
    let table = Table::read(&stage.file("lossy.csv", &text));
    let errors = table.column("error");
    let check = |row: usize, words: &[&str]| {
        assert!(words.iter().all(|word| errors[row].contains(word)), "{row}: {}", errors[row]);
    };
    check(1, &["\"text\"", "empty"]);
    check(2, &["empty"]);
    check(3, &["line 5", "1 values", "2 columns"]);
    check(4, &["line 6", "3 values", "beyond the columns: \"more\""]);
    check(5, &["line 7", "\"text\"", "not UTF-8"]);
    check(6, &["line 8", "\"id\"", "not UTF-8"]);
    check(7, &["too long", "1048576"]);
    check(9, &["line 11", "never closed"]);
    for row in [0, 8] {
        assert_eq!(errors[row], "");
        assert_eq!(table.column("probability")[row], table.column("probability")[0]);
    }
    assert!(table.column("probability").iter().filter(|cell| cell.is_empty()).count() == 8);
    assert_eq!(table.column("id")[..6], ["1", "2", "3", "4", "5", "6"]);
    // In other formats the rows are as many, and the cells readable.
    for out in ["out.jsonl", "out.parquet"] {
        assert_eq!(stage.ask("in.csv", out).run().expect("scored").counts, summary.counts);
    }
    assert_eq!(stage.text("out.jsonl").lines().count(), 10);
}

#[test]
fn lines_that_are_no_objects_fail_alone() {
    let stage = Stage::new();
    let rows = "{\"text\": \"Good.\"}\n{\"text\": 5}\n{\"text\": null}\n[]\n{\"text\n{\"text\": \
                \"a\", \"text\": \"b\"}\n{\"other\": 1}\n{\"text\": \"Good.\"}\n";
    stage.file("in.jsonl", rows);
    let counts = stage.ask("in.jsonl", "out.jsonl").run().expect("scored").counts;
    assert_eq!((counts.rows, counts.errors), (8, 6));
    let lines: Vec<serde_json::Value> = stage
        .text("out.jsonl")
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let error = |at: usize| lines[at]["error"].as_str().unwrap_or_default();
    assert!(error(1).contains("a number") && error(2).contains("missing"), "{lines:?}");
    assert!(error(3).contains("line 4") && error(4).contains("line 5"), "{lines:?}");
    assert!(error(4).ends_with("; it reads: \"{\\\"text\""), "{lines:?}");
    assert!(error(5).contains("twice") && error(6).contains("missing"), "{lines:?}");
    assert_eq!(lines[0]["label"], lines[7]["label"]);
    assert!(lines[0]["error"].is_null() && lines[1]["label"].is_null());
    assert_eq!(stage.ask("in.jsonl", "out.csv").run().expect("scored").counts, counts);
}

#[test]
fn one_prompt_that_the_encoder_cannot_do_fails_alone() {
    let stage = Stage::new();
    stage.file("in.csv", reviews(20) + "20,unmistakable\n21,unmistakable\n");
    stage.ask("in.csv", "good.csv").run().expect("scored");
    let batches = Arc::new(AtomicUsize::new(0));
    // The longest of one word, by its length.
    let predictor = &stage.model.tasks["polarity"].predictor;
    let example = dynamar::task::Example { values: vec!["unmistakable".to_owned()] };
    let guilty = predictor.prompt(&example, 0).expect("a prompt").input_ids;
    let counted = Arc::clone(&batches);
    let ask = stage.ask("in.csv", "out.csv").with_trick(move |prompts| {
        counted.fetch_add(1, Ordering::Relaxed);
        match prompts.iter().any(|prompt| prompt.input_ids == guilty) {
            true if prompts.len() > 1 => panic!("a batch with the one"),
            true => Err(PredictError::Encoder("no memory".to_owned())),
            false => Ok(()),
        }
    });
    let summary = ask.run().expect("scored");
    assert_eq!((summary.counts.rows, summary.counts.errors), (22, 2));
    let (good, found) = (Table::read(&stage.path("good.csv")), Table::read(&stage.path("out.csv")));
    assert_eq!(good.column("label")[..20], found.column("label")[..20]);
    let pairs = good.numbers("probability").into_iter().take(20);
    let numbers = found.column("probability");
    for (expected, found) in pairs.zip(numbers) {
        let found: f64 = found.parse().expect("a number");
        assert!((expected - found).abs() < 1e-6);
    }
    assert_eq!(found.column("error")[20..], ["the encoder failed: no memory"; 2]);
    assert!(batches.load(Ordering::Relaxed) > 3);
}

#[test]
fn more_errors_than_may_be_end_the_run_and_keep_what_was_written() {
    let stage = Stage::new();
    stage.file("in.csv", "id,text\n1,a\n2,\n3,b\n4,\n5,\n6,c\n");
    let mut ask = stage.ask("in.csv", "out.csv");
    (ask.chunk_rows, ask.max_errors) = (1, Some(1));
    let error = ask.run().expect_err("too many").to_string();
    assert!(error.contains("2 rows have failed") && error.contains("row 2"), "{error}");
    assert_eq!(stage.files(), ["in.csv", "out.csv.partial", "out.csv.partial.state"]);
    (ask.max_errors, ask.unfinished) = (Some(3), dynamar::bulk::Unfinished::Resume);
    let summary = ask.run().expect("few enough");
    assert_eq!((summary.counts.rows, summary.counts.errors, summary.resumed), (6, 3, 4));
    assert_eq!(stage.files(), ["in.csv", "out.csv"]);
    assert_eq!(Table::read(&stage.path("out.csv")).column("id"), ["1", "2", "3", "4", "5", "6"]);
}

#[test]
fn what_a_row_is_told_is_short_whatever_stands_in_it() {
    let stage = Stage::new();
    let (long, name) = ("x".repeat(100_000), "n".repeat(4000));
    let rows = format!("{name},text\n1\n1,Good.,{long}\n");
    stage.file("in.csv", [rows.as_bytes(), b"\xff,a\n"].concat());
    let lines = format!("\"{long}\"\n{{\"{long}\n{{\"text\":{{}},\"{name}\":1}}\n");
    stage.file("in.jsonl", lines + &format!("{{\"text\":\"a\",\"b\":1,\"b\":\"{long}\"}}\n"));
    for input in ["in.csv", "in.jsonl"] {
        let out = format!("{input}-out.csv");
        stage.ask(input, &out).run().expect("scored");
        let bytes = std::fs::read(stage.path(&out)).expect("there");
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let table = Table::read(&stage.file("lossy.csv", &text));
        let errors = table.column("error");
        assert!(errors.iter().all(|error| error.len() < 5000), "{errors:?}");
        assert!(errors.iter().filter(|error| !error.is_empty()).count() >= 2, "{errors:?}");
    }
}

#[test]
fn a_fault_of_the_program_ends_the_run_and_keeps_what_was_written() {
    let stage = Stage::new();
    stage.file("in.csv", super::stage::reviews(100));
    let mut ask = stage.ask("in.csv", "out.csv");
    ask.is_broken = true;
    let error = ask.run().expect_err("a fault").to_string();
    assert!(error.contains("a broken encoder") && error.contains("a fault of ours"), "{error}");
    (ask.is_broken, ask.unfinished) = (false, dynamar::bulk::Unfinished::Resume);
    assert_eq!(ask.run().expect("it goes on").counts.rows, 100);
}

#[test]
fn what_cannot_be_is_said_before_anything_is_written() {
    let stage = Stage::new();
    stage.file("in.csv", "id,text,label\n1,a,b\n");
    let check = |input: &str, out: &str, words: &[&str]| {
        let before = stage.files();
        let error = stage.ask(input, out).run().expect_err("refused").to_string();
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
        assert_eq!(stage.files(), before);
    };
    check("in.csv", "out.csv", &["in.csv", "\"label\"", "--prefix"]);
    check("in.csv", "in.csv", &["\"label\""]);
    check("no.csv", "out.csv", &["cannot read", "no.csv"]);
    check("in.csv", "out.xlsx", &["out.xlsx", ".parquet"]);
    stage.file("other.csv", "id,review\n1,a\n");
    check("other.csv", "out.csv", &["\"text\"", "\"id\", \"review\"", "--field text=COLUMN"]);
    stage.file("good.csv", "text\na\n");
    check("good.csv", "good.csv", &["is the input and the output"]);
    stage.file("out.csv", "old");
    check("good.csv", "out.csv", &["out.csv exists already", "--replace"]);
    check("good.csv", "good.csv/such/out.csv", &["cannot make the directory", "good.csv/such"]);
    check("other.csv", "no/such/out.csv", &["\"text\""]);
    let mut ask = stage.ask("good.csv", "out.csv");
    ask.replace = true;
    ask.run().expect("replaced");
    assert!(stage.text("out.csv").starts_with("text,label"));
    // A directory that is not there is made.
    stage.ask("good.csv", "no/such/out.csv").run().expect("scored");
    assert!(stage.path("no/such/out.csv").exists());
}
