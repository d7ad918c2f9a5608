//! The input in chunks of rows, read in order and not before they are asked for.

use std::{fs::File, ops::Range, path::Path};

use arrow_array::RecordBatch;

use super::{BulkError, Format};
use crate::rows::{ArrowRows, Dialect, Position, Record, Records, Stretch, Text, open_at};

/// Bytes of a chunk's texts, after which it is full whatever the number of its rows.
const CHUNK_BYTES: usize = 8 << 20;

/// A place between two rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// Rows of the input before it.
    pub rows: u64,
    /// In all formats but Parquet.
    pub position: Position,
}

/// Some rows as they are read.
pub enum Piece {
    Text(Vec<Record>),
    Arrow(Stretch),
}

/// Consecutive rows.
pub struct Chunk {
    pub piece: Piece,
    /// Where the next one begins.
    pub end: Place,
}

/// Where rows come from.
pub struct Source<'a> {
    reader: Reader<'a>,
    /// Where the next row is.
    at: u64,
    /// The row after the last one.
    end: u64,
    chunk_rows: usize,
    name: String,
}

enum Reader<'a> {
    Text(Records<Text<'a>>),
    Arrow(ArrowRows),
}

impl<'a> Source<'a> {
    /// The rows of a file between these numbers, read from a place that lies before them or among
    /// them. Packed Parquet is read where it was unpacked to.
    ///
    /// # Errors
    ///
    /// If it cannot be read.
    pub fn of_file(
        path: &Path,
        dialect: &Dialect,
        spooled: Option<&File>,
        from: Place,
        rows: Range<u64>,
        chunk_rows: usize,
    ) -> Result<Self, BulkError> {
        let name = path.display().to_string();
        if dialect.format == Format::Parquet {
            let rows = rows.start.max(from.rows)..rows.end;
            let (at, end) = (rows.start, rows.end);
            let file = spooled.map_or_else(|| File::open(path), File::try_clone);
            let file = file.map_err(BulkError::read(&name))?;
            let reader = Reader::Arrow(ArrowRows::new(file, &name, rows)?);
            return Ok(Self { reader, at, end, chunk_rows, name });
        }
        let text = open_at(path, dialect, from.position)?;
        let mut records = Records::new(text, dialect.grammar(), from.position);
        let mut at = from.rows;
        while at < rows.start && records.next_record().map_err(BulkError::read(&name))?.is_some() {
            at += 1;
        }
        Ok(Self { reader: Reader::Text(records), at, end: rows.end, chunk_rows, name })
    }

    /// All rows that a stream still has.
    pub fn of_stream(records: Records<Text<'a>>, name: &str, chunk_rows: usize) -> Self {
        let reader = Reader::Text(records);
        Self { reader, at: 0, end: u64::MAX, chunk_rows, name: name.to_owned() }
    }

    /// The next chunk; `None` after the last.
    ///
    /// # Errors
    ///
    /// If it cannot be read.
    pub fn next(&mut self) -> Result<Option<Chunk>, BulkError> {
        let left = usize::try_from(self.end.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let most = self.chunk_rows.min(left);
        let (piece, rows, position) = match &mut self.reader {
            Reader::Text(records) => {
                let found = read_records(records, most).map_err(BulkError::read(&self.name))?;
                let rows = found.len();
                (Piece::Text(found), rows, records.position())
            }
            Reader::Arrow(arrow) => {
                let found = arrow.next(most, CHUNK_BYTES)?;
                let rows = found.batches.iter().map(RecordBatch::num_rows).sum();
                (Piece::Arrow(found), rows, Position::default())
            }
        };
        if rows == 0 {
            return Ok(None);
        }
        self.at += rows as u64;
        Ok(Some(Chunk { piece, end: Place { rows: self.at, position } }))
    }
}

fn read_records(records: &mut Records<Text<'_>>, most: usize) -> std::io::Result<Vec<Record>> {
    let (mut found, mut bytes) = (Vec::new(), 0);
    while found.len() < most && bytes < CHUNK_BYTES {
        let Some(record) = records.next_record()? else { break };
        bytes += record.bytes.len();
        found.push(record);
    }
    Ok(found)
}
