//! Reads the file of rows for `init`: separated values in UTF-8. It stands in for the reader of all
//! verbs and goes when that is there.

use std::{fs, path::Path};

use csv::{ReaderBuilder, StringRecord};

use super::{
    InitError,
    table::{FaultyRow, Row, Source, Table},
};

const MAX_FILE_BYTES: u64 = 2 << 30;

/// Reads a file; the separator is the one that its header has most of.
///
/// # Errors
///
/// `InitError` if the file cannot be read, is not UTF-8, or has no rows.
pub fn read(path: &Path) -> Result<Table, InitError> {
    let name = path.display().to_string();
    let fault = |message: String| InitError::Read { path: name.clone(), message };
    let length = fs::metadata(path).map_err(|error| fault(error.to_string()))?.len();
    if length > MAX_FILE_BYTES {
        return Err(InitError::TooLarge { path: name });
    }
    let bytes = fs::read(path).map_err(|error| fault(error.to_string()))?;
    let text = match std::str::from_utf8(&bytes) {
        Ok(text) => text,
        Err(error) => {
            let line = 1 + bytes[..error.valid_up_to()].iter().filter(|b| **b == b'\n').count();
            return Err(fault(format!(
                "line {line} is not UTF-8; convert the file, for instance with iconv -t UTF-8"
            )));
        }
    };
    let (text, marked) = match text.strip_prefix('\u{feff}') {
        Some(text) => (text, " with a byte order mark"),
        None => (text, ""),
    };
    let separator = separator(text.lines().next().unwrap_or_default());
    let format = format!("{}, UTF-8{marked}", words(separator));
    parse(text, separator, Source { path: name.clone(), format })
}

fn separator(header: &str) -> u8 {
    let count = |separator: u8| header.bytes().filter(|byte| *byte == separator).count();
    let candidates = [b',', b'\t', b';', b'|'];
    // The earlier of equals.
    candidates.into_iter().rev().max_by_key(|candidate| count(*candidate)).unwrap_or(b',')
}

fn words(separator: u8) -> &'static str {
    match separator {
        b'\t' => "tab-separated",
        b';' => "semicolon-separated",
        b'|' => "separated by |",
        _ => "CSV",
    }
}

fn parse(text: &str, separator: u8, source: Source) -> Result<Table, InitError> {
    let fault = |error: csv::Error| InitError::Read {
        path: source.path.clone(),
        message: error.to_string(),
    };
    let mut reader =
        ReaderBuilder::new().flexible(true).delimiter(separator).from_reader(text.as_bytes());
    let header = reader.headers().map_err(fault)?.clone();
    let columns: Vec<String> = header.iter().map(|name| name.trim().to_owned()).collect();
    let count = columns.len();
    let mut rows = Vec::new();
    let mut record = StringRecord::new();
    let (mut counted, mut lines) = (0usize, 1u64);
    while reader.read_record(&mut record).map_err(fault)? {
        // The library counts blank lines to the row after them.
        let at = record.position().map_or(0, |position| position.byte() as usize);
        let rest = text.get(at..).unwrap_or_default();
        let start = at + rest.len() - rest.trim_start_matches(['\n', '\r']).len();
        let between = text.as_bytes().get(counted..start).unwrap_or_default();
        lines += between.iter().filter(|byte| **byte == b'\n').count() as u64;
        counted = start;
        rows.push(row(&record, lines, count));
    }
    Table::collect(source, columns, rows)
}

fn row(record: &StringRecord, line: u64, columns: usize) -> Result<Row, FaultyRow> {
    if record.len() != columns {
        let message = format!("{} values, but the header has {columns} columns", record.len());
        return Err(FaultyRow { line, message });
    }
    let cells = record.iter().map(|cell| (!cell.is_empty()).then(|| cell.to_owned())).collect();
    Ok(Row { line, cells })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Table {
        let file = tempfile::NamedTempFile::new().expect("a file");
        fs::write(file.path(), text).expect("written");
        read(file.path()).expect("good rows")
    }

    #[test]
    fn separators_marks_and_line_ends_are_recognised() {
        let table =
            read_text("\u{feff}stars\ttext\r\n\r\n5\t\"good,\r\nreally\"\r\n\r\n1\tbad\r\n");
        assert_eq!(table.columns, ["stars", "text"]);
        assert_eq!(table.source.format, "tab-separated, UTF-8 with a byte order mark");
        let lines: Vec<u64> = table.rows.iter().map(|row| row.line).collect();
        assert_eq!(lines, [3, 6]);
        assert_eq!(table.value(0, 1), "good,\r\nreally");
        assert_eq!(read_text("a;b\n1,5;x\n").source.format, "semicolon-separated, UTF-8");
        assert_eq!(read_text("text\nx\n").source.format, "CSV, UTF-8");
    }

    #[test]
    fn rows_of_another_width_are_kept_apart() {
        let table = read_text("a,b\n1,2\n3\n4,5,6\n7,8\n");
        let lines: Vec<u64> = table.faulty.iter().map(|row| row.line).collect();
        assert_eq!((table.rows.len(), lines), (2, vec![3, 4]));
    }
}
