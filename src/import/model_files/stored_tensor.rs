//! Place of a tensor in a file, and its values.

use std::io::ErrorKind;

use super::{
    confined::OpenFile,
    element::Element,
    error::{FileError, shown},
};
use crate::weights::Array;

/// Tensors of a file of torch.save.
pub const MAX_TENSORS: usize = 100_000;

/// A tensor has at most this many dimensions.
pub const MAX_DIMENSIONS: usize = 8;

/// A tensor has at most this many values: 16 GiB of 32-bit floats.
const MAX_VALUES: usize = 1 << 32;

/// Bytes that are read at a time; a multiple of each type's size.
const PIECE_BYTES: usize = 1 << 20;

/// Place of a tensor in a file. All of its bytes lie inside the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredTensor {
    pub element: Element,
    pub shape: Vec<usize>,
    pub layout: Layout,
    /// First byte, from the beginning of the file.
    pub start: u64,
}

/// Order of a tensor's values in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// Row-major.
    Contiguous,
    /// A matrix, column by column.
    Transposed,
    /// With gaps or repetitions, which are not read.
    Strided,
}

impl StoredTensor {
    /// Values as 32-bit floats. `name` is for errors.
    pub fn read(&self, file: &OpenFile, name: &str) -> Result<Array, FileError> {
        let named = || (file.name(), shown(name));
        let (path, tensor) = named();
        let Some(bytes) = self.element.bytes() else {
            let Element::Other(dtype) = &self.element else { return Err(bounds(file, name)) };
            return Err(FileError::Type { path, name: tensor, dtype: shown(dtype) });
        };
        if self.layout == Layout::Strided {
            return Err(FileError::Strided { path, name: tensor });
        }
        let count = self.shape.iter().try_fold(1usize, |count, size| count.checked_mul(*size));
        let count = count.ok_or_else(|| bounds(file, name))?;
        if count > MAX_VALUES {
            let limit = MAX_VALUES;
            return Err(FileError::TooManyValues { path, name: tensor, values: count, limit });
        }
        let total = count.checked_mul(bytes).ok_or_else(|| bounds(file, name))?;
        let values = self.values(file, count, total)?;
        let data = match self.layout {
            Layout::Transposed => transposed(&values, self.shape[0], self.shape[1]),
            Layout::Contiguous | Layout::Strided => values,
        };
        Ok(Array { shape: self.shape.clone(), data })
    }

    /// The values in the order of the file.
    fn values(&self, file: &OpenFile, count: usize, total: usize) -> Result<Vec<f32>, FileError> {
        let mut values = Vec::new();
        values.try_reserve_exact(count).map_err(|_| FileError::Read {
            path: file.name(),
            source: ErrorKind::OutOfMemory.into(),
        })?;
        let mut piece = vec![0; PIECE_BYTES.min(total)];
        let mut read = 0;
        while read < total {
            let size = PIECE_BYTES.min(total - read);
            file.read_at(self.start + read as u64, &mut piece[..size])?;
            self.element.widen(&piece[..size], &mut values);
            read += size;
        }
        file.refuse_change()?;
        Ok(values)
    }
}

/// Row-major values of a matrix whose columns lie one after the other.
fn transposed(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    let at = |row: usize, column: usize| values[column * rows + row];
    (0..rows).flat_map(|row| (0..columns).map(move |column| at(row, column))).collect()
}

fn bounds(file: &OpenFile, name: &str) -> FileError {
    FileError::Bounds { path: file.name(), name: shown(name) }
}
