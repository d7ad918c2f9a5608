//! AdamW over all parameters, with gradient clipping (Loshchilov and Hutter, 2019).

use candle_core::{Tensor, Var, backprop::GradStore};

use super::{
    TrainingError,
    ops::{AdamWStep, Moments, adamw_step, squared_norm},
    settings::Settings,
};

const BETA1: f64 = 0.9;
const BETA2: f64 = 0.999;
const EPSILON: f64 = 1e-6;

struct Parameter {
    name: String,
    var: Var,
    moments: Moments,
    /// Peak learning rate.
    learning_rate: f64,
    weight_decay: f64,
}

/// The optimiser and its state.
pub struct Optimizer {
    parameters: Vec<Parameter>,
    max_gradient_norm: f64,
    steps_taken: u32,
}

impl Optimizer {
    /// Over the encoder's parameters, if it is trained, and the head's.
    pub fn new(encoder: Vec<(String, Var)>, head: Vec<(String, Var)>, settings: &Settings) -> Self {
        let parameter = |(name, var): (String, Var), learning_rate| {
            let moments = Moments::zeros(var.elem_count());
            // Biases and the norms' scales are left out of the decay.
            let decays = name.ends_with("weight") && !name.ends_with("norm.weight");
            let decays = decays || name.starts_with("embeddings.") && !name.contains("norm");
            let weight_decay = if decays { settings.weight_decay } else { 0.0 };
            Parameter { name, var, moments, learning_rate, weight_decay }
        };
        let encoder = encoder.into_iter().map(|pair| parameter(pair, settings.learning_rate));
        let head = head.into_iter().map(|pair| parameter(pair, settings.head_learning_rate));
        Self {
            parameters: encoder.chain(head).collect(),
            max_gradient_norm: settings.max_gradient_norm,
            steps_taken: 0,
        }
    }

    /// Changes every parameter by its gradient; `factor` scales the learning rates.
    pub fn step(&mut self, gradients: &GradStore, factor: f64) -> Result<(), TrainingError> {
        let of_each = self
            .parameters
            .iter()
            .map(|parameter| {
                gradients
                    .get(&parameter.var)
                    .ok_or_else(|| TrainingError::NoGradient { name: parameter.name.clone() })
            })
            .collect::<Result<Vec<&Tensor>, _>>()?;
        let norm = squared_norm(of_each.iter().copied())?.sqrt();
        if !norm.is_finite() {
            return Err(TrainingError::Gradient { step: self.steps_taken as usize + 1 });
        }
        let gradient_scale =
            if norm > self.max_gradient_norm { self.max_gradient_norm / norm } else { 1.0 };
        self.steps_taken += 1;
        for (parameter, gradient) in self.parameters.iter_mut().zip(of_each) {
            let step = AdamWStep {
                learning_rate: parameter.learning_rate * factor,
                beta1: BETA1,
                beta2: BETA2,
                epsilon: EPSILON,
                weight_decay: parameter.weight_decay,
                number: self.steps_taken,
                gradient_scale,
            };
            adamw_step(&parameter.var, gradient, &mut parameter.moments, &step)?;
        }
        Ok(())
    }
}
