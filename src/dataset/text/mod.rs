//! Unlabelled text, for training a language model on.

mod held_back;

use std::collections::HashSet;

use super::{
    DatasetError, RowFault,
    faults::Faults,
    fingerprint::{self, Fingerprint},
    labelled::{MAX_ROWS, MAX_TEXT_BYTES, Reading},
};
use crate::rows::{Cell, Format, Origin, ReadOptions, Row, RowReader, known_names};

pub use held_back::{Split, split_held_back};

/// Texts of one or more files, trimmed, each of them once, in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Texts {
    pub texts: Vec<String>,
    /// Rows without a text. Blank lines of a plain text file are not counted.
    pub skipped_empty: usize,
    /// Texts that had come before.
    pub dropped_duplicates: usize,
    /// Sentences about rows that were left out.
    pub notes: Vec<String>,
}

impl Texts {
    /// A hash of all texts in their order.
    pub fn digest(&self) -> String {
        let fingerprint = fingerprint::of(self.texts.iter().map(String::as_str));
        fingerprint.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// How much text is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TextLimits {
    /// Texts of all files together.
    pub texts: usize,
    /// Bytes of one text; a longer one is a fault of its row.
    pub text_bytes: usize,
    /// Bytes of all texts together.
    pub total_bytes: usize,
}

impl Default for TextLimits {
    fn default() -> Self {
        Self { texts: MAX_ROWS, text_bytes: MAX_TEXT_BYTES, total_bytes: 2 << 30 }
    }
}

/// Reads the texts of these files, of any format; a file whose name and content tell none is plain
/// text with one text per line. `column` names the column or key that holds them. It may be left out
/// where there is no other column, and of JSON it is `text` if not named.
///
/// Texts are trimmed; empty ones and those that came before are left out and counted. The error
/// lists the faulty rows of the first file that has any.
pub fn read_texts(
    origins: &[Origin],
    column: Option<&str>,
    limits: &TextLimits,
    reading: &Reading,
) -> Result<Texts, DatasetError> {
    let all = || origins.iter().map(Origin::name).collect::<Vec<_>>().join(", ");
    let options = ReadOptions { fallback: Format::Text, ..reading.options.clone() };
    let mut collector = Collector::new(limits, reading.skip_faulty);
    let mut is_named = column.is_none();
    for origin in origins {
        let mut reader = RowReader::open(origin, &options)?;
        collector.faults.begin(reader.name());
        reader.name().clone_into(&mut collector.path);
        let is_plain = reader.dialect().format == Format::Text;
        is_named |= !is_plain;
        let name = text_column(&reader, column)?;
        while let Some(row) = reader.next_row()? {
            match row {
                Ok(row) => collector.take_row(&row, &reader, &name, is_plain)?,
                Err(fault) => collector.faults.add(fault.into())?,
            }
        }
        collector.faults.end()?;
    }
    if let (Some(column), false) = (column, is_named) {
        return Err(DatasetError::NoColumns { path: all(), column: column.to_owned() });
    }
    if collector.found.texts.is_empty() {
        return Err(DatasetError::NoTexts { path: all() });
    }
    collector.found.notes.extend(collector.faults.note());
    Ok(collector.found)
}

/// The named column, or the one and only.
fn text_column(reader: &RowReader, column: Option<&str>) -> Result<String, DatasetError> {
    let names = || known_names(reader.columns().iter().map(|column| column.name.as_str()));
    let path = || reader.name().to_owned();
    if reader.has_own_columns() {
        return Ok(column.unwrap_or("text").to_owned());
    }
    match (column, reader.columns()) {
        (Some(_), [only]) if reader.dialect().format == Format::Text => Ok(only.name.clone()),
        (None, [only]) => Ok(only.name.clone()),
        (None, _) => Err(DatasetError::WhichColumn { path: path(), known: names() }),
        (Some(column), _) => {
            reader.check_once(column)?;
            let column = column.to_owned();
            match reader.place(&column) {
                Some(_) => Ok(column),
                None => Err(DatasetError::UnknownColumn { path: path(), column, known: names() }),
            }
        }
    }
}

/// Takes texts and faults in their order.
struct Collector<'a> {
    limits: &'a TextLimits,
    /// The file at hand.
    path: String,
    faults: Faults,
    found: Texts,
    bytes: usize,
    seen: HashSet<Fingerprint>,
}

impl<'a> Collector<'a> {
    fn new(limits: &'a TextLimits, skip_faulty: Option<usize>) -> Self {
        let (faults, seen) = (Faults::new(skip_faulty), HashSet::new());
        let (path, found) = (String::new(), Texts::default());
        Self { limits, path, faults, found, bytes: 0, seen }
    }

    /// The text of a row; that of plain text has no column of which a message could tell.
    fn take_row(
        &mut self,
        row: &Row,
        reader: &RowReader,
        name: &str,
        is_plain: bool,
    ) -> Result<(), DatasetError> {
        let column = (!is_plain).then(|| name.to_owned());
        let line = row.line;
        let message = match reader.place(name).and_then(|place| row.cell(place)) {
            Some(Cell::Text(text)) if text.trim().len() > self.limits.text_bytes => {
                format!("too long: more than {} bytes", self.limits.text_bytes)
            }
            Some(Cell::Text(text)) => return self.take(text.trim()),
            // Of Parquet; a table says so of a row without a text.
            Some(Cell::Null) if !reader.has_own_columns() => return self.take(""),
            Some(other) => format!("{}, and a text is needed", other.kind()),
            None => format!("no key {name:?}"),
        };
        self.faults.add(RowFault { line, column, message }.into())
    }

    fn take(&mut self, text: &str) -> Result<(), DatasetError> {
        if text.is_empty() {
            self.found.skipped_empty += 1;
            return Ok(());
        }
        if !self.seen.insert(fingerprint::of([text])) {
            self.found.dropped_duplicates += 1;
            return Ok(());
        }
        self.bytes += text.len();
        let exceeded = |limit, what| {
            let path = self.path.clone();
            Err(DatasetError::TooMuchText { path, limit, what })
        };
        if self.bytes > self.limits.total_bytes {
            return exceeded(self.limits.total_bytes, "bytes of text");
        }
        if self.found.texts.len() == self.limits.texts {
            return exceeded(self.limits.texts, "texts");
        }
        self.found.texts.push(text.to_owned());
        Ok(())
    }
}

#[cfg(test)]
mod tests;
