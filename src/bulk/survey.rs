//! A first look at the whole input: what it is, how many rows and which columns it has.
//!
//! Next to what the encoder takes, reading a file twice costs nothing. It tells whether a run that
//! was interrupted may go on, names every fault of the columns before anything is computed, and gives
//! shards their borders.

use std::{
    collections::HashMap,
    fmt::Write,
    fs::File,
    io::{self, BufReader, Read},
    path::Path,
};

use sha2::{Digest, Sha256};

use super::{
    BulkError, Format, columnar,
    columns::{Column, ColumnKind, NameLimits},
    json::{Entries, Seen},
    records::{Grammar, Position, Record, Records},
};

/// Bytes that are read at a time.
pub(super) const BUFFER_BYTES: usize = 1 << 18;

/// What the input is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Survey {
    /// SHA-256 of the file.
    pub digest: String,
    pub rows: u64,
    pub columns: Vec<Column>,
    /// Where the first row begins.
    pub start: Position,
}

impl Survey {
    /// Reads the file.
    ///
    /// # Errors
    ///
    /// If it cannot be read, or has no columns that can be told.
    pub fn of(path: &Path, format: Format) -> Result<Self, BulkError> {
        let name = path.display().to_string();
        let file = File::open(path).map_err(BulkError::read(&name))?;
        match format {
            Format::Parquet => {
                let (rows, columns) = columnar::survey(path)?;
                let mut input = Hashing::of(file);
                io::copy(&mut input, &mut io::sink()).map_err(BulkError::read(&name))?;
                Ok(Self { digest: input.digest(), rows, columns, start: Position::default() })
            }
            Format::Csv => of_csv(&name, file),
            Format::Jsonl => of_jsonl(&name, file),
        }
    }
}

fn of_csv(name: &str, file: File) -> Result<Survey, BulkError> {
    let mut input = BufReader::with_capacity(BUFFER_BYTES, Hashing::of(file));
    let mut records = Records::new(&mut input, Grammar::Csv, Position::default());
    let columns = read_header(name, &mut records)?;
    let start = records.position();
    let mut rows = 0;
    while records.next().map_err(BulkError::read(name))?.is_some() {
        rows += 1;
    }
    Ok(Survey { digest: input.into_inner().digest(), rows, columns, start })
}

/// The columns that the first record names.
pub(super) fn read_header<R: io::BufRead>(
    name: &str,
    records: &mut Records<R>,
) -> Result<Vec<Column>, BulkError> {
    let header = records.next().map_err(BulkError::read(name))?;
    let header = header.ok_or_else(|| BulkError::NoHeader { path: name.to_owned() })?;
    let columns = header_columns(&header)
        .map_err(|message| BulkError::Header { path: name.to_owned(), message })?;
    let mut limits = NameLimits::default();
    columns.iter().try_for_each(|column| limits.add(name, &column.name))?;
    Ok(columns)
}

fn header_columns(header: &Record) -> Result<Vec<Column>, String> {
    if let Some(fault) = &header.fault {
        return Err(fault.clone());
    }
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(&header.bytes[..]);
    let mut names = csv::StringRecord::new();
    reader.read_record(&mut names).map_err(|error| error.to_string())?;
    let column = |name: &str| Column { name: name.to_owned(), kind: ColumnKind::Text };
    Ok(names.iter().map(column).collect())
}

/// Columns are all keys, in the order in which they first appear.
fn of_jsonl(name: &str, file: File) -> Result<Survey, BulkError> {
    let mut input = BufReader::with_capacity(BUFFER_BYTES, Hashing::of(file));
    let mut records = Records::new(&mut input, Grammar::Lines, Position::default());
    let (mut rows, mut seen) = (0, Vec::<(String, Seen)>::new());
    let (mut places, mut limits) = (HashMap::new(), NameLimits::default());
    while let Some(record) = records.next().map_err(BulkError::read(name))? {
        rows += 1;
        // What is no object is a fault of its row.
        for (key, value) in Entries::parse(&record.bytes).unwrap_or_default().0 {
            let place = match places.get(&key) {
                Some(place) => *place,
                None => {
                    limits.add(name, &key)?;
                    places.insert(key.clone(), seen.len());
                    seen.push((key, Seen::Nothing));
                    seen.len() - 1
                }
            };
            seen[place].1 = seen[place].1.with(&value);
        }
    }
    let columns =
        seen.into_iter().map(|(name, seen)| Column { name, kind: seen.column() }).collect();
    let digest = input.into_inner().digest();
    Ok(Survey { digest, rows, columns, start: Position::default() })
}

/// Hashes what is read through it.
struct Hashing<R> {
    input: R,
    hash: Sha256,
}

impl<R> Hashing<R> {
    fn of(input: R) -> Self {
        Self { input, hash: Sha256::new() }
    }

    fn digest(self) -> String {
        let mut hex = String::new();
        for byte in self.hash.finalize() {
            // Writing to a string does not fail.
            let _ = write!(hex, "{byte:02x}");
        }
        hex
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer)?;
        self.hash.update(&buffer[..read]);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn survey(name: &str, text: &str) -> Result<Survey, BulkError> {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join(name);
        std::fs::write(&path, text).expect("written");
        Survey::of(&path, Format::of(&path).expect("a known extension"))
    }

    #[test]
    fn rows_and_columns_are_found_and_any_change_of_a_byte() {
        let found = survey("a.csv", "id,\"te\nxt\"\n1,\"a\nb\"\n\n2\n").expect("read");
        let names: Vec<&str> = found.columns.iter().map(|column| column.name.as_str()).collect();
        assert_eq!((found.rows, names), (2, vec!["id", "te\nxt"]));
        assert_eq!((found.start.offset, found.start.line_feeds), (11, 2));
        let other = survey("a.csv", "id,\"te\nxt\"\n1,\"a\nb\"\n\n3\n").expect("read");
        assert_ne!(found.digest, other.digest);
        let text = "{\"b\":1}\nnonsense\n{\"a\":null,\"b\":0.5}\n";
        let found = survey("a.jsonl", text).expect("read");
        assert_eq!(found.digest.len(), 64);
        let column = |name: &str, kind| Column { name: name.to_owned(), kind };
        let columns = [column("b", ColumnKind::Float), column("a", ColumnKind::Text)];
        assert_eq!((found.rows, &found.columns[..]), (3, &columns[..]));
    }

    #[test]
    fn a_file_without_columns_is_refused_with_its_name() {
        let check = |name: &str, text: &str, word: &str| {
            let error = survey(name, text).expect_err("refused").to_string();
            assert!(error.contains(name) && error.contains(word), "{error}");
        };
        check("a.csv", "\n\n", "no header row");
        check("a.csv", "\"a,b\n1,2\n", "never closed");
        check("a.csv", &",".repeat(5000), "more than 4096 columns");
        check("a.parquet", "PAR1 and no more", "Parquet");
        let keys: String = (0..5000).map(|at| format!("{{\"{at}\":1}}\n")).collect();
        check("a.jsonl", &keys, "more than 4096 columns");
        let long = "x".repeat(5000);
        check("a.csv", &format!("text,{long}\n"), "5000 bytes, and no more than 4096");
        check("a.jsonl", &format!("{{\"{long}\":1}}\n"), "5000 bytes, and no more than 4096");
        let names: Vec<String> = (0..300).map(|at| format!("{at:04000}")).collect();
        check("a.csv", &names.join(","), "more than 1048576 bytes together");
        let keys: String = names.iter().map(|name| format!("{{\"{name}\":1}}\n")).collect();
        check("a.jsonl", &keys, "more than 1048576 bytes together");
        let error = survey("a.csv", &long).expect_err("refused").to_string();
        assert!(error.len() < 1000, "{} bytes", error.len());
    }
}
