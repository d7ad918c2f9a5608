//! Rows of a file as they stand there, with further columns.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
    path::Path,
};

use csv::{ByteRecord, ReaderBuilder, WriterBuilder};

use super::DatasetError;

/// Refuses to add columns to a file that has one of their names.
///
/// # Errors
///
/// If the file cannot be read, or has such a column.
pub fn check_new_columns(path: &Path, added: &[&str]) -> Result<(), DatasetError> {
    let failed = |error: csv::Error| read_error(path, &error);
    let mut reader = ReaderBuilder::new().flexible(true).from_path(path).map_err(failed)?;
    let header: BTreeSet<String> =
        reader.headers().map_err(failed)?.iter().map(str::to_owned).collect();
    match added.iter().find(|name| header.contains(**name)) {
        Some(column) => Err(DatasetError::Clash {
            path: path.display().to_string(),
            column: (*column).to_owned(),
        }),
        None => Ok(()),
    }
}

/// Copies rows of a CSV file to `out` with all their columns, in their order, and after these the
/// cells of the columns that are added. `chosen` has the cells by the row's number, from 0. One row
/// is in memory at a time.
///
/// # Errors
///
/// If reading or writing fails.
pub fn write_chosen_rows(
    path: &Path,
    added: &[&str],
    chosen: &BTreeMap<usize, Vec<String>>,
    out: &mut dyn Write,
) -> Result<(), DatasetError> {
    let read = |error: csv::Error| read_error(path, &error);
    let write = |error: csv::Error| DatasetError::Write { message: error.to_string() };
    let mut reader = ReaderBuilder::new().flexible(true).from_path(path).map_err(read)?;
    let mut writer = WriterBuilder::new().from_writer(out);
    let mut header = reader.byte_headers().map_err(read)?.clone();
    header.extend(added);
    writer.write_byte_record(&header).map_err(write)?;
    let mut record = ByteRecord::new();
    let mut row = 0;
    while reader.read_byte_record(&mut record).map_err(read)? {
        if let Some(cells) = chosen.get(&row) {
            record.extend(cells);
            writer.write_byte_record(&record).map_err(write)?;
        }
        row += 1;
    }
    writer.flush().map_err(|error| DatasetError::Write { message: error.to_string() })
}

fn read_error(path: &Path, error: &csv::Error) -> DatasetError {
    DatasetError::Read { path: path.display().to_string(), message: error.to_string() }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn chosen_rows_keep_their_columns_and_get_more() {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("data.csv");
        fs::write(&path, "id,text,label\n1,\"a, \"\"b\"\"\",x\n2,c,y\n3,\"d\ne\",x\n")
            .expect("written");
        let cells = |text: &str| vec![text.to_owned(), "0.5".to_owned()];
        let chosen = BTreeMap::from([(0, cells("y")), (2, cells("z"))]);
        let mut out = Vec::new();
        write_chosen_rows(&path, &["said", "probability"], &chosen, &mut out).expect("copied");
        let expected = "id,text,label,said,probability\n1,\"a, \"\"b\"\"\",x,y,0.5\n\
                        3,\"d\ne\",x,z,0.5\n";
        assert_eq!(String::from_utf8(out).expect("text"), expected);
    }

    #[test]
    fn a_column_that_is_there_is_not_added() {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("data.csv");
        fs::write(&path, "text,probability\n").expect("written");
        assert!(check_new_columns(&path, &["said"]).is_ok());
        let error = check_new_columns(&path, &["said", "probability"]).expect_err("a clash");
        assert!(error.to_string().contains("data.csv has a column \"probability\""), "{error}");
        assert!(check_new_columns(&home.path().join("none.csv"), &[]).is_err());
    }
}
