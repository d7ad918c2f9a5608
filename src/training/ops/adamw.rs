//! The optimizer's arithmetic: one step of AdamW, in place.

use std::cell::RefCell;

use candle_core::{CpuStorage, InplaceOp2, Layout, Result, Tensor, Var, bail};
use rayon::prelude::*;

use super::values::values;
use super::vectorise::vectorise;

/// Values per unit of parallel work.
const BLOCK: usize = 16_384;

/// The running means that AdamW keeps for one parameter.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Moments {
    /// Of the gradients.
    pub first: Vec<f32>,
    /// Of their squares.
    pub second: Vec<f32>,
}

impl Moments {
    /// Those of `len` values before the first step.
    pub fn zeros(len: usize) -> Self {
        Self { first: vec![0.0; len], second: vec![0.0; len] }
    }
}

/// The coefficients of one step, the same for all parameters or for a group of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamWStep {
    /// The schedule's present value.
    pub learning_rate: f64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the second moment's root.
    pub epsilon: f64,
    /// Decoupled: applied to the parameter, in proportion to the learning rate.
    pub weight_decay: f64,
    /// The number of this step; the first is 1.
    pub number: u32,
    /// Every gradient is multiplied by it first: for clipping, and to average accumulated ones.
    pub gradient_scale: f64,
}

/// Moves `param` by one step of AdamW (Loshchilov & Hutter 2019, arXiv:1711.05101, algorithm 2),
/// with the weight decay multiplied by the learning rate as PyTorch does:
///
/// `m = β₁m + (1-β₁)g`, `v = β₂v + (1-β₂)g²`, `m̂ = m/(1-β₁ᵗ)`, `v̂ = v/(1-β₂ᵗ)`,
/// `θ = θ - lr·λ·θ - lr·m̂/(√v̂ + ε)`.
///
/// The parameter's memory is written, not replaced: other tensors that share it change as well.
pub fn adamw_step(
    param: &Var,
    gradient: &Tensor,
    moments: &mut Moments,
    step: &AdamWStep,
) -> Result<()> {
    if param.shape() != gradient.shape() {
        bail!("adamw: parameter {:?}, gradient {:?}", param.shape(), gradient.shape());
    }
    let len = param.elem_count();
    if moments.first.len() != len || moments.second.len() != len {
        bail!("adamw: the moments are not those of a parameter of {len} values");
    }
    if step.number == 0 {
        bail!("adamw: steps are counted from 1");
    }
    param.inplace_op2(&gradient.contiguous()?, &AdamW { step, moments: RefCell::new(moments) })
}

/// The trait hands out no `&mut self`, hence the cell; the step is its only borrower.
struct AdamW<'a> {
    step: &'a AdamWStep,
    moments: RefCell<&'a mut Moments>,
}

impl InplaceOp2 for AdamW<'_> {
    fn name(&self) -> &'static str {
        "adamw"
    }

    fn cpu_fwd(
        &self,
        param: &mut CpuStorage,
        param_layout: &Layout,
        gradient: &CpuStorage,
        gradient_layout: &Layout,
    ) -> Result<()> {
        let Some((start, end)) = param_layout.contiguous_offsets() else {
            bail!("adamw: the parameter is not contiguous");
        };
        let CpuStorage::F32(param) = param else {
            bail!("adamw: the parameter is not f32");
        };
        let mut moments = self.moments.borrow_mut();
        let Moments { first, second } = &mut **moments;
        let factors = Factors::new(self.step);
        let state = first.par_chunks_mut(BLOCK).zip(second.par_chunks_mut(BLOCK));
        let values = param[start..end]
            .par_chunks_mut(BLOCK)
            .zip(values(gradient, gradient_layout)?.par_chunks(BLOCK));
        values.zip(state).for_each(|((param, gradient), (first, second))| {
            vectorise!(factors.update(param, gradient, first, second));
        });
        Ok(())
    }
}

/// The step's coefficients as the inner loop uses them, rounded once from double precision.
struct Factors {
    gradient_scale: f32,
    keep: f32,
    beta1: f32,
    one_minus_beta1: f32,
    beta2: f32,
    one_minus_beta2: f32,
    /// `lr/(1-β₁ᵗ)`.
    rate: f32,
    /// `1/√(1-β₂ᵗ)`.
    root_correction: f32,
    epsilon: f32,
}

impl Factors {
    fn new(step: &AdamWStep) -> Self {
        let power = f64::from(step.number);
        let corrections = [1.0 - step.beta1.powf(power), 1.0 - step.beta2.powf(power)];
        Self {
            gradient_scale: step.gradient_scale as f32,
            keep: (1.0 - step.learning_rate * step.weight_decay) as f32,
            beta1: step.beta1 as f32,
            one_minus_beta1: (1.0 - step.beta1) as f32,
            beta2: step.beta2 as f32,
            one_minus_beta2: (1.0 - step.beta2) as f32,
            rate: (step.learning_rate / corrections[0]) as f32,
            root_correction: (1.0 / corrections[1].sqrt()) as f32,
            epsilon: step.epsilon as f32,
        }
    }

    #[inline(always)]
    fn update(&self, param: &mut [f32], gradient: &[f32], first: &mut [f32], second: &mut [f32]) {
        let moments = first.iter_mut().zip(second);
        for ((p, g), (m, v)) in param.iter_mut().zip(gradient).zip(moments) {
            let g = g * self.gradient_scale;
            *m = self.beta1.mul_add(*m, self.one_minus_beta1 * g);
            *v = self.beta2.mul_add(*v, self.one_minus_beta2 * g * g);
            let denominator = v.sqrt().mul_add(self.root_correction, self.epsilon);
            *p = self.keep.mul_add(*p, -self.rate * *m / denominator);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::gradient_check::{assert_close, noise, noise_var};
    use super::super::values::{read, tensor};
    use super::*;

    fn step(number: u32) -> AdamWStep {
        AdamWStep {
            learning_rate: 1e-2,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            weight_decay: 0.1,
            number,
            gradient_scale: 0.5,
        }
    }

    #[test]
    fn follows_the_algorithm_over_several_steps() -> Result<()> {
        let len = BLOCK + 3;
        let var = noise_var(&[len], 1)?;
        let mut expected: Vec<f64> = noise(len, 1).into_iter().map(f64::from).collect();
        let (mut m, mut v) = (vec![0f64; len], vec![0f64; len]);
        let mut moments = Moments::zeros(len);
        for number in 1..=4u32 {
            let gradient = noise(len, 10 + number);
            for i in 0..len {
                let g = f64::from(gradient[i]) * 0.5;
                m[i] = 0.9 * m[i] + 0.1 * g;
                v[i] = 0.999 * v[i] + 0.001 * g * g;
                let m_hat = m[i] / (1.0 - 0.9f64.powi(number as i32));
                let v_hat = v[i] / (1.0 - 0.999f64.powi(number as i32));
                expected[i] -= 1e-2 * (m_hat / (v_hat.sqrt() + 1e-8) + 0.1 * expected[i]);
            }
            adamw_step(&var, &tensor(gradient, len)?, &mut moments, &step(number))?;
        }
        let expected: Vec<f32> = expected.into_iter().map(|e| e as f32).collect();
        assert_close(&read(&var)?, &expected, 1e-5);
        Ok(())
    }

    #[test]
    fn writes_the_parameter_where_it_lies() -> Result<()> {
        let var = noise_var(&[2, 3], 1)?;
        let shared = var.as_detached_tensor();
        let before = read(&shared)?.to_vec();
        adamw_step(&var, &var.ones_like()?, &mut Moments::zeros(6), &step(1))?;
        assert_ne!(read(&shared)?.to_vec(), before);
        assert_eq!(read(&shared)?.to_vec(), read(&var)?.to_vec());
        Ok(())
    }

    #[test]
    fn refuses_what_does_not_fit() -> Result<()> {
        let var = noise_var(&[2, 3], 1)?;
        let gradient = var.ones_like()?;
        assert!(adamw_step(&var, &gradient.t()?, &mut Moments::zeros(6), &step(1)).is_err());
        assert!(adamw_step(&var, &gradient, &mut Moments::zeros(5), &step(1)).is_err());
        assert!(adamw_step(&var, &gradient, &mut Moments::zeros(6), &step(0)).is_err());
        Ok(())
    }
}
