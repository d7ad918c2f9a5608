//! The network as a whole: does every parameter get a gradient, and the right one?

use std::collections::BTreeMap;

use super::{
    encoder::{Dropout, ReadOut, TrainableEncoder},
    head::TrainableHead,
    objective::Objective,
    optimizer::{Optimizer, Rates},
    parameter::{Gradient, Parameter},
    settings::{HeadShape, Settings, Tune},
};
use crate::{
    architecture::Role,
    prompt::ClassWeights,
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
        let head = TrainableHead::new(shape, 8, OUTPUTS, 1);
        Self { encoder, head, batch: PackedBatch::new(&prompts()), dropout }
    }

    fn parameters(&self) -> impl Iterator<Item = &Parameter> {
        self.encoder.parameters().iter().chain(self.head.parameters())
    }

    fn parameters_mut(&mut self) -> impl Iterator<Item = &mut Parameter> {
        self.encoder.parameters_mut().iter_mut().chain(self.head.parameters_mut())
    }

    fn values(&self) -> Vec<Vec<f32>> {
        self.parameters().map(|parameter| parameter.values.clone()).collect()
    }

    /// The loss and the gradient of the head's outputs.
    fn forward(&mut self) -> (f32, Vec<f32>) {
        let read_out = ReadOut::masks(&self.batch);
        let vectors = self.encoder.forward(&self.batch, &read_out, self.dropout).expect("vectors");
        let mut outputs = self.head.forward(&vectors, self.dropout).expect("outputs");
        // Far from the head's small beginning, so that gradients are not tiny.
        outputs.iter_mut().for_each(|output| *output *= 30.0);
        let targets = [2, 0, 1].map(Target::Label);
        let objective =
            Objective::new(&targets, OUTPUTS, ClassWeights::Even, &Settings::new(Tune::Full));
        let evaluated = objective.evaluate(&outputs, OUTPUTS, &vectors, &targets);
        let (value, mut gradient) = (evaluated.loss, evaluated.by_outputs);
        gradient.iter_mut().for_each(|slope| *slope *= 30.0);
        (value, gradient)
    }

    /// Computes the gradients of the loss times `factor`.
    fn backward(&mut self, factor: f32) {
        let (_, gradient) = self.forward();
        let gradient: Vec<f32> = gradient.iter().map(|slope| slope * factor).collect();
        let gradient = self.head.backward(&gradient).expect("gradients");
        self.encoder.backward(&gradient).expect("gradients");
    }

    fn step(&mut self, settings: &Settings) -> Result<f64, super::TrainingError> {
        let roles: BTreeMap<String, Role> = (self.encoder.architecture().parameters().into_iter())
            .map(|parameter| (parameter.name, parameter.role))
            .collect();
        let Settings { learning_rate, weight_decay, .. } = *settings;
        let rates = |p: &Parameter| match roles.get(&p.name) {
            Some(role) => Rates::of(*role, learning_rate, weight_decay),
            None => Rates::of_head(&p.name, learning_rate, weight_decay),
        };
        let mut optimizer = Optimizer::new(settings.max_gradient_norm);
        optimizer.step(
            self.parameters_mut().map(|p| {
                let rates = rates(p);
                (p, rates)
            }),
            1.0,
        )
    }
}

/// The gradient with the rows that it leaves out.
fn dense(parameter: &Parameter) -> Vec<f32> {
    match &parameter.gradient {
        Gradient::Empty => panic!("{} has no gradient", parameter.name),
        Gradient::Dense(values) => values.clone(),
        Gradient::Rows { rows, values } => {
            let mut all = vec![0.0; parameter.values.len()];
            for (row, values) in rows.iter().zip(values.chunks(parameter.width())) {
                let width = parameter.width();
                all[*row as usize * width..][..width].copy_from_slice(values);
            }
            all
        }
    }
}

#[test]
fn every_parameter_receives_a_gradient() {
    for shape in [HeadShape::Linear, HeadShape::Mlp] {
        let mut network = Network::new(shape, Dropout { probability: 0.1, seed: 4 });
        network.backward(1.0);
        for parameter in network.parameters() {
            let (name, gradient) = (&parameter.name, dense(parameter));
            assert_eq!(gradient.len(), parameter.values.len(), "{name}");
            assert!(gradient.iter().any(|value| *value != 0.0), "{name} has only zeros");
        }
    }
}

/// Moves one value of a parameter and says how the loss changes for it.
fn central_difference(network: &mut Network, parameter: usize, at: usize) -> f64 {
    const STEP: f32 = 4e-3;
    let set = |network: &mut Network, to: f32| {
        let parameter = network.parameters_mut().nth(parameter).expect("there");
        std::mem::replace(&mut parameter.values[at], to)
    };
    let original = set(network, 0.0);
    let mut moved = |by: f32| {
        set(network, original + by);
        f64::from(network.forward().0)
    };
    let difference = moved(STEP) - moved(-STEP);
    set(network, original);
    difference / (2.0 * f64::from(STEP))
}

#[test]
fn gradients_agree_with_finite_differences() {
    for (shape, dropout) in
        [(HeadShape::Linear, Dropout::OFF), (HeadShape::Mlp, Dropout { probability: 0.2, seed: 9 })]
    {
        let mut network = Network::new(shape, dropout);
        network.backward(1.0);
        let gradients: Vec<(String, Vec<f32>)> =
            network.parameters().map(|p| (p.name.clone(), dense(p))).collect();
        for (parameter, (name, gradient)) in gradients.iter().enumerate() {
            // Places spread over the parameter, among them embeddings in and out of use.
            for at in (0..gradient.len()).step_by(gradient.len().div_ceil(9)) {
                let expected = central_difference(&mut network, parameter, at);
                let found = f64::from(gradient[at]);
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
    let mut encoder = TrainableEncoder::new(&small()).expect("an encoder");
    let all = prompts();
    let mut vectors = |prompts: &[Prompt]| {
        let batch = PackedBatch::new(prompts);
        encoder.forward(&batch, &ReadOut::masks(&batch), Dropout::OFF).expect("vectors")
    };
    let together = vectors(&all);
    for (at, row) in together.chunks(8).enumerate() {
        let alone = vectors(&all[at..=at]);
        assert!(alone.iter().zip(row).all(|(a, b)| (a - b).abs() < 1e-5), "prompt {at}");
    }
}

#[test]
fn weight_decay_spares_biases_and_norms() {
    let mut network = Network::new(HeadShape::Linear, Dropout::OFF);
    let before = network.values();
    // With gradients far below epsilon, decay alone changes a parameter.
    network.backward(1e-30);
    let settings = Settings { weight_decay: 0.5, learning_rate: 0.1, ..Settings::new(Tune::Full) };
    network.step(&settings).expect("a step");
    for (parameter, before) in network.parameters().zip(before) {
        let name = &parameter.name;
        let spared = name.ends_with("bias") || name.contains("norm");
        let pairs = || parameter.values.iter().zip(&before);
        let moved = pairs().any(|(after, before)| (after - before).abs() > 1e-9);
        assert_eq!(moved, !spared, "{name}");
    }
}

#[test]
fn a_gradient_that_is_not_finite_stops_the_run_and_changes_nothing() {
    let mut network = Network::new(HeadShape::Linear, Dropout::OFF);
    let before = network.values();
    network.backward(f32::INFINITY);
    let error = network.step(&Settings::new(Tune::Full)).expect_err("stopped");
    assert!(matches!(error, super::TrainingError::Gradient { step: 1 }), "{error}");
    assert_eq!(before, network.values());
}

#[test]
fn a_step_is_the_same_to_the_bit_each_time() {
    let run = || {
        let dropout = Dropout { probability: 0.1, seed: 4 };
        let mut network = Network::new(HeadShape::Mlp, dropout);
        for _ in 0..3 {
            network.backward(1.0);
            network.step(&Settings::new(Tune::Full)).expect("a step");
        }
        network.values()
    };
    assert_eq!(run(), run());
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
