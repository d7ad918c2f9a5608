//! The meaning of a text for the encoder as it was before training, and how near mask vectors are
//! to it.

use std::sync::atomic::Ordering;

use super::{
    super::{
        Interrupt, TrainingError,
        encoder::{ReadOut, TrainableEncoder},
    },
    Observer,
    corpus::{Corpus, prompt},
};
use crate::tokenization::PackedBatch;

/// Bytes of all texts' meanings at most.
const MAX_BYTES: usize = 2 << 30;

/// Texts that are encoded at a time. A constant: the last bits of a vector depend on what it was
/// computed beside, and a resumed run must see the same.
const BATCH: usize = 32;

/// Refuses so many texts that their meanings would take too much memory.
pub fn check_room(texts: usize, hidden: usize) -> Result<(), TrainingError> {
    let bytes = texts.saturating_mul(hidden * size_of::<f32>());
    if bytes <= MAX_BYTES {
        return Ok(());
    }
    Err(TrainingError::Settings(format!(
        "for the similarity the vectors of {texts} texts would take {bytes} bytes of memory; at \
         most {MAX_BYTES} are taken, so give fewer texts"
    )))
}

/// `[texts, hidden]`: the mean over all tokens of each text's first window, special ones included,
/// scaled to length 1 (Reimers and Gurevych, 2019, with the mean for pooling).
pub fn meanings(
    encoder: &mut TrainableEncoder,
    corpus: &Corpus<'_>,
    observer: &mut dyn Observer,
    interrupt: &Interrupt,
) -> Result<Vec<f32>, TrainingError> {
    let (texts, hidden) = (corpus.texts.len(), encoder.architecture().hidden_size);
    let mut all = Vec::with_capacity(texts * hidden);
    for start in (0..texts).step_by(BATCH) {
        if interrupt.load(Ordering::Relaxed) {
            return Err(TrainingError::Interrupted { step: None });
        }
        let end = (start + BATCH).min(texts);
        let windows = (start..end).map(|text| prompt(corpus.first_window(text).to_vec(), 0));
        let batch = PackedBatch::new(&windows.collect::<Vec<_>>());
        let vectors = encoder.encode(&batch, &ReadOut::all(&batch))?;
        for tokens in batch.ranges() {
            let rows = &vectors[tokens.start * hidden..tokens.end * hidden];
            all.extend(direction_of_sum(rows, hidden)?);
        }
        observer.encoded(end, texts);
    }
    Ok(all)
}

/// The sum of rows, scaled to length 1: that of the mean is the same.
fn direction_of_sum(rows: &[f32], hidden: usize) -> Result<Vec<f32>, TrainingError> {
    let mut sum = vec![0f64; hidden];
    for row in rows.chunks_exact(hidden) {
        sum.iter_mut().zip(row).for_each(|(sum, value)| *sum += f64::from(*value));
    }
    let length = sum.iter().map(|value| value * value).sum::<f64>().sqrt();
    if !(length.is_finite() && length > 0.0) {
        return Err(TrainingError::Compute("the encoder gives a text no direction".to_owned()));
    }
    Ok(sum.iter().map(|value| (value / length) as f32).collect())
}

/// The mean cosine between rows of two `[rows, hidden]` matrices, and its gradient by the first.
/// Rows of `meanings` have length 1. A row of zeros has no cosine, and so the mean is no number.
pub fn mean_cosine(vectors: &[f32], meanings: &[f32], hidden: usize) -> (f64, Vec<f32>) {
    let count = (vectors.len() / hidden.max(1)).max(1) as f64;
    let mut gradient = Vec::with_capacity(vectors.len());
    let mut total = 0.0;
    for (vector, meaning) in vectors.chunks_exact(hidden).zip(meanings.chunks_exact(hidden)) {
        let length = dot(vector, vector).sqrt();
        let cosine = dot(vector, meaning) / length;
        total += cosine;
        gradient.extend(vector.iter().zip(meaning).map(|(value, meaning)| {
            let slope = f64::from(*meaning) - cosine * f64::from(*value) / length;
            (slope / (length * count)) as f32
        }));
    }
    (total / count, gradient)
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

#[cfg(test)]
mod tests {
    use super::super::super::ops::noise;
    use super::*;

    #[test]
    fn cosines_are_those_of_directions() {
        let (cosine, _) = mean_cosine(&[3.0, 4.0, -2.0, 0.0], &[0.6, 0.8, 1.0, 0.0], 2);
        assert!((cosine - 0.0).abs() < 1e-6, "one is along, the other against: {cosine}");
        assert!(mean_cosine(&[0.0, 0.0], &[1.0, 0.0], 2).0.is_nan());
        let direction = direction_of_sum(&[1.0, 2.0, 2.0, 2.0], 2).expect("a direction");
        assert!((direction[0] - 0.6).abs() < 1e-6 && (direction[1] - 0.8).abs() < 1e-6);
        assert!(direction_of_sum(&[1.0, -1.0], 1).is_err());
    }

    #[test]
    fn the_gradient_agrees_with_finite_differences() {
        let (vectors, meanings) = (noise(3 * 4, 1), noise(3 * 4, 2));
        let rows = meanings.chunks(4).map(|row| direction_of_sum(row, 4).expect("a direction"));
        let meanings: Vec<f32> = rows.flatten().collect();
        let (_, gradient) = mean_cosine(&vectors, &meanings, 4);
        for at in 0..vectors.len() {
            let moved = |by: f32| {
                let mut vectors = vectors.clone();
                vectors[at] += by;
                mean_cosine(&vectors, &meanings, 4).0
            };
            let expected = (moved(1e-2) - moved(-1e-2)) / 2e-2;
            let found = f64::from(gradient[at]);
            assert!((found - expected).abs() < 1e-3, "{at}: {found}, by differences {expected}");
        }
    }

    #[test]
    fn too_many_texts_are_refused_before_they_are_encoded() {
        assert!(check_room(1000, 384).is_ok());
        let error = check_room(10_000_000, 384).expect_err("too many").to_string();
        assert!(error.contains("10000000 texts") && error.contains("2147483648"), "{error}");
    }
}
