//! Rows of separated values: which separator they have, and their cells.

use csv::ByteRecord;

use super::{
    columns::{Column, ColumnKind, shown},
    encoding::not_utf8,
    records::Record,
};

/// Separators that a header is searched for, the likeliest first.
const SEPARATORS: [u8; 4] = [b',', b'\t', b';', b'|'];

/// How values are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Separated {
    pub separator: u8,
    /// What comes before a quote within quotes, besides another quote.
    pub escape: Option<u8>,
    /// Whether quotes have a meaning.
    pub quotes: bool,
}

/// The separator that a header has most often outside of quotes; a comma if it has none.
pub fn detect_separator(header: &[u8]) -> u8 {
    let mut counts = [0usize; SEPARATORS.len()];
    let mut is_quoted = false;
    for byte in header {
        is_quoted ^= *byte == b'"';
        if let Some(at) = SEPARATORS.iter().position(|one| one == byte)
            && !is_quoted
        {
            counts[at] += 1;
        }
    }
    // The first of equals.
    let best = (0..SEPARATORS.len()).rev().max_by_key(|at| counts[*at]);
    best.map_or(b',', |at| SEPARATORS[at])
}

/// The cells of all rows in these bytes. Escapes are doubled quotes by now.
pub fn cells_of(bytes: &[u8], separated: Separated) -> Vec<ByteRecord> {
    let reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(separated.separator)
        .quoting(separated.quotes)
        .from_reader(bytes);
    // Memory can be read, and nothing else fails here.
    reader.into_byte_records().map_while(Result::ok).collect()
}

/// The columns that a header names, without blanks around their names.
///
/// # Errors
///
/// Why it cannot be read.
pub fn header_columns(header: &Record, separated: Separated) -> Result<Vec<Column>, String> {
    if let Some(fault) = &header.fault {
        return Err(format!("line {}: {fault}", header.line));
    }
    let names = cells_of(&header.bytes, separated).into_iter().next().unwrap_or_default();
    let column = |name: &[u8]| {
        let name = std::str::from_utf8(name).map_err(not_utf8)?.trim();
        Ok(Column { name: name.to_owned(), kind: ColumnKind::Text })
    };
    names.iter().map(column).collect()
}

/// What is wrong with a row: its number of cells, or one that is not UTF-8, with its column.
pub fn row_fault(row: &ByteRecord, columns: &[Column]) -> Option<(Option<String>, String)> {
    if row.len() != columns.len() {
        let (found, expected) = (row.len(), columns.len());
        return Some((None, format!("{found} values, but the header has {expected} columns")));
    }
    row.iter().zip(columns).find_map(|(cell, column)| {
        let error = std::str::from_utf8(cell).err()?;
        Some((Some(shown(&column.name)), not_utf8(error)))
    })
}

/// A record with its escapes within quotes as doubled quotes: `\"` becomes `""`, `\\` becomes `\`,
/// and any other backslash stays.
pub fn unescaped(record: &[u8], escape: u8) -> Vec<u8> {
    let mut out = Vec::with_capacity(record.len());
    let (mut is_quoted, mut bytes) = (false, record.iter().copied().peekable());
    while let Some(byte) = bytes.next() {
        match bytes.peek() {
            Some(b'"') if is_quoted && byte == escape => {
                out.extend(b"\"\"");
                bytes.next();
            }
            Some(next) if is_quoted && byte == escape && *next == escape => {
                out.push(escape);
                bytes.next();
            }
            _ => {
                is_quoted ^= byte == b'"';
                out.push(byte);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_separator_is_the_one_that_the_header_has_most() {
        let check = |header: &str, expected: u8| {
            assert_eq!(detect_separator(header.as_bytes()), expected, "{header}");
        };
        check("text,label", b',');
        check("text\tlabel", b'\t');
        check("text;label;note, if any", b';');
        check("\"a,b,c\"|label", b'|');
        check("text", b',');
        check("a,b;c", b',');
    }
}
