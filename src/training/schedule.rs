//! The learning rate over time: linear warm-up, linear decay. Pure.

/// The factor on the learning rates at a step, counted from 0, of `steps` in all.
///
/// It rises over the first `warm_up` share of the steps and falls to 0 after the last.
pub fn factor(step: usize, steps: usize, warm_up: f64) -> f64 {
    let warm_up_steps = (steps as f64 * warm_up).round() as usize;
    if step < warm_up_steps {
        return (step + 1) as f64 / warm_up_steps as f64;
    }
    let decay_steps = steps.saturating_sub(warm_up_steps).max(1);
    steps.saturating_sub(step) as f64 / decay_steps as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_rises_and_falls_linearly() {
        let factors: Vec<f64> = (0..10).map(|step| factor(step, 10, 0.2)).collect();
        assert_eq!(factors, [0.5, 1.0, 1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125]);
        assert_eq!(factor(0, 1, 0.1), 1.0);
        assert_eq!(factor(10, 10, 0.2), 0.0);
        assert_eq!(factor(0, 4, 0.0), 1.0);
    }
}
