//! Rows as they were read, to what a task reads of them.

use std::{borrow::Cow, collections::BTreeMap};

use arrow_array::{RecordBatch, UInt64Array};
use arrow_select::take::take_record_batch;
use csv::ByteRecord;

use super::{BulkError, columns::Layout, source::Piece};
use crate::{
    rows::{
        Dialect, Entries, Entry, FieldColumn, Record, RowsError, Separated, Stretch, cells_of,
        excerpt, row_fault, shown, text,
    },
    task::{Example, FieldViolation},
};

/// Bytes of the longest text of a field; of a longer one its row is told so.
const MAX_TEXT_BYTES: usize = 1 << 20;

/// Bytes of what a row is told, whatever stands in it.
const MAX_ERROR_BYTES: usize = 4096;

/// Bytes of what an error quotes: of a row what has no place in the output's columns.
const QUOTED_BYTES: usize = 1024;

/// Rows with their values.
pub enum Rows {
    /// Of a row that cannot be read as many cells as could.
    Csv(Vec<ByteRecord>),
    Json(Vec<Object>),
    Arrow(Vec<RecordBatch>),
}

impl Rows {
    /// One of the rows, with nothing that holds the memory of the others.
    pub fn alone(&self, row: usize) -> Result<Self, BulkError> {
        match self {
            Self::Csv(records) => Ok(Self::Csv(vec![records[row].clone()])),
            Self::Json(objects) => Ok(Self::Json(vec![objects[row].clone()])),
            Self::Arrow(batches) => {
                let (mut at, mut left) = (0, row);
                while left >= batches[at].num_rows() {
                    left -= batches[at].num_rows();
                    at += 1;
                }
                let chosen = UInt64Array::from(vec![left as u64]);
                let taken = take_record_batch(&batches[at], &chosen)
                    .map_err(|error| RowsError::WriteParquet { message: error.to_string() })?;
                Ok(Self::Arrow(vec![taken]))
            }
        }
    }
}

/// A line of JSON.
#[derive(Clone)]
pub struct Object {
    /// As it was written; nothing if it is no object.
    pub text: String,
    pub entries: Entries,
}

/// Rows, and for each what the task reads of it, or why it cannot.
pub struct Parsed {
    pub rows: Rows,
    pub examples: Vec<Result<Example, String>>,
}

/// Takes rows apart.
pub fn parse(piece: Piece, input: &Dialect, layout: &Layout) -> Parsed {
    let mut parsed = take_apart(piece, input, layout);
    for error in parsed.examples.iter_mut().filter_map(|example| example.as_mut().err()) {
        if let Cow::Owned(short) = excerpt(error, MAX_ERROR_BYTES) {
            *error = short;
        }
    }
    parsed
}

fn take_apart(piece: Piece, input: &Dialect, layout: &Layout) -> Parsed {
    match piece {
        Piece::Arrow(Stretch { batches, faults }) => {
            let mut examples: Vec<_> =
                batches.iter().flat_map(|batch| of_batch(batch, layout)).collect();
            for (row, fault) in faults {
                examples[row] = Err(fault);
            }
            Parsed { rows: Rows::Arrow(batches), examples }
        }
        Piece::Text(records) if input.format.is_json() => parse_json(records, layout),
        Piece::Text(records) => parse_csv(&records, input.separated, layout),
    }
}

fn parse_csv(records: &[Record], separated: Separated, layout: &Layout) -> Parsed {
    let rows = split(records, separated);
    let examples = records.iter().zip(&rows).map(|(record, row)| {
        let fault = record.fault.clone().or_else(|| csv_fault(row, layout));
        if let Some(fault) = fault {
            return Err(format!("line {}: {fault}{}", record.line, beyond(row, layout)));
        }
        example(layout, |column| {
            // Checked to be UTF-8 and there.
            Ok(column.place.and_then(|place| row.get(place)).map(String::from_utf8_lossy))
        })
    });
    let examples = examples.collect();
    Parsed { rows: Rows::Csv(rows), examples }
}

/// The cells of all records, each by itself if all at once do not come out as they should.
fn split(records: &[Record], separated: Separated) -> Vec<ByteRecord> {
    let all: Vec<&[u8]> = records.iter().map(|record| record.bytes.as_slice()).collect();
    let at_once = cells_of(&all.join(&b'\n'), separated);
    if at_once.len() == records.len() && records.iter().all(|record| record.fault.is_none()) {
        return at_once;
    }
    let single =
        |record: &Record| cells_of(&record.bytes, separated).into_iter().next().unwrap_or_default();
    records.iter().map(single).collect()
}

fn csv_fault(row: &ByteRecord, layout: &Layout) -> Option<String> {
    row_fault(row, layout.columns()).map(|(column, message)| match column {
        Some(column) => format!("column {column:?}: {message}"),
        None => message,
    })
}

/// The values for which there are no columns, so that they are not lost.
fn beyond(row: &ByteRecord, layout: &Layout) -> String {
    let values: Vec<_> =
        row.iter().skip(layout.columns().len()).map(String::from_utf8_lossy).collect();
    match values.is_empty() {
        true => String::new(),
        false => format!("; beyond the columns: {}", quoted(&values.join(","))),
    }
}

fn quoted(text: &str) -> String {
    format!("{:?}", excerpt(text, QUOTED_BYTES))
}

fn parse_json(records: Vec<Record>, layout: &Layout) -> Parsed {
    let (mut rows, mut examples) = (Vec::new(), Vec::new());
    for Record { bytes, line, fault, .. } in records {
        let parsed = fault.map_or_else(|| Entries::parse(&bytes), Err);
        let (object, example) = match parsed {
            Ok(entries) => {
                let example = example(layout, |column| json_text(&entries, column));
                // It was parsed as UTF-8.
                let text = String::from_utf8(bytes).unwrap_or_default();
                (Object { text, entries }, example)
            }
            Err(fault) => {
                let object = Object { text: String::new(), entries: Entries::default() };
                // Of a record that is too long nothing is there.
                let read = match bytes.is_empty() {
                    true => String::new(),
                    false => format!("; it reads: {}", quoted(&String::from_utf8_lossy(&bytes))),
                };
                (object, Err(format!("line {line}: {}{read}", excerpt(&fault, QUOTED_BYTES))))
            }
        };
        rows.push(object);
        examples.push(example);
    }
    Parsed { rows: Rows::Json(rows), examples }
}

fn json_text<'a>(
    entries: &'a Entries,
    column: &FieldColumn,
) -> Result<Option<Cow<'a, str>>, String> {
    use serde_json::Value;
    let names = [Some(&column.name), column.otherwise.as_ref()];
    let found = names.into_iter().flatten().find_map(|name| Some((name, entries.get(name)?)));
    let Some((name, entry)) = found else { return Ok(None) };
    let found = match entry {
        Entry::Plain(Value::Null) => return Ok(None),
        Entry::Plain(Value::String(text)) => return Ok(Some(Cow::Borrowed(text))),
        Entry::Plain(Value::Bool(_)) => "true or false",
        Entry::Plain(Value::Number(_)) => "a number",
        Entry::Plain(Value::Array(_)) => "a list",
        Entry::Plain(Value::Object(_)) => "an object",
        Entry::Written(_) => "a large number, or has one",
    };
    Err(format!("{:?} is {found}, and a text is needed", shown(name)))
}

fn of_batch(batch: &RecordBatch, layout: &Layout) -> Vec<Result<Example, String>> {
    let row = |row| {
        example(layout, |column| match column.place {
            None => Ok(None),
            Some(place) => text(batch.column(place).as_ref(), row)
                .map_err(|fault| format!("column {:?}: {fault}", shown(&column.name))),
        })
    };
    (0..batch.num_rows()).map(row).collect()
}

/// What a task reads of a row, whose texts are found by their column.
fn example<'a>(
    layout: &Layout,
    find: impl Fn(&FieldColumn) -> Result<Option<Cow<'a, str>>, String>,
) -> Result<Example, String> {
    let mut named = BTreeMap::new();
    for (field, column) in layout.task.fields.iter().zip(&layout.fields) {
        if let Some(text) = find(column)? {
            named.insert(field.name.clone(), text.into_owned());
        }
    }
    layout.task.example(named, MAX_TEXT_BYTES).map_err(|violations| {
        let told = violations.into_iter().map(|violation| tell(&violation, layout));
        told.collect::<Vec<_>>().join("; ")
    })
}

fn tell(FieldViolation { field, description }: &FieldViolation, layout: &Layout) -> String {
    let at = layout.task.fields.iter().position(|known| known.name == *field);
    let Some(column) = at.map(|at| &layout.fields[at]) else {
        return format!("column {field:?}: {description}");
    };
    let other = column.otherwise.as_ref().map(|other| format!(" or {:?}", shown(other)));
    format!("column {:?}{}: {description}", shown(&column.name), other.unwrap_or_default())
}
