//! Unlabelled text, for training a language model on.

mod formats;
mod held_back;
mod lines;

use std::{collections::HashSet, path::Path};

use super::{
    DatasetError, LISTED_FAULTS, RowFault,
    csv::{MAX_ROWS, MAX_TEXT_BYTES},
    fingerprint::{self, Fingerprint},
};

pub use held_back::{Split, split_held_back};

/// Texts of one or more files, trimmed, each of them once, in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Texts {
    pub texts: Vec<String>,
    /// Rows without a text. Blank lines of a plain text file are not counted.
    pub skipped_empty: usize,
    /// Texts that had come before.
    pub dropped_duplicates: usize,
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

/// How a file holds texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    /// A header row; the texts are in one column.
    Csv,
    /// An object on each line; the texts are under one key.
    JsonLines,
    /// A text on each line.
    Plain,
}

impl Format {
    fn of(path: &Path) -> Self {
        let extension =
            path.extension().map(|extension| extension.to_string_lossy().to_lowercase());
        match extension.as_deref() {
            Some("csv") => Self::Csv,
            Some("jsonl" | "ndjson") => Self::JsonLines,
            _ => Self::Plain,
        }
    }
}

/// Reads the texts of these files: CSV (`.csv`), JSON Lines (`.jsonl`, `.ndjson`), or else plain
/// text with one text per line, all of them UTF-8. `column` names the column of a CSV file, which
/// may be left out if it has no other, and the key in JSON Lines, which is `text` if not named.
///
/// Texts are trimmed; empty ones and those that came before are left out and counted. The error
/// lists the faulty rows of the first file that has any.
pub fn read_texts<P: AsRef<Path>>(
    paths: &[P],
    column: Option<&str>,
    limits: &TextLimits,
) -> Result<Texts, DatasetError> {
    let all = || {
        let names = paths.iter().map(|path| path.as_ref().display().to_string());
        names.collect::<Vec<_>>().join(", ")
    };
    let plain = |path: &P| Format::of(path.as_ref()) == Format::Plain;
    if let (Some(column), true) = (column, paths.iter().all(plain)) {
        return Err(DatasetError::NoColumns { path: all(), column: column.to_owned() });
    }
    let mut collector = Collector::new(limits);
    for path in paths {
        let path = path.as_ref();
        collector.begin(path);
        match Format::of(path) {
            Format::Csv => formats::read_csv(path, column, &mut collector)?,
            Format::JsonLines => {
                formats::read_json_lines(path, column.unwrap_or("text"), &mut collector)?;
            }
            Format::Plain => formats::read_plain(path, &mut collector)?,
        }
        collector.end()?;
    }
    if collector.found.texts.is_empty() {
        return Err(DatasetError::NoTexts { path: all() });
    }
    Ok(collector.found)
}

/// Takes texts and faults in their order.
struct Collector<'a> {
    limits: &'a TextLimits,
    /// The file at hand, and its faults.
    path: String,
    faults: Vec<RowFault>,
    more: usize,
    found: Texts,
    bytes: usize,
    seen: HashSet<Fingerprint>,
}

impl<'a> Collector<'a> {
    fn new(limits: &'a TextLimits) -> Self {
        let (faults, seen) = (Vec::new(), HashSet::new());
        let (path, found) = (String::new(), Texts::default());
        Self { limits, path, faults, more: 0, found, bytes: 0, seen }
    }

    fn begin(&mut self, path: &Path) {
        self.path = path.display().to_string();
    }

    /// A text on this line; `column` is where in the row it stands.
    fn take(&mut self, line: u64, column: Option<&str>, text: &str) -> Result<(), DatasetError> {
        let text = text.trim();
        if text.len() > self.limits.text_bytes {
            self.fault(line, column, too_long(self.limits.text_bytes));
            return Ok(());
        }
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

    fn fault(&mut self, line: u64, column: Option<&str>, message: String) {
        if self.faults.len() < LISTED_FAULTS {
            let column = column.map(str::to_owned);
            self.faults.push(RowFault { line, column, message });
        } else {
            self.more += 1;
        }
    }

    fn end(&mut self) -> Result<(), DatasetError> {
        if self.faults.is_empty() {
            return Ok(());
        }
        let (path, faults) = (self.path.clone(), std::mem::take(&mut self.faults));
        Err(DatasetError::Rows { path, faults, more: self.more })
    }
}

fn too_long(limit: usize) -> String {
    format!("too long: more than {limit} bytes")
}

#[cfg(test)]
mod tests;
