//! Reads labelled examples from files of any format.

use std::{collections::BTreeMap, path::Path};

use super::{
    Dataset, DatasetError, LabeledExample, RowFault,
    faults::{Faults, FaultyRow},
    target::read_target,
};
use crate::{
    prompt::TaskFile,
    rows::{Cell, FieldColumn, Origin, ReadOptions, Row, RowReader, find_field, known_names},
    task::Example,
};

/// Files give no more examples than this.
pub(super) const MAX_ROWS: usize = 10_000_000;

/// A field's text has no more bytes than this.
pub(super) const MAX_TEXT_BYTES: usize = 1 << 20;

/// Bytes of all texts together.
const MAX_TOTAL_BYTES: usize = 8 << 30;

/// Options of reading.
#[derive(Debug, Clone, Default)]
pub struct Reading {
    pub options: ReadOptions,
    /// Faulty rows that are left out at most; without it none is.
    pub skip_faulty: Option<usize>,
}

/// The examples of some files, and what whoever asked for them should know.
#[derive(Debug, Clone, PartialEq)]
pub struct Labelled {
    pub data: Dataset,
    /// Sentences: rows that were left out, columns that were chosen among two.
    pub notes: Vec<String>,
}

/// Reads the examples of these files, one after the other, for a task. Other columns are ignored;
/// every faulty row of a file is reported.
///
/// # Errors
///
/// If a file cannot be read, lacks a column or has faulty rows, or if there are too many examples or
/// none.
pub fn read_labelled(
    origins: &[Origin],
    task: &TaskFile,
    reading: &Reading,
) -> Result<Labelled, DatasetError> {
    let mut collected = Collected {
        task,
        faults: Faults::new(reading.skip_faulty),
        examples: Vec::new(),
        bytes: 0,
        notes: Vec::new(),
    };
    for origin in origins {
        collected.read(origin, &reading.options)?;
    }
    let names: Vec<String> = origins.iter().map(Origin::name).collect();
    let path = names.join(", ");
    let Collected { faults, mut examples, mut notes, .. } = collected;
    if origins.len() > 1 {
        // Of which file, a line does not say.
        examples.iter_mut().for_each(|labeled| labeled.line = None);
    }
    notes.extend(faults.note());
    if examples.is_empty() {
        return Err(DatasetError::Empty { path });
    }
    Ok(Labelled { data: Dataset { path, examples }, notes })
}

/// Reads the examples of one file, found out to be of any format.
///
/// # Errors
///
/// As [`read_labelled`].
pub fn read_file(path: &Path, task: &TaskFile) -> Result<Dataset, DatasetError> {
    let labelled = read_labelled(&[Origin::new(path)], task, &Reading::default())?;
    Ok(labelled.data)
}

/// The examples so far.
struct Collected<'a> {
    task: &'a TaskFile,
    faults: Faults,
    examples: Vec<LabeledExample>,
    bytes: usize,
    notes: Vec<String>,
}

impl Collected<'_> {
    fn read(&mut self, origin: &Origin, options: &ReadOptions) -> Result<(), DatasetError> {
        let mut reader = RowReader::open(origin, options)?;
        let columns = Columns::find(&reader, self.task)?;
        self.notes.extend(columns.notes.iter().cloned());
        self.faults.begin(reader.name());
        while let Some(row) = reader.next_row()? {
            let example = match row {
                Ok(row) => read_row(&row, &reader, &columns, self.task),
                Err(fault) => Err(fault.into()),
            };
            match example {
                Ok(example) => self.take(reader.name(), example)?,
                Err(row) => self.faults.add(row)?,
            }
        }
        self.faults.end()
    }

    fn take(&mut self, path: &str, example: LabeledExample) -> Result<(), DatasetError> {
        self.bytes += example.example.values.iter().map(String::len).sum::<usize>();
        let path = path.to_owned();
        if self.bytes > MAX_TOTAL_BYTES {
            let (limit, what) = (MAX_TOTAL_BYTES, "bytes of text");
            return Err(DatasetError::TooMuchText { path, limit, what });
        }
        if self.examples.len() == MAX_ROWS {
            return Err(DatasetError::TooManyRows { path, limit: MAX_ROWS });
        }
        self.examples.push(example);
        Ok(())
    }
}

/// Places of the task's fields and target in a row.
pub(super) struct Columns {
    fields: Vec<FieldColumn>,
    target: FieldColumn,
    notes: Vec<String>,
}

impl Columns {
    pub(super) fn find(reader: &RowReader, task: &TaskFile) -> Result<Self, DatasetError> {
        let known = (!reader.has_own_columns()).then(|| reader.columns());
        let mut notes = Vec::new();
        let mut find = |chosen: Option<&str>, field: &str, column: &str, optional: bool| {
            let found = find_field(known, chosen, field, column);
            if found.place.is_none() && known.is_some() && !optional {
                let columns = reader.columns().iter().map(|column| column.name.as_str());
                return Err(DatasetError::MissingColumn {
                    path: reader.name().to_owned(),
                    column: either(&found.name, Some(column).filter(|_| chosen.is_none())),
                    known: known_names(columns),
                });
            }
            reader.check_once(&found.name)?;
            if chosen.is_none() && found.name != column && reader.place(column).is_some() {
                notes.push(format!(
                    "{}: the field {field:?} is read from the column of its name, not from {column:?}, \
                     which is there too",
                    reader.name()
                ));
            }
            Ok(found)
        };
        let target = &task.target_column.0;
        let fields = task.task.fields.iter().zip(&task.field_columns);
        let fields: Result<Vec<FieldColumn>, DatasetError> =
            fields.map(|(field, column)| find(None, &field.name, column, field.optional)).collect();
        let (fields, target) = (fields?, find(Some(target), target, target, false)?);
        Ok(Self { fields, target, notes })
    }
}

/// One name or two, for a message.
fn either(name: &str, other: Option<&str>) -> String {
    match other.filter(|other| *other != name) {
        Some(other) => format!("{name:?} or {other:?}"),
        None => format!("{name:?}"),
    }
}

/// Cell of a row in a column, and the name under which it was found.
fn cell<'r>(
    row: &'r Row,
    reader: &RowReader,
    column: &'r FieldColumn,
) -> Option<(&'r str, &'r Cell)> {
    if let Some(place) = column.place {
        return Some((&column.name, row.cell(place)?));
    }
    let names = [Some(&column.name), column.otherwise.as_ref()];
    names
        .into_iter()
        .flatten()
        .find_map(|name| Some((name.as_str(), row.cell(reader.place(name)?)?)))
}

/// The example of a row, or what is wrong with it.
pub(super) fn read_row(
    row: &Row,
    reader: &RowReader,
    columns: &Columns,
    task: &TaskFile,
) -> Result<LabeledExample, FaultyRow> {
    let mut faults = Vec::new();
    let mut fault = |column: &str, message: String| {
        let column = Some(column.to_owned());
        faults.push(RowFault { line: row.line, column, message });
    };
    let found = cell(row, reader, &columns.target).map(|(_, cell)| cell);
    let target =
        read_target(found, &task.task.kind).map_err(|message| fault(&columns.target.name, message));
    let example = read_example(row, reader, columns, task, fault);
    match (target, example) {
        (Ok(target), Some(example)) => Ok(LabeledExample { example, target, line: Some(row.line) }),
        _ => Err(FaultyRow { faults, takes_others: false }),
    }
}

/// Checks the texts as the server checks those of a call.
fn read_example(
    row: &Row,
    reader: &RowReader,
    columns: &Columns,
    task: &TaskFile,
    mut fault: impl FnMut(&str, String),
) -> Option<Example> {
    let mut named = BTreeMap::new();
    let mut is_text = true;
    for (field, column) in task.task.fields.iter().zip(&columns.fields) {
        match cell(row, reader, column) {
            None | Some((_, Cell::Null)) => {}
            Some((_, Cell::Text(text))) => _ = named.insert(field.name.clone(), text.clone()),
            Some((name, other)) => {
                fault(name, format!("{}, and a text is needed", other.kind()));
                is_text = false;
            }
        }
    }
    let example = is_text.then(|| task.task.example(named, MAX_TEXT_BYTES))?;
    let told = example.map_err(|violations| {
        for violation in violations {
            let at = task.task.fields.iter().position(|field| field.name == violation.field);
            let column = at.map_or(&violation.field, |at| &columns.fields[at].name);
            fault(column, violation.description);
        }
    });
    told.ok()
}
