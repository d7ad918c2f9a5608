//! The formats that texts come in.

use std::{
    fs::File,
    io::BufReader,
    path::Path,
    str::{self, Utf8Error},
};

use csv::{ReaderBuilder, StringRecord};
use serde_json::Value;

use super::{
    super::{DatasetError, csv::utf8_fault},
    Collector,
    lines::{Line, Lines},
    too_long,
};

/// A line of JSON has no more bytes than this times those of a text: a letter takes up to six when
/// it is escaped, and there are other keys.
const JSON_FACTOR: usize = 8;

/// The byte order mark, which some editors put first.
const MARK: &[u8] = b"\xef\xbb\xbf";

pub(super) fn read_csv(
    path: &Path,
    column: Option<&str>,
    to: &mut Collector<'_>,
) -> Result<(), DatasetError> {
    let unreadable = |error: csv::Error| DatasetError::Read {
        path: path.display().to_string(),
        message: error.to_string(),
    };
    let mut reader = ReaderBuilder::new().flexible(true).from_path(path).map_err(unreadable)?;
    let names: Vec<String> =
        reader.headers().map_err(unreadable)?.iter().map(str::to_owned).collect();
    let at = text_column(path, &names, column)?;
    let mut record = StringRecord::new();
    loop {
        match reader.read_record(&mut record) {
            Ok(false) => return Ok(()),
            Ok(true) => {
                let line = record.position().map_or(0, csv::Position::line);
                if record.len() == names.len() {
                    to.take(line, Some(&names[at]), &record[at])?;
                } else {
                    let (found, expected) = (record.len(), names.len());
                    let message = format!("{found} values, but the header has {expected} columns");
                    to.fault(line, None, message);
                }
            }
            Err(error) => {
                let fault = utf8_fault(&error, &names).ok_or_else(|| unreadable(error))?;
                to.fault(fault.line, fault.column.as_deref(), fault.message);
            }
        }
    }
}

/// The named column, or the one and only.
fn text_column(path: &Path, names: &[String], column: Option<&str>) -> Result<usize, DatasetError> {
    let path = path.display().to_string();
    let Some(column) = column else {
        return match names.len() {
            1 => Ok(0),
            _ => Err(DatasetError::WhichColumn { path, known: names.join(", ") }),
        };
    };
    let mut places = (0..names.len()).filter(|at| names[*at] == column);
    let column = column.to_owned();
    match (places.next(), places.next()) {
        (Some(at), None) => Ok(at),
        (Some(_), Some(_)) => Err(DatasetError::RepeatedColumn { path, column }),
        (None, _) => Err(DatasetError::UnknownColumn { path, column, known: names.join(", ") }),
    }
}

pub(super) fn read_json_lines(
    path: &Path,
    key: &str,
    to: &mut Collector<'_>,
) -> Result<(), DatasetError> {
    let max_bytes = to.limits.text_bytes.saturating_mul(JSON_FACTOR);
    each_line(path, max_bytes, to, |to, line, text| match text_of(text, key) {
        Ok(found) => to.take(line, Some(key), &found),
        Err(message) => {
            to.fault(line, None, message);
            Ok(())
        }
    })
}

/// The text in a line of JSON.
fn text_of(line: &str, key: &str) -> Result<String, String> {
    let value: Value = serde_json::from_str(line)
        // Its own line number counts within this line.
        .map_err(|error| format!("no JSON at column {}", error.column()))?;
    let Value::Object(mut object) = value else {
        return Err("no JSON object".to_owned());
    };
    match object.remove(key) {
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err(format!("the key {key:?} holds no string")),
        None => Err(format!("no key {key:?}")),
    }
}

pub(super) fn read_plain(path: &Path, to: &mut Collector<'_>) -> Result<(), DatasetError> {
    each_line(path, to.limits.text_bytes, to, |to, line, text| to.take(line, None, text))
}

/// Calls `take` with the number and the text of each line that is not blank.
fn each_line(
    path: &Path,
    max_bytes: usize,
    to: &mut Collector<'_>,
    mut take: impl FnMut(&mut Collector<'_>, u64, &str) -> Result<(), DatasetError>,
) -> Result<(), DatasetError> {
    let unreadable = |error: std::io::Error| DatasetError::Read {
        path: path.display().to_string(),
        message: error.to_string(),
    };
    let file = File::open(path).map_err(unreadable)?;
    // Room for a carriage return and the byte order mark.
    let mut lines = Lines::new(BufReader::new(file), max_bytes.saturating_add(MARK.len() + 1));
    let mut number = 0;
    while let Some(line) = lines.next().map_err(unreadable)? {
        number += 1;
        let bytes = match line {
            Line::Whole(bytes) if number == 1 => bytes.strip_prefix(MARK).unwrap_or(bytes),
            Line::Whole(bytes) => bytes,
            Line::TooLong => {
                to.fault(number, None, too_long(max_bytes));
                continue;
            }
        };
        match str::from_utf8(bytes) {
            Ok(text) if text.trim().is_empty() => {}
            Ok(text) => take(to, number, text)?,
            Err(error) => to.fault(number, None, not_utf8(error)),
        }
    }
    Ok(())
}

fn not_utf8(error: Utf8Error) -> String {
    format!("not UTF-8 after byte {}", error.valid_up_to())
}
