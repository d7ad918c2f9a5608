//! Writes Parquet in parts that are finished one by one, and puts them together without encoding
//! anything again.
//!
//! A part is a Parquet file of one row group. Parts lie in one file, each after its length.

use std::{fs::File, io::Write, os::unix::fs::FileExt, sync::Arc};

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use parquet::{
    arrow::ArrowWriter,
    basic::Compression,
    column::writer::ColumnCloseResult,
    errors::{ParquetError, Result},
    file::{
        metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader},
        properties::{WriterProperties, WriterPropertiesBuilder},
        writer::SerializedFileWriter,
    },
};

use super::window::Window;
use crate::rows::RowsError;

/// Bytes that a row group takes in memory, about.
const GROUP_BYTES: usize = 32 << 20;

/// A file can hold 32767 row groups.
const MAX_GROUPS: u64 = 32_000;

/// Bytes of a part's length.
const LENGTH_BYTES: u64 = 8;

/// Encodes rows until they are a part.
pub struct PartWriter {
    schema: SchemaRef,
    group_rows: u64,
    writer: Option<ArrowWriter<Vec<u8>>>,
}

impl PartWriter {
    /// For a file that will have so many rows, in row groups of so many at least.
    pub fn new(schema: SchemaRef, rows: u64, group_rows: u64) -> Self {
        Self { schema, group_rows: group_rows.max(rows.div_ceil(MAX_GROUPS)), writer: None }
    }

    /// Takes in rows. If they make a part, it is returned.
    ///
    /// # Errors
    ///
    /// If they cannot be encoded.
    pub fn write(&mut self, batches: &[RecordBatch]) -> Result<Option<Vec<u8>>, RowsError> {
        let written = batches.iter().try_for_each(|batch| self.open()?.write(batch));
        written.map_err(|error| failed(&error))?;
        let is_full = self.writer.as_ref().is_some_and(|writer| {
            writer.in_progress_rows() as u64 >= self.group_rows
                || writer.in_progress_size() >= GROUP_BYTES
        });
        if is_full { self.finish() } else { Ok(None) }
    }

    /// What was taken in since the last part, as a part; nothing if there is nothing.
    ///
    /// # Errors
    ///
    /// If it cannot be encoded.
    pub fn finish(&mut self) -> Result<Option<Vec<u8>>, RowsError> {
        let Some(writer) = self.writer.take() else { return Ok(None) };
        let part = writer.into_inner().map_err(|error| failed(&error))?;
        Ok(Some(with_length(&part)))
    }

    /// A part without rows, which says the types of the columns.
    ///
    /// # Errors
    ///
    /// If Parquet has no such types.
    pub fn empty(&mut self) -> Result<Vec<u8>, RowsError> {
        self.open().map_err(|error| failed(&error))?;
        Ok(self.finish()?.unwrap_or_default())
    }

    fn open(&mut self) -> Result<&mut ArrowWriter<Vec<u8>>> {
        let writer = match self.writer.take() {
            Some(writer) => writer,
            None => {
                // A part ends where this says, and not before.
                let properties = properties().set_max_row_group_row_count(None).build();
                ArrowWriter::try_new(Vec::new(), Arc::clone(&self.schema), Some(properties))?
            }
        };
        Ok(self.writer.insert(writer))
    }
}

fn properties() -> WriterPropertiesBuilder {
    let program = concat!("dynamar ", env!("CARGO_PKG_VERSION")).to_owned();
    WriterProperties::builder().set_compression(Compression::SNAPPY).set_created_by(program)
}

fn failed(error: &ParquetError) -> RowsError {
    RowsError::WriteParquet { message: error.to_string() }
}

fn with_length(part: &[u8]) -> Vec<u8> {
    [&(part.len() as u64).to_le_bytes(), part].concat()
}

/// Writes one Parquet file of the parts that lie in the first `length` bytes of a file, of which
/// there is at least one.
///
/// # Errors
///
/// If reading or writing fails.
pub fn concatenate(parts: File, length: u64, out: impl Write + Send) -> Result<(), RowsError> {
    join(&Arc::new(parts), length, out).map_err(|error| failed(&error))
}

fn join(parts: &Arc<File>, length: u64, out: impl Write + Send) -> Result<()> {
    let (mut part, mut end) = part_at(parts, 0)?;
    let mut metadata = read_metadata(&part)?;
    let mut writer = begin(&metadata, out)?;
    loop {
        append(&mut writer, &part, &metadata)?;
        if end >= length {
            break;
        }
        (part, end) = part_at(parts, end)?;
        metadata = read_metadata(&part)?;
    }
    writer.finish()?;
    writer.inner_mut().flush()?;
    Ok(())
}

/// The part that lies here, and where the next one does.
fn part_at(parts: &Arc<File>, at: u64) -> Result<(Window, u64)> {
    let mut bytes = [0; LENGTH_BYTES as usize];
    parts.read_exact_at(&mut bytes, at)?;
    let (start, length) = (at + LENGTH_BYTES, u64::from_le_bytes(bytes));
    Ok((Window::new(Arc::clone(parts), start, length), start.saturating_add(length)))
}

fn read_metadata(part: &Window) -> Result<ParquetMetaData> {
    let reader = ParquetMetaDataReader::new();
    reader.with_page_index_policy(PageIndexPolicy::Optional).parse_and_finish(part)
}

fn begin<W: Write + Send>(first: &ParquetMetaData, out: W) -> Result<SerializedFileWriter<W>> {
    let file = first.file_metadata();
    let properties = properties().set_key_value_metadata(file.key_value_metadata().cloned());
    let schema = file.schema_descr().root_schema_ptr();
    SerializedFileWriter::new(out, schema, Arc::new(properties.build()))
}

fn append<W: Write + Send>(
    writer: &mut SerializedFileWriter<W>,
    part: &Window,
    metadata: &ParquetMetaData,
) -> Result<()> {
    let indexes = metadata.page_index();
    for (at, group) in metadata.row_groups().iter().enumerate() {
        let mut out = writer.next_row_group()?;
        for (column_at, column) in group.columns().iter().enumerate() {
            let column_index = indexes.and_then(|index| index.column_index(at, column_at));
            let offset_index = indexes.and_then(|index| index.offset_index(at, column_at));
            let close = ColumnCloseResult {
                bytes_written: column.compressed_size().unsigned_abs(),
                rows_written: group.num_rows().unsigned_abs(),
                metadata: column.clone(),
                bloom_filter: None,
                column_index: column_index.cloned(),
                offset_index: offset_index.cloned(),
            };
            out.append_column(part, close)?;
        }
        out.close()?;
    }
    Ok(())
}
