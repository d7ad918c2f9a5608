//! Files that want all memory.

use std::{fs::File, sync::Arc};

use arrow_array::{ArrayRef, RecordBatch, StringArray};
use parquet::{
    arrow::ArrowWriter,
    basic::{Compression, ZstdLevel},
    file::properties::WriterProperties,
};

use super::stage::{Stage, Table, reviews};

#[test]
fn a_record_that_is_too_long_fails_and_the_next_ones_do_not() {
    let stage = Stage::new();
    let long = "x".repeat((16 << 20) + 1);
    stage.file("in.csv", format!("id,text\n1,Good.\n2,{long}\n3,Good.\n"));
    let counts = stage.ask("in.csv", "out.csv").run().expect("scored").counts;
    assert_eq!((counts.rows, counts.errors), (3, 1));
    let table = Table::read(&stage.path("out.csv"));
    let errors = table.column("error");
    assert!(errors[1].contains("line 3: a record of 16777219 bytes"), "{errors:?}");
    assert_eq!(table.column("id"), ["1", "", "3"]);
    stage.file("in.jsonl", format!("{{\"text\":\"{long}\"}}\n{{\"text\":\"Good.\"}}\n"));
    let counts = stage.ask("in.jsonl", "out.jsonl").run().expect("scored").counts;
    assert_eq!((counts.rows, counts.errors), (2, 1));
}

#[test]
fn a_page_that_unfolds_to_much_is_refused() {
    let stage = Stage::new();
    let long = "x".repeat((64 << 20) + 1);
    let texts: ArrayRef = Arc::new(StringArray::from(vec!["Good.", &long]));
    let batch = RecordBatch::try_from_iter([("text", texts)]).expect("one column");
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_dictionary_enabled(false);
    let path = stage.path("in.parquet");
    let file = File::create(&path).expect("a place");
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties.build()));
    let writer = writer.as_mut().expect("a known type");
    writer.write(&batch).expect("written");
    writer.finish().expect("closed");
    assert!(path.metadata().expect("there").len() < 1 << 20, "a small file");
    let error = stage.ask("in.parquet", "out.csv").run().expect_err("refused").to_string();
    assert!(error.contains("in.parquet") && error.contains("67108864 are taken"), "{error}");
}

#[test]
fn a_damaged_file_is_said_to_be_and_ends_nothing_else() {
    let stage = Stage::new();
    stage.file("in.csv", reviews(40));
    stage.ask("in.csv", "good.parquet").run().expect("scored");
    let good = std::fs::read(stage.path("good.parquet")).expect("there");
    let mut refused = 0;
    for at in (4..good.len()).step_by(good.len() / 60) {
        let mut damaged = good.clone();
        damaged[at] ^= 0x55;
        stage.file("damaged.parquet", &damaged);
        let mut ask = stage.ask("damaged.parquet", "out.jsonl").prefixed("x_");
        (ask.replace, ask.unfinished) = (true, dynamar::bulk::Unfinished::Restart);
        // Not every byte matters, and a text may be another one.
        refused += usize::from(ask.run().is_err());
    }
    assert!(refused > 10, "{refused}");
    for length in [0, 3, 8, 11, good.len() - 1] {
        stage.file("short.parquet", &good[..length]);
        let error = stage.ask("short.parquet", "short.csv").run().expect_err("refused");
        assert!(error.to_string().contains("short.parquet"), "{error}");
    }
}
