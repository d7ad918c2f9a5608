//! The optimizer's arithmetic: one step of AdamW, in place.

use super::vectorise::vectorise;

/// The running means that AdamW keeps for one parameter; empty before its first step.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Moments {
    /// Of the gradients.
    pub first: Vec<f32>,
    /// Of their squares.
    pub second: Vec<f32>,
}

impl Moments {
    /// Makes room for `len` values before the first step.
    pub fn start(&mut self, len: usize) {
        self.first.resize(len, 0.0);
        self.second.resize(len, 0.0);
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

/// The step's coefficients as the inner loop uses them, rounded once from double precision.
#[derive(Clone, Copy, Debug)]
pub struct AdamWFactors {
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

impl AdamWFactors {
    /// The coefficients of a step.
    pub fn new(step: &AdamWStep) -> Self {
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

    /// Moves values by one step of AdamW (Loshchilov & Hutter 2019, arXiv:1711.05101, algorithm 2),
    /// with the weight decay multiplied by the learning rate as PyTorch does:
    ///
    /// `m = β₁m + (1-β₁)g`, `v = β₂v + (1-β₂)g²`, `m̂ = m/(1-β₁ᵗ)`, `v̂ = v/(1-β₂ᵗ)`,
    /// `θ = θ - lr·λ·θ - lr·m̂/(√v̂ + ε)`.
    ///
    /// The four lists are equally long: a part of a parameter and of what belongs to it.
    pub fn update(
        self,
        values: &mut [f32],
        gradient: &[f32],
        first: &mut [f32],
        second: &mut [f32],
    ) {
        vectorise!({
            let moments = first.iter_mut().zip(second.iter_mut());
            for ((p, g), (m, v)) in values.iter_mut().zip(gradient).zip(moments) {
                let g = g * self.gradient_scale;
                *m = self.beta1.mul_add(*m, self.one_minus_beta1 * g);
                *v = self.beta2.mul_add(*v, self.one_minus_beta2 * g * g);
                let denominator = v.sqrt().mul_add(self.root_correction, self.epsilon);
                *p = self.keep.mul_add(*p, -self.rate * *m / denominator);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::gradient_check::{assert_close, noise};
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
    fn follows_the_algorithm_over_several_steps() {
        let len = 1003;
        let mut values = noise(len, 1);
        let mut expected: Vec<f64> = values.iter().copied().map(f64::from).collect();
        let (mut m, mut v) = (vec![0f64; len], vec![0f64; len]);
        let mut moments = Moments::default();
        moments.start(len);
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
            let Moments { first, second } = &mut moments;
            AdamWFactors::new(&step(number)).update(&mut values, &gradient, first, second);
        }
        let expected: Vec<f32> = expected.into_iter().map(|e| e as f32).collect();
        assert_close(&values, &expected, 1e-5);
    }
}
