//! The rows of the file, in memory: what every inference of `init` looks at.

use super::InitError;

/// Rows that are read; more gain nothing for a first model.
pub const MAX_ROWS: usize = 1_000_000;

/// Bytes of all cells together.
pub const MAX_BYTES: usize = 1 << 30;

/// Columns of a file.
pub const MAX_COLUMNS: usize = 1_000;

/// The format of a file, as it was recognised.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Source {
    /// The path as it was given.
    pub path: String,
    /// Format, separator and encoding in words, such as "tab-separated, UTF-8".
    pub format: String,
}

/// One row with as many cells as there are columns. A cell without a value is `None`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Line of the file on which the row begins, from 1.
    pub line: u64,
    pub cells: Vec<Option<String>>,
}

/// A row that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FaultyRow {
    pub line: u64,
    pub message: String,
}

/// A file of rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    pub source: Source,
    /// Names of the columns, trimmed.
    pub columns: Vec<String>,
    pub rows: Vec<Row>,
    /// Rows that could not be read, in their order.
    pub faulty: Vec<FaultyRow>,
}

impl Table {
    /// Collects rows, with limits on their number and size; the columns are still without names.
    ///
    /// # Errors
    ///
    /// `InitError` for a file without rows, or with too many of them.
    pub fn collect(
        source: Source,
        rows: impl IntoIterator<Item = Result<Row, FaultyRow>>,
    ) -> Result<Self, InitError> {
        let path = source.path.clone();
        let (columns, rows_read, faulty) = (Vec::new(), Vec::new(), Vec::new());
        let mut table = Self { source, columns, rows: rows_read, faulty };
        let mut bytes = 0;
        for row in rows {
            match row {
                Ok(row) => {
                    bytes += row.cells.iter().flatten().map(String::len).sum::<usize>();
                    table.rows.push(row);
                }
                Err(fault) => table.faulty.push(fault),
            }
            if table.rows.len() + table.faulty.len() > MAX_ROWS || bytes > MAX_BYTES {
                return Err(InitError::TooLarge { path });
            }
        }
        if table.rows.is_empty() {
            let fault = table.faulty.first();
            let fault = fault.map(|fault| format!("; line {}: {}", fault.line, fault.message));
            return Err(InitError::NoRows { path, fault: fault.unwrap_or_default() });
        }
        Ok(table)
    }

    /// Names the columns, of which every row gets a cell.
    ///
    /// # Errors
    ///
    /// `InitError` for too many columns.
    pub fn with_columns(mut self, columns: Vec<String>) -> Result<Self, InitError> {
        if columns.len() > MAX_COLUMNS {
            let path = self.source.path;
            return Err(InitError::TooManyColumns { path, found: columns.len() });
        }
        self.rows.iter_mut().for_each(|row| row.cells.resize(columns.len(), None));
        Ok(Self { columns, ..self })
    }

    /// Index of a column by its exact name, or else by its name whatever the case.
    ///
    /// # Errors
    ///
    /// `InitError` if no column has the name, or several have.
    pub fn column(&self, name: &str) -> Result<usize, InitError> {
        let wanted = name.trim();
        let places = |matches: &dyn Fn(&str) -> bool| -> Vec<usize> {
            (0..self.columns.len()).filter(|at| matches(&self.columns[*at])).collect()
        };
        let exact = places(&|column| column == wanted);
        let found = match exact.is_empty() {
            true => places(&|column| column.eq_ignore_ascii_case(wanted)),
            false => exact,
        };
        match found[..] {
            [at] => Ok(at),
            [] => Err(InitError::UnknownColumn {
                path: self.source.path.clone(),
                column: name.to_owned(),
                known: self.quoted_columns(),
            }),
            _ => Err(InitError::RepeatedColumn {
                path: self.source.path.clone(),
                column: name.to_owned(),
            }),
        }
    }

    /// The value of a cell, trimmed; empty where there is none.
    pub fn value(&self, row: usize, column: usize) -> &str {
        self.rows[row].cells.get(column).and_then(Option::as_deref).map_or("", str::trim)
    }

    /// Names of the columns in quotes, for messages.
    pub fn quoted_columns(&self) -> String {
        let names: Vec<String> = self.columns.iter().map(|name| format!("{name:?}")).collect();
        names.join(", ")
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A table of these rows; lines count from 2.
    pub fn table(columns: &[&str], rows: &[&[&str]]) -> Table {
        let source = Source { path: "data.csv".to_owned(), format: "CSV".to_owned() };
        let rows = rows.iter().enumerate().map(|(at, cells)| {
            let cells = cells.iter().map(|cell| (!cell.is_empty()).then(|| (*cell).to_owned()));
            Ok(Row { line: at as u64 + 2, cells: cells.collect() })
        });
        let columns = columns.iter().map(|name| (*name).to_owned()).collect();
        Table::collect(source, rows)
            .and_then(|table| table.with_columns(columns))
            .expect("a small table")
    }

    #[test]
    fn columns_are_found_by_name_or_whatever_the_case() {
        let table = table(&["Text", "text", "Stars", "x", "x"], &[&["a", "b", "1", "", ""]]);
        assert_eq!(table.column("text").ok(), Some(1));
        assert_eq!(table.column(" stars ").ok(), Some(2));
        let error = |name| table.column(name).expect_err("refused").to_string();
        assert!(error("TEXT").contains("several"), "{}", error("TEXT"));
        assert!(error("x").contains("several"), "{}", error("x"));
        assert!(error("label").contains("\"Stars\""), "{}", error("label"));
        assert_eq!((table.value(0, 0), table.value(0, 3)), ("a", ""));
    }

    #[test]
    fn a_file_without_rows_says_why() {
        let source = Source { path: "data.csv".to_owned(), format: "CSV".to_owned() };
        let fault = FaultyRow { line: 2, message: "3 values".to_owned() };
        let error = Table::collect(source, [Err(fault)]);
        let error = error.expect_err("no rows").to_string();
        assert!(error.contains("line 2: 3 values"), "{error}");
    }
}
