//! Labelled examples from any file.

use std::{fs::File, path::Path, sync::Arc};

use arrow_array::{ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray};
use dynamar::{
    dataset::{Dataset, Reading, read_labelled},
    prompt::TaskFile,
    rows::{Encoding, Origin, ReadOptions},
    task::Target,
};
use parquet::arrow::ArrowWriter;

use super::cases::{Desk, GOOD, TASK, gzip, json, jsonl, rows, separated_by, utf16, zstandard};

fn values(data: &Dataset) -> Vec<(String, String)> {
    let label = |target: &Target| ["negative", "positive"][target.label().expect("a label")];
    let examples = data.examples.iter();
    examples.map(|one| (one.example.values[0].clone(), label(&one.target).to_owned())).collect()
}

fn with(options: ReadOptions) -> Reading {
    Reading { options, skip_faulty: None }
}

#[test]
fn the_same_rows_come_out_of_every_kind_of_file() {
    let desk = Desk::new();
    let check = |name: &str, content: Vec<u8>, options: ReadOptions| {
        let data = desk.read(name, content, &with(options)).expect(name);
        assert_eq!(values(&data), rows(), "{name}");
    };
    let usual = |name: &str, content: Vec<u8>| check(name, content, ReadOptions::default());
    usual("good.csv", GOOD.into());
    usual("marked.csv", format!("\u{feff}{GOOD}").into());
    usual("crlf.csv", GOOD.replace('\n', "\r\n").into());
    usual("cr.csv", GOOD.replace('\n', "\r").into());
    usual("blank.csv", GOOD.replace('\n', "\n\n").into());
    usual("space_header.csv", GOOD.replace("text,sentiment", "text, sentiment ").into());
    usual("semi.csv", separated_by(';').into());
    usual("tab.tsv", separated_by('\t').into());
    usual("tab.txt", separated_by('\t').into());
    usual("bar.csv", separated_by('|').into());
    usual("good.jsonl", jsonl().into());
    usual("lines.json", jsonl().into());
    usual("array.json", json().into());
    usual("no-extension", jsonl().into());
    usual("good.csv.gz", gzip(GOOD));
    usual("good.jsonl.zst", zstandard(&jsonl()));
    // By what they are, whatever they are called.
    usual("packed.csv", gzip(GOOD));
    usual("utf16.csv", utf16(GOOD));
    usual("utf16.tsv.gz", {
        let text = utf16(&separated_by('\t'));
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut encoder, &text).expect("written");
        encoder.finish().expect("finished")
    });
    let colon = ReadOptions { separator: Some(b':'), ..ReadOptions::default() };
    check("colon.csv", separated_by(':').into(), colon);
}

#[test]
fn a_file_in_another_encoding_is_named_or_read() {
    let desk = Desk::new();
    let latin: Vec<u8> = GOOD.replace("charm", "caf\u{e9}").chars().map(|c| c as u8).collect();
    let error = desk.read("latin.csv", &latin, &Reading::default()).expect_err("not UTF-8");
    let error = error.to_string();
    assert!(error.contains("latin.csv:5: column \"text\": not UTF-8"), "{error}");
    assert!(error.contains("--encoding windows-1252"), "{error}");
    let encoding = Some(Encoding::Windows1252);
    let reading = with(ReadOptions { encoding, ..ReadOptions::default() });
    let data = desk.read("latin.csv", &latin, &reading).expect("read");
    assert_eq!(data.examples[3].example.values[0], "Works like a caf\u{e9}");
}

/// Expects this message of a file with these lines after a header.
fn check_fault(name: &str, content: &str, words: &[&str]) {
    let desk = Desk::new();
    let error = desk.read(name, content, &Reading::default()).expect_err(name).to_string();
    for word in words {
        assert!(error.contains(word), "{name}: {error:?} says {word:?}");
    }
}

#[test]
fn faults_are_told_on_the_line_that_an_editor_shows() {
    let header = "sentiment,text\n";
    let bad = format!("{header}positive,good one\nnegatve,bad one\npositive,fine\n");
    check_fault("min_lf.csv", &bad, &["min_lf.csv:3: ", "unknown label \"negatve\""]);
    check_fault("min_crlf.csv", &bad.replace('\n', "\r\n"), &["min_crlf.csv:3: "]);
    check_fault("min_cr.csv", &bad.replace('\n', "\r"), &["min_cr.csv:3: "]);
    let blank = bad.replace("one\nnegatve", "one\n\n\nnegatve");
    check_fault("min_blank.csv", &blank, &["min_blank.csv:5: "]);
    check_fault("min_blank2.csv", &blank.replace('\n', "\r\n"), &["min_blank2.csv:5: "]);
    let quoted = bad.replace("good one", "\"good\none\"");
    check_fault("quoted.csv", &quoted, &["quoted.csv:4: "]);
    let array = json().replace("\"positive\"", "\"posative\"");
    check_fault("a.json", &array, &["a.json:3: ", "a.json:5: ", "posative"]);
    check_fault(
        "a.jsonl",
        "\n{\"text\": 5, \"sentiment\": \"positive\"}\n",
        &["a.jsonl:2: column \"text\": a number, and a text is needed"],
    );
}

#[test]
fn quotes_that_swallow_rows_are_refused_where_they_open() {
    let header = "sentiment,text\npositive,Best phone I ever had\nnegative,Screen cracked\n";
    let rest = "positive,Great value\nnegative,Support never answered\npositive,Fast and pretty\n";
    let open = format!("{header}negative,\"Awful sound so I sent it back\n{rest}");
    check_fault("min_open.csv", &open, &["min_open.csv:4: a quote is never closed"]);
    let inner = format!("{header}negative,\"Awful\" is not the word\n{rest}");
    check_fault("q_inner.csv", &inner, &["q_inner.csv:4: ", "goes on after its closing quote"]);
    let spark =
        "text,sentiment\n\"fine\",positive\n\"He said \\\"never again\\\" twice\",negative\n";
    check_fault("spark.csv", spark, &["spark.csv:3: ", "goes on", "--escape '\\'"]);
    let comma =
        "text,sentiment\n\"He said \\\"never, ever\\\" twice\",negative\n\"fine\",positive\n";
    check_fault("spark_comma.csv", comma, &["spark_comma.csv:2: ", "--escape '\\'"]);
    let desk = Desk::new();
    let reading = with(ReadOptions { escape: Some(b'\\'), ..ReadOptions::default() });
    let data = desk.read("spark_comma.csv", comma, &reading).expect("read");
    assert_eq!(data.examples[0].example.values, ["He said \"never, ever\" twice"]);
    let data = desk.read("spark.csv", spark, &reading).expect("read");
    assert_eq!(data.examples[1].example.values, ["He said \"never again\" twice"]);
    // Files without quoting, as many of tabs are.
    let plain = "text\tsentiment\n\"Awful\" is not the word\tnegative\n\"half\tpositive\n";
    let reading = with(ReadOptions { no_quotes: true, ..ReadOptions::default() });
    let data = desk.read("plain.tsv", plain, &reading).expect("read");
    assert_eq!(data.examples[1].example.values, ["\"half"]);
}

#[test]
fn columns_are_found_by_one_rule_and_quoted_in_messages() {
    check_fault("a.csv", "text, label\na,b\n", &["no column \"sentiment\"", "\"text\", \"label\""]);
    let task = TASK.replace("min_tokens = 8", "column = \"review\"");
    let task = TaskFile::parse(&task, "task.toml").expect("a good task");
    let desk = Desk::new();
    let read = |name: &str, content: &str| {
        desk.file(name, content);
        let origin = Origin::new(&desk.path(name));
        read_labelled(&[origin], &task, &Reading::default())
    };
    for (name, content) in [
        ("a.csv", "review,sentiment\nGood,positive\n"),
        ("b.csv", "text,sentiment\nGood,positive\n"),
        ("c.jsonl", "{\"review\":\"Good\",\"sentiment\":\"positive\"}\n"),
        ("d.jsonl", "{\"text\":\"Good\",\"sentiment\":\"positive\"}\n"),
    ] {
        let labelled = read(name, content).expect(name);
        assert_eq!(labelled.data.examples[0].example.values, ["Good"], "{name}");
        assert!(labelled.notes.is_empty());
    }
    let both = read("e.csv", "text,review,sentiment\nGood,Bad,positive\n").expect("read");
    assert_eq!(both.data.examples[0].example.values, ["Good"]);
    assert!(both.notes[0].contains("\"text\"") && both.notes[0].contains("\"review\""));
    let error = read("f.csv", "body,sentiment\nGood,positive\n").expect_err("none").to_string();
    assert!(error.contains("no column \"text\" or \"review\""), "{error}");
}

fn parquet(path: &Path, sentiment: ArrayRef) {
    let texts: ArrayRef = Arc::new(StringArray::from(vec!["a", "b", "c"]));
    let batch = RecordBatch::try_from_iter([("text", texts), ("sentiment", sentiment)]);
    let batch = batch.expect("two columns");
    let file = File::create(path).expect("a place");
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).expect("known types");
    writer.write(&batch).expect("written");
    writer.close().expect("closed");
}

#[test]
fn labels_are_found_in_cells_of_any_type() {
    let desk = Desk::new();
    let path = desk.path("in.parquet");
    let check = |names: &str, sentiment: ArrayRef| {
        parquet(&path, sentiment);
        let task = TASK.replace("[\"negative\", \"positive\"]", names);
        let task = TaskFile::parse(&task, "task.toml").expect("a good task");
        let data = read_labelled(&[Origin::new(&path)], &task, &Reading::default());
        let targets = data.expect("read").data.targets();
        assert_eq!(targets, [1, 0, 1].map(Target::Label), "{names}");
    };
    check("[0, 1]", Arc::new(Int64Array::from(vec![1, 0, 1])));
    check("[\"0\", \"1\"]", Arc::new(Float64Array::from(vec![1.0, 0.0, 1.0])));
    check("[\"0.0\", \"1.0\"]", Arc::new(StringArray::from(vec!["1", "0", "1"])));
    check("[false, true]", Arc::new(BooleanArray::from(vec![true, false, true])));
    check("[\"no\", \"yes\"]", Arc::new(StringArray::from(vec!["yes", "no", "yes"])));
    // Packed, it is unpacked first.
    let bytes = std::fs::read(&path).expect("there");
    desk.file("in.parquet.zst", zstd::encode_all(&bytes[..], 1).expect("packed"));
    let task = TASK.replace("[\"negative\", \"positive\"]", "[\"no\", \"yes\"]");
    let task = TaskFile::parse(&task, "task.toml").expect("a good task");
    let origin = Origin::new(&desk.path("in.parquet.zst"));
    let data = read_labelled(&[origin], &task, &Reading::default()).expect("read").data;
    assert_eq!(data.targets(), [1, 0, 1].map(Target::Label));
}

#[test]
fn faulty_rows_are_left_out_when_that_is_asked_for() {
    let desk = Desk::new();
    let bad = format!("{GOOD}a,b,c\nfine,maybe\n,positive\n\"x\" y,positive\n");
    let skip = |limit| Reading { skip_faulty: Some(limit), ..Reading::default() };
    let files = [desk.file("bad.csv", &bad), desk.file("good.csv", GOOD)];
    let task = TaskFile::parse(TASK, "task.toml").expect("a good task");
    let origins = files.map(|path| Origin::new(Path::new(&path)));
    let labelled = read_labelled(&origins, &task, &skip(4)).expect("four at most");
    assert_eq!(values(&labelled.data), [rows(), rows()].concat());
    assert!(labelled.data.path.ends_with("good.csv") && labelled.data.path.contains("bad.csv, "));
    let note = &labelled.notes[0];
    assert!(note.starts_with("4 faulty rows left out:\n"), "{note}");
    for line in 8..12 {
        assert!(note.contains(&format!("bad.csv:{line}: ")), "{note}");
    }
    let error = read_labelled(&origins, &task, &skip(3)).expect_err("one too many").to_string();
    assert!(error.contains("more than 3 rows") && error.contains("bad.csv:11: "), "{error}");
    // A row that may have taken in others is none that can be left out.
    let open = format!("{GOOD}\"open,positive\nfine,positive\n");
    let error = desk.read("open.csv", open, &skip(100)).expect_err("it swallows").to_string();
    assert!(error.contains("open.csv:8: ") && error.contains("not left out"), "{error}");
}
