//! Dense layers: `y = x·w + b`.

use rayon::prelude::*;

use super::error::{ComputeError, check_len};
use super::matmul::{Matrix, MatrixMut, Threads, multiply};

/// The shape of one dense layer's work: `x` is `[rows, inputs]`, `w` is `[inputs, outputs]`, `y` is
/// `[rows, outputs]`.
#[derive(Clone, Copy, Debug)]
pub struct Dense {
    pub rows: usize,
    pub inputs: usize,
    pub outputs: usize,
}

/// A result with fewer rows than this for each thread is left to `gemm` to share out, by columns too.
/// Others are cut into one range of rows for each thread: faster where the result is high and narrow.
const LEAST_ROWS_PER_THREAD: usize = 64;

impl Dense {
    /// `y = x·w`.
    pub fn product(self, y: &mut [f32], x: &[f32], w: &[f32]) -> Result<(), ComputeError> {
        self.forward(y, x, w, None)
    }

    /// `y = x·w + b`, with the biases laid out first for the product to be added to.
    pub fn affine(
        self,
        y: &mut [f32],
        x: &[f32],
        w: &[f32],
        b: &[f32],
    ) -> Result<(), ComputeError> {
        check_len("biases", b.len(), self.outputs)?;
        self.forward(y, x, w, Some(b))
    }

    fn forward(
        self,
        y: &mut [f32],
        x: &[f32],
        w: &[f32],
        b: Option<&[f32]>,
    ) -> Result<(), ComputeError> {
        let Self { rows, inputs, outputs } = self;
        check_len("a dense layer's input", x.len(), rows * inputs)?;
        let w = Matrix::new(w, inputs, outputs, outputs)?;
        share(y, rows, outputs, |first, y, count, threads| {
            if let Some(b) = b {
                y.chunks_exact_mut(outputs).for_each(|row| row.copy_from_slice(b));
            }
            let y = MatrixMut::new(y, count, outputs, outputs)?;
            let x = Matrix::new(&x[first * inputs..], count, inputs, inputs)?;
            multiply(y, alpha(b.is_some()), x, w, 1.0, threads)
        })
    }

    /// `dx = dy·wᵀ`, or `dx += dy·wᵀ` if `add`.
    pub fn input_gradient(
        self,
        dx: &mut [f32],
        add: bool,
        dy: &[f32],
        w: &[f32],
    ) -> Result<(), ComputeError> {
        let Self { rows, inputs, outputs } = self;
        check_len("a dense layer's gradient", dy.len(), rows * outputs)?;
        let w = Matrix::new(w, inputs, outputs, outputs)?.transposed();
        share(dx, rows, inputs, |first, dx, count, threads| {
            let dx = MatrixMut::new(dx, count, inputs, inputs)?;
            let dy = Matrix::new(&dy[first * outputs..], count, outputs, outputs)?;
            multiply(dx, alpha(add), dy, w, 1.0, threads)
        })
    }

    /// `dw = xᵀ·dy`, or `dw += xᵀ·dy` if `add`.
    pub fn weight_gradient(
        self,
        dw: &mut [f32],
        add: bool,
        x: &[f32],
        dy: &[f32],
    ) -> Result<(), ComputeError> {
        let Self { rows, inputs, outputs } = self;
        check_len("a dense layer's input", x.len(), rows * inputs)?;
        let dy = Matrix::new(dy, rows, outputs, outputs)?;
        share(dw, inputs, outputs, |first, dw, count, threads| {
            let dw = MatrixMut::new(dw, count, outputs, outputs)?;
            // No row of `x`, no column to begin at.
            let x = Matrix::new(x.get(first..).unwrap_or_default(), rows, count, inputs)?;
            multiply(dw, alpha(add), x.transposed(), dy, 1.0, threads)
        })
    }
}

/// Cuts a result into ranges of rows and lets threads compute them: `compute` gets a range's first
/// row, its values, its number of rows, and how many threads may share it. The cuts depend on the
/// number of threads and on nothing else.
fn share(
    out: &mut [f32],
    rows: usize,
    width: usize,
    compute: impl Fn(usize, &mut [f32], usize, Threads) -> Result<(), ComputeError> + Sync,
) -> Result<(), ComputeError> {
    check_len("a dense layer's result", out.len(), rows * width)?;
    let threads = rayon::current_num_threads();
    if threads == 1 || width == 0 || rows < LEAST_ROWS_PER_THREAD * threads {
        return compute(0, out, rows, Threads::All);
    }
    let count = rows.div_ceil(threads);
    out.par_chunks_mut(count * width)
        .enumerate()
        .try_for_each(|(at, out)| compute(at * count, out, out.len() / width, Threads::One))
}

/// The factor of what the destination holds already.
fn alpha(add: bool) -> f32 {
    if add { 1.0 } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::super::gradient_check::{assert_close, assert_gradients, noise};
    use super::super::reduce::column_sums;
    use super::*;

    const DENSE: Dense = Dense { rows: 5, inputs: 8, outputs: 3 };

    fn inputs() -> Vec<Vec<f32>> {
        vec![noise(5 * 8, 1), noise(8 * 3, 2), noise(3, 3)]
    }

    fn affine(t: &[Vec<f32>]) -> Vec<f32> {
        let mut y = vec![f32::NAN; 15];
        DENSE.affine(&mut y, &t[0], &t[1], &t[2]).unwrap();
        y
    }

    #[test]
    fn agrees_with_the_definition() {
        let t = inputs();
        let mut expected = vec![0.0; 15];
        for (at, y) in expected.iter_mut().enumerate() {
            let (row, column) = (at / 3, at % 3);
            *y = t[2][column]
                + (0..8).map(|c| t[0][row * 8 + c] * t[1][c * 3 + column]).sum::<f32>();
        }
        assert_close(&affine(&t), &expected, 1e-5);
        let mut product = vec![f32::NAN; 15];
        DENSE.product(&mut product, &t[0], &t[1]).unwrap();
        let unbiased: Vec<f32> =
            expected.iter().zip(t[2].iter().cycle()).map(|(y, b)| y - b).collect();
        assert_close(&product, &unbiased, 1e-5);
    }

    #[test]
    fn gradients_are_right() {
        assert_gradients(&inputs(), affine, |t, dy| {
            let (mut dx, mut dw) = (vec![f32::NAN; 40], vec![f32::NAN; 24]);
            DENSE.input_gradient(&mut dx, false, dy, &t[1]).unwrap();
            DENSE.weight_gradient(&mut dw, false, &t[0], dy).unwrap();
            vec![dx, dw, column_sums(dy, 3)]
        });
    }

    #[test]
    fn gradients_add_up_where_asked() {
        let (t, dy) = (inputs(), noise(15, 4));
        let (mut once, mut twice) = (vec![f32::NAN; 24], vec![f32::NAN; 24]);
        DENSE.weight_gradient(&mut once, false, &t[0], &dy).unwrap();
        DENSE.weight_gradient(&mut twice, false, &t[0], &dy).unwrap();
        DENSE.weight_gradient(&mut twice, true, &t[0], &dy).unwrap();
        assert_close(&twice, &once.iter().map(|v| 2.0 * v).collect::<Vec<_>>(), 1e-5);
        let (mut once, mut twice) = (vec![f32::NAN; 40], vec![1.0; 40]);
        DENSE.input_gradient(&mut once, false, &dy, &t[1]).unwrap();
        DENSE.input_gradient(&mut twice, true, &dy, &t[1]).unwrap();
        assert_close(&twice, &once.iter().map(|v| 1.0 + v).collect::<Vec<_>>(), 1e-5);
    }

    #[test]
    fn is_the_same_shared_between_threads_and_not() {
        let (rows, inputs, outputs) = (3 * LEAST_ROWS_PER_THREAD + 1, 3 * LEAST_ROWS_PER_THREAD, 5);
        let dense = Dense { rows, inputs, outputs };
        let (x, w, b) = (noise(rows * inputs, 1), noise(inputs * outputs, 2), noise(outputs, 3));
        let on = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let mut y = vec![f32::NAN; rows * outputs];
                let (mut dx, mut dw) = (vec![f32::NAN; x.len()], vec![f32::NAN; w.len()]);
                dense.affine(&mut y, &x, &w, &b).unwrap();
                dense.input_gradient(&mut dx, false, &y, &w).unwrap();
                dense.weight_gradient(&mut dw, false, &x, &y).unwrap();
                [y, dx, dw]
            })
        };
        let alone = on(1);
        for threads in [2, 3] {
            for (shared, alone) in on(threads).iter().zip(&alone) {
                assert_close(shared, alone, 1e-4);
            }
        }
    }

    #[test]
    fn refuses_shapes_that_disagree() {
        let t = inputs();
        let mut y = vec![0.0; 15];
        assert!(DENSE.affine(&mut y, &t[0], &t[1], &t[2][1..]).is_err());
        assert!(DENSE.affine(&mut y, &t[0][1..], &t[1], &t[2]).is_err());
        assert!(DENSE.product(&mut y[1..], &t[0], &t[1]).is_err());
        assert!(DENSE.product(&mut y, &t[0], &t[1][1..]).is_err());
    }
}
