//! Rows of labelled files as they stand there, with further columns.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
};

use csv::WriterBuilder;

use super::{
    DatasetError,
    labelled::{Columns, Reading, read_row},
};
use crate::{
    prompt::TaskFile,
    rows::{Cell, Origin, Row, RowReader},
};

/// The rows of the files that a data set was read from. They are read once more, so none of the
/// files may be standard input.
pub struct ChosenRows<'a> {
    origins: Vec<Origin>,
    task: &'a TaskFile,
    reading: &'a Reading,
    /// The columns of all files, each name once.
    columns: Vec<String>,
}

impl<'a> ChosenRows<'a> {
    /// Finds the columns of the files, which must have none of the names that are to be added.
    ///
    /// # Errors
    ///
    /// If a file cannot be read or is standard input, or has such a column.
    pub fn new(
        origins: Vec<Origin>,
        added: &[&str],
        task: &'a TaskFile,
        reading: &'a Reading,
    ) -> Result<Self, DatasetError> {
        let (mut columns, mut seen) = (Vec::new(), BTreeSet::new());
        for origin in &origins {
            let path = origin.name();
            if origin.is_standard_input() {
                return Err(DatasetError::ReadOnce { path });
            }
            let mut reader = RowReader::open(origin, &reading.options)?;
            // Rows of JSON say their columns one by one.
            while reader.has_own_columns() && reader.next_row()?.is_some() {}
            for column in reader.columns() {
                if added.contains(&column.name.as_str()) {
                    return Err(DatasetError::Clash { path, column: column.name.clone() });
                }
                if seen.insert(column.name.clone()) {
                    columns.push(column.name.clone());
                }
            }
        }
        Ok(Self { origins, task, reading, columns })
    }

    /// Writes rows to `out` as CSV with all their columns, and after these the cells of the columns
    /// that are added. `chosen` has the cells by the example's number, from 0. One row is in memory
    /// at a time.
    ///
    /// # Errors
    ///
    /// If reading or writing fails.
    pub fn write(
        &self,
        added: &[&str],
        chosen: &BTreeMap<usize, Vec<String>>,
        out: &mut dyn Write,
    ) -> Result<(), DatasetError> {
        let failed = |error: csv::Error| DatasetError::Write { message: error.to_string() };
        let mut writer = WriterBuilder::new().from_writer(out);
        let header = self.columns.iter().map(String::as_str).chain(added.iter().copied());
        writer.write_record(header).map_err(failed)?;
        let mut example = 0;
        for origin in &self.origins {
            let mut reader = RowReader::open(origin, &self.reading.options)?;
            let columns = Columns::find(&reader, self.task)?;
            while let Some(row) = reader.next_row()? {
                // Rows that were left out are no examples.
                let Ok(row) = row else { continue };
                if read_row(&row, &reader, &columns, self.task).is_err() {
                    continue;
                }
                if let Some(cells) = chosen.get(&example) {
                    let own = self.columns.iter().map(|name| text_of(&row, &reader, name));
                    writer
                        .write_record(own.chain(cells.iter().map(String::as_str)))
                        .map_err(failed)?;
                }
                example += 1;
            }
        }
        writer.flush().map_err(|error| DatasetError::Write { message: error.to_string() })
    }
}

/// A row's value in a column, as a text; empty where it has none.
fn text_of<'r>(row: &'r Row, reader: &RowReader, name: &str) -> &'r str {
    let cell = reader.place(name).and_then(|place| row.cell(place));
    cell.and_then(Cell::text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    const TASK: &str = r#"
        [task]
        name = "t"
        kind = "classification"
        [fields.text]
        [labels]
        column = "label"
        names = ["x", "y"]
        [prompt]
        canonical = "a"
        [[prompt.template]]
        id = "a"
        text = "{text} {mask}"
    "#;

    fn written(path: &Path, chosen: &[usize]) -> Result<String, DatasetError> {
        let task = TaskFile::parse(TASK, "task.toml").expect("a good file");
        let added = ["said", "probability"];
        let cells = || vec!["y".to_owned(), "0.5".to_owned()];
        let chosen = chosen.iter().map(|at| (*at, cells())).collect();
        let reading = Reading { skip_faulty: Some(10), ..Reading::default() };
        let rows = ChosenRows::new(vec![Origin::new(path)], &added, &task, &reading)?;
        let mut out = Vec::new();
        rows.write(&added, &chosen, &mut out)?;
        Ok(String::from_utf8(out).expect("text"))
    }

    #[test]
    fn chosen_rows_keep_their_columns_and_get_more() {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("data.csv");
        // The third row is faulty and no example.
        let text = "id,text,label\n1,\"a, \"\"b\"\"\",x\n2,c,y\n3,c,z\n4,\"d\ne\",x\n";
        fs::write(&path, text).expect("written");
        let expected = "id,text,label,said,probability\n1,\"a, \"\"b\"\"\",x,y,0.5\n\
                        4,\"d\ne\",x,y,0.5\n";
        assert_eq!(written(&path, &[0, 2]).expect("copied"), expected);
        let path = home.path().join("data.jsonl");
        let text = "{\"text\":\"a\",\"label\":\"x\"}\n{\"label\":\"y\",\"text\":\"b\",\"id\":7}\n";
        fs::write(&path, text).expect("written");
        let expected = "text,label,id,said,probability\na,x,,y,0.5\nb,y,7,y,0.5\n";
        assert_eq!(written(&path, &[0, 1]).expect("copied"), expected);
    }

    #[test]
    fn a_column_that_is_there_is_not_added_and_standard_input_is_not_read_twice() {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("data.csv");
        fs::write(&path, "text,label,probability\na,x,1\n").expect("written");
        let error = written(&path, &[]).expect_err("a clash").to_string();
        assert!(error.contains("data.csv has a column \"probability\""), "{error}");
        let error = written(Path::new("-"), &[]).expect_err("read once").to_string();
        assert!(error.contains("standard input"), "{error}");
        assert!(written(&home.path().join("none.csv"), &[]).is_err());
    }
}
