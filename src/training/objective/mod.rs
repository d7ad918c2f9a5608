//! What a step makes small: the task's loss, and what may be added to it.

mod consistency;
mod contrastive;
mod loss;

pub use self::loss::Weighting;
use self::loss::z_score;
use self::{consistency::consistency, contrastive::contrastive, loss::loss};
use super::{calibration::prior_shift, settings::Settings};
use crate::{
    inference::{Calibration, Scaling},
    prompt::ClassWeights,
    task::Target,
};

/// A task's objective.
#[derive(Debug, Clone)]
pub struct Objective {
    pub scaling: Scaling,
    weighting: Weighting,
    /// Weight of the disagreement between the two views of an example; 0 for none.
    consistency: f64,
    /// Weight of the contrastive loss; 0 for none.
    contrastive: f64,
    contrastive_temperature: f64,
}

/// An objective's value for a batch, and its slopes.
pub struct Evaluated {
    pub loss: f32,
    /// By the head's outputs, `[prompts, outputs]`.
    pub by_outputs: Vec<f32>,
    /// By the mask vectors, past the head; empty where there is nothing.
    pub by_vectors: Vec<f32>,
}

impl Objective {
    /// The objective of a task with these training targets.
    pub fn new(
        targets: &[Target],
        labels: usize,
        class_weights: ClassWeights,
        settings: &Settings,
    ) -> Self {
        Self {
            scaling: z_score(targets),
            weighting: Weighting::new(class_weights, targets, labels),
            consistency: settings.consistency,
            contrastive: settings.contrastive,
            contrastive_temperature: settings.contrastive_temperature,
        }
    }

    /// The shares of the labels that the loss has seen, weights included; empty for regression.
    pub fn label_shares(&self) -> &[f64] {
        &self.weighting.shares
    }

    /// The calibration that priors ask for, before any is fitted.
    pub fn prior_calibration(&self, priors: Option<&[f64]>) -> Calibration {
        prior_shift(priors, self.label_shares())
    }

    /// Evaluates outputs `[prompts, columns]` and mask vectors of a batch. With two views the second
    /// half of the prompts are other templates of the examples in the first.
    pub fn evaluate(
        &self,
        outputs: &[f32],
        columns: usize,
        vectors: &[f32],
        targets: &[Target],
    ) -> Evaluated {
        let (loss, mut by_outputs) = loss(outputs, columns, targets, self.scaling, &self.weighting);
        let mut total = f64::from(loss);
        if self.consistency > 0.0 {
            total += self.add_consistency(outputs, columns, targets, &mut by_outputs);
        }
        let mut by_vectors = Vec::new();
        if self.contrastive > 0.0 {
            let labels: Vec<usize> = targets.iter().filter_map(Target::label).collect();
            let (loss, slopes) = contrastive(vectors, &labels, self.contrastive_temperature);
            total += self.contrastive * loss;
            let weight = self.contrastive as f32;
            by_vectors = slopes.into_iter().map(|slope| slope * weight).collect();
        }
        Evaluated { loss: total as f32, by_outputs, by_vectors }
    }

    fn add_consistency(
        &self,
        outputs: &[f32],
        columns: usize,
        targets: &[Target],
        by_outputs: &mut [f32],
    ) -> f64 {
        let (first, second) = outputs.split_at(outputs.len() / 2);
        let values = matches!(targets.first(), Some(Target::Value(_)));
        let (loss, d_first, d_second) = consistency(first, second, columns, values);
        let slopes = d_first.iter().chain(&d_second);
        by_outputs
            .iter_mut()
            .zip(slopes)
            .for_each(|(sum, slope)| *sum += self.consistency as f32 * slope);
        self.consistency * loss
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::training::{Settings, Tune};

    #[test]
    fn the_parts_add_up_with_their_weights() {
        let targets = [0, 1, 0, 1].map(Target::Label);
        let outputs = [0.5, -0.2, 0.1, 0.3, -0.4, 0.9, 0.0, 0.2];
        let vectors = [1.0, 0.2, 0.1, 1.0, 0.9, -0.3, 0.2, 0.8];
        let evaluate = |consistency, contrastive| {
            let settings = Settings { consistency, contrastive, ..Settings::new(Tune::Full) };
            Objective::new(&targets, 2, ClassWeights::Even, &settings)
                .evaluate(&outputs, 2, &vectors, &targets)
        };
        let plain = evaluate(0.0, 0.0);
        assert!(plain.by_vectors.is_empty());
        let (one, two) = (evaluate(1.0, 1.0), evaluate(2.0, 2.0));
        let added = one.loss - plain.loss;
        assert!(added > 0.0 && (two.loss - plain.loss - 2.0 * added).abs() < 1e-6);
        for (two, one) in two.by_vectors.iter().zip(&one.by_vectors) {
            assert!((two - 2.0 * one).abs() < 1e-6);
        }
        let slopes = plain.by_outputs.iter().zip(&one.by_outputs).zip(&two.by_outputs);
        for ((plain, one), two) in slopes {
            assert!((two - plain - 2.0 * (one - plain)).abs() < 1e-6);
        }
    }
}
