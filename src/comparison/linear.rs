//! What people would try first: a linear model on mean-pooled vectors of a frozen encoder.

use crate::{
    prompt::ClassWeights,
    task::Target,
    tokenization::{PackedBatch, Prompt},
    training::{
        Dropout, HeadShape, Objective, Optimizer, Rates, ReadOut, Settings, TrainableEncoder,
        TrainableHead, TrainingError,
    },
};

/// Steps of the fit, each over all examples.
const STEPS: usize = 300;

/// The fit's first learning rate; it falls to 0.
const LEARNING_RATE: f64 = 0.05;

/// Tokens that are encoded together.
const BATCH_TOKENS: usize = 2048;

/// The mean of each prompt's token vectors, scaled to length 1 times the root of the width, so that
/// a feature's size is about 1.
pub fn mean_vectors(
    encoder: &mut TrainableEncoder,
    prompts: &[Prompt],
) -> Result<Vec<Vec<f32>>, TrainingError> {
    let hidden = encoder.architecture().hidden_size;
    let mut order: Vec<usize> = (0..prompts.len()).collect();
    order.sort_by_key(|at| prompts[*at].input_ids.len());
    let mut vectors = vec![Vec::new(); prompts.len()];
    let mut rest = order.as_slice();
    while !rest.is_empty() {
        let mut tokens = 0;
        let fits = rest.iter().take_while(|at| {
            tokens += prompts[**at].input_ids.len();
            tokens <= BATCH_TOKENS
        });
        let (now, later) = rest.split_at(fits.count().max(1));
        let batch = PackedBatch::new(now.iter().map(|at| &prompts[*at]));
        let encoded = encoder.encode(&batch, &ReadOut::all(&batch))?;
        for (at, range) in now.iter().zip(batch.ranges()) {
            vectors[*at] = mean(&encoded[range.start * hidden..range.end * hidden], hidden);
        }
        rest = later;
    }
    Ok(vectors)
}

fn mean(rows: &[f32], hidden: usize) -> Vec<f32> {
    let mut mean = vec![0f64; hidden];
    for row in rows.chunks_exact(hidden) {
        mean.iter_mut().zip(row).for_each(|(sum, value)| *sum += f64::from(*value));
    }
    let length = mean.iter().map(|value| value * value).sum::<f64>().sqrt().max(f64::MIN_POSITIVE);
    let scale = (hidden as f64).sqrt() / length;
    mean.iter().map(|value| (value * scale) as f32).collect()
}

/// Fits logistic regression, or ridge regression, by full-batch descent on the loss plus
/// `penalty / examples` times half the weights' squared sum.
pub fn fit(
    vectors: &[Vec<f32>],
    targets: &[Target],
    outputs: usize,
    objective: &Objective,
    penalty: f64,
) -> Result<TrainableHead, TrainingError> {
    let hidden = vectors.first().map_or(0, Vec::len);
    let mut head = TrainableHead::new(HeadShape::Linear, hidden, outputs, 0);
    let mut optimizer = Optimizer::new(f64::INFINITY);
    let inputs = vectors.concat();
    let decay = (penalty / vectors.len().max(1) as f64) as f32;
    for step in 0..STEPS {
        let found = head.forward(&inputs, Dropout::OFF)?;
        let evaluated = objective.evaluate(&found, outputs, &inputs, targets);
        if !evaluated.loss.is_finite() {
            return Err(TrainingError::Diverged { step: step + 1, loss: evaluated.loss });
        }
        head.backward(&evaluated.by_outputs)?;
        let rates = Rates { learning_rate: LEARNING_RATE, weight_decay: 0.0 };
        for parameter in head.parameters_mut().filter(|p| p.name.ends_with("weight")) {
            let pull: Vec<f32> = parameter.values.iter().map(|value| value * decay).collect();
            parameter.add_dense(&pull)?;
        }
        let factor = 1.0 - step as f64 / STEPS as f64;
        optimizer.step(head.parameters_mut().map(|parameter| (parameter, rates)), factor)?;
    }
    Ok(head)
}

/// The objective of a linear model: the plain loss.
pub fn objective(
    targets: &[Target],
    labels: usize,
    class_weights: ClassWeights,
    settings: &Settings,
) -> Objective {
    let plain = Settings { consistency: 0.0, contrastive: 0.0, ..settings.clone() };
    Objective::new(targets, labels, class_weights, &plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{task::Kind, training::Tune};

    #[test]
    fn a_line_is_found() {
        let vectors: Vec<Vec<f32>> =
            (0..40).map(|at| vec![(at as f32 * 0.7).sin(), (at as f32 * 1.3).cos()]).collect();
        let settings = Settings::new(Tune::Full);
        let labels: Vec<Target> =
            vectors.iter().map(|v| Target::Label(usize::from(v[0] - v[1] > 0.1))).collect();
        let objective = objective(&labels, 2, ClassWeights::Even, &settings);
        let head =
            fit(&vectors, &labels, 2, &objective, 0.1).expect("fitted").head(objective.scaling);
        let kind = Kind::Classification { labels: vec!["a".to_owned(), "b".to_owned()] };
        let right = vectors.iter().zip(&labels).filter(|(vector, label)| {
            head.output(&kind, &head.logits(vector, &[])).best_label()
                == match label {
                    Target::Label(label) => Some(*label),
                    Target::Value(_) => None,
                }
        });
        assert!(right.count() >= 38);
        let values: Vec<Target> =
            vectors.iter().map(|v| Target::Value(f64::from(3.0 * v[0] - v[1] + 5.0))).collect();
        let objective = super::objective(&values, 0, ClassWeights::Even, &settings);
        let head = fit(&vectors, &values, 1, &objective, 0.01).expect("fitted");
        let head = head.head(objective.scaling);
        let kind = Kind::Regression { min: None, max: None };
        let found = head.output(&kind, &head.logits(&[0.5, -0.5], &[]));
        let crate::task::Output::Value(found) = found else { panic!("{found:?}") };
        assert!((found - 7.0).abs() < 0.05, "{found}");
    }

    #[test]
    fn means_have_the_length_of_their_width() {
        let found = mean(&[1.0, 0.0, 3.0, 0.0, 2.0, 3.0], 2);
        let length = found.iter().map(|value| value * value).sum::<f32>();
        assert!(
            (length - 2.0).abs() < 1e-5 && (found[0] / found[1] - 2.0).abs() < 1e-5,
            "{found:?}"
        );
    }
}
