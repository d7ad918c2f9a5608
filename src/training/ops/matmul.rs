//! Matrix products over strided views of slices, so that transposes and column ranges need no
//! copies. The only kernel with `unsafe` code: a checked wrapper around [`gemm::gemm`].

use gemm::Parallelism;

use super::error::ComputeError;

/// A matrix to read: `values[row * row_stride + column * column_stride]`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Matrix<'a> {
    values: &'a [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// The `[rows, columns]` matrix that starts at the slice's first value, its rows `row_stride`
    /// apart. To take a range of columns, cut the slice's beginning off.
    pub(super) fn new(
        values: &'a [f32],
        rows: usize,
        columns: usize,
        row_stride: usize,
    ) -> Result<Self, ComputeError> {
        check_bounds(values.len(), rows, columns, row_stride)?;
        Ok(Self { values, rows, columns, row_stride, column_stride: 1 })
    }

    /// The same values with rows and columns exchanged.
    pub(super) fn transposed(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }
}

/// A matrix to write, its columns adjacent and its rows `row_stride` apart.
#[derive(Debug)]
pub(super) struct MatrixMut<'a> {
    values: &'a mut [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
}

impl<'a> MatrixMut<'a> {
    /// Like [`Matrix::new`]; rows that overlap are refused.
    pub(super) fn new(
        values: &'a mut [f32],
        rows: usize,
        columns: usize,
        row_stride: usize,
    ) -> Result<Self, ComputeError> {
        check_bounds(values.len(), rows, columns, row_stride)?;
        Ok(Self { values, rows, columns, row_stride })
    }
}

/// How many threads share one product.
#[derive(Clone, Copy, Debug)]
pub(super) enum Threads {
    /// The calling one: for small products inside work that is parallel already.
    One,
    /// All of the current `rayon` pool.
    All,
}

/// `dst = alpha·dst + beta·a·b`. With `alpha` zero, what `dst` held is not read.
pub(super) fn multiply(
    dst: MatrixMut,
    alpha: f32,
    a: Matrix,
    b: Matrix,
    beta: f32,
    threads: Threads,
) -> Result<(), ComputeError> {
    if a.columns != b.rows || dst.rows != a.rows || dst.columns != b.columns {
        return Err(ComputeError::Product {
            a: [a.rows, a.columns],
            b: [b.rows, b.columns],
            into: [dst.rows, dst.columns],
        });
    }
    let parallelism = match threads {
        Threads::One => Parallelism::None,
        Threads::All => Parallelism::Rayon(0),
    };
    // SAFETY: the constructors of the views have checked that every (row, column) of each lies
    // within its slice, and that those of `dst` are distinct; the shapes agree (above). The borrow
    // checker guarantees that `dst` overlaps neither `a` nor `b`. Strides fit `isize`, since no
    // slice is longer than that.
    #[allow(unsafe_code)] // `gemm` takes raw pointers
    unsafe {
        gemm::gemm(
            dst.rows,
            dst.columns,
            a.columns,
            dst.values.as_mut_ptr(),
            1,
            dst.row_stride as isize,
            alpha != 0.0,
            a.values.as_ptr(),
            a.column_stride as isize,
            a.row_stride as isize,
            b.values.as_ptr(),
            b.column_stride as isize,
            b.row_stride as isize,
            alpha,
            beta,
            false,
            false,
            false,
            parallelism,
        );
    }
    Ok(())
}

/// Checks that a row-major matrix lies within `len` values and that its rows do not overlap.
fn check_bounds(
    len: usize,
    rows: usize,
    columns: usize,
    row_stride: usize,
) -> Result<(), ComputeError> {
    let end = match rows.checked_sub(1) {
        Some(last_row) => last_row.checked_mul(row_stride).and_then(|s| s.checked_add(columns)),
        None => Some(0),
    };
    let inside = end.is_some_and(|end| end <= len) && isize::try_from(row_stride).is_ok();
    if !inside || row_stride < columns {
        return Err(ComputeError::View { rows, columns, row_stride, len });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::gradient_check::{assert_close, noise};
    use super::*;

    /// `alpha·dst + beta·a·b` by the definition, for the columns 1..4 of a 5 wide `dst`.
    fn check(threads: Threads, (m, k, n): (usize, usize, usize), alpha: f32, beta: f32) {
        let (a, b) = (noise(k * m, 1), noise(n * k, 2));
        let width = n + 2;
        let before = noise(m * width, 3);
        let mut expected = before.clone();
        for (i, row) in expected.chunks_exact_mut(width).enumerate() {
            for (j, value) in row[1..=n].iter_mut().enumerate() {
                let product: f32 = (0..k).map(|c| a[c * m + i] * b[j * k + c]).sum();
                *value = alpha * *value + beta * product;
            }
        }
        let mut actual = before;
        let a = Matrix::new(&a, k, m, m).unwrap().transposed();
        let b = Matrix::new(&b, n, k, k).unwrap().transposed();
        let dst = MatrixMut::new(&mut actual[1..], m, n, width).unwrap();
        multiply(dst, alpha, a, b, beta, threads).unwrap();
        assert_close(&actual, &expected, 1e-4);
    }

    #[test]
    fn multiplies_strided_views() {
        for threads in [Threads::One, Threads::All] {
            for shape in [(5, 8, 3), (1, 8, 3), (5, 1, 3), (5, 8, 1), (1, 1, 1), (150, 70, 90)] {
                check(threads, shape, 0.0, 1.0);
                check(threads, shape, 1.0, 0.5);
                check(threads, shape, -2.0, 1.0);
            }
        }
    }

    #[test]
    fn an_empty_sum_is_zero() {
        check(Threads::One, (2, 0, 3), 0.0, 1.0);
        check(Threads::All, (2, 0, 3), 1.0, 1.0);
    }

    #[test]
    fn ignores_the_old_contents_when_alpha_is_zero() {
        let mut out = [f32::NAN; 1];
        let one = [1.0];
        let a = Matrix::new(&one, 1, 1, 1).unwrap();
        let dst = MatrixMut::new(&mut out, 1, 1, 1).unwrap();
        multiply(dst, 0.0, a, a, 1.0, Threads::One).unwrap();
        assert_eq!(out, [1.0]);
    }

    #[test]
    fn refuses_views_out_of_bounds_and_shapes_that_disagree() {
        let values = [0.0; 6];
        assert!(Matrix::new(&values, 2, 3, 3).is_ok());
        assert!(Matrix::new(&values, 2, 3, 4).is_err());
        assert!(Matrix::new(&values, 3, 3, 3).is_err());
        assert!(Matrix::new(&values, 2, 3, 2).is_err());
        assert!(Matrix::new(&values, usize::MAX, 3, usize::MAX).is_err());
        let a = Matrix::new(&values, 2, 3, 3).unwrap();
        let mut out = [0.0; 4];
        let dst = MatrixMut::new(&mut out, 2, 2, 2).unwrap();
        assert!(multiply(dst, 0.0, a, a, 1.0, Threads::One).is_err());
    }
}
