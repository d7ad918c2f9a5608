//! What training makes small.

use candle_core::{D, Device, Result, Tensor};

use crate::{inference::Scaling, task::Target};

/// The mean loss of a batch, a scalar: cross-entropy of labels, or the squared error of z-scored
/// values. `outputs` is `[batch, outputs]`.
pub fn loss(outputs: &Tensor, targets: &[Target], scaling: Scaling) -> Result<Tensor> {
    match targets.first() {
        Some(Target::Value(_)) => squared_error(outputs, targets, scaling),
        _ => cross_entropy(outputs, targets),
    }
}

fn cross_entropy(logits: &Tensor, targets: &[Target]) -> Result<Tensor> {
    let labels: Vec<u32> = targets
        .iter()
        .map(|target| match target {
            // Labels are counted in thousands.
            Target::Label(label) => *label as u32,
            Target::Value(_) => u32::MAX,
        })
        .collect();
    let labels = Tensor::from_vec(labels, (targets.len(), 1), &Device::Cpu)?;
    // Subtracting the largest logit changes nothing but the range; no gradient goes that way.
    let shifted = logits.broadcast_sub(&logits.max_keepdim(D::Minus1)?.detach())?;
    let normaliser = shifted.exp()?.sum_keepdim(D::Minus1)?.log()?;
    let log_probabilities = shifted.broadcast_sub(&normaliser)?;
    log_probabilities.gather(&labels, D::Minus1)?.mean_all()?.neg()
}

fn squared_error(values: &Tensor, targets: &[Target], scaling: Scaling) -> Result<Tensor> {
    let scaled: Vec<f32> = targets
        .iter()
        .map(|target| match target {
            Target::Value(value) => ((value - scaling.mean) / scaling.standard_deviation) as f32,
            Target::Label(_) => f32::NAN,
        })
        .collect();
    let scaled = Tensor::from_vec(scaled, (targets.len(), 1), &Device::Cpu)?;
    (values - scaled)?.sqr()?.mean_all()
}

/// The scaling that z-scores the values among these targets; labels are left as they are.
pub fn z_score(targets: &[Target]) -> Scaling {
    let value = |target: &Target| match target {
        Target::Value(value) => Some(*value),
        Target::Label(_) => None,
    };
    let values: Vec<f64> = targets.iter().filter_map(value).collect();
    let count = values.len().max(1) as f64;
    let mean = values.iter().sum::<f64>() / count;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count;
    let standard_deviation = if variance > 0.0 { variance.sqrt() } else { 1.0 };
    Scaling { mean, standard_deviation }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scalar(tensor: &Tensor) -> f32 {
        tensor.to_scalar().expect("a scalar")
    }

    #[test]
    fn losses_follow_their_definitions() {
        let logits = Tensor::new(&[[1f32, 3.0], [500.0, -500.0]], &Device::Cpu).expect("built");
        let targets = [Target::Label(0), Target::Label(0)];
        let found = scalar(&loss(&logits, &targets, Scaling::IDENTITY).expect("computed"));
        assert!((found - (1.0 + 2f32.exp()).ln() / 2.0).abs() < 1e-6, "{found}");
        let values = Tensor::new(&[[0f32], [1.0]], &Device::Cpu).expect("built");
        let scaling = z_score(&[2.0, 6.0].map(Target::Value));
        assert_eq!((scaling.mean, scaling.standard_deviation), (4.0, 2.0));
        let targets = [Target::Value(2.0), Target::Value(4.0)];
        let found = scalar(&loss(&values, &targets, scaling).expect("computed"));
        assert_eq!(found, 1.0);
        assert_eq!(z_score(&[3.0, 3.0].map(Target::Value)).standard_deviation, 1.0);
        assert_eq!(z_score(&[Target::Label(3)]), Scaling::IDENTITY);
    }
}
