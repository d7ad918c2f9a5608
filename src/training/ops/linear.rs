//! Dense layers: `linear` and `gelu_linear`.

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, bail};

use super::gelu::{gelu_values, multiply_by_gelu_slope};
use super::matmul::{Matrix, MatrixMut, Threads, multiply};
use super::reduce::column_sums;
use super::values::{matrix_dims, read, tensor, values};

/// `x·w + b`: `[T, I]` by `[I, O]` plus `[O]` gives `[T, O]`.
pub fn linear(x: &Tensor, w: &Tensor, b: &Tensor) -> Result<Tensor> {
    apply(x, w, b, Activation::Identity)
}

/// `gelu(x)·w + b`, shapes as in [`linear`]. The activations are computed again in the backward
/// pass instead of being kept: they are the widest of a transformer layer.
pub fn gelu_linear(x: &Tensor, w: &Tensor, b: &Tensor) -> Result<Tensor> {
    apply(x, w, b, Activation::Gelu)
}

fn apply(x: &Tensor, w: &Tensor, b: &Tensor, activation: Activation) -> Result<Tensor> {
    x.contiguous()?.apply_op3(&w.contiguous()?, &b.contiguous()?, Linear { activation })
}

/// What is applied to the input before the product.
#[derive(Clone, Copy, Debug)]
enum Activation {
    Identity,
    Gelu,
}

struct Linear {
    activation: Activation,
}

impl CustomOp3 for Linear {
    fn name(&self) -> &'static str {
        match self.activation {
            Activation::Identity => "linear",
            Activation::Gelu => "gelu-linear",
        }
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        w: &CpuStorage,
        w_layout: &Layout,
        b: &CpuStorage,
        b_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let dims = Dims::new(matrix_dims(x_layout)?, matrix_dims(w_layout)?)?;
        let (x, w, b) = (values(x, x_layout)?, values(w, w_layout)?, values(b, b_layout)?);
        if b.len() != dims.outputs {
            bail!("{}: {} outputs but {} biases", self.name(), dims.outputs, b.len());
        }
        let y = match self.activation {
            Activation::Identity => dims.product_plus_bias(x, w, b)?,
            Activation::Gelu => dims.product_plus_bias(&gelu_values(x), w, b)?,
        };
        Ok((CpuStorage::F32(y), Shape::from((dims.rows, dims.outputs))))
    }

    /// With `a` the activated input: `da = dy·wᵀ`, `dw = aᵀ·dy`, `db = Σ dy` over rows.
    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        b: &Tensor,
        _y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let dims = Dims::new(x.dims2()?, w.dims2()?)?;
        let dy = dy.contiguous()?;
        let (x_values, w_values, dy) = (read(x)?, read(w)?, read(&dy)?);

        let mut dx = None;
        if x.track_op() {
            let mut gradient = dims.input_gradient(&w_values, &dy)?;
            if let Activation::Gelu = self.activation {
                multiply_by_gelu_slope(&mut gradient, &x_values);
            }
            dx = Some(tensor(gradient, x.shape())?);
        }
        let mut dw = None;
        if w.track_op() {
            let gradient = match self.activation {
                Activation::Identity => dims.weight_gradient(&x_values, &dy)?,
                Activation::Gelu => dims.weight_gradient(&gelu_values(&x_values), &dy)?,
            };
            dw = Some(tensor(gradient, w.shape())?);
        }
        let mut db = None;
        if b.track_op() {
            db = Some(tensor(column_sums(&dy, dims.outputs), b.shape())?);
        }
        Ok((dx, dw, db))
    }
}

/// The shape of one dense layer's work.
#[derive(Clone, Copy, Debug)]
struct Dims {
    rows: usize,
    inputs: usize,
    outputs: usize,
}

impl Dims {
    fn new((rows, columns): (usize, usize), (inputs, outputs): (usize, usize)) -> Result<Self> {
        if columns != inputs {
            bail!("a dense layer of {inputs} inputs was given {columns}");
        }
        Ok(Self { rows, inputs, outputs })
    }

    /// `x·w + b`, with the biases laid out first for the product to be added to.
    fn product_plus_bias(self, x: &[f32], w: &[f32], b: &[f32]) -> Result<Vec<f32>> {
        let mut y = b.repeat(self.rows);
        let dst = MatrixMut::new(&mut y, self.rows, self.outputs, self.outputs)?;
        multiply(dst, 1.0, self.input(x)?, self.weight(w)?, 1.0, Threads::All)?;
        Ok(y)
    }

    /// `dy·wᵀ`.
    fn input_gradient(self, w: &[f32], dy: &[f32]) -> Result<Vec<f32>> {
        let mut dx = vec![0.0; self.rows * self.inputs];
        let dst = MatrixMut::new(&mut dx, self.rows, self.inputs, self.inputs)?;
        let w = self.weight(w)?.transposed();
        multiply(dst, 0.0, self.output(dy)?, w, 1.0, Threads::All)?;
        Ok(dx)
    }

    /// `xᵀ·dy`.
    fn weight_gradient(self, x: &[f32], dy: &[f32]) -> Result<Vec<f32>> {
        let mut dw = vec![0.0; self.inputs * self.outputs];
        let dst = MatrixMut::new(&mut dw, self.inputs, self.outputs, self.outputs)?;
        let x = self.input(x)?.transposed();
        multiply(dst, 0.0, x, self.output(dy)?, 1.0, Threads::All)?;
        Ok(dw)
    }

    fn input(self, x: &[f32]) -> Result<Matrix<'_>> {
        Matrix::new(x, self.rows, self.inputs, self.inputs)
    }

    fn weight(self, w: &[f32]) -> Result<Matrix<'_>> {
        Matrix::new(w, self.inputs, self.outputs, self.outputs)
    }

    fn output(self, y: &[f32]) -> Result<Matrix<'_>> {
        Matrix::new(y, self.rows, self.outputs, self.outputs)
    }
}

#[cfg(test)]
mod tests {
    use super::super::gelu::gelu;
    use super::super::gradient_check::{assert_close, assert_gradients, noise_var};
    use super::*;

    #[test]
    fn agrees_with_candle() -> Result<()> {
        let (x, w, b) = (noise_var(&[5, 8], 1)?, noise_var(&[8, 3], 2)?, noise_var(&[3], 3)?);
        let expected = x.matmul(&w)?.broadcast_add(&b)?;
        assert_close(&read(&linear(&x, &w, &b)?)?, &read(&expected)?, 1e-5);
        let expected = gelu(&x)?.matmul(&w)?.broadcast_add(&b)?;
        assert_close(&read(&gelu_linear(&x, &w, &b)?)?, &read(&expected)?, 1e-5);
        Ok(())
    }

    #[test]
    fn gradients_are_right() -> Result<()> {
        let inputs = [noise_var(&[5, 8], 1)?, noise_var(&[8, 3], 2)?, noise_var(&[3], 3)?];
        assert_gradients(&inputs, |t| linear(&t[0], &t[1], &t[2]))?;
        assert_gradients(&inputs, |t| gelu_linear(&t[0], &t[1], &t[2]))
    }

    #[test]
    fn takes_strided_inputs_and_strided_gradients() -> Result<()> {
        let inputs = [noise_var(&[8, 5], 1)?, noise_var(&[3, 8], 2)?, noise_var(&[3], 3)?];
        assert_gradients(&inputs, |t| linear(&t[0].t()?, &t[1].t()?, &t[2])?.t())
    }

    #[test]
    fn frozen_weights_get_no_gradient() -> Result<()> {
        let (x, w, b) = (noise_var(&[5, 8], 1)?, noise_var(&[8, 3], 2)?, noise_var(&[3], 3)?);
        let gradients = linear(&x, &w.as_detached_tensor(), &b)?.sum_all()?.backward()?;
        assert!(gradients.get(&x).is_some() && gradients.get(&b).is_some());
        assert!(gradients.get(&w).is_none());
        Ok(())
    }

    #[test]
    fn refuses_shapes_that_disagree() -> Result<()> {
        let (x, w, b) = (noise_var(&[5, 8], 1)?, noise_var(&[7, 3], 2)?, noise_var(&[3], 3)?);
        assert!(linear(&x, &w, &b).is_err());
        assert!(linear(&w, &b, &b).is_err());
        let wide = noise_var(&[8, 4], 2)?;
        assert!(linear(&x, &wide, &b).is_err());
        Ok(())
    }
}
