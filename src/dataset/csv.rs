//! Reads labelled examples from CSV: UTF-8, a header row, commas, quotes as in RFC 4180.

use std::{collections::BTreeMap, path::Path};

use csv::{ReaderBuilder, StringRecord};

use super::{Dataset, DatasetError, LISTED_FAULTS, LabeledExample, RowFault};
use crate::{
    prompt::TaskFile,
    task::{Example, Kind, Target},
};

/// A file gives no more examples than this.
pub(super) const MAX_ROWS: usize = 10_000_000;

/// A field's text has no more bytes than this; a longer one is most likely a quote never closed.
pub(super) const MAX_TEXT_BYTES: usize = 1 << 20;

/// Characters of a faulty value that a message quotes.
const MAX_SHOWN: usize = 40;

/// Where the task's fields and its target stand in a row.
struct Columns {
    names: Vec<String>,
    fields: Vec<usize>,
    target: usize,
}

/// Reads a CSV file for a task. Other columns are ignored; every faulty row is reported.
pub fn read_csv(path: &Path, task: &TaskFile) -> Result<Dataset, DatasetError> {
    let name = path.display().to_string();
    let unreadable =
        |error: csv::Error| DatasetError::Read { path: name.clone(), message: error.to_string() };
    let mut reader = ReaderBuilder::new().flexible(true).from_path(path).map_err(unreadable)?;
    let header = reader.headers().map_err(unreadable)?.clone();
    let columns = columns(&name, &header, task)?;
    let mut examples = Vec::new();
    let mut faults = Vec::new();
    let mut more = 0;
    let mut record = StringRecord::new();
    loop {
        let found = match reader.read_record(&mut record) {
            Ok(false) => break,
            Ok(true) => read_row(&record, &columns, task),
            Err(error) => {
                Err(vec![utf8_fault(&error, &columns.names).ok_or_else(|| unreadable(error))?])
            }
        };
        match found {
            Ok(example) => examples.push(example),
            Err(found) if faults.len() < LISTED_FAULTS => faults.extend(found),
            Err(_) => more += 1,
        }
        if examples.len() > MAX_ROWS {
            return Err(DatasetError::TooManyRows { path: name, limit: MAX_ROWS });
        }
    }
    if !faults.is_empty() {
        return Err(DatasetError::Rows { path: name, faults, more });
    }
    if examples.is_empty() {
        return Err(DatasetError::Empty { path: name });
    }
    Ok(Dataset { path: name, examples })
}

fn columns(path: &str, header: &StringRecord, task: &TaskFile) -> Result<Columns, DatasetError> {
    let names: Vec<String> = header.iter().map(str::to_owned).collect();
    let find = |column: &String| {
        let mut places = (0..names.len()).filter(|at| names[*at] == *column);
        let place = places.next().ok_or_else(|| DatasetError::MissingColumn {
            path: path.to_owned(),
            column: column.clone(),
            known: names.join(", "),
        })?;
        match places.next() {
            None => Ok(place),
            Some(_) => {
                Err(DatasetError::RepeatedColumn { path: path.to_owned(), column: column.clone() })
            }
        }
    };
    let fields = task.field_columns.iter().map(find).collect::<Result<_, _>>()?;
    let target = find(&task.target_column.0)?;
    Ok(Columns { names, fields, target })
}

fn read_row(
    record: &StringRecord,
    columns: &Columns,
    task: &TaskFile,
) -> Result<LabeledExample, Vec<RowFault>> {
    let line = record.position().map_or(0, csv::Position::line);
    let fault =
        |column: Option<&String>, message| RowFault { line, column: column.cloned(), message };
    if record.len() != columns.names.len() {
        let (found, expected) = (record.len(), columns.names.len());
        let message = format!("{found} values, but the header has {expected} columns");
        return Err(vec![fault(None, message)]);
    }
    let mut faults = Vec::new();
    let target = &record[columns.target];
    let target = read_target(target, task)
        .map_err(|message| faults.push(fault(Some(&columns.names[columns.target]), message)));
    let example = read_example(record, columns, task, |column, message| {
        faults.push(fault(Some(column), message));
    });
    match (target, example) {
        (Ok(target), Some(example)) => Ok(LabeledExample { example, target }),
        _ => Err(faults),
    }
}

/// Checks the texts as the server checks those of a call.
fn read_example(
    record: &StringRecord,
    columns: &Columns,
    task: &TaskFile,
    mut fault: impl FnMut(&String, String),
) -> Option<Example> {
    let fields = task.task.fields.iter().zip(&columns.fields);
    let named: BTreeMap<String, String> =
        fields.map(|(field, at)| (field.name.clone(), record[*at].to_owned())).collect();
    task.task
        .example(named, MAX_TEXT_BYTES)
        .map_err(|violations| {
            for violation in violations {
                let at = task.task.fields.iter().position(|field| field.name == violation.field);
                let column = at.map_or(&violation.field, |at| &task.field_columns[at]);
                fault(column, violation.description);
            }
        })
        .ok()
}

fn read_target(text: &str, task: &TaskFile) -> Result<Target, String> {
    let text = text.trim();
    match &task.task.kind {
        Kind::Classification { .. } if text.is_empty() => Err("no label".to_owned()),
        Kind::Classification { labels } => {
            let label = labels.iter().position(|label| label == text);
            label.map(Target::Label).ok_or_else(|| {
                let known: Vec<&str> = labels.iter().take(20).map(String::as_str).collect();
                format!("unknown label {:?}; the task has: {}", shown(text), known.join(", "))
            })
        }
        Kind::Regression { .. } if text.is_empty() => Err("no number".to_owned()),
        Kind::Regression { min, max } => {
            let value: f64 = text.parse().map_err(|_| format!("{:?} is no number", shown(text)))?;
            if !value.is_finite() {
                return Err(format!("{text} is not finite"));
            }
            if min.is_some_and(|min| value < min) || max.is_some_and(|max| value > max) {
                return Err(format!("{value} lies outside the target's declared range"));
            }
            Ok(Target::Value(value))
        }
    }
}

/// Enough of a value to find it: a quote never closed makes one of half a file.
fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(MAX_SHOWN).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}

/// Text in another encoding is a fault of its row; the reader goes on with the next.
pub(super) fn utf8_fault(error: &csv::Error, columns: &[String]) -> Option<RowFault> {
    let csv::ErrorKind::Utf8 { pos, err } = error.kind() else { return None };
    Some(RowFault {
        line: pos.as_ref().map_or(0, csv::Position::line),
        column: columns.get(err.field()).cloned(),
        message: format!("not UTF-8 after byte {}", err.valid_up_to()),
    })
}

/// Writes a task's examples as a file that [`read_csv`] reads.
pub fn write_csv(path: &Path, file: &TaskFile, data: &Dataset) -> std::io::Result<()> {
    let mut writer = csv::Writer::from_path(path)?;
    let target = &file.target_column.0;
    writer.write_record(file.field_columns.iter().chain([target]))?;
    for LabeledExample { example, target } in &data.examples {
        let target = match target {
            Target::Label(label) => file.labels()[*label].clone(),
            Target::Value(value) => value.to_string(),
        };
        writer.write_record(example.values.iter().chain([&target]))?;
    }
    writer.flush()
}
