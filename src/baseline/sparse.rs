//! Sparse matrices by rows.

use rayon::prelude::*;

/// Rows that one piece of parallel work takes at least.
const MIN_ROWS: usize = 64;

/// A sparse matrix in compressed rows.
#[derive(Debug, Clone, PartialEq)]
pub struct SparseRows {
    /// Starts of the rows in `columns` and `values`, and the end of the last one.
    starts: Vec<usize>,
    columns: Vec<u32>,
    values: Vec<f32>,
    width: usize,
}

impl SparseRows {
    /// An empty matrix of `width` columns.
    pub fn new(width: usize) -> Self {
        Self { starts: vec![0], columns: Vec::new(), values: Vec::new(), width }
    }

    /// Puts rows of (column, value) below each other.
    pub fn from_rows(width: usize, rows: &[Vec<(u32, f32)>]) -> Self {
        let mut all = Self::new(width);
        let entries = rows.iter().map(Vec::len).sum();
        all.columns.reserve_exact(entries);
        all.values.reserve_exact(entries);
        rows.iter().for_each(|row| all.push(row.iter().copied()));
        all
    }

    fn push(&mut self, row: impl IntoIterator<Item = (u32, f32)>) {
        for (column, value) in row {
            self.columns.push(column);
            self.values.push(value);
        }
        self.starts.push(self.columns.len());
    }

    /// Rows.
    pub fn height(&self) -> usize {
        self.starts.len() - 1
    }

    /// Columns.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Values that are stored.
    pub fn entries(&self) -> usize {
        self.values.len()
    }

    /// A row's columns with their values.
    pub fn row(&self, at: usize) -> impl Iterator<Item = (usize, f32)> {
        let range = self.starts[at]..self.starts[at + 1];
        let columns = self.columns[range.clone()].iter().map(|column| *column as usize);
        columns.zip(self.values[range].iter().copied())
    }

    /// These rows alone, in this order.
    pub fn select(&self, rows: &[usize]) -> Self {
        let mut selected = Self::new(self.width);
        for &at in rows {
            let range = self.starts[at]..self.starts[at + 1];
            selected.columns.extend_from_slice(&self.columns[range.clone()]);
            selected.values.extend_from_slice(&self.values[range]);
            selected.starts.push(selected.columns.len());
        }
        selected
    }

    /// Rows as columns.
    pub fn transposed(&self) -> Self {
        let mut starts = vec![0; self.width + 1];
        for &column in &self.columns {
            starts[column as usize + 1] += 1;
        }
        for column in 0..self.width {
            starts[column + 1] += starts[column];
        }
        let mut next = starts.clone();
        let mut columns = vec![0; self.columns.len()];
        let mut values = vec![0.0; self.values.len()];
        for row in 0..self.height() {
            for (column, value) in self.row(row) {
                let place = &mut next[column];
                // A matrix has no more than `MAX_ROWS` rows, see `limits`.
                columns[*place] = row as u32;
                values[*place] = value;
                *place += 1;
            }
        }
        Self { starts, columns, values, width: self.height() }
    }

    /// The product with a dense matrix `[columns][outputs]`, into `[rows][outputs]`. Every row is
    /// summed in the order of its columns, whatever the number of threads.
    pub fn multiply(&self, dense: &[f32], outputs: usize, product: &mut [f32]) {
        let rows = product.par_chunks_mut(outputs).with_min_len(MIN_ROWS).enumerate();
        rows.for_each(|(at, sums)| {
            sums.fill(0.0);
            let range = self.starts[at]..self.starts[at + 1];
            let entries = self.columns[range.clone()].iter().zip(&self.values[range]);
            if let [sum] = sums {
                *sum = entries.map(|(column, value)| dense[*column as usize] * value).sum();
                return;
            }
            for (column, value) in entries {
                let start = *column as usize * outputs;
                let weights = &dense[start..start + outputs];
                sums.iter_mut().zip(weights).for_each(|(sum, weight)| *sum += weight * value);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix() -> SparseRows {
        SparseRows::from_rows(3, &[vec![(0, 1.0), (2, 2.0)], vec![], vec![(1, 3.0), (2, 4.0)]])
    }

    #[test]
    fn products_are_those_of_dense_matrices() {
        let mut product = [9.0; 6];
        matrix().multiply(&[1.0, 10.0, 2.0, 20.0, 3.0, 30.0], 2, &mut product);
        assert_eq!(product, [7.0, 70.0, 0.0, 0.0, 18.0, 180.0]);
        let mut product = [9.0; 3];
        matrix().transposed().multiply(&[1.0, 5.0, 2.0], 1, &mut product);
        assert_eq!(product, [1.0, 6.0, 10.0]);
    }

    #[test]
    fn rows_can_be_selected_and_turned_back() {
        assert_eq!(matrix().transposed().transposed(), matrix());
        let selected = matrix().select(&[2, 0]);
        assert_eq!((selected.height(), selected.width(), selected.entries()), (2, 3, 4));
        assert_eq!(selected.row(0).collect::<Vec<_>>(), [(1, 3.0), (2, 4.0)]);
    }
}
