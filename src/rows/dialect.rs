//! How a file is written, as it was found out or asked for.

use std::fmt;

use super::{
    encoding::Encoding, format::Format, packing::Packing, records::Grammar, separated::Separated,
};

/// What is asked for about a file; the rest is found out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReadOptions {
    pub format: Option<Format>,
    /// Between values.
    pub separator: Option<u8>,
    pub encoding: Option<Encoding>,
    /// What stands before a quote within quotes, besides another quote.
    pub escape: Option<u8>,
    /// Whether quotes are characters as any others.
    pub no_quotes: bool,
    /// The format of a file whose name and content tell none.
    pub fallback: Format,
}

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dialect {
    pub format: Format,
    pub packing: Packing,
    pub encoding: Encoding,
    /// Of [`Format::Csv`] and [`Format::Tsv`].
    pub separated: Separated,
}

impl Dialect {
    /// What ends a record.
    pub fn grammar(&self) -> Grammar {
        match self.format {
            Format::Csv | Format::Tsv => Grammar::Separated(self.separated),
            Format::Json => Grammar::Array,
            Format::Jsonl | Format::Text | Format::Parquet => Grammar::Lines,
        }
    }

    /// Whether a place in the file's text is one in the file.
    pub fn is_seekable(&self) -> bool {
        self.packing == Packing::Plain && self.encoding == Encoding::Utf8
    }
}

/// In words, such as "CSV" or "CSV, separated by ';', in utf-16". What is usual is left out.
impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Separated { separator, escape, quotes } = self.separated;
        write!(f, "{}", self.format)?;
        if self.format.is_separated() {
            if separator != b',' && !(self.format == Format::Tsv && separator == b'\t') {
                write!(f, ", separated by {:?}", char::from(separator))?;
            }
            if let Some(escape) = escape {
                write!(f, ", escaped by {:?}", char::from(escape))?;
            }
            if !quotes {
                f.write_str(", without quotes")?;
            }
        }
        match self.encoding {
            Encoding::Utf8 => Ok(()),
            encoding => write!(f, ", in {}", encoding.name()),
        }
    }
}
