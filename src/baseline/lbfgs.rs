//! L-BFGS: minimises a smooth convex function of many numbers (Nocedal and Wright, 2006,
//! "Numerical Optimization", algorithm 7.5), with backtracking.

use std::collections::VecDeque;

use rayon::prelude::*;

/// Steps that the curvature is estimated from.
const HISTORY: usize = 8;

/// Iterations at most.
const MAX_ITERATIONS: usize = 200;

/// Stops where no component of the gradient is larger than this.
const TOLERANCE: f32 = 1e-4;

/// Halvings of a step before the search gives up.
const MAX_HALVINGS: usize = 30;

/// Numbers that one piece of parallel work takes; sums are added piece by piece, so that they do
/// not depend on the number of threads.
const PIECE: usize = 1 << 14;

/// A function: writes its gradient at a point and returns its value.
pub trait Objective {
    fn evaluate(&mut self, point: &[f32], gradient: &mut [f32]) -> f64;
}

/// A step that was taken, and how the gradient changed with it.
struct Correction {
    step: Vec<f32>,
    change: Vec<f32>,
    /// 1 / (step · change)
    inverse: f64,
}

/// The minimum as near as `TOLERANCE`, the number of iterations or the numbers' precision allow.
pub fn minimise(start: Vec<f32>, objective: &mut impl Objective) -> Vec<f32> {
    let mut point = start;
    let mut gradient = vec![0.0; point.len()];
    let mut value = objective.evaluate(&point, &mut gradient);
    let mut history: VecDeque<Correction> = VecDeque::new();
    for _ in 0..MAX_ITERATIONS {
        if gradient.iter().all(|component| component.abs() <= TOLERANCE) {
            break;
        }
        let direction = direction(&gradient, &history);
        let slope = dot(&direction, &gradient);
        let first = match history.is_empty() {
            true => 1.0 / dot(&gradient, &gradient).sqrt().max(1.0),
            false => 1.0,
        };
        let search = Search { point: &point, direction: &direction, value, slope };
        let Some((next, next_gradient, next_value)) = search.run(first, objective) else { break };
        let step = difference(&next, &point);
        let change = difference(&next_gradient, &gradient);
        let curvature = dot(&step, &change);
        if curvature > f64::EPSILON * dot(&change, &change) {
            history.push_back(Correction { step, change, inverse: 1.0 / curvature });
            if history.len() > HISTORY {
                history.pop_front();
            }
        }
        (point, gradient, value) = (next, next_gradient, next_value);
    }
    point
}

/// The two-loop recursion: minus the gradient times the estimated inverse Hessian.
fn direction(gradient: &[f32], history: &VecDeque<Correction>) -> Vec<f32> {
    let mut direction: Vec<f32> = gradient.iter().map(|component| -component).collect();
    let mut factors = Vec::with_capacity(history.len());
    for Correction { step, change, inverse } in history.iter().rev() {
        let factor = inverse * dot(step, &direction);
        add(&mut direction, -factor, change);
        factors.push(factor);
    }
    if let Some(Correction { change, inverse, .. }) = history.back() {
        let scale = (1.0 / (inverse * dot(change, change))) as f32;
        direction.iter_mut().for_each(|component| *component *= scale);
    }
    for (Correction { step, change, inverse }, factor) in history.iter().zip(factors.iter().rev()) {
        let back = inverse * dot(change, &direction);
        add(&mut direction, factor - back, step);
    }
    direction
}

/// A line search from a point.
struct Search<'a> {
    point: &'a [f32],
    direction: &'a [f32],
    value: f64,
    slope: f64,
}

impl Search<'_> {
    /// The first of steps that are halved which lowers the value enough; with its gradient and
    /// value.
    fn run(&self, first: f64, objective: &mut impl Objective) -> Option<(Vec<f32>, Vec<f32>, f64)> {
        if self.slope.is_nan() || self.slope >= 0.0 {
            return None;
        }
        let mut length = first;
        let mut gradient = vec![0.0; self.point.len()];
        for _ in 0..MAX_HALVINGS {
            let mut next = self.point.to_vec();
            add(&mut next, length, self.direction);
            let value = objective.evaluate(&next, &mut gradient);
            if value <= self.value + 1e-4 * length * self.slope {
                return Some((next, gradient, value));
            }
            length /= 2.0;
        }
        None
    }
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    let pieces = a.par_chunks(PIECE).zip(b.par_chunks(PIECE));
    let sums: Vec<f64> = pieces
        .map(|(a, b)| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>())
        .collect();
    sums.iter().sum()
}

fn add(sum: &mut [f32], factor: f64, other: &[f32]) {
    let factor = factor as f32;
    let pieces = sum.par_chunks_mut(PIECE).zip(other.par_chunks(PIECE));
    pieces.for_each(|(sum, other)| {
        sum.iter_mut().zip(other).for_each(|(sum, other)| *sum += factor * other);
    });
}

fn difference(a: &[f32], b: &[f32]) -> Vec<f32> {
    a.iter().zip(b).map(|(a, b)| a - b).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A long valley whose floor is at (1, 2, 3).
    struct Valley;

    impl Objective for Valley {
        fn evaluate(&mut self, point: &[f32], gradient: &mut [f32]) -> f64 {
            let mut value = 0.0;
            for (at, curvature) in [1.0, 30.0, 900.0].into_iter().enumerate() {
                let from = point[at] - (at + 1) as f32;
                gradient[at] = curvature * from;
                value += f64::from(curvature * from * from / 2.0);
            }
            value
        }
    }

    /// Has no finite value anywhere.
    struct Broken;

    impl Objective for Broken {
        fn evaluate(&mut self, _: &[f32], gradient: &mut [f32]) -> f64 {
            gradient.fill(f32::NAN);
            f64::NAN
        }
    }

    #[test]
    fn the_floor_of_a_valley_is_found() {
        let found = minimise(vec![0.0; 3], &mut Valley);
        for (found, expected) in found.iter().zip([1.0, 2.0, 3.0]) {
            assert!((found - expected).abs() < 1e-3, "{found} {expected}");
        }
    }

    #[test]
    fn a_function_without_values_leaves_the_start() {
        assert_eq!(minimise(vec![0.5; 2], &mut Broken), [0.5; 2]);
    }
}
