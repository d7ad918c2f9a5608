//! Parquet files that are not quite as they should be, or larger than is usual.

use std::{
    fs::{self, File},
    path::Path,
    sync::{Arc, atomic::AtomicBool},
};

use arrow_array::{ArrayRef, RecordBatch, StringArray, cast::AsArray};
use arrow_schema::DataType;
use parquet::{
    arrow::{ArrowWriter, arrow_reader::ParquetRecordBatchReaderBuilder},
    column::writer::ColumnWriter,
    data_type::ByteArray,
    file::writer::SerializedFileWriter,
    schema::parser::parse_message_type,
};

use super::{
    resume::{Snapshots, resumed},
    stage::{Stage, Table},
};

/// Writes rows of bytes to one column, whatever its type says of them.
fn write_bytes(path: &Path, column: &str, rows: &[&[u8]]) {
    let schema = parse_message_type(&format!("message m {{ {column}; }}")).expect("a schema");
    let file = File::create(path).expect("a place");
    let mut writer = SerializedFileWriter::new(file, Arc::new(schema), Arc::default());
    let writer = writer.as_mut().expect("a file");
    let mut group = writer.next_row_group().expect("a group");
    let mut column = group.next_column().expect("a column").expect("the one");
    let ColumnWriter::ByteArrayColumnWriter(bytes) = column.untyped() else { panic!("bytes") };
    let values: Vec<ByteArray> = rows.iter().map(|row| row.to_vec().into()).collect();
    bytes.write_batch(&values, Some(&vec![1; rows.len()]), None).expect("written");
    column.close().expect("closed");
    group.close().expect("closed");
    writer.finish().expect("closed");
}

#[test]
fn a_text_that_is_not_utf_8_fails_alone() {
    let stage = Stage::new();
    for column in ["optional binary text (UTF8)", "required binary text (STRING)"] {
        write_bytes(&stage.path("in.parquet"), column, &[b"Good.", b"Go\xffod.", b"", b"Good."]);
        for out in ["out.parquet", "out.csv"] {
            let mut ask = stage.ask("in.parquet", out);
            ask.replace = true;
            let counts = ask.run().expect("scored").counts;
            assert_eq!((counts.rows, counts.errors), (4, 2), "{column}");
        }
        let table = Table::read(&stage.path("out.csv"));
        assert_eq!(table.column("error")[1], "column \"text\": not UTF-8 after byte 2");
        assert_eq!(table.column("text"), ["Good.", "Go\u{fffd}od.", "", "Good."]);
        assert_eq!(table.column("probability")[0], table.column("probability")[3]);
        let file = File::open(stage.path("out.parquet")).expect("there");
        let reader = ParquetRecordBatchReaderBuilder::try_new(file).expect("Parquet");
        assert_eq!(reader.schema().field(0).data_type(), &DataType::Utf8);
        let batch = reader.build().expect("readable").next().expect("rows").expect("readable");
        assert_eq!(batch.column(0).as_string::<i32>().value(1), "Go\u{fffd}od.");
    }
}

#[test]
fn another_column_that_is_not_utf_8_is_told_too() {
    let stage = Stage::new();
    write_bytes(&stage.path("in.parquet"), "optional binary text (JSON)", &[b"\"Good.\"", b"\xff"]);
    let mut ask = stage.ask("in.parquet", "out.jsonl");
    (ask.task, ask.naming.fields) =
        ("match", [("brand", "text")].map(|(f, c)| (f.into(), c.into())).into());
    // The other fields are missing.
    let error = ask.run().expect_err("no column").to_string();
    assert!(error.contains("\"query\""), "{error}");
    let counts = stage.ask("in.parquet", "out.jsonl").run().expect("scored").counts;
    assert_eq!((counts.rows, counts.errors), (2, 1));
}

#[test]
fn parquet_of_long_rows_goes_on_to_the_same_bytes() {
    let stage = Stage::new();
    let rows = 0..420;
    let texts: StringArray = rows.clone().map(|row| Some(format!("Case {row}."))).collect();
    // Some pages for every chunk.
    let notes: StringArray = rows.map(|row| Some(format!("{row:08}").repeat(3000))).collect();
    let columns = [("text", Arc::new(texts) as ArrayRef), ("note", Arc::new(notes))];
    let batch = RecordBatch::try_from_iter(columns).expect("of one length");
    let file = File::create(stage.path("in.parquet")).expect("a place");
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).expect("known types");
    writer.write(&batch).expect("written");
    writer.close().expect("closed");
    let mut ask = stage.ask("in.parquet", "out.parquet");
    ask.chunk_rows = 100;
    let into = stage.path("killed");
    let mut snapshots = Snapshots::of(&ask, &into);
    ask.run_with(&mut snapshots, &AtomicBool::new(false)).expect("scored");
    let expected = fs::read(&ask.out).expect("there");
    assert_eq!(snapshots.taken, 5);
    for taken in 0..snapshots.taken {
        let out = into.join(taken.to_string()).join("out.parquet");
        let summary = resumed(&ask, &out).run().expect("it goes on");
        assert!(summary.resumed > 0 && fs::read(&out).expect("there") == expected, "{taken}");
    }
}

/// A Parquet file that is nothing but a footer of these elements, which say how many children they
/// have.
fn footer(elements: &[i32]) -> Vec<u8> {
    fn varint(mut number: u32, into: &mut Vec<u8>) {
        while number > 0x7f {
            into.push((number & 0x7f | 0x80) as u8);
            number >>= 7;
        }
        into.push(number as u8);
    }
    let mut footer = vec![0x15, 2, 0x19, 0xfc];
    varint(elements.len() as u32, &mut footer);
    for &children in elements {
        footer.extend([0x35, 2, 0x18, 1, b'a']);
        if children > 0 {
            footer.push(0x15);
            varint((children as u32) << 1, &mut footer);
        }
        footer.push(0);
    }
    // No rows, in no groups.
    footer.extend([0x16, 0, 0x19, 0x0c, 0]);
    let length = footer.len() as u32;
    [&b"PAR1"[..], &footer, &length.to_le_bytes(), b"PAR1"].concat()
}

#[test]
fn a_schema_that_would_end_the_process_is_refused() {
    let stage = Stage::new();
    let check = |elements: &[i32], words: &str| {
        stage.file("in.parquet", footer(elements));
        let error = stage.ask("in.parquet", "out.csv").run().expect_err("refused").to_string();
        assert!(error.contains("in.parquet") && error.contains(words), "{error}");
    };
    let mut nested = vec![1; 60_000];
    nested.push(0);
    check(&nested, "groups deep");
    check(&[i32::MAX, 0], "damaged");
    check(&vec![0; 100_000], "100000 elements");
}
