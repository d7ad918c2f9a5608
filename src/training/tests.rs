//! The network as a whole: does every parameter get a gradient, and the right one?

use candle_core::{Tensor, Var, backprop::GradStore};

use super::{
    encoder::{Dropout, TrainableEncoder},
    head::TrainableHead,
    loss::loss,
    optimizer::Optimizer,
    settings::{HeadShape, Settings, Tune},
};
use crate::{
    inference::Scaling,
    task::Target,
    tokenization::{PackedBatch, Prompt},
    weights::tests::small,
};

const OUTPUTS: usize = 3;

struct Network {
    encoder: TrainableEncoder,
    head: TrainableHead,
    batch: PackedBatch,
    dropout: Dropout,
}

/// Sequences of different lengths, two segments, the mask at both ends and inside.
fn prompts() -> Vec<Prompt> {
    [(&[3, 1, 4, 15][..], 0), (&[9, 2][..], 1), (&[5, 3, 5, 8, 19, 7][..], 3)]
        .into_iter()
        .map(|(ids, mask_position)| Prompt {
            input_ids: ids.to_vec(),
            segment_ids: (0..ids.len()).map(|at| u32::from(at > 1)).collect(),
            mask_position,
            truncated: false,
        })
        .collect()
}

impl Network {
    fn new(shape: HeadShape, dropout: Dropout) -> Self {
        let encoder = TrainableEncoder::new(&small()).expect("an encoder");
        let head = TrainableHead::new(shape, 8, OUTPUTS, 1).expect("a head");
        Self { encoder, head, batch: PackedBatch::new(&prompts()), dropout }
    }

    fn parameters(&self) -> Vec<(String, Var)> {
        let mut all = self.encoder.parameters();
        all.extend(self.head.parameters());
        all
    }

    fn loss(&self) -> Tensor {
        let vectors = self.encoder.forward(&self.batch, self.dropout).expect("mask vectors");
        let outputs = self.head.forward(&vectors, self.dropout).expect("outputs");
        // Far from the head's small beginning, so that gradients are not tiny.
        let outputs = (outputs * 30.0).expect("scaled");
        loss(&outputs, &[2, 0, 1].map(Target::Label), Scaling::IDENTITY).expect("a loss")
    }

    fn value(&self) -> f64 {
        f64::from(self.loss().to_scalar::<f32>().expect("a scalar"))
    }

    fn gradients(&self) -> GradStore {
        self.loss().backward().expect("gradients")
    }
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().and_then(|flat| flat.to_vec1()).expect("values")
}

#[test]
fn every_parameter_receives_a_gradient() {
    for shape in [HeadShape::Linear, HeadShape::Mlp] {
        let network = Network::new(shape, Dropout { probability: 0.1, seed: 4 });
        let gradients = network.gradients();
        for (name, var) in network.parameters() {
            let gradient = gradients.get(&var).unwrap_or_else(|| panic!("{name} has no gradient"));
            assert_eq!(gradient.dims(), var.dims(), "{name}");
            assert!(values(gradient).iter().any(|value| *value != 0.0), "{name} has only zeros");
        }
    }
}

/// Moves one value of a parameter and says how the loss changes for it.
fn central_difference(network: &Network, var: &Var, at: usize) -> f64 {
    const STEP: f32 = 4e-3;
    let original = values(var);
    let moved = |by: f32| {
        let mut changed = original.clone();
        changed[at] += by;
        let changed = Tensor::from_vec(changed, var.dims(), var.device()).expect("a tensor");
        var.set(&changed).expect("set");
        network.value()
    };
    let difference = moved(STEP) - moved(-STEP);
    moved(0.0);
    difference / (2.0 * f64::from(STEP))
}

#[test]
fn gradients_agree_with_finite_differences() {
    for (shape, dropout) in
        [(HeadShape::Linear, Dropout::OFF), (HeadShape::Mlp, Dropout { probability: 0.2, seed: 9 })]
    {
        let network = Network::new(shape, dropout);
        let gradients = network.gradients();
        for (name, var) in network.parameters() {
            let gradient = values(gradients.get(&var).expect("a gradient"));
            // Places spread over the parameter, among them embeddings in and out of use.
            for at in (0..gradient.len()).step_by(gradient.len().div_ceil(9)) {
                let (found, expected) =
                    (f64::from(gradient[at]), central_difference(&network, &var, at));
                let tolerance = 4e-3 + 0.02 * expected.abs();
                assert!(
                    (found - expected).abs() < tolerance,
                    "{name}[{at}]: {found}, by differences {expected}"
                );
            }
        }
    }
}

#[test]
fn the_last_layer_for_the_mask_row_alone_is_the_whole_layers_mask_row() {
    // One sequence alone or among others: its vector is the same.
    let encoder = TrainableEncoder::new(&small()).expect("an encoder");
    let all = prompts();
    let together = encoder.forward(&PackedBatch::new(&all), Dropout::OFF).expect("vectors");
    for (at, prompt) in all.iter().enumerate() {
        let alone = encoder.forward(&PackedBatch::new([prompt]), Dropout::OFF).expect("a vector");
        let row = together.get(at).expect("a row");
        let pairs = values(&alone).into_iter().zip(values(&row));
        assert!(pairs.into_iter().all(|(a, b)| (a - b).abs() < 1e-5), "prompt {at}");
    }
}

#[test]
fn weight_decay_spares_biases_and_norms() {
    let network = Network::new(HeadShape::Linear, Dropout::OFF);
    let before: Vec<Vec<f32>> = network.parameters().iter().map(|(_, var)| values(var)).collect();
    // With gradients far below epsilon, decay alone changes a parameter.
    let flat = (network.loss() * 1e-30).expect("a loss with hardly a slope");
    let settings = Settings { weight_decay: 0.5, learning_rate: 0.1, ..Settings::new(Tune::Full) };
    let (encoder, head) = (network.encoder.parameters(), network.head.parameters());
    let mut optimizer = Optimizer::new(encoder, head, &settings);
    optimizer.step(&flat.backward().expect("gradients"), 1.0).expect("a step");
    for ((name, var), before) in network.parameters().iter().zip(before) {
        let spared = name.ends_with("bias") || name.contains("norm");
        let after = values(var);
        let moved = after.iter().zip(&before).any(|(after, before)| (after - before).abs() > 1e-9);
        assert_eq!(moved, !spared, "{name}");
    }
}

#[test]
fn a_gradient_that_is_not_finite_stops_the_run_and_changes_nothing() {
    let network = Network::new(HeadShape::Linear, Dropout::OFF);
    let before: Vec<Vec<f32>> = network.parameters().iter().map(|(_, var)| values(var)).collect();
    let steep = (network.loss() * f64::from(f32::INFINITY)).expect("a loss without bound");
    let (encoder, head) = (network.encoder.parameters(), network.head.parameters());
    let mut optimizer = Optimizer::new(encoder, head, &Settings::new(Tune::Full));
    let error = optimizer.step(&steep.backward().expect("gradients"), 1.0).expect_err("stopped");
    assert!(matches!(error, super::TrainingError::Gradient { step: 1 }), "{error}");
    let after: Vec<Vec<f32>> = network.parameters().iter().map(|(_, var)| values(var)).collect();
    assert_eq!(before, after);
}

#[test]
fn settings_that_cannot_be_meant_are_refused() {
    let check = |change: fn(&mut Settings), words: &str| {
        let mut settings = Settings::new(Tune::Full);
        assert!(settings.check().is_ok());
        change(&mut settings);
        let error = settings.check().expect_err(words).to_string();
        assert!(error.contains(words), "{error}");
    };
    check(|s| s.learning_rate = 0.0, "learning rates");
    check(|s| s.head_learning_rate = f64::NAN, "learning rates");
    check(|s| s.dropout = 1.0, "dropout");
    check(|s| s.batch_size = 0, "batch size");
    check(|s| s.length = super::Length::Epochs(0), "between 1 and");
    check(|s| s.warm_up = 1.5, "warm-up");
    check(|s| s.weight_decay = -0.1, "weight decay");
    check(|s| s.max_gradient_norm = 0.0, "norm");
}
