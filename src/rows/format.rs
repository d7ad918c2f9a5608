//! The formats of rows.

use std::{fmt, path::Path};

use super::RowsError;

/// How rows are written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// A header row, a separator between values, quotes as in RFC 4180. Every value is a text.
    #[default]
    Csv,
    /// As [`Self::Csv`], with tabs between the values.
    Tsv,
    /// One JSON object on each line.
    Jsonl,
    /// A JSON array of objects.
    Json,
    Parquet,
    /// A text on each line, without columns.
    Text,
}

impl Format {
    /// The format that a path's extension stands for, as rows are written.
    ///
    /// # Errors
    ///
    /// If it stands for none.
    pub fn of(path: &Path) -> Result<Self, RowsError> {
        let extension = path.extension().and_then(|extension| extension.to_str());
        extension
            .and_then(Self::of_extension)
            .ok_or_else(|| RowsError::UnknownFormat { path: path.display().to_string() })
    }

    /// The format that an extension stands for. A `.json` file may hold an array or lines, and a
    /// `.txt` file anything: their content tells.
    fn of_extension(extension: &str) -> Option<Self> {
        match extension.to_ascii_lowercase().as_str() {
            "csv" => Some(Self::Csv),
            "tsv" | "tab" => Some(Self::Tsv),
            "jsonl" | "ndjson" => Some(Self::Jsonl),
            "parquet" | "pq" => Some(Self::Parquet),
            _ => None,
        }
    }

    /// The format of a file with this name and beginning: by its extension, which may stand before
    /// `.gz` or `.zst`, or else by its first bytes. What they do not tell is `fallback`.
    pub fn detect(name: &str, head: &[u8], fallback: Self) -> Self {
        let lower = name.to_ascii_lowercase();
        let inner = [".gz", ".zst"].iter().find_map(|suffix| lower.strip_suffix(suffix));
        let extension = Path::new(inner.unwrap_or(&lower)).extension();
        let extension = extension.and_then(|extension| extension.to_str());
        if let Some(format) = extension.and_then(Self::of_extension) {
            return format;
        }
        if fallback == Self::Text && extension == Some("txt") {
            return Self::Text;
        }
        if head.starts_with(b"PAR1") {
            return Self::Parquet;
        }
        let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
        match text.trim_ascii_start().first() {
            Some(b'[') if extension == Some("json") || is_array(text) => Self::Json,
            Some(b'{') => Self::Jsonl,
            _ => fallback,
        }
    }

    /// Whether rows are values with a separator between them.
    pub fn is_separated(self) -> bool {
        matches!(self, Self::Csv | Self::Tsv)
    }

    /// Whether rows are JSON objects, each with keys of its own.
    pub fn is_json(self) -> bool {
        matches!(self, Self::Jsonl | Self::Json)
    }
}

/// Whether an array of objects begins here, or an empty one.
fn is_array(text: &[u8]) -> bool {
    let inner = text.trim_ascii_start().get(1..).unwrap_or_default();
    matches!(inner.trim_ascii_start().first(), Some(b'{' | b']'))
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Csv => "CSV",
            Self::Tsv => "TSV",
            Self::Jsonl => "JSONL",
            Self::Json => "JSON",
            Self::Parquet => "Parquet",
            Self::Text => "plain text",
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
        check("b.tsv", Some(Format::Tsv));
        check("b.jsonl", Some(Format::Jsonl));
        check("b.ndjson", Some(Format::Jsonl));
        check("b.tar.parquet", Some(Format::Parquet));
        check("b.json", None);
        check("csv", None);
    }

    #[test]
    fn a_file_is_known_by_its_name_or_by_its_first_bytes() {
        let check = |name: &str, head: &str, expected| {
            assert_eq!(Format::detect(name, head.as_bytes(), Format::Csv), expected, "{name}");
        };
        check("a.csv", "{", Format::Csv);
        check("a.tsv.gz", "", Format::Tsv);
        check("a.JSONL.ZST", "", Format::Jsonl);
        check("a.json", " [\n", Format::Json);
        check("a.json", "\u{feff}{\"a\":1}", Format::Jsonl);
        check("/dev/fd/63", "PAR1", Format::Parquet);
        check("-", "[ {\"a\":1}]", Format::Json);
        check("-", "[sic] a,b\n", Format::Csv);
        check("-", "text\n", Format::Csv);
        check("a.txt", "text\tlabel\n", Format::Csv);
        assert_eq!(Format::detect("a.txt", b"{a", Format::Text), Format::Text);
        assert_eq!(Format::detect("a", b"{\"a\":1}", Format::Text), Format::Jsonl);
        assert_eq!(Format::detect("a", b"hello", Format::Text), Format::Text);
    }
}
