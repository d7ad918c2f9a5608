//! The two objectives on a small encoder: are the gradients right where the word embeddings are both
//! the input and the decoder?

use super::{
    super::{
        Dropout,
        encoder::ReadOut,
        ops::noise,
        parameter::{Gradient, Parameter},
    },
    corpus::{MaskedBatch, prompt},
    decoder::fresh_head,
    language_model::LanguageModel,
    *,
};
use crate::{
    tokenization::PackedBatch,
    weights::tests::{small, small_head},
};

const DROPOUT: Dropout = Dropout { probability: 0.2, seed: 9 };

/// Three windows of which five tokens are hidden; id 4 is the mask.
fn batch() -> MaskedBatch {
    let windows = [&[3, 4, 4, 15][..], &[9, 2], &[5, 4, 5, 8, 4, 7]];
    let prompts = windows.map(|ids| prompt(ids.to_vec(), 0));
    let tokens = PackedBatch::new(&prompts);
    let read_out = ReadOut::tokens(&tokens, &[vec![1, 2], vec![0], vec![1, 4]]);
    MaskedBatch { tokens, read_out, targets: vec![1, 5, 9, 3, 19] }
}

fn prompts() -> Vec<Prompt> {
    vec![prompt(vec![3, 4, 15], 1), prompt(vec![9, 2, 8, 4], 3)]
}

/// Directions for the two prompts.
fn meanings() -> Vec<f32> {
    let rows = noise(2 * 8, 3);
    let unit = |row: &[f32]| {
        let length = row.iter().map(|value| value * value).sum::<f32>().sqrt();
        row.iter().map(|value| value / length).collect::<Vec<_>>()
    };
    rows.chunks(8).flat_map(unit).collect()
}

fn model() -> LanguageModel {
    LanguageModel::new(&small(), Some(&small_head())).expect("a model")
}

/// Both objectives, weighted; adds their gradients.
fn loss(model: &mut LanguageModel) -> f64 {
    let (masking, similarity) = (0.7, 1.5);
    let guess = model.guess(&batch(), masking, DROPOUT).expect("a loss");
    let pull = model.pull(&prompts(), &meanings(), similarity, DROPOUT).expect("a loss");
    masking * guess + similarity * pull
}

fn value(model: &mut LanguageModel, parameter: usize, at: usize) -> &mut f32 {
    &mut model.parameters_mut().nth(parameter).expect("there").values[at]
}

#[test]
fn gradients_agree_with_finite_differences() {
    const STEP: f32 = 4e-3;
    let mut model = model();
    loss(&mut model);
    let gradient = |parameter: &Parameter| match &parameter.gradient {
        Gradient::Dense(values) => values.clone(),
        // Positions and segments: what is not there was not in the batch.
        Gradient::Rows { rows, values } => {
            let mut all = vec![0.0; parameter.values.len()];
            for (row, values) in rows.iter().zip(values.chunks(parameter.width())) {
                all[*row as usize * parameter.width()..][..values.len()].copy_from_slice(values);
            }
            all
        }
        Gradient::Empty => panic!("{} has no gradient", parameter.name),
    };
    let gradients: Vec<_> = model.parameters().map(|p| (p.name.clone(), gradient(p))).collect();
    for (parameter, (name, gradient)) in gradients.iter().enumerate() {
        // All words: in the input or not, a target or not.
        let places = if name == "embeddings.word" { 160 } else { 9 };
        for at in (0..gradient.len()).step_by(gradient.len().div_ceil(places)) {
            let original = *value(&mut model, parameter, at);
            let mut moved = |by: f32| {
                *value(&mut model, parameter, at) = original + by;
                loss(&mut model)
            };
            let expected = (moved(STEP) - moved(-STEP)) / (2.0 * f64::from(STEP));
            *value(&mut model, parameter, at) = original;
            let found = f64::from(gradient[at]);
            let tolerance = 4e-3 + 0.02 * expected.abs();
            assert!(
                (found - expected).abs() < tolerance,
                "{name}[{at}]: {found}, by differences {expected}"
            );
        }
    }
}

#[test]
fn what_is_measured_is_what_is_learnt() {
    let mut model = model();
    let learnt = model.guess(&batch(), 1.0, Dropout::OFF).expect("a loss");
    let measured = model.loss(&batch()).expect("a loss") / 5.0;
    assert!((learnt - measured).abs() < 1e-5, "{learnt} {measured}");
}

#[test]
fn weights_come_out_as_they_went_in() {
    let (weights, head) = model().weights().expect("finite");
    assert_eq!((weights, head), (small(), Some(small_head())));
    let mut model = model();
    *model.parameters_mut().last().expect("the bias").values.first_mut().expect("20") = f32::NAN;
    assert!(model.weights().is_err());
    let alone = LanguageModel::new(&small(), None).expect("a model");
    assert_eq!(alone.weights().expect("finite"), (small(), None));
    assert_eq!(alone.parameters().count(), small().iter().count());
}

#[test]
fn a_fresh_head_has_its_own_rate_and_passes_the_encoder_on() {
    let settings = Settings { head_learning_rate: 0.5, ..Settings::default() };
    let rates = |fresh| model().rates(&settings, fresh);
    let of_encoder = small().iter().count();
    for (fresh, expected) in [(true, 0.5), (false, settings.learning_rate)] {
        let rates = rates(fresh);
        assert!(rates[of_encoder..].iter().all(|rates| rates.learning_rate == expected));
        assert_eq!(rates[0].learning_rate, settings.learning_rate);
    }
    let decays: Vec<bool> =
        rates(true)[of_encoder..].iter().map(|rates| rates.weight_decay > 0.0).collect();
    assert_eq!(decays, [true, false, false, false, false], "the transform's weight alone");
    let head = fresh_head(&small().architecture, 1);
    // Far from zero GELU and the norm keep the order of what is large.
    let mut vector = [0.0; 8];
    vector[3] = 5.0;
    let transformed = head.transformed(&vector);
    assert!(transformed.iter().enumerate().all(|(at, x)| at == 3 || *x < transformed[3]));
}
