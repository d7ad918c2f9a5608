//! Reads the file of rows for `init`, in any format.

use std::path::Path;

use super::{
    InitError,
    table::{FaultyRow, Row, Source, Table},
};
use crate::rows::{Cell, Origin, ReadOptions, RowReader, RowsError};

/// Reads a file, or standard input for `-`. Rows that cannot be read are kept apart.
///
/// # Errors
///
/// `InitError` if the file cannot be read, has no rows or too many, or has a quote that is never
/// closed: the rows after it may be part of its value.
pub fn read(path: &Path, options: &ReadOptions) -> Result<Table, InitError> {
    let origin = Origin::new(path);
    let name = origin.name();
    let fault = |message: String| InitError::Read { path: name.clone(), message };
    let failed = |error: RowsError| InitError::Rows(error);
    let mut reader = RowReader::open(&origin, options).map_err(failed)?;
    let source = Source { path: name.clone(), format: reader.dialect().to_string() };
    let mut broken = None;
    let rows = std::iter::from_fn(|| match reader.next_row() {
        Ok(None) => None,
        Err(error) => {
            broken = Some(failed(error));
            None
        }
        Ok(Some(Err(row))) if row.takes_others => {
            broken = Some(fault(format!("line {}: {}", row.line, row.message)));
            None
        }
        Ok(Some(Err(row))) => Some(Err(FaultyRow { line: row.line, message: row.message })),
        Ok(Some(Ok(row))) => {
            let text = |cell: Option<Cell>| {
                cell.as_ref()
                    .and_then(Cell::text)
                    .filter(|text| !text.is_empty())
                    .map(str::to_owned)
            };
            Some(Ok(Row { line: row.line, cells: row.cells.into_iter().map(text).collect() }))
        }
    });
    let table = Table::collect(source, rows);
    if let Some(error) = broken {
        return Err(error);
    }
    let columns = reader.columns().iter().map(|column| column.name.trim().to_owned()).collect();
    table?.with_columns(columns)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn read_bytes(name: &str, bytes: &[u8]) -> Result<Table, InitError> {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join(name);
        fs::write(&path, bytes).expect("written");
        read(&path, &ReadOptions::default())
    }

    fn read_text(text: &str) -> Table {
        read_bytes("rows", text.as_bytes()).expect("good rows")
    }

    #[test]
    fn separators_marks_and_line_ends_are_recognised() {
        let table =
            read_text("\u{feff}stars\ttext\r\n\r\n5\t\"good,\r\nreally\"\r\n\r\n1\tbad\r\n");
        assert_eq!(table.columns, ["stars", "text"]);
        let lines: Vec<u64> = table.rows.iter().map(|row| row.line).collect();
        assert_eq!(lines, [3, 6]);
        assert_eq!(table.value(0, 1), "good,\r\nreally");
        assert_eq!(read_text("a;b\n1,5;x\n").columns, ["a", "b"]);
        assert_eq!(read_text("text\nx\n").source.format, "CSV");
    }

    #[test]
    fn rows_of_another_width_are_kept_apart() {
        let table = read_text("a,b\n1,2\n3\n4,5,6\n7,8\n");
        let lines: Vec<u64> = table.faulty.iter().map(|row| row.line).collect();
        assert_eq!((table.rows.len(), lines), (2, vec![3, 4]));
    }

    #[test]
    fn rows_of_json_have_the_columns_of_all() {
        let table = read_bytes("rows.jsonl", b"{\"a\":\"x\"}\n{\"b\":2,\"a\":null}\n");
        let table = table.expect("good rows");
        assert_eq!(table.columns, ["a", "b"]);
        assert_eq!((table.value(0, 0), table.value(0, 1), table.value(1, 1)), ("x", "", "2"));
    }

    #[test]
    fn a_quote_that_is_never_closed_is_refused_with_its_line() {
        let error = read_bytes("rows.csv", b"text,label\na,x\n\"b,y\nc,x\n").expect_err("refused");
        assert!(error.to_string().contains("line 3"), "{error}");
    }
}
