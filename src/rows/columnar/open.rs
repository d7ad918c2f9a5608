//! A Parquet file, opened: what it says of itself, and whether it can be read.

use std::{fmt::Display, fs::File, sync::Arc};

use arrow_schema::SchemaRef;
use parquet::{
    arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions},
    basic::Compression,
    file::metadata::{ColumnChunkMetaData, ParquetMetaData, RowGroupMetaData},
};

use super::window::Window;
use crate::{
    panics::catch_panic,
    rows::{
        RowsError,
        columns::{Column, ColumnKind},
    },
};

/// A file that the library has taken in.
pub struct Opened {
    pub window: Window,
    pub metadata: ArrowReaderMetadata,
    pub name: String,
}

impl Opened {
    /// # Errors
    ///
    /// If it is no Parquet file, or one that is not taken.
    pub fn new(file: File, name: &str) -> Result<Self, RowsError> {
        let name = name.to_owned();
        let length = file.metadata().map_err(RowsError::read(&name))?.len();
        let window = Window::new(Arc::new(file), 0, length);
        let load = || ArrowReaderMetadata::load(&window, ArrowReaderOptions::new());
        let metadata = tried(&name, || window.check_footer().and_then(|()| load()))?;
        tried(&name, || check_compression(metadata.metadata()))?;
        Ok(Self { window, metadata, name })
    }
}

/// Says so at once if there is a column that could not be read later. Of GZIP the library unfolds
/// pages to whatever they hold, with no limit.
fn check_compression(metadata: &ParquetMetaData) -> Result<(), String> {
    let columns = metadata.row_groups().iter().flat_map(RowGroupMetaData::columns);
    let is_read = |codec: &Compression| {
        matches!(codec, Compression::UNCOMPRESSED | Compression::SNAPPY | Compression::ZSTD(_))
    };
    match columns.map(ColumnChunkMetaData::compression).find(|codec| !is_read(codec)) {
        Some(codec) => Err(format!(
            "it is compressed with {codec:?}; write it with Snappy, Zstandard or without"
        )),
        None => Ok(()),
    }
}

/// What the library makes of a file. One that is damaged can make it panic, after which nothing of
/// what it was at is used any more.
pub fn tried<T, E: Display>(
    name: &str,
    work: impl FnOnce() -> Result<T, E>,
) -> Result<T, RowsError> {
    let message = match catch_panic(work) {
        Ok(Ok(made)) => return Ok(made),
        Ok(Err(error)) => error.to_string(),
        Err(panic) => format!("it makes the library panic: {panic}"),
    };
    Err(RowsError::Parquet { path: name.to_owned(), message })
}

/// The number of rows, and the columns.
pub fn survey(file: File, name: &str) -> Result<(u64, Vec<Column>), RowsError> {
    let opened = Opened::new(file, name)?;
    let rows: i64 = opened.metadata.metadata().row_groups().iter().map(|g| g.num_rows()).sum();
    let rows = u64::try_from(rows).map_err(|_| RowsError::Parquet {
        path: opened.name.clone(),
        message: format!("it says that it has {rows} rows"),
    })?;
    let columns = opened.metadata.schema().fields().iter();
    let columns =
        columns.map(|field| Column { name: field.name().clone(), kind: ColumnKind::Arrow });
    Ok((rows, columns.collect()))
}

/// The types of the columns.
pub fn schema(file: File, name: &str) -> Result<SchemaRef, RowsError> {
    Ok(Arc::clone(Opened::new(file, name)?.metadata.schema()))
}

#[cfg(test)]
mod tests {
    use parquet::{
        basic::{BrotliLevel, GzipLevel},
        file::metadata::FileMetaData,
    };

    use super::*;

    #[test]
    fn a_compression_that_is_not_read_is_said_with_what_to_do() {
        let message = "message m { optional binary text; }";
        let message = parquet::schema::parser::parse_message_type(message).expect("a schema");
        let schema = Arc::new(parquet::schema::types::SchemaDescriptor::new(Arc::new(message)));
        let check = |codec| {
            let column = ColumnChunkMetaData::builder(schema.column(0)).set_compression(codec);
            let group = RowGroupMetaData::builder(Arc::clone(&schema));
            let group = group.add_column_metadata(column.build().expect("a column")).build();
            let file = FileMetaData::new(2, 0, None, None, Arc::clone(&schema), None);
            check_compression(&ParquetMetaData::new(file, vec![group.expect("a group")]))
        };
        assert_eq!(check(Compression::UNCOMPRESSED), Ok(()));
        let gzip = Compression::GZIP(GzipLevel::default());
        let brotli = Compression::BROTLI(BrotliLevel::default());
        for codec in [gzip, brotli, Compression::LZ4, Compression::LZ4_RAW] {
            let error = check(codec).expect_err("refused");
            let name = format!("{codec:?}");
            assert!(error.contains(&name) && error.contains("write it with Snappy"), "{error}");
        }
    }
}
