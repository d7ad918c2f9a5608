//! Every format goes to every other, and what is said is what is said elsewhere.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Read, Write},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use dynamar::{
    bulk::{Files, Format, Input, MAX_CHUNKS, Shard, Target},
    inference::{TemplateChoice, predict},
    rows::{ReadOptions, STANDARD_INPUT},
    task::{Example, Output},
};

use super::stage::{Nobody, Stage, Table, reviews};

const FORMATS: [&str; 3] = ["csv", "jsonl", "parquet"];

#[test]
fn what_is_predicted_is_what_evaluate_predicts() {
    let stage = Stage::new();
    stage.file(
        "in.csv",
        "query,title,brand\nshoes,\"Red, running\",Fleet\n\"a \"\"lamp\"\"\",Lamp,\n",
    );
    let examples = [["shoes", "Red, running", "Fleet"], ["a \"lamp\"", "Lamp", ""]];
    let examples =
        examples.map(|values| Example { values: values.map(str::to_owned).to_vec() }).to_vec();
    for choice in [
        TemplateChoice::Default,
        TemplateChoice::Single(None),
        TemplateChoice::Ensemble(vec!["pair".to_owned(), "asked".to_owned()]),
    ] {
        let predictor = &stage.model.tasks["match"].predictor;
        let templates = predictor.select(&choice).expect("known");
        let expected = predict(&mut stage.encoder(), predictor, &examples, &templates);
        let mut ask = stage.ask("in.csv", "out.csv");
        (ask.task, ask.choice, ask.naming.scores, ask.replace) = ("match", choice, true, true);
        let summary = ask.run().expect("scored");
        assert_eq!((summary.counts.rows, summary.counts.errors), (2, 0));
        let table = Table::read(&stage.path("out.csv"));
        let labels = ["exact", "substitute", "complement", "irrelevant"];
        for (row, expected) in expected.expect("predicted").iter().enumerate() {
            let Output::Probabilities(probabilities) = &expected.output else { panic!("labels") };
            for (label, expected) in labels.iter().zip(probabilities) {
                let found = table.numbers(&format!("probability_{label}"))[row];
                assert!((found - f64::from(*expected)).abs() < 1e-6, "{found} {expected}");
            }
            let best = expected.output.best_label().expect("labels");
            assert_eq!(table.column("label")[row], labels[best]);
            let probability = table.numbers("probability")[row];
            assert!((probability - f64::from(probabilities[best])).abs() < 1e-6);
        }
    }
}

#[test]
fn a_value_is_predicted_and_a_cut_text_is_said() {
    let stage = Stage::new();
    let long = "word ".repeat(100);
    stage.file("in.jsonl", format!("{{\"review\": \"Good.\"}}\n{{\"review\": \"{long}\"}}\n"));
    let mut ask = stage.ask("in.jsonl", "out.csv");
    ask.task = "intensity";
    ask.naming.fields = BTreeMap::from([("text".to_owned(), "review".to_owned())]);
    let counts = ask.run().expect("scored").counts;
    assert_eq!((counts.rows, counts.truncated), (2, 1));
    let table = Table::read(&stage.path("out.csv"));
    assert_eq!(table.names(), ["review", "value", "truncated", "error"]);
    assert_eq!(table.column("truncated"), ["false", "true"]);
    let examples = ["Good.", &long].map(|text| Example { values: vec![text.to_owned()] });
    let predictor = &stage.model.tasks["intensity"].predictor;
    let templates = predictor.select(&TemplateChoice::Default).expect("known");
    let expected = predict(&mut stage.encoder(), predictor, &examples, &templates);
    for (found, expected) in table.numbers("value").iter().zip(expected.expect("predicted")) {
        let Output::Value(value) = expected.output else { panic!("a value") };
        assert!((found - value).abs() < 1e-5, "{found} {value}");
    }
}

#[test]
fn where_a_threshold_stands_the_label_to_act_on_is_written() {
    let mut stage = Stage::new();
    let task = stage.model.tasks.get_mut("polarity").expect("it is there");
    let task = Arc::get_mut(task).expect("it is the only one");
    // All of them are probable enough.
    task.predictor.head.calibration.threshold = Some(0.0);
    stage.file("in.csv", "text\nGreat.\nAwful.\n,\n");
    stage.ask("in.csv", "out.csv").run().expect("scored");
    let table = Table::read(&stage.path("out.csv"));
    let expected = ["text", "label", "probability", "decision", "truncated", "error"];
    assert_eq!(table.names(), expected);
    assert_eq!(table.column("decision"), ["positive", "positive", ""]);
}

#[test]
fn every_format_goes_to_every_format_and_back() {
    let stage = Stage::new();
    let rows =
        "id,text,note\n007,Great.,\"a \"\"b\"\", c\"\n8,\"Two\nlines, \u{1f44d}\",\n,Bad.,x\n";
    stage.file("in.csv", rows);
    let base = Table::read(&stage.path("in.csv"));
    for first in FORMATS {
        let a = format!("a.{first}");
        stage.ask("in.csv", &a).prefixed("a_").run().expect("scored");
        for second in FORMATS {
            let (b, c) = (format!("b-{first}.{second}"), format!("c-{first}-{second}.csv"));
            stage.ask(&a, &b).prefixed("b_").run().expect("scored");
            stage.ask(&b, &c).prefixed("c_").run().expect("scored");
            let table = Table::read(&stage.path(&c));
            let names = table.names().join(" ");
            assert_eq!(
                names,
                "id text note a_label a_probability a_truncated a_error b_label b_probability \
                 b_truncated b_error c_label c_probability c_truncated c_error"
            );
            for column in ["id", "text", "note"] {
                assert_eq!(table.column(column), base.column(column), "{first} {second}");
            }
            for what in ["label", "probability", "truncated", "error"] {
                let of = |run: &str| table.column(&format!("{run}_{what}"));
                assert_eq!((of("a"), of("b")), (of("c"), of("c")), "{first} {second} {what}");
            }
            assert_eq!(table.column("c_truncated"), ["false"; 3]);
        }
    }
}

#[test]
fn lines_of_json_stay_as_they_were_written() {
    let stage = Stage::new();
    let line = "{\"z\": 1.50, \"text\": \"Gr\\u00e4t\", \"big\": 123456789012345678901234567890}";
    stage.file("in.jsonl", format!("\n{line}\r\n\n"));
    stage.ask("in.jsonl", "out.jsonl").run().expect("scored");
    let text = stage.text("out.jsonl");
    let inner = &line[..line.len() - 1];
    assert!(text.starts_with(&format!("{inner},\"label\":\"")), "{text}");
    assert!(text.ends_with(",\"truncated\":false,\"error\":null}\n"), "{text}");
}

#[test]
fn a_file_without_rows_becomes_one() {
    let stage = Stage::new();
    stage.file("in.csv", "id,text\n");
    for format in FORMATS {
        let out = format!("out.{format}");
        assert_eq!(stage.ask("in.csv", &out).run().expect("scored").counts.rows, 0);
        stage.ask(&out, &format!("back-{format}.csv")).prefixed("x_").run().expect("scored");
    }
    assert_eq!(stage.text("out.csv"), "id,text,label,probability,truncated,error\n");
    assert_eq!(stage.text("out.jsonl"), "");
    let table = Table::read(&stage.path("back-parquet.csv"));
    assert_eq!((table.rows.len(), table.names().len()), (0, 10));
}

#[test]
fn shards_one_after_the_other_are_the_whole() {
    let stage = Stage::new();
    stage.file("in.csv", reviews(50));
    stage.ask("in.csv", "in.jsonl").prefixed("x_").run().expect("scored");
    stage.ask("in.csv", "in.parquet").prefixed("x_").run().expect("scored");
    stage.ask("in.csv", "whole.csv").run().expect("scored");
    let whole = Table::read(&stage.path("whole.csv"));
    for format in FORMATS {
        let (mut ids, mut labels, mut numbers) = (Vec::new(), Vec::new(), Vec::new());
        for index in 0..3 {
            let out = format!("{format}-{index}.csv");
            let mut ask = stage.ask(&format!("in.{format}"), &out);
            ask.shard = Some(Shard { index, count: 3 });
            ask.run().expect("scored");
            let part = Table::read(&stage.path(&out));
            ids.extend(part.column("id").iter().map(|id| (*id).to_owned()));
            labels.extend(part.column("label").iter().map(|label| (*label).to_owned()));
            numbers.extend(part.numbers("probability"));
        }
        assert_eq!(ids, whole.column("id"), "{format}");
        assert_eq!(labels, whole.column("label"));
        // Their batches are others.
        let expected = whole.numbers("probability");
        assert!(numbers.iter().zip(expected).all(|(found, one)| (found - one).abs() < 1e-6));
    }
}

/// Rows of one length, and what was read of them.
struct Rows {
    left: usize,
    pending: Vec<u8>,
    read: Arc<AtomicU64>,
}

impl Read for Rows {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.pending.is_empty() && self.left > 0 {
            self.left -= 1;
            self.pending = format!("{:06},{}\n", self.left, "a word ".repeat(145)).into_bytes();
        }
        let taken = self.pending.len().min(buffer.len());
        buffer[..taken].copy_from_slice(&self.pending[..taken]);
        self.pending.drain(..taken);
        self.read.fetch_add(taken as u64, Ordering::Relaxed);
        Ok(taken)
    }
}

/// Counts rows, and notes how far reading was before them.
struct Sink {
    read: Arc<AtomicU64>,
    rows: u64,
    ahead: u64,
    row_bytes: u64,
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let ahead = self.read.load(Ordering::Relaxed).saturating_sub(self.rows * self.row_bytes);
        self.ahead = self.ahead.max(ahead);
        self.rows += bytes.iter().filter(|&&byte| byte == b'\n').count() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_stream_is_read_only_so_far_ahead_whatever_its_length() {
    /// Bytes that are read at a time, and a row.
    const BUFFER_BYTES: u64 = 1 << 18;
    const ROW_BYTES: u64 = 1023;
    let stage = Stage::new();
    let mut ahead = Vec::new();
    for rows in [2000, 4000] {
        let read = Arc::new(AtomicU64::new(0));
        let input = Rows { left: rows, pending: b"id,text\n".to_vec(), read: Arc::clone(&read) };
        let mut sink = Sink { read, rows: 0, ahead: 0, row_bytes: ROW_BYTES };
        let ask = stage.ask("in.csv", "out.csv");
        let files = Files {
            input: Input::Stream(STANDARD_INPUT.to_owned(), Box::new(input)),
            reading: ReadOptions::default(),
            target: Target::Stream(&mut sink),
            output_format: Format::Csv,
        };
        let summary = ask.run_over(files, &mut Nobody, &AtomicBool::new(false)).expect("scored");
        assert_eq!((summary.counts.rows, sink.rows), (rows as u64, rows as u64 + 1));
        let chunk_bytes = ask.chunk_rows as u64 * ROW_BYTES;
        let most = (MAX_CHUNKS as u64 + 1) * chunk_bytes + 2 * BUFFER_BYTES;
        assert!(
            sink.ahead <= most,
            "{} of {}, at most {most}",
            sink.ahead,
            rows as u64 * ROW_BYTES
        );
        ahead.push(sink.ahead);
    }
    assert!(ahead[1] * 4 < 4000 * ROW_BYTES, "{ahead:?}");
    assert!(fs::read_dir(stage.home.path()).expect("a directory").count() == 1, "no file");
}
