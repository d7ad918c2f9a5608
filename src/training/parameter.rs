//! What the optimiser keeps for one array of numbers under training.

use super::ops::{ComputeError, Moments, accumulate_all, add_rows_at, check_len};

/// An array of numbers under training.
#[derive(Debug)]
pub struct Parameter {
    pub name: String,
    /// Row-major.
    pub shape: Vec<usize>,
    pub values: Vec<f32>,
    /// What the backward passes since the last step have added up.
    pub gradient: Gradient,
    /// Empty until the first step.
    pub moments: Moments,
    /// Memory of gradients of earlier steps.
    spare: Spare,
}

/// The gradient of a parameter.
#[derive(Debug, Default)]
pub enum Gradient {
    /// No backward pass has reached the parameter.
    #[default]
    Empty,
    /// One value for each of the parameter's.
    Dense(Vec<f32>),
    /// Zero but for some rows of a matrix: an embedding table's.
    Rows {
        /// Ascending and distinct.
        rows: Vec<u32>,
        /// As wide as the parameter, one row for each of `rows`.
        values: Vec<f32>,
    },
}

#[derive(Debug, Default)]
struct Spare {
    /// As long as the parameter, or empty.
    dense: Vec<f32>,
    rows: Vec<u32>,
    row_values: Vec<f32>,
}

/// A dense gradient to write or to add to.
#[derive(Debug)]
pub struct DenseGradient<'a> {
    /// The parameter's own values, for reading.
    pub of: &'a [f32],
    pub values: &'a mut [f32],
    /// Whether there is something to add to; otherwise `values` holds what is left of an earlier
    /// step, and every value must be written.
    pub add: bool,
}

impl Gradient {
    /// The values that are not zero for certain.
    pub fn values(&self) -> &[f32] {
        match self {
            Self::Empty => &[],
            Self::Dense(values) | Self::Rows { values, .. } => values,
        }
    }
}

impl Parameter {
    /// A parameter without a gradient. `shape`'s product is the number of `values`.
    pub fn new(name: impl Into<String>, shape: Vec<usize>, values: Vec<f32>) -> Self {
        Self {
            name: name.into(),
            shape,
            values,
            gradient: Gradient::Empty,
            moments: Moments::default(),
            spare: Spare::default(),
        }
    }

    /// Values of a row: the last dimension.
    pub fn width(&self) -> usize {
        self.shape.last().copied().unwrap_or(1)
    }

    /// The gradient as a dense one, for a product to be written or added to it. Rows that there are
    /// already become part of it.
    pub fn dense_gradient(&mut self) -> DenseGradient<'_> {
        let add = !matches!(self.gradient, Gradient::Empty);
        if !matches!(self.gradient, Gradient::Dense(_)) {
            let mut dense = std::mem::take(&mut self.spare.dense);
            dense.resize(self.values.len(), 0.0);
            if let Gradient::Rows { rows, values } = std::mem::take(&mut self.gradient) {
                dense.fill(0.0);
                let width = self.width();
                for (row, values) in rows.iter().zip(values.chunks_exact(width)) {
                    dense[*row as usize * width..][..width].copy_from_slice(values);
                }
                (self.spare.rows, self.spare.row_values) = (rows, values);
            }
            self.gradient = Gradient::Dense(dense);
        }
        let values = match &mut self.gradient {
            Gradient::Dense(values) => values.as_mut_slice(),
            Gradient::Empty | Gradient::Rows { .. } => &mut [],
        };
        DenseGradient { of: &self.values, values, add }
    }

    /// Adds to the whole gradient.
    pub fn add_dense(&mut self, addend: &[f32]) -> Result<(), ComputeError> {
        check_len("a gradient", addend.len(), self.values.len())?;
        let gradient = self.dense_gradient();
        if gradient.add {
            accumulate_all(gradient.values, addend);
        } else {
            gradient.values.copy_from_slice(addend);
        }
        Ok(())
    }

    /// Adds row `i` of `addends` to the gradient of row `ids[i]`, in this order. Other rows are not
    /// touched, now and by the optimiser.
    pub fn add_rows(&mut self, ids: &[u32], addends: &[f32]) -> Result<(), ComputeError> {
        let width = self.width();
        if let Gradient::Dense(values) = &mut self.gradient {
            return add_rows_at(values, ids, addends, width);
        }
        let height = self.values.len() / width.max(1);
        if let Some(&row) = ids.iter().find(|id| **id as usize >= height) {
            return Err(ComputeError::Row { what: "a gradient's rows", row, height });
        }
        self.make_room_for(ids);
        if let Gradient::Rows { rows, values } = &mut self.gradient {
            // There are no more rows than ids, which are counted in u32.
            let place = |id: &u32| rows.binary_search(id).unwrap_or_default() as u32;
            let places: Vec<u32> = ids.iter().map(place).collect();
            add_rows_at(values, &places, addends, width)?;
        }
        Ok(())
    }

    /// Makes the gradient one of rows, `ids` among them, new ones zero.
    fn make_room_for(&mut self, ids: &[u32]) {
        let width = self.width();
        let (old_rows, old_values) = match std::mem::take(&mut self.gradient) {
            Gradient::Rows { rows, values } => (rows, values),
            _ => Default::default(),
        };
        let mut rows = std::mem::take(&mut self.spare.rows);
        rows.clear();
        rows.extend_from_slice(&old_rows);
        rows.extend_from_slice(ids);
        rows.sort_unstable();
        rows.dedup();
        let mut values = std::mem::take(&mut self.spare.row_values);
        values.clear();
        values.resize(rows.len() * width, 0.0);
        for (row, old) in old_rows.iter().zip(old_values.chunks_exact(width)) {
            let place = rows.binary_search(row).unwrap_or_default();
            values[place * width..][..width].copy_from_slice(old);
        }
        if old_rows.capacity() > 0 {
            (self.spare.rows, self.spare.row_values) = (old_rows, old_values);
        }
        self.gradient = Gradient::Rows { rows, values };
    }

    /// Forgets the gradient and keeps its memory for the next.
    pub fn clear_gradient(&mut self) {
        match std::mem::take(&mut self.gradient) {
            Gradient::Empty => {}
            Gradient::Dense(values) => self.spare.dense = values,
            Gradient::Rows { rows, values } => {
                (self.spare.rows, self.spare.row_values) = (rows, values);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Parameter {
        Parameter::new("table", vec![4, 2], vec![0.5; 8])
    }

    /// The gradient as if it were dense.
    fn dense(parameter: &Parameter) -> Vec<f32> {
        match &parameter.gradient {
            Gradient::Empty => vec![],
            Gradient::Dense(values) => values.clone(),
            Gradient::Rows { rows, values } => {
                assert!(rows.windows(2).all(|pair| pair[0] < pair[1]), "{rows:?}");
                let mut all = vec![0.0; parameter.values.len()];
                add_rows_at(&mut all, rows, values, parameter.width()).expect("in range");
                all
            }
        }
    }

    #[test]
    fn rows_add_up_within_a_pass_and_between_passes() {
        let mut table = table();
        for _ in 0..2 {
            table.add_rows(&[3, 1, 3], &[1., 2., 3., 4., 5., 6.]).expect("added");
            assert_eq!(dense(&table), [0., 0., 3., 4., 0., 0., 6., 8.]);
            table.add_rows(&[0, 3], &[10., 20., 30., 40.]).expect("added");
            assert_eq!(dense(&table), [10., 20., 3., 4., 0., 0., 36., 48.]);
            let Gradient::Rows { rows, .. } = &table.gradient else { panic!("{table:?}") };
            assert_eq!(rows, &[0, 1, 3]);
            table.clear_gradient();
            assert!(matches!(table.gradient, Gradient::Empty));
        }
    }

    #[test]
    fn rows_and_a_dense_gradient_merge_in_either_order() {
        let expected = [1., 1., 4., 6., 1., 1., 1., 1.];
        let mut first = table();
        for _ in 0..2 {
            first.add_rows(&[1], &[3., 5.]).expect("added");
            first.add_dense(&[1.; 8]).expect("added");
            assert_eq!(dense(&first), expected);
            first.clear_gradient();
            first.add_dense(&[1.; 8]).expect("added");
            first.add_rows(&[1], &[3., 5.]).expect("added");
            assert_eq!(dense(&first), expected);
            first.add_dense(&[1.; 8]).expect("added");
            assert_eq!(dense(&first)[3], 7.0);
            first.clear_gradient();
        }
    }

    #[test]
    fn what_does_not_fit_is_refused_and_changes_nothing() {
        let mut table = table();
        table.add_rows(&[2], &[1., 1.]).expect("added");
        let error = table.add_rows(&[4], &[1., 1.]).expect_err("refused");
        assert!(error.to_string().contains("no row 4 in a table of 4"), "{error}");
        assert!(table.add_rows(&[1], &[1.]).is_err());
        assert!(table.add_dense(&[1.; 7]).is_err());
        assert_eq!(dense(&table), [0., 0., 0., 0., 1., 1., 0., 0.]);
    }
}
