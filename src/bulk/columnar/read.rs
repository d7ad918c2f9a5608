//! Rows of a Parquet file as Arrow batches.

use std::{collections::VecDeque, fmt::Display, fs::File, ops::Range, path::Path, sync::Arc};

use arrow_array::{Array, RecordBatch, cast::AsArray};
use arrow_schema::{DataType, SchemaRef};
use parquet::{
    arrow::arrow_reader::{
        ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader,
        ParquetRecordBatchReaderBuilder,
    },
    basic::Compression,
    file::metadata::{ColumnChunkMetaData, ParquetMetaData, RowGroupMetaData},
};

use super::window::Window;
use crate::{
    bulk::{
        BulkError,
        columns::{Column, ColumnKind},
    },
    panics::catch_panic,
};

/// Rows that are unfolded at a time. A page may hold one value that stands in each of them.
const BATCH_ROWS: usize = 256;

struct Opened {
    window: Window,
    metadata: ArrowReaderMetadata,
    name: String,
}

impl Opened {
    fn new(path: &Path) -> Result<Self, BulkError> {
        let name = path.display().to_string();
        let file = File::open(path).map_err(BulkError::read(&name))?;
        let length = file.metadata().map_err(BulkError::read(&name))?.len();
        let window = Window::new(Arc::new(file), 0, length);
        let load = || ArrowReaderMetadata::load(&window, ArrowReaderOptions::new());
        let metadata = tried(&name, || window.check_footer().and_then(|()| load()))?;
        tried(&name, || check_compression(metadata.metadata()))?;
        Ok(Self { window, metadata, name })
    }
}

/// Says so at once if there is a column that could not be read later.
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
fn tried<T, E: Display>(name: &str, work: impl FnOnce() -> Result<T, E>) -> Result<T, BulkError> {
    let message = match catch_panic(work) {
        Ok(Ok(made)) => return Ok(made),
        Ok(Err(error)) => error.to_string(),
        Err(panic) => format!("it makes the library panic: {panic}"),
    };
    Err(BulkError::Parquet { path: name.to_owned(), message })
}

/// The number of rows, and the columns.
pub fn survey(path: &Path) -> Result<(u64, Vec<Column>), BulkError> {
    let opened = Opened::new(path)?;
    let rows: i64 = opened.metadata.metadata().row_groups().iter().map(|g| g.num_rows()).sum();
    let rows = u64::try_from(rows).map_err(|_| BulkError::Parquet {
        path: opened.name.clone(),
        message: format!("it says that it has {rows} rows"),
    })?;
    let columns = opened.metadata.schema().fields().iter();
    let columns =
        columns.map(|field| Column { name: field.name().clone(), kind: ColumnKind::Arrow });
    Ok((rows, columns.collect()))
}

/// The types of the columns.
pub fn schema(path: &Path) -> Result<SchemaRef, BulkError> {
    Ok(Arc::clone(Opened::new(path)?.metadata.schema()))
}

/// Reads a stretch of rows.
pub struct ArrowRows {
    batches: ParquetRecordBatchReader,
    /// What was unfolded and not yet taken.
    ready: VecDeque<RecordBatch>,
    name: String,
    /// Rows that are to come.
    left: u64,
}

impl ArrowRows {
    /// Of a file these rows.
    ///
    /// # Errors
    ///
    /// If it cannot be read.
    pub fn new(path: &Path, rows: Range<u64>) -> Result<Self, BulkError> {
        let Opened { window, metadata, name } = Opened::new(path)?;
        let left = rows.end.saturating_sub(rows.start);
        let size = |rows: u64| usize::try_from(rows).unwrap_or(usize::MAX);
        let builder =
            ParquetRecordBatchReaderBuilder::new_with_metadata(window.of_pages(), metadata)
                .with_batch_size(BATCH_ROWS)
                .with_offset(size(rows.start))
                .with_limit(size(left));
        let batches = tried(&name, || builder.build())?;
        Ok(Self { batches, ready: VecDeque::new(), name, left })
    }

    /// The next rows: so many, or fewer if their texts take `max_bytes` before. None at the end.
    /// Where a stretch ends depends on its rows alone, not on where reading began.
    ///
    /// # Errors
    ///
    /// If the file is damaged or a page too large.
    pub fn next(
        &mut self,
        max_rows: usize,
        max_bytes: usize,
    ) -> Result<Vec<RecordBatch>, BulkError> {
        let (mut taken, mut rows, mut bytes) = (Vec::new(), 0, 0);
        while rows < max_rows && bytes < max_bytes {
            let Some(batch) = self.unfold()? else { break };
            let mut fitting = 0;
            while fitting < batch.num_rows() && rows < max_rows && bytes < max_bytes {
                bytes += row_bytes(&batch, fitting);
                fitting += 1;
                rows += 1;
            }
            if fitting < batch.num_rows() {
                self.ready.push_front(batch.slice(fitting, batch.num_rows() - fitting));
            }
            taken.push(batch.slice(0, fitting));
        }
        self.left = self.left.saturating_sub(rows as u64);
        Ok(taken)
    }

    fn unfold(&mut self) -> Result<Option<RecordBatch>, BulkError> {
        if let Some(batch) = self.ready.pop_front() {
            return Ok(Some(batch));
        }
        match tried(&self.name, || self.batches.next().transpose())? {
            Some(batch) => Ok(Some(batch)),
            None if self.left > 0 => Err(BulkError::Parquet {
                path: self.name.clone(),
                message: format!("{} rows are missing", self.left),
            }),
            None => Ok(None),
        }
    }
}

/// Bytes of a row's texts; everything else is small.
fn row_bytes(batch: &RecordBatch, row: usize) -> usize {
    let bytes = |column: &Arc<dyn Array>| match column.data_type() {
        DataType::Utf8 => column.as_string::<i32>().value_length(row) as usize,
        DataType::LargeUtf8 => column.as_string::<i64>().value_length(row) as usize,
        DataType::Binary => column.as_binary::<i32>().value_length(row) as usize,
        DataType::LargeBinary => column.as_binary::<i64>().value_length(row) as usize,
        _ => 0,
    };
    batch.columns().iter().map(bytes).sum()
}
