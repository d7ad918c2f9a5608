//! Passes with several rows per sequence. `training/tests.rs` checks those with the masks alone.

use super::*;
use crate::{
    architecture::{ALL, Family},
    training::ops::noise,
    weights::tests::small_of,
};

/// Sequences of different lengths.
fn batch() -> PackedBatch {
    let prompts = [&[3, 1, 4, 15][..], &[9, 2], &[5, 3, 5, 8, 19, 7]].map(|ids| Prompt {
        input_ids: ids.to_vec(),
        segment_ids: (0..ids.len()).map(|at| u32::from(at > 1)).collect(),
        mask_position: ids.len() - 1,
        truncated: false,
    });
    PackedBatch::new(&prompts)
}

fn encoder() -> TrainableEncoder {
    of_family(ALL[0])
}

fn of_family(family: &Family) -> TrainableEncoder {
    TrainableEncoder::new(&small_of((family.tiny)())).expect("an encoder")
}

fn gradient(parameter: &Parameter) -> Vec<f32> {
    let mut dense = Parameter::new("", parameter.shape.clone(), parameter.values.clone());
    match &parameter.gradient {
        crate::training::parameter::Gradient::Empty => panic!("{} has none", parameter.name),
        crate::training::parameter::Gradient::Dense(values) => return values.clone(),
        crate::training::parameter::Gradient::Rows { rows, values } => {
            dense.add_rows(rows, values).expect("rows");
        }
    }
    dense.dense_gradient().values.to_vec()
}

/// The loss that the checks differentiate: a weighted sum of the vectors.
fn loss(encoder: &mut TrainableEncoder, read_out: &ReadOut, dropout: Dropout) -> f64 {
    let vectors = encoder.forward(&batch(), read_out, dropout).expect("vectors");
    let weights = noise(vectors.len(), 5);
    vectors.iter().zip(weights).map(|(v, w)| f64::from(*v) * f64::from(w)).sum()
}

fn check(family: &Family, read_out: &ReadOut, dropout: Dropout) {
    let mut encoder = of_family(family);
    loss(&mut encoder, read_out, dropout);
    encoder.backward(&noise(read_out.len() * 8, 5)).expect("gradients");
    for at in 0..encoder.parameters().len() {
        let name = encoder.parameters()[at].name.clone();
        let found = gradient(&encoder.parameters()[at]);
        assert!(found.iter().any(|value| *value != 0.0), "{name} has only zeros");
        for place in (0..found.len()).step_by(found.len().div_ceil(9)) {
            const STEP: f32 = 4e-3;
            let mut moved = |by: f32| {
                let before = encoder.parameters()[at].values[place];
                encoder.parameters_mut()[at].values[place] = before + by;
                let loss = loss(&mut encoder, read_out, dropout);
                encoder.parameters_mut()[at].values[place] = before;
                loss
            };
            let expected = (moved(STEP) - moved(-STEP)) / (2.0 * f64::from(STEP));
            let error = (f64::from(found[place]) - expected).abs();
            let tolerance = 6e-3 + 0.02 * expected.abs();
            assert!(
                error < tolerance,
                "{:?}: {name}[{place}]: {}, by differences {expected}",
                family.name,
                found[place]
            );
        }
    }
}

#[test]
fn gradients_are_right_for_any_read_out_in_every_family() {
    let batch = batch();
    let dropout = Dropout { probability: 0.2, seed: 3 };
    for family in ALL {
        check(family, &ReadOut::masks(&batch), Dropout::OFF);
        check(family, &ReadOut::masks(&batch), dropout);
        check(family, &ReadOut::all(&batch), dropout);
        let some = ReadOut::tokens(&batch, &[vec![0, 3], vec![], vec![1, 2, 5]]);
        check(family, &some, Dropout::OFF);
    }
}

#[test]
fn rows_are_the_same_whichever_others_are_read() {
    ALL.iter().for_each(|family| check_rows(family));
}

fn check_rows(family: &Family) {
    let (mut encoder, batch) = (of_family(family), batch());
    let all = encoder.encode(&batch, &ReadOut::all(&batch)).expect("vectors");
    let tracked = encoder.forward(&batch, &ReadOut::all(&batch), Dropout::OFF).expect("vectors");
    crate::training::ops::assert_close(&all, &tracked, 1e-5);
    let some = ReadOut::tokens(&batch, &[vec![1], vec![], vec![0, 4]]);
    let vectors = encoder.encode(&batch, &some).expect("vectors");
    for (vector, token) in vectors.chunks(8).zip([1, 6, 10]) {
        crate::training::ops::assert_close(vector, &all[token * 8..][..8], 1e-5);
    }
}

#[test]
fn gradients_of_several_passes_add_up() {
    let (mut encoder, batch) = (encoder(), batch());
    let read_out = ReadOut::masks(&batch);
    let once: Vec<Vec<f32>> = {
        loss(&mut encoder, &read_out, Dropout::OFF);
        encoder.backward(&noise(24, 5)).expect("gradients");
        encoder.parameters().iter().map(gradient).collect()
    };
    // A larger and an untracked pass between, and other contents in all buffers.
    encoder.encode(&batch, &ReadOut::all(&batch)).expect("vectors");
    loss(&mut encoder, &read_out, Dropout::OFF);
    encoder.encode(&batch, &ReadOut::all(&batch)).expect("vectors");
    encoder.backward(&noise(24, 5)).expect("gradients");
    for (parameter, once) in encoder.parameters().iter().zip(&once) {
        let twice: Vec<f32> = once.iter().map(|value| 2.0 * value).collect();
        crate::training::ops::assert_close(&gradient(parameter), &twice, 1e-5);
    }
    encoder.parameters_mut().iter_mut().for_each(Parameter::clear_gradient);
    encoder.forward(&batch, &ReadOut::all(&batch), Dropout::OFF).expect("vectors");
    loss(&mut encoder, &read_out, Dropout::OFF);
    encoder.backward(&noise(24, 5)).expect("gradients");
    let again: Vec<Vec<f32>> = encoder.parameters().iter().map(gradient).collect();
    assert_eq!(again, once);
}

#[test]
fn the_word_embeddings_take_a_dense_gradient_too() {
    let (mut encoder, batch) = (encoder(), batch());
    let read_out = ReadOut::masks(&batch);
    loss(&mut encoder, &read_out, Dropout::OFF);
    encoder.backward(&noise(24, 5)).expect("gradients");
    let before = gradient(&encoder.parameters()[0]);
    let word = encoder.parameter_mut("embeddings.word").expect("there");
    word.add_dense(&vec![1.0; word.values.len()]).expect("added");
    let after = gradient(&encoder.parameters()[0]);
    assert!(before.iter().zip(&after).all(|(before, after)| before + 1.0 == *after));
}

#[test]
fn a_backward_pass_needs_a_forward_pass() {
    let (mut encoder, batch) = (encoder(), batch());
    assert!(encoder.backward(&[]).is_err());
    let read_out = ReadOut::masks(&batch);
    encoder.forward(&batch, &read_out, Dropout::OFF).expect("vectors");
    encoder.backward(&[1.0; 24]).expect("gradients");
    assert!(encoder.backward(&[1.0; 24]).is_err());
    encoder.forward(&batch, &read_out, Dropout::OFF).expect("vectors");
    assert!(encoder.backward(&[1.0; 23]).is_err());
    let mut wrong = batch.clone();
    wrong.input_ids[0] = 20;
    assert!(encoder.forward(&wrong, &read_out, Dropout::OFF).is_err());
    assert!(encoder.backward(&[1.0; 24]).is_err());
}
