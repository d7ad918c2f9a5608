//! AdamW over all parameters, with gradient clipping (Loshchilov and Hutter, 2019).
//!
//! Of a parameter whose gradient is one of rows, only those rows change, and only their moments: the
//! others are neither decayed nor moved by what their moments hold ("lazy" Adam, as PyTorch's
//! SparseAdam does it). The corrections for the moments' zero beginning go by the number of all
//! steps. So a word that a step does not see costs nothing.

use rayon::prelude::*;

use super::{
    TrainingError,
    ops::{AdamWFactors, AdamWStep, Moments, squared_norm},
    parameter::{Gradient, Parameter},
};
use crate::architecture::Role;

const BETA1: f64 = 0.9;
const BETA2: f64 = 0.999;
const EPSILON: f64 = 1e-6;

/// Values per unit of parallel work.
const BLOCK: usize = 16_384;

/// How fast a parameter moves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rates {
    /// Peak learning rate.
    pub learning_rate: f64,
    pub weight_decay: f64,
}

impl Rates {
    /// Rates of an encoder's parameter. Biases and the norms' scales are left out of the decay.
    pub fn of(role: Role, learning_rate: f64, weight_decay: f64) -> Self {
        let decays = matches!(role, Role::Table | Role::Linear);
        Self { learning_rate, weight_decay: if decays { weight_decay } else { 0.0 } }
    }

    /// Rates of a head's parameter, whose name says its role.
    pub fn of_head(name: &str, learning_rate: f64, weight_decay: f64) -> Self {
        let is_matrix = name.ends_with("weight") && !name.ends_with("norm.weight");
        let role = if is_matrix { Role::Linear } else { Role::Bias };
        Self::of(role, learning_rate, weight_decay)
    }
}

/// The optimiser and its state but for what the parameters hold.
#[derive(Debug)]
pub struct Optimizer {
    max_gradient_norm: f64,
    steps_taken: u32,
}

impl Optimizer {
    /// Gradients that are longer than `max_gradient_norm`, all together, are scaled down to it.
    pub fn new(max_gradient_norm: f64) -> Self {
        Self { max_gradient_norm, steps_taken: 0 }
    }

    /// Goes on after so many steps that an earlier process took.
    pub fn resume(&mut self, steps_taken: usize) {
        self.steps_taken = u32::try_from(steps_taken).unwrap_or(u32::MAX);
    }

    /// Changes every parameter by its gradient and clears that; `factor` scales the learning rates.
    /// Returns the gradients' norm before clipping. Refuses a parameter without a gradient, and
    /// gradients that are not finite; then no parameter changes.
    pub fn step<'a>(
        &mut self,
        parameters: impl IntoIterator<Item = (&'a mut Parameter, Rates)>,
        factor: f64,
    ) -> Result<f64, TrainingError> {
        let mut parameters: Vec<(&mut Parameter, Rates)> = parameters.into_iter().collect();
        for (parameter, _) in &parameters {
            if matches!(parameter.gradient, Gradient::Empty) {
                return Err(TrainingError::NoGradient { name: parameter.name.clone() });
            }
        }
        let norm = squared_norm(parameters.iter().map(|(p, _)| p.gradient.values())).sqrt();
        if !norm.is_finite() {
            return Err(TrainingError::Gradient { step: self.steps_taken as usize + 1 });
        }
        let gradient_scale =
            if norm > self.max_gradient_norm { self.max_gradient_norm / norm } else { 1.0 };
        self.steps_taken += 1;
        let factors = |rates: &Rates| {
            AdamWFactors::new(&AdamWStep {
                learning_rate: rates.learning_rate * factor,
                beta1: BETA1,
                beta2: BETA2,
                epsilon: EPSILON,
                weight_decay: rates.weight_decay,
                number: self.steps_taken,
                gradient_scale,
            })
        };
        let mut parts = Vec::new();
        for (parameter, rates) in &mut parameters {
            cut(parameter, factors(rates), &mut parts);
        }
        parts.into_par_iter().for_each(Part::update);
        parameters.iter_mut().for_each(|(parameter, _)| parameter.clear_gradient());
        Ok(norm)
    }
}

/// A part of a parameter, for one thread.
struct Part<'a> {
    values: &'a mut [f32],
    first: &'a mut [f32],
    second: &'a mut [f32],
    gradient: &'a [f32],
    /// Where the gradient's rows lie in the other three, if it is one of rows.
    rows: Option<RowPart<'a>>,
    factors: AdamWFactors,
}

struct RowPart<'a> {
    rows: &'a [u32],
    /// The number of the part's first row.
    first: u32,
    width: usize,
}

impl Part<'_> {
    fn update(self) {
        let Self { values, first, second, gradient, rows, factors } = self;
        let Some(RowPart { rows, first: first_row, width }) = rows else {
            return factors.update(values, gradient, first, second);
        };
        for (row, gradient) in rows.iter().zip(gradient.chunks_exact(width)) {
            let at = (row - first_row) as usize * width;
            let range = at..at + width;
            let (m, v) = (&mut first[range.clone()], &mut second[range.clone()]);
            factors.update(&mut values[range], gradient, m, v);
        }
    }
}

/// Cuts a parameter into parts of about [`BLOCK`] values of its gradient.
fn cut<'a>(parameter: &'a mut Parameter, factors: AdamWFactors, parts: &mut Vec<Part<'a>>) {
    let width = parameter.width();
    let Parameter { values, gradient, moments, .. } = parameter;
    moments.start(values.len());
    let Moments { first, second } = moments;
    match &*gradient {
        Gradient::Empty => {}
        Gradient::Dense(gradient) => {
            let moments = first.chunks_mut(BLOCK).zip(second.chunks_mut(BLOCK));
            let pairs = values.chunks_mut(BLOCK).zip(gradient.chunks(BLOCK));
            parts.extend(pairs.zip(moments).map(|((values, gradient), (first, second))| Part {
                values,
                first,
                second,
                gradient,
                rows: None,
                factors,
            }));
        }
        Gradient::Rows { rows, values: gradient } => {
            let mut rest = [values.as_mut_slice(), first, second];
            let mut done = 0;
            let rows_per_part = (BLOCK / width.max(1)).max(1);
            let gradients = gradient.chunks(rows_per_part * width.max(1));
            for (rows, gradient) in rows.chunks(rows_per_part).zip(gradients) {
                let (Some(&from), Some(&last)) = (rows.first(), rows.last()) else { continue };
                let [values, first, second] = rest.each_mut().map(|rest| {
                    let _between = rest.split_off_mut(..(from - done) as usize * width);
                    let length = (last + 1 - from) as usize * width;
                    rest.split_off_mut(..length).unwrap_or_default()
                });
                done = last + 1;
                let rows = Some(RowPart { rows, first: from, width });
                parts.push(Part { values, first, second, gradient, rows, factors });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::ops::{assert_close, noise};
    use super::*;

    const RATES: Rates = Rates { learning_rate: 1e-2, weight_decay: 0.1 };
    const WIDTH: usize = 100;

    fn table() -> Parameter {
        Parameter::new("table", vec![500, WIDTH], noise(500 * WIDTH, 1))
    }

    #[test]
    fn rows_move_as_they_would_alone_and_others_stay() {
        let rows: Vec<u32> = (0..500).filter(|row| row % 3 == 1).collect();
        let gradient = noise(rows.len() * WIDTH, 2);
        let mut table = table();
        let before = table.values.clone();
        let (mut optimizer, mut alone) = (Optimizer::new(1.0), Optimizer::new(1.0));
        let picked: Vec<f32> = rows
            .iter()
            .flat_map(|row| &before[*row as usize * WIDTH..][..WIDTH])
            .copied()
            .collect();
        let mut small = Parameter::new("small", vec![rows.len(), WIDTH], picked);
        for _ in 0..3 {
            table.add_rows(&rows, &gradient).expect("added");
            small.add_dense(&gradient).expect("added");
            let norm = optimizer.step([(&mut table, RATES)], 0.5).expect("a step");
            assert_eq!(norm, alone.step([(&mut small, RATES)], 0.5).expect("a step"));
        }
        for (row, values) in table.values.chunks(WIDTH).enumerate() {
            match rows.binary_search(&(row as u32)) {
                Ok(at) => assert_close(values, &small.values[at * WIDTH..][..WIDTH], 1e-7),
                Err(_) => assert_eq!(values, &before[row * WIDTH..][..WIDTH]),
            }
        }
        assert_ne!(table.values, before);
    }

    #[test]
    fn long_gradients_are_clipped_and_all_are_cleared() {
        let step = |scale: f32| {
            let mut parameter = Parameter::new("p", vec![2], vec![1.0, 1.0]);
            parameter.add_dense(&[3.0 * scale, 4.0 * scale]).expect("added");
            let norm = Optimizer::new(1.0).step([(&mut parameter, RATES)], 1.0).expect("a step");
            assert!(matches!(parameter.gradient, Gradient::Empty));
            (norm, parameter.moments.first)
        };
        let (norm, moments) = step(1.0);
        assert!((norm - 5.0).abs() < 1e-6, "{norm}");
        assert_close(&moments, &[0.06, 0.08], 1e-7);
        assert_close(&step(0.1).1, &[0.03, 0.04], 1e-7);
    }

    #[test]
    fn a_parameter_without_a_gradient_is_named() {
        let mut both = [table(), Parameter::new("other", vec![1], vec![1.0])];
        both[0].add_rows(&[1], &[1.0; WIDTH]).expect("added");
        let error = Optimizer::new(1.0).step(both.iter_mut().map(|p| (p, RATES)), 1.0);
        let error = error.expect_err("refused").to_string();
        assert!(error.contains("other"), "{error}");
    }
}
