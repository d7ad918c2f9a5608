//! One row after the other of any format, with its cells: what data sets are read by.

use std::{
    collections::{HashMap, VecDeque},
    fs::File,
    io::BufRead,
};

use arrow_array::RecordBatch;
use serde_json::Value;

use super::{
    RowsError, cells, columnar,
    columns::{Column, ColumnKind, NameLimits, shown},
    dialect::{Dialect, ReadOptions},
    format::Format,
    json::{Entries, Entry},
    open::{Opened, RowInput, Text, open, spooled},
    origin::Origin,
    packing::Packing,
    records::{Position, Record, Records},
    separated::{Separated, cells_of, header_columns, row_fault},
};

/// The name of the only column of plain text.
const TEXT_COLUMN: &str = "text";

/// Rows of Parquet that are unfolded together, and their bytes.
const STRETCH: (usize, usize) = (1024, 8 << 20);

/// What a row has in a column.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// Of JSON and Parquet: nothing.
    Null,
    Text(String),
    /// Of JSON and Parquet, with all its digits.
    Number(String),
    Boolean(bool),
    /// Of JSON and Parquet something else, which this names: "a list".
    Other(&'static str),
}

impl Cell {
    /// The cell as a text: numbers and booleans as they are written; nothing of null and of what has
    /// parts.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Null | Self::Other(_) => None,
            Self::Text(text) | Self::Number(text) => Some(text),
            Self::Boolean(true) => Some("true"),
            Self::Boolean(false) => Some("false"),
        }
    }

    /// What a message calls its kind.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Text(_) => "a text",
            Self::Number(_) => "a number",
            Self::Boolean(_) => "true or false",
            Self::Other(what) => what,
        }
    }
}

/// A row that can be read.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The line on which it begins, from 1; of Parquet the number of the row, from 1.
    pub line: u64,
    /// In the order of the columns. Of JSON, `None` for a column that the row lacks, and those at the
    /// end may be left out.
    pub cells: Vec<Option<Cell>>,
}

impl Row {
    /// What it has in a column, if it has that column.
    pub fn cell(&self, place: usize) -> Option<&Cell> {
        self.cells.get(place)?.as_ref()
    }
}

/// A row that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowFault {
    /// As in [`Row`]; where a quote is at fault, the line on which it opens.
    pub line: u64,
    /// The column that is at fault, if it is one.
    pub column: Option<String>,
    pub message: String,
    /// Whether rows that follow may be part of it, as where a quote is never closed.
    pub takes_others: bool,
}

/// Reads rows of any format, once, from the beginning.
pub struct RowReader {
    name: String,
    dialect: Dialect,
    columns: Vec<Column>,
    /// Of JSON the columns' places, and what their names take.
    places: HashMap<String, usize>,
    limits: NameLimits,
    body: Body,
}

enum Body {
    Text(Records<Text<'static>>),
    Arrow(Box<Unfolded>),
}

/// Rows of Parquet, unfolded stretch by stretch.
struct Unfolded {
    rows: columnar::ArrowRows,
    /// Batches, each with the next row of it.
    ready: VecDeque<(RecordBatch, usize)>,
    /// The next row, from 0.
    next: u64,
    /// Rows that have what is no text.
    faults: HashMap<u64, String>,
}

impl RowReader {
    /// Opens a file or standard input, and reads its header if it has one.
    ///
    /// # Errors
    ///
    /// If it cannot be read, or its columns cannot be told.
    pub fn open(origin: &Origin, options: &ReadOptions) -> Result<Self, RowsError> {
        let name = origin.name();
        let Opened { dialect, input } = open(origin.bytes()?, &name, options)?;
        let mut reader = Self {
            name: name.clone(),
            dialect,
            columns: Vec::new(),
            places: HashMap::new(),
            limits: NameLimits::default(),
            body: match input {
                RowInput::Text(text) => {
                    Body::Text(Records::new(text, dialect.grammar(), Position::default()))
                }
                RowInput::Parquet(bytes) => {
                    let path = origin.regular()?.filter(|_| dialect.packing == Packing::Plain);
                    let file = match path {
                        Some(path) => File::open(path).map_err(RowsError::read(&name))?,
                        None => spooled(bytes, &name)?,
                    };
                    return Self::of_parquet(file, name, dialect);
                }
            },
        };
        if let Body::Text(records) = &mut reader.body {
            reader.columns = match dialect.format {
                Format::Text => {
                    vec![Column { name: TEXT_COLUMN.to_owned(), kind: ColumnKind::Text }]
                }
                format if format.is_separated() => read_header(&name, dialect.separated, records)?,
                _ => Vec::new(),
            };
        }
        Ok(reader)
    }

    fn of_parquet(file: File, name: String, dialect: Dialect) -> Result<Self, RowsError> {
        let failed = RowsError::read(&name);
        let (count, columns) = columnar::survey(file.try_clone().map_err(&failed)?, &name)?;
        let mut limits = NameLimits::default();
        columns.iter().try_for_each(|column| limits.add(&name, &column.name))?;
        let rows = columnar::ArrowRows::new(file, &name, 0..count)?;
        let (ready, faults) = (VecDeque::new(), HashMap::new());
        let body = Body::Arrow(Box::new(Unfolded { rows, ready, next: 0, faults }));
        Ok(Self { name, dialect, columns, places: HashMap::new(), limits, body })
    }

    /// What messages call the file.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How the file is written.
    pub fn dialect(&self) -> &Dialect {
        &self.dialect
    }

    /// The columns; of JSON those that rows had so far.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// Whether each row says its own columns.
    pub fn has_own_columns(&self) -> bool {
        self.dialect.format.is_json()
    }

    /// The place of a column of this name, if there is one so far.
    pub fn place(&self, name: &str) -> Option<usize> {
        match self.has_own_columns() {
            true => self.places.get(name).copied(),
            false => self.columns.iter().position(|column| column.name == name),
        }
    }

    /// Refuses a second column with this name.
    ///
    /// # Errors
    ///
    /// If there is one.
    pub fn check_once(&self, name: &str) -> Result<(), RowsError> {
        let count = self.columns.iter().filter(|column| column.name == name).count();
        match count > 1 {
            true => Err(RowsError::RepeatedColumn { path: self.name.clone(), column: shown(name) }),
            false => Ok(()),
        }
    }

    /// The next row, or what is wrong with it; `None` at the end.
    ///
    /// # Errors
    ///
    /// If nothing more can be read.
    pub fn next_row(&mut self) -> Result<Option<Result<Row, RowFault>>, RowsError> {
        let record = match &mut self.body {
            Body::Text(records) => records.next_record().map_err(RowsError::read(&self.name))?,
            Body::Arrow(unfolded) => return unfolded.next(),
        };
        let Some(record) = record else { return Ok(None) };
        if let Some(message) = record.fault {
            let Record { line, takes_others, .. } = record;
            return Ok(Some(Err(RowFault { line, column: None, message, takes_others })));
        }
        match self.dialect.format {
            Format::Text => Ok(Some(of_line(record))),
            Format::Jsonl | Format::Json => self.of_object(&record).map(Some),
            _ => Ok(Some(of_values(&record, self.dialect.separated, &self.columns))),
        }
    }

    fn of_object(&mut self, record: &Record) -> Result<Result<Row, RowFault>, RowsError> {
        let line = record.line;
        let entries = match Entries::parse(&record.bytes) {
            Ok(Entries(entries)) => entries,
            Err(message) => return Ok(Err(fault(line, None, message))),
        };
        let mut cells = vec![None; self.columns.len()];
        for (key, entry) in entries {
            let place = match self.places.get(&key) {
                Some(place) => *place,
                None => {
                    self.limits.add(&self.name, &key)?;
                    self.places.insert(key.clone(), cells.len());
                    self.columns.push(Column { name: key, kind: ColumnKind::Text });
                    cells.push(None);
                    cells.len() - 1
                }
            };
            cells[place] = Some(match entry {
                Entry::Plain(value) => of_value(value),
                Entry::Written(digits) => Cell::Number(digits),
            });
        }
        Ok(Ok(Row { line, cells }))
    }
}

/// The columns that the first record names.
///
/// # Errors
///
/// If there is none, or its names cannot be read or are too many.
pub fn read_header<R: BufRead>(
    name: &str,
    separated: Separated,
    records: &mut Records<R>,
) -> Result<Vec<Column>, RowsError> {
    let header = records.next_record().map_err(RowsError::read(name))?;
    let header = header.ok_or_else(|| RowsError::NoHeader { path: name.to_owned() })?;
    let columns = header_columns(&header, separated)
        .map_err(|message| RowsError::Header { path: name.to_owned(), message })?;
    let mut limits = NameLimits::default();
    columns.iter().try_for_each(|column| limits.add(name, &column.name))?;
    Ok(columns)
}

fn fault(line: u64, column: Option<String>, message: String) -> RowFault {
    RowFault { line, column, message, takes_others: false }
}

fn of_line(record: Record) -> Result<Row, RowFault> {
    let line = record.line;
    let text = String::from_utf8(record.bytes);
    let text =
        text.map_err(|error| fault(line, None, super::encoding::not_utf8(error.utf8_error())))?;
    Ok(Row { line, cells: vec![Some(Cell::Text(text))] })
}

fn of_values(record: &Record, separated: Separated, columns: &[Column]) -> Result<Row, RowFault> {
    let line = record.line;
    let values = cells_of(&record.bytes, separated).into_iter().next().unwrap_or_default();
    if let Some((column, message)) = row_fault(&values, columns) {
        return Err(fault(line, column, message));
    }
    let cell = |value| Some(Cell::Text(String::from_utf8_lossy(value).into_owned()));
    Ok(Row { line, cells: values.iter().map(cell).collect() })
}

fn of_value(value: Value) -> Cell {
    match value {
        Value::Null => Cell::Null,
        Value::String(text) => Cell::Text(text),
        Value::Number(number) => Cell::Number(number.to_string()),
        Value::Bool(truth) => Cell::Boolean(truth),
        Value::Array(_) => Cell::Other("a list"),
        Value::Object(_) => Cell::Other("an object"),
    }
}

impl Unfolded {
    fn next(&mut self) -> Result<Option<Result<Row, RowFault>>, RowsError> {
        if self.ready.is_empty() {
            let stretch = self.rows.next(STRETCH.0, STRETCH.1)?;
            let found = stretch.faults.into_iter();
            self.faults = found.map(|(at, fault)| (self.next + at as u64, fault)).collect();
            let batches = stretch.batches.into_iter().filter(|batch| batch.num_rows() > 0);
            self.ready.extend(batches.map(|batch| (batch, 0)));
        }
        let Some((batch, at)) = self.ready.front_mut() else { return Ok(None) };
        let line = self.next + 1;
        let row = match self.faults.remove(&self.next) {
            Some(message) => Err(fault(line, None, message)),
            None => Ok(Row { line, cells: of_batch(batch, *at) }),
        };
        (self.next, *at) = (line, *at + 1);
        if *at >= batch.num_rows() {
            self.ready.pop_front();
        }
        Ok(Some(row))
    }
}

fn of_batch(batch: &RecordBatch, row: usize) -> Vec<Option<Cell>> {
    let cell = |column: &arrow_array::ArrayRef| match cells::has_json(column.data_type()) {
        true => of_value(cells::json(column.as_ref(), row)),
        false => Cell::Other("of a type without a text"),
    };
    batch.columns().iter().map(|column| Some(cell(column))).collect()
}
