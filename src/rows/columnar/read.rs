//! Rows of a Parquet file as Arrow batches.

use std::{fs::File, ops::Range, sync::Arc};

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use arrow_select::concat::concat_batches;
use parquet::{
    arrow::arrow_reader::{
        ArrowReaderMetadata, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
    },
    file::metadata::{ParquetMetaData, RowGroupMetaData},
};

use super::{
    open::{Opened, tried},
    sizes::row_bytes,
    text::{Faults, as_bytes, as_said},
    window::Window,
};
use crate::{panics::catch_panic, rows::RowsError};

/// Rows that are unfolded at a time at most. Each may hold pages in memory.
const BATCH_ROWS: usize = 256;

/// Bytes of rows that are unfolded at a time, if the footer is right about them.
const BATCH_BYTES: i64 = 8 << 20;

/// Bytes that the pages of rows that are unfolded at a time may take, whatever the footer says.
const MAX_BATCH_BYTES: u64 = 1 << 30;

/// And in addition for each column, of which a dictionary and a page are read at least.
const MAX_COLUMN_BYTES: u64 = 4 << 20;

/// Consecutive rows.
#[derive(Default)]
pub struct Stretch {
    /// One batch as a rule.
    pub batches: Vec<RecordBatch>,
    /// Rows of them all that have what is no text.
    pub faults: Faults,
}

/// Reads rows stretch by stretch.
pub struct ArrowRows {
    pages: Window,
    batches: ParquetRecordBatchReader,
    /// The types that the file says.
    schema: SchemaRef,
    /// What was unfolded and not yet taken, and the bytes of each row.
    ready: Option<(RecordBatch, Vec<usize>)>,
    name: String,
    /// Rows that are to come.
    left: u64,
}

impl ArrowRows {
    /// Of a file these rows. `name` is for messages.
    ///
    /// # Errors
    ///
    /// If it cannot be read.
    pub fn new(file: File, name: &str, rows: Range<u64>) -> Result<Self, RowsError> {
        let Opened { window, metadata, name } = Opened::new(file, name)?;
        let left = rows.end.saturating_sub(rows.start);
        let size = |rows: u64| usize::try_from(rows).unwrap_or(usize::MAX);
        let batch_rows = batch_rows(metadata.metadata());
        let schema = Arc::clone(metadata.schema());
        let columns = metadata.parquet_schema().num_columns() as u64;
        let pages = window.of_pages(MAX_BATCH_BYTES + columns * MAX_COLUMN_BYTES);
        let (groups, passed) = groups_from(metadata.metadata(), rows.start);
        let load = || ArrowReaderMetadata::load(&window, as_bytes(&metadata)?);
        let metadata = tried(&name, load)?;
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(pages.clone(), metadata)
            .with_row_groups(groups)
            .with_batch_size(batch_rows)
            .with_offset(size(rows.start - passed))
            .with_limit(size(left));
        let batches = tried(&name, || builder.build())?;
        Ok(Self { pages, batches, schema, ready: None, name, left })
    }

    /// The next rows: so many, or fewer if they take `max_bytes` before. None at the end. Where a
    /// stretch ends, and how its rows lie in memory, depends on its rows alone, not on where reading
    /// began.
    ///
    /// # Errors
    ///
    /// If the file is damaged or a page too large.
    pub fn next(&mut self, max_rows: usize, max_bytes: usize) -> Result<Stretch, RowsError> {
        let (mut stretch, mut rows, mut bytes) = (Stretch::default(), 0, 0);
        while rows < max_rows && bytes < max_bytes {
            let Some((batch, sizes)) = self.unfold()? else { break };
            let before = rows;
            for size in &sizes {
                if rows == max_rows || bytes >= max_bytes {
                    break;
                }
                bytes += size;
                rows += 1;
            }
            let taken = rows - before;
            self.left = self.left.saturating_sub(taken as u64);
            let (part, faults) =
                tried(&self.name, || as_said(&batch.slice(0, taken), &self.schema))?;
            stretch.batches.push(part);
            stretch.faults.extend(faults.into_iter().map(|(row, fault)| (before + row, fault)));
            if taken < batch.num_rows() {
                let rest = batch.slice(taken, batch.num_rows() - taken);
                self.ready = Some((rest, sizes[taken..].to_vec()));
            }
        }
        // Pages of an output end where rows are handed to its writer. Dictionaries that do not go
        // together stay apart.
        if stretch.batches.len() > 1
            && let Ok(Ok(one)) = catch_panic(|| concat_batches(&self.schema, &stretch.batches))
        {
            stretch.batches = vec![one];
        }
        Ok(stretch)
    }

    fn unfold(&mut self) -> Result<Option<(RecordBatch, Vec<usize>)>, RowsError> {
        if let Some(ready) = self.ready.take() {
            return Ok(Some(ready));
        }
        self.pages.begin();
        match tried(&self.name, || self.batches.next().transpose())? {
            Some(batch) => {
                let sizes = row_bytes(&batch);
                Ok(Some((batch, sizes)))
            }
            None if self.left > 0 => Err(RowsError::Parquet {
                path: self.name.clone(),
                message: format!("{} rows are missing", self.left),
            }),
            None => Ok(None),
        }
    }
}

/// The row groups from the one on that has a row, and how many rows are before them.
fn groups_from(metadata: &ParquetMetaData, row: u64) -> (Vec<usize>, u64) {
    let (mut groups, mut passed) = (Vec::new(), 0);
    for (at, group) in metadata.row_groups().iter().enumerate() {
        let rows = u64::try_from(group.num_rows()).unwrap_or(0);
        if groups.is_empty() && rows <= row - passed {
            passed += rows;
        } else {
            groups.push(at);
        }
    }
    (groups, passed)
}

/// Rows that are unfolded at a time: fewer if they are long, as far as the footer says.
fn batch_rows(metadata: &ParquetMetaData) -> usize {
    let row_bytes = |group: &RowGroupMetaData| {
        let bytes: i64 = group
            .columns()
            .iter()
            .map(|column| column.uncompressed_size().max(0))
            .fold(0, i64::saturating_add);
        bytes / group.num_rows().max(1)
    };
    let longest = metadata.row_groups().iter().map(row_bytes).max().unwrap_or(0);
    usize::try_from(BATCH_BYTES / longest.max(1)).unwrap_or(BATCH_ROWS).clamp(1, BATCH_ROWS)
}

#[cfg(test)]
mod tests {
    use arrow_array::{ArrayRef, LargeStringArray, StringViewArray};
    use parquet::arrow::ArrowWriter;

    use super::*;

    const MIB: usize = 1 << 20;

    /// Reads a file with one column.
    fn rows(column: ArrayRef) -> ArrowRows {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("in.parquet");
        let count = column.len() as u64;
        let batch = RecordBatch::try_from_iter([("text", column)]).expect("one column");
        let file = File::create(&path).expect("a place");
        let mut writer = ArrowWriter::try_new(file, batch.schema(), None).expect("a known type");
        writer.write(&batch).expect("written");
        writer.close().expect("closed");
        let file = File::open(&path).expect("there");
        ArrowRows::new(file, "in.parquet", 0..count).expect("readable")
    }

    fn count(stretch: &Stretch) -> usize {
        stretch.batches.iter().map(RecordBatch::num_rows).sum()
    }

    #[test]
    fn a_stretch_ends_where_its_bytes_do_whatever_the_type() {
        let texts: Vec<String> = (0..100).map(|row| format!("{row:04}").repeat(50_000)).collect();
        let mut rows = rows(Arc::new(StringViewArray::from_iter_values(texts)));
        // Of 200 KB each.
        for expected in [6, 6] {
            let stretch = rows.next(2048, MIB).expect("readable");
            assert_eq!((count(&stretch), stretch.batches.len()), (expected, 1));
        }
        assert_eq!(count(&rows.next(3, MIB).expect("readable")), 3);
    }

    #[test]
    fn more_rows_may_be_asked_for_than_there_are() {
        let mut rows = rows(Arc::new(StringViewArray::from_iter_values(["a", "b", "c"])));
        assert_eq!(count(&rows.next(2048, MIB).expect("readable")), 3);
        assert_eq!(count(&rows.next(2048, MIB).expect("the end")), 0);
    }

    #[test]
    fn a_value_that_stands_in_many_rows_is_in_memory_once() {
        // A little less than what writers put into a dictionary.
        let long = "x".repeat(MIB / 8 * 7);
        let texts = LargeStringArray::from_iter_values((0..200).map(|_| &long));
        let mut rows = rows(Arc::new(texts));
        assert_eq!(count(&rows.next(2048, 2 * MIB).expect("readable")), 3);
        let (ready, _) = rows.ready.as_ref().expect("some are left");
        assert!(ready.num_rows() > 100 && ready.get_array_memory_size() < 4 * MIB);
    }
}
