//! Rows with what was predicted, as the output's format has them.

mod arrow;

use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::SchemaRef;
use csv::ByteRecord;
use serde_json::Value;

use super::{
    BulkError, Format,
    columns::{Added, Layout},
    least_sure::PickedRow,
    parse::{Object, Rows},
};
use crate::{
    rows::{Column, entry_text, extended, json, text_of},
    task::{Kind, Output, Prediction},
};

pub use arrow::output_schema;

/// What became of a row.
pub type Outcome = Result<Prediction, String>;

/// Rows ready to be written.
#[derive(Clone)]
pub enum Rendered {
    Bytes(Vec<u8>),
    Batches(Vec<RecordBatch>),
    /// Rows one by one, for a [`Ranking`](super::least_sure::Ranking).
    Picked(Vec<PickedRow>),
}

/// The value of a column that is added.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Cell<'a> {
    Nothing,
    Text(&'a str),
    Single(f32),
    Double(f64),
    Truth(bool),
    Count(usize),
}

fn cell<'a>(layout: &'a Layout, what: Added, outcome: &'a Outcome) -> Cell<'a> {
    let prediction = match (outcome, what) {
        (Err(error), Added::Error) => return Cell::Text(error),
        (Ok(prediction), _) => prediction,
        (Err(_), _) => return Cell::Nothing,
    };
    let labels = match &layout.task.kind {
        Kind::Classification { labels } => labels.as_slice(),
        Kind::Regression { .. } => &[],
    };
    let best = prediction.output.best_label();
    match (what, &prediction.output) {
        (Added::Truncated, _) => Cell::Truth(prediction.truncated),
        (Added::Windows, _) => Cell::Count(prediction.windows),
        (Added::Value, Output::Value(value)) => Cell::Double(*value),
        (Added::Label, _) => {
            best.and_then(|at| labels.get(at)).map_or(Cell::Nothing, |label| Cell::Text(label))
        }
        (Added::Probability, Output::Probabilities(all)) => {
            best.and_then(|at| all.get(at)).map_or(Cell::Nothing, |one| Cell::Single(*one))
        }
        (Added::Decision(threshold), Output::Probabilities(all)) => threshold
            .decide(all)
            .and_then(|at| labels.get(at))
            .map_or(Cell::Nothing, |label| Cell::Text(label)),
        (Added::Uncertainty(uncertainty), _) => {
            uncertainty.of(prediction).map_or(Cell::Nothing, Cell::Single)
        }
        (Added::Score(at), Output::Probabilities(all)) => {
            all.get(at).map_or(Cell::Nothing, |one| Cell::Single(*one))
        }
        _ => Cell::Nothing,
    }
}

impl Cell<'_> {
    fn csv(self) -> String {
        match self {
            Self::Nothing => String::new(),
            Self::Text(text) => text.to_owned(),
            Self::Single(number) => number.to_string(),
            Self::Double(number) => number.to_string(),
            Self::Truth(truth) => truth.to_string(),
            Self::Count(count) => count.to_string(),
        }
    }

    fn json(self) -> String {
        match self {
            Self::Nothing => "null".to_owned(),
            Self::Text(text) => Value::from(text).to_string(),
            other => other.csv(),
        }
    }
}

/// What stands before the first row.
pub fn header(layout: &Layout) -> Result<Vec<u8>, BulkError> {
    if !layout.output.is_separated() {
        return Ok(Vec::new());
    }
    let columns = layout.columns().iter().map(|column| column.name.as_str());
    let added = layout.added.iter().map(|(name, _)| name.as_str());
    csv_bytes([columns.chain(added).collect::<ByteRecord>()], layout.output)
}

fn csv_bytes(
    records: impl IntoIterator<Item = ByteRecord>,
    format: Format,
) -> Result<Vec<u8>, BulkError> {
    let separator = if format == Format::Tsv { b'\t' } else { b',' };
    let mut writer =
        csv::WriterBuilder::new().flexible(true).delimiter(separator).from_writer(Vec::new());
    let written = records.into_iter().try_for_each(|record| writer.write_byte_record(&record));
    // Into memory, where nothing fails.
    let failed = |error: String| BulkError::write("a row")(std::io::Error::other(error));
    written.map_err(|error| failed(error.to_string()))?;
    writer.into_inner().map_err(|error| failed(error.to_string()))
}

/// Writes rows with their outcomes, of which there is one for each.
///
/// # Errors
///
/// If a row has a value that the format cannot hold.
pub fn render(
    rows: &Rows,
    outcomes: &[Outcome],
    layout: &Layout,
    schema: Option<&SchemaRef>,
) -> Result<Rendered, BulkError> {
    match (layout.output, schema) {
        (Format::Csv | Format::Tsv, _) => {
            let records = outcomes.iter().zip(csv_cells(rows, layout));
            let records = records.map(|(outcome, mut record)| {
                for (_, what) in &layout.added {
                    record.push_field(cell(layout, *what, outcome).csv().as_bytes());
                }
                record
            });
            Ok(Rendered::Bytes(csv_bytes(records, layout.output)?))
        }
        (Format::Parquet, Some(schema)) => arrow::batches(rows, outcomes, layout, schema),
        _ => jsonl(rows, outcomes, layout),
    }
}

/// The input's cells, as many as there are columns.
fn csv_cells(rows: &Rows, layout: &Layout) -> Vec<ByteRecord> {
    let columns = layout.columns();
    match rows {
        Rows::Csv(records) => records
            .iter()
            .map(|record| (0..columns.len()).map(|at| record.get(at).unwrap_or_default()).collect())
            .collect(),
        Rows::Json(objects) => {
            let text = |object: &Object, column: &Column| {
                object.entries.get(&column.name).and_then(entry_text).unwrap_or_default()
            };
            let record = |object| columns.iter().map(|column| text(object, column)).collect();
            objects.iter().map(record).collect()
        }
        Rows::Arrow(batches) => {
            let text =
                |column: &ArrayRef, row| text_of(&json(column.as_ref(), row)).unwrap_or_default();
            let record = |batch: &RecordBatch, row| {
                batch.columns().iter().map(|column| text(column, row)).collect()
            };
            let records = batches
                .iter()
                .flat_map(|batch| (0..batch.num_rows()).map(move |row| record(batch, row)));
            records.collect()
        }
    }
}

fn jsonl(rows: &Rows, outcomes: &[Outcome], layout: &Layout) -> Result<Rendered, BulkError> {
    let objects: Vec<String> = match rows {
        Rows::Json(objects) => {
            objects.iter().try_for_each(|object| check_clash(object, layout))?;
            let text = |object: &Object| match object.text.as_str() {
                "" => "{}".to_owned(),
                text => text.to_owned(),
            };
            objects.iter().map(text).collect()
        }
        Rows::Csv(records) => {
            let object = |record: &ByteRecord| {
                let columns = layout.columns().iter().enumerate();
                let entries = columns.map(|(at, column)| {
                    let text = record.get(at).map(String::from_utf8_lossy);
                    (column.name.as_str(), text.map_or(Value::Null, |text| text.into()))
                });
                object(entries)
            };
            records.iter().map(object).collect()
        }
        Rows::Arrow(batches) => {
            let of_row = |batch: &RecordBatch, row| {
                let columns = layout.columns().iter().zip(batch.columns());
                object(
                    columns
                        .map(|(column, values)| (column.name.as_str(), json(values.as_ref(), row))),
                )
            };
            let of_rows = batches
                .iter()
                .flat_map(|batch| (0..batch.num_rows()).map(move |row| of_row(batch, row)));
            of_rows.collect()
        }
    };
    let mut text = String::new();
    for (object, outcome) in objects.iter().zip(outcomes) {
        let entries = layout.added.iter().map(|(name, what)| {
            format!("{}:{}", Value::from(name.as_str()), cell(layout, *what, outcome).json())
        });
        text += &extended(object, &entries.collect::<Vec<_>>().join(","));
        text.push('\n');
    }
    Ok(Rendered::Bytes(text.into_bytes()))
}

/// Of a stream the keys are not known before.
fn check_clash(object: &Object, layout: &Layout) -> Result<(), BulkError> {
    let clash = object.entries.0.iter().find(|(key, _)| layout.added.iter().any(|(n, _)| n == key));
    clash.map_or(Ok(()), |(key, _)| {
        Err(BulkError::Clash { path: "the input".to_owned(), column: key.clone() })
    })
}

/// An object with these entries, in their order.
fn object<'a>(entries: impl Iterator<Item = (&'a str, Value)>) -> String {
    let entries = entries.map(|(name, value)| format!("{}:{value}", Value::from(name)));
    format!("{{{}}}", entries.collect::<Vec<_>>().join(","))
}
