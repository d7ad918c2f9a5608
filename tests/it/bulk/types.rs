//! Columns of Parquet keep their types, and become JSON and text where they have to.

use std::{collections::HashMap, fs::File, path::Path, sync::Arc};

use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, DictionaryArray,
    Float32Array, Int32Array, ListArray, RecordBatch, StringArray, StructArray,
    TimestampMicrosecondArray, UInt64Array,
    types::{Int32Type, Int64Type},
};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use parquet::arrow::{ArrowWriter, arrow_reader::ParquetRecordBatchReaderBuilder};

use super::stage::{Stage, Table};

/// Three rows of many types; the texts are a dictionary's.
fn rows() -> RecordBatch {
    let texts: DictionaryArray<Int32Type> =
        vec![Some("Good."), Some("Bad."), None].into_iter().collect();
    let list = ListArray::from_iter_primitive::<Int64Type, _, _>([
        Some(vec![Some(1), None]),
        None,
        Some(vec![]),
    ]);
    let inner = Arc::new(Field::new("x", DataType::Int32, true));
    let of_struct = StructArray::from(vec![(
        inner,
        Arc::new(Int32Array::from(vec![Some(1), None, Some(3)])) as ArrayRef,
    )]);
    let stamps = TimestampMicrosecondArray::from(vec![Some(1_500_000), None, Some(0)]);
    let decimals = Decimal128Array::from(vec![Some(12_345), Some(-1), None]);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("text", Arc::new(texts)),
        ("list", Arc::new(list)),
        ("struct", Arc::new(of_struct)),
        ("stamp", Arc::new(stamps.with_timezone("UTC"))),
        ("decimal", Arc::new(decimals.with_precision_and_scale(10, 2).expect("they fit"))),
        ("flag", Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)]))),
        ("single", Arc::new(Float32Array::from(vec![0.1, f32::NAN, -2.5]))),
        ("large", Arc::new(UInt64Array::from(vec![u64::MAX, 0, 1]))),
        ("bytes", Arc::new(BinaryArray::from(vec![&b"ab"[..], b"\xff\x00", b""]))),
        ("day", Arc::new(Date32Array::from(vec![Some(0), Some(19_000), None]))),
    ];
    let fields: Vec<Field> = columns
        .iter()
        .map(|(name, column)| Field::new(*name, column.data_type().clone(), true))
        .collect();
    let metadata = HashMap::from([("origin".to_owned(), "a test".to_owned())]);
    let schema = Arc::new(Schema::new_with_metadata(fields, metadata));
    RecordBatch::try_new(schema, columns.into_iter().map(|(_, column)| column).collect())
        .expect("columns of one length")
}

fn write(path: &Path, rows: &RecordBatch) {
    let file = File::create(path).expect("a place");
    let mut writer = ArrowWriter::try_new(file, rows.schema(), None).expect("known types");
    writer.write(rows).expect("written");
    writer.close().expect("closed");
}

/// The types that a file says it has, and its rows.
fn read(path: &Path) -> (SchemaRef, RecordBatch) {
    let file = File::open(path).expect("there");
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).expect("Parquet");
    let schema = Arc::clone(reader.schema());
    let mut batches = reader.build().expect("readable");
    let batch = batches.next().expect("rows").expect("readable");
    assert!(batches.next().is_none(), "a few rows");
    (schema, batch)
}

#[test]
fn columns_of_parquet_keep_types_values_and_metadata() {
    let stage = Stage::new();
    let expected = rows();
    write(&stage.path("in.parquet"), &expected);
    let summary = stage.ask("in.parquet", "out.parquet").run().expect("scored");
    assert_eq!((summary.counts.rows, summary.counts.errors), (3, 1));
    let (schema, found) = read(&stage.path("out.parquet"));
    assert_eq!(schema.metadata(), expected.schema().metadata());
    for (at, field) in expected.schema().fields().iter().enumerate() {
        assert_eq!(schema.field(at), field.as_ref());
        assert_eq!(found.column(at), expected.column(at), "{}", field.name());
    }
    let added = schema.fields().iter().skip(expected.num_columns());
    let added: Vec<(&str, &DataType)> =
        added.map(|field| (field.name().as_str(), field.data_type())).collect();
    assert_eq!(
        added,
        [
            ("label", &DataType::Utf8),
            ("probability", &DataType::Float32),
            ("truncated", &DataType::Boolean),
            ("error", &DataType::Utf8)
        ]
    );
    let nulls = |name: &str| found.column_by_name(name).expect("there").null_count();
    assert_eq!((nulls("label"), nulls("probability"), nulls("error")), (1, 1, 2));
}

#[test]
fn they_become_json_and_text() {
    let stage = Stage::new();
    write(&stage.path("in.parquet"), &rows());
    stage.ask("in.parquet", "out.jsonl").run().expect("scored");
    let text = stage.text("out.jsonl");
    let first = "{\"text\":\"Good.\",\"list\":[1,null],\"struct\":{\"x\":1},\
        \"stamp\":\"1970-01-01T00:00:01.500Z\",\"decimal\":\"123.45\",\"flag\":true,\"single\":0.1,\
        \"large\":18446744073709551615,\"bytes\":\"ab\",\"day\":\"1970-01-01\",\"label\":";
    assert!(text.starts_with(first), "{text}");
    let second = "\"list\":null,\"struct\":{\"x\":null},\"stamp\":null,\"decimal\":\"-0.01\",\
        \"flag\":null,\"single\":null,\"large\":0,\"bytes\":\"ff00\",\"day\":\"2022-01-08\"";
    assert!(text.contains(second), "{text}");
    stage.ask("in.parquet", "out.csv").run().expect("scored");
    let table = Table::read(&stage.path("out.csv"));
    assert_eq!(table.column("list"), ["[1,null]", "", "[]"]);
    assert_eq!(table.column("flag"), ["true", "", "false"]);
    assert_eq!(table.column("error")[2], "column \"text\": missing");
}

#[test]
fn numbers_of_json_become_columns_of_numbers() {
    let stage = Stage::new();
    let rows = "{\"text\":\"a\",\"n\":1,\"x\":1,\"b\":true,\"m\":1}\n\
                {\"text\":\"b\",\"n\":null,\"x\":0.5,\"m\":\"1\"}\n";
    stage.file("in.jsonl", rows);
    stage.ask("in.jsonl", "out.parquet").run().expect("scored");
    let (_, found) = read(&stage.path("out.parquet"));
    let kind = |name: &str| found.column_by_name(name).expect("there").data_type().clone();
    let kinds = ["text", "n", "x", "b", "m"].map(kind);
    use DataType::{Boolean, Float64, Int64, Utf8};
    assert_eq!(kinds, [Utf8, Int64, Float64, Boolean, Utf8]);
}

#[test]
fn whole_numbers_of_any_length_keep_their_digits() {
    let stage = Stage::new();
    let digits = ["123456789012345678901234", "7", "18446744073709551616"];
    let rows = digits.map(|id| format!("{{\"id\":{id},\"text\":\"a\"}}\n")).concat();
    stage.file("in.jsonl", rows);
    for out in ["out.csv", "out.parquet"] {
        stage.ask("in.jsonl", out).run().expect("scored");
    }
    stage.ask("out.parquet", "back.csv").prefixed("x_").run().expect("scored");
    for table in ["out.csv", "back.csv"] {
        assert_eq!(Table::read(&stage.path(table)).column("id"), digits, "{table}");
    }
}

#[test]
fn a_field_that_is_no_text_and_a_column_that_is_no_json_are_refused() {
    let stage = Stage::new();
    let numbers: ArrayRef = Arc::new(Int32Array::from(vec![1]));
    let batch = RecordBatch::try_from_iter([("text", numbers)]).expect("one column");
    write(&stage.path("in.parquet"), &batch);
    let error = stage.ask("in.parquet", "out.csv").run().expect_err("a number").to_string();
    assert!(error.contains("\"text\" has the type Int32"), "{error}");
    let texts: ArrayRef = Arc::new(StringArray::from(vec!["a"]));
    let spans: ArrayRef = Arc::new(arrow_array::IntervalDayTimeArray::from(vec![None]));
    let batch = RecordBatch::try_from_iter([("text", texts), ("span", spans)]).expect("two");
    write(&stage.path("spans.parquet"), &batch);
    let error = stage.ask("spans.parquet", "out.csv").run().expect_err("no text").to_string();
    assert!(error.contains("\"span\"") && error.contains("CSV cannot hold"), "{error}");
    stage.ask("spans.parquet", "out.parquet").run().expect("Parquet can");
}
