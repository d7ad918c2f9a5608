//! The formats of rows.

use std::{fmt, path::Path};

use super::BulkError;

/// How rows are written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A header row, commas, quotes as in RFC 4180, UTF-8. Every value is a text.
    Csv,
    /// One JSON object on each line.
    Jsonl,
    Parquet,
}

impl Format {
    /// The format that a path's extension stands for.
    ///
    /// # Errors
    ///
    /// If it stands for none.
    pub fn of(path: &Path) -> Result<Self, BulkError> {
        let extension = path.extension().and_then(|extension| extension.to_str());
        match extension.map(str::to_ascii_lowercase).as_deref() {
            Some("csv") => Ok(Self::Csv),
            Some("jsonl" | "ndjson") => Ok(Self::Jsonl),
            Some("parquet" | "pq") => Ok(Self::Parquet),
            _ => Err(BulkError::UnknownFormat { path: path.display().to_string() }),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Csv => "CSV",
            Self::Jsonl => "JSONL",
            Self::Parquet => "Parquet",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_is_known_by_its_extension() {
        let check = |path: &str, expected: Option<Format>| {
            assert_eq!(Format::of(Path::new(path)).ok(), expected, "{path}");
        };
        check("a/b.csv", Some(Format::Csv));
        check("b.CSV", Some(Format::Csv));
        check("b.jsonl", Some(Format::Jsonl));
        check("b.ndjson", Some(Format::Jsonl));
        check("b.tar.parquet", Some(Format::Parquet));
        check("b.json", None);
        check("csv", None);
    }
}
