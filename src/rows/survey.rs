//! A first look at a whole file: what it is, how many rows and which columns it has.
//!
//! Next to what the encoder takes, reading a file twice costs nothing. It tells whether a run that
//! was interrupted may go on, names every fault of the columns before anything is computed, and gives
//! shards their borders.

use std::{
    collections::HashMap,
    fmt::Write,
    fs::File,
    io::{self, Read},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use sha2::{Digest, Sha256};

use super::{
    RowsError, columnar,
    columns::{Column, NameLimits},
    dialect::{Dialect, ReadOptions},
    json::{Entries, Seen},
    open::{Opened, RowInput, Text, open, spooled},
    packing::Packing,
    reader::read_header,
    records::{Position, Records},
};

/// What a file is.
#[derive(Debug)]
pub struct Survey {
    /// SHA-256 of the file.
    pub digest: String,
    pub dialect: Dialect,
    pub rows: u64,
    pub columns: Vec<Column>,
    /// Where the first row begins.
    pub start: Position,
    /// Of packed Parquet the file that it was unpacked to.
    pub spooled: Option<File>,
}

impl Survey {
    /// Reads the file.
    ///
    /// # Errors
    ///
    /// If it cannot be read, or has no columns that can be told.
    pub fn of(path: &Path, options: &ReadOptions) -> Result<Self, RowsError> {
        let name = path.display().to_string();
        let failed = RowsError::read(&name);
        let file = File::open(path).map_err(&failed)?;
        let hashed = Arc::new(Mutex::new(Hashed::default()));
        let bytes =
            Hashing { file: file.try_clone().map_err(&failed)?, hashed: Arc::clone(&hashed) };
        let Opened { dialect, input } = open(Box::new(bytes), &name, options)?;
        let (rows, columns, start, spooled) = match input {
            RowInput::Parquet(bytes) => {
                let is_plain = dialect.packing == Packing::Plain;
                let spooled = (!is_plain).then(|| spooled(bytes, &name)).transpose()?;
                let found = spooled.as_ref().unwrap_or(&file).try_clone().map_err(&failed)?;
                let (rows, columns) = columnar::survey(found, &name)?;
                (rows, columns, Position::default(), spooled)
            }
            RowInput::Text(text) => {
                let records = Records::new(text, dialect.grammar(), Position::default());
                let (rows, columns, start) = match dialect.format.is_json() {
                    true => of_json(&name, records)?,
                    false => of_separated(&name, &dialect, records)?,
                };
                (rows, columns, start, None)
            }
        };
        // What an unpacker did not need, and all of Parquet.
        let mut rest = Hashing { file, hashed: Arc::clone(&hashed) };
        io::copy(&mut rest, &mut io::sink()).map_err(&failed)?;
        let digest = locked(&hashed).digest();
        Ok(Self { digest, dialect, rows, columns, start, spooled })
    }
}

fn of_separated(
    name: &str,
    dialect: &Dialect,
    mut records: Records<Text<'_>>,
) -> Result<(u64, Vec<Column>, Position), RowsError> {
    let columns = read_header(name, dialect.separated, &mut records)?;
    let start = records.position();
    let mut rows = 0;
    while records.next_record().map_err(RowsError::read(name))?.is_some() {
        rows += 1;
    }
    Ok((rows, columns, start))
}

/// Columns are all keys, in the order in which they first appear.
fn of_json(
    name: &str,
    mut records: Records<Text<'_>>,
) -> Result<(u64, Vec<Column>, Position), RowsError> {
    let (mut rows, mut seen) = (0, Vec::<(String, Seen)>::new());
    let (mut places, mut limits) = (HashMap::new(), NameLimits::default());
    while let Some(record) = records.next_record().map_err(RowsError::read(name))? {
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
    Ok((rows, columns, Position::default()))
}

/// Hashes a file while it is read.
struct Hashing {
    file: File,
    hashed: Arc<Mutex<Hashed>>,
}

/// What was hashed so far.
#[derive(Default)]
struct Hashed(Sha256);

impl Hashed {
    fn digest(&self) -> String {
        let mut hex = String::new();
        for byte in self.0.clone().finalize() {
            // Writing to a string does not fail.
            let _ = write!(hex, "{byte:02x}");
        }
        hex
    }
}

/// Only one reads at a time, and a hash that a panic left is not used.
fn locked(hashed: &Mutex<Hashed>) -> MutexGuard<'_, Hashed> {
    hashed.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Read for Hashing {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        locked(&self.hashed).0.update(&buffer[..read]);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::ColumnKind;

    fn survey(name: &str, text: &str) -> Result<Survey, RowsError> {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join(name);
        std::fs::write(&path, text).expect("written");
        Survey::of(&path, &ReadOptions::default())
    }

    #[test]
    fn rows_and_columns_are_found_and_any_change_of_a_byte() {
        let found = survey("a.csv", "id,\"te\nxt\"\n1,\"a\nb\"\n\n2\n").expect("read");
        let names: Vec<&str> = found.columns.iter().map(|column| column.name.as_str()).collect();
        assert_eq!((found.rows, names), (2, vec!["id", "te\nxt"]));
        assert_eq!((found.start.offset, found.start.lines), (11, 2));
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
