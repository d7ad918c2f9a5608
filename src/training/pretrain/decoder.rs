//! The language head under training: its transform, and a decoder that is the encoder's own word
//! embeddings (Devlin et al., 2019; tied as by Press and Wolf, 2017).

use std::collections::BTreeMap;

use rayon::prelude::*;

use super::super::{
    ops::{ComputeError, Dense, accumulate_all, check_len, column_sums},
    parameter::Parameter,
    random::normal,
    transform::Transform,
};
use crate::{
    architecture::Architecture,
    weights::{Affine, Array, LanguageHead, WeightsError},
};

/// Logits that are in memory at a time, times the vocabulary: 16 MiB of them.
const BLOCK_VALUES: usize = 1 << 22;

/// Keeps the purpose of random numbers apart.
const FRESH_HEAD: u64 = 44;

/// Deviation of a fresh transform from the identity.
const FRESH_NOISE: f32 = 0.02;

/// A language head for an encoder that has none. The transform begins near the identity, so that
/// what the encoder says reaches the decoder; the decoder's biases begin at 0.
pub fn fresh_head(architecture: &Architecture, seed: u64) -> LanguageHead {
    let (hidden, vocabulary) = (architecture.hidden_size, architecture.vocabulary_size);
    let width = architecture.embedding_size();
    let mut weight = normal(hidden * width, FRESH_NOISE, &[seed, FRESH_HEAD]);
    weight.iter_mut().step_by(width + 1).take(hidden.min(width)).for_each(|d| *d += 1.0);
    let all = |length: usize, value: f32| Array { shape: vec![length], data: vec![value; length] };
    LanguageHead {
        transform: Affine {
            weight: Array { shape: vec![hidden, width], data: weight },
            bias: all(width, 0.0),
        },
        norm: Affine { weight: all(width, 1.0), bias: all(width, 0.0) },
        bias: all(vocabulary, 0.0),
        layer_norm_eps: architecture.layer_norm_eps,
        activation: architecture.activation,
    }
}

/// A language head whose parameters can be trained.
pub struct TrainableLanguageHead {
    transform: Transform,
    /// `[vocabulary]`
    bias: Parameter,
    /// Rows whose logits are computed together.
    block_rows: usize,
    /// Logits of a block, or their gradient.
    logits: Vec<f32>,
}

impl TrainableLanguageHead {
    /// Begins with this head.
    pub fn new(head: &LanguageHead) -> Self {
        let transform = Transform::new(
            "language_head.transform",
            [&head.transform.weight, &head.transform.bias],
            [&head.norm.weight, &head.norm.bias],
            head.layer_norm_eps as f32,
            head.activation,
        );
        let Array { shape, data } = head.bias.clone();
        let block_rows = (BLOCK_VALUES / data.len().max(1)).max(1);
        let bias = Parameter::new("language_head.bias", shape, data);
        Self { transform, bias, block_rows, logits: Vec::new() }
    }

    /// The head as it is now; refused if a value is not finite.
    pub fn head(&self, architecture: &Architecture) -> Result<LanguageHead, WeightsError> {
        let [weight, bias, norm_weight, norm_bias] = self.transform.parameters();
        let arrays = [
            ("language_head.transform.weight", weight),
            ("language_head.transform.bias", bias),
            ("language_head.norm.weight", norm_weight),
            ("language_head.norm.bias", norm_bias),
            ("language_head.bias", &self.bias),
        ]
        .map(|(name, parameter)| {
            let array = Array { shape: parameter.shape.clone(), data: parameter.values.clone() };
            (name.to_owned(), array)
        });
        LanguageHead::new(architecture, BTreeMap::from(arrays))
    }

    /// The transform's parameters, then the decoder's bias.
    pub fn parameters(&self) -> impl Iterator<Item = &Parameter> {
        self.transform.parameters().iter().chain([&self.bias])
    }

    /// The same to change.
    pub fn parameters_mut(&mut self) -> impl Iterator<Item = &mut Parameter> {
        self.transform.parameters_mut().iter_mut().chain([&mut self.bias])
    }

    /// The mean cross-entropy of `targets` where the encoder's output is `vectors`, `[targets,
    /// hidden]`. Adds the gradients of `weight` times it to those of this head and of the word
    /// embeddings `words`, `[vocabulary, embedding size]`, and returns that of the vectors beside the loss.
    pub fn learn(
        &mut self,
        vectors: &[f32],
        targets: &[u32],
        words: &mut Parameter,
        weight: f64,
    ) -> Result<(f64, Vec<f32>), ComputeError> {
        let rows = self.transform.forward(vectors)?;
        check_len("the language head's input", rows.len(), targets.len() * words.width())?;
        let mut by_rows = vec![0.0; rows.len()];
        let mut by_bias = vec![0.0; self.bias.values.len()];
        let count = targets.len().max(1) as f64;
        let scale = (weight / count) as f32;
        let (width, vocabulary) = (words.width(), by_bias.len());
        let block = self.block_rows * width;
        let blocks = rows.chunks(block).zip(by_rows.chunks_mut(block));
        let mut loss = 0.0;
        for ((rows, by_rows), targets) in blocks.zip(targets.chunks(self.block_rows)) {
            let dense = self.compute_logits(rows, targets, words)?;
            let each = self.logits.par_chunks_exact_mut(vocabulary).zip(targets);
            let losses = each.map(|(logits, target)| {
                let loss = cross_entropy(logits, *target);
                logits.iter_mut().for_each(|slope| *slope *= scale);
                loss
            });
            loss += losses.collect::<Vec<f64>>().iter().sum::<f64>();
            accumulate_all(&mut by_bias, &column_sums(&self.logits, vocabulary));
            let by_words = words.dense_gradient();
            dense.weight_gradient(by_words.values, by_words.add, &self.logits, rows)?;
            dense.product(by_rows, &self.logits, by_words.of)?;
        }
        self.bias.add_dense(&by_bias)?;
        Ok((loss / count, self.transform.backward(by_rows)?))
    }

    /// The sum of the targets' cross-entropies, with nothing learnt.
    pub fn loss(
        &mut self,
        vectors: &[f32],
        targets: &[u32],
        words: &Parameter,
    ) -> Result<f64, ComputeError> {
        let rows = self.transform.forward(vectors)?;
        check_len("the language head's input", rows.len(), targets.len() * words.width())?;
        let vocabulary = self.bias.values.len();
        let mut loss = 0.0;
        let blocks = rows.chunks(self.block_rows * words.width());
        for (rows, targets) in blocks.zip(targets.chunks(self.block_rows)) {
            self.compute_logits(rows, targets, words)?;
            let each = self.logits.par_chunks_exact_mut(vocabulary).zip(targets);
            let losses = each.map(|(logits, target)| cross_entropy(logits, *target));
            loss += losses.collect::<Vec<f64>>().iter().sum::<f64>();
        }
        Ok(loss)
    }

    /// Computes the logits of transformed rows, one for each target. The layer that it returns is
    /// the decoder turned round: from the vocabulary to the hidden size.
    fn compute_logits(
        &mut self,
        rows: &[f32],
        targets: &[u32],
        words: &Parameter,
    ) -> Result<Dense, ComputeError> {
        let (width, vocabulary) = (words.width(), self.bias.values.len());
        let dense = Dense { rows: targets.len(), inputs: vocabulary, outputs: width };
        self.logits.resize(targets.len() * vocabulary, 0.0);
        self.logits
            .par_chunks_exact_mut(vocabulary)
            .for_each(|logits| logits.copy_from_slice(&self.bias.values));
        dense.input_gradient(&mut self.logits, true, rows, &words.values)?;
        Ok(dense)
    }
}

/// `-ln softmax(logits)[target]`; turns the logits into its gradient, `softmax(logits) - [target]`.
/// A target outside the vocabulary has no finite loss.
fn cross_entropy(logits: &mut [f32], target: u32) -> f64 {
    let Some(&of_target) = logits.get(target as usize) else { return f64::NAN };
    // Subtracting the largest changes nothing but the range.
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut total = 0.0;
    for logit in logits.iter_mut() {
        *logit = (*logit - largest).exp();
        total += f64::from(*logit);
    }
    let share = (1.0 / total) as f32;
    logits.iter_mut().for_each(|value| *value *= share);
    logits[target as usize] -= 1.0;
    total.ln() - f64::from(of_target - largest)
}

#[cfg(test)]
mod tests {
    use super::super::super::ops::{assert_close, noise};
    use super::*;
    use crate::weights::tests::{small, small_head};

    const TARGETS: [u32; 5] = [3, 19, 0, 7, 3];

    fn words() -> Parameter {
        let Array { shape, data } = small().word_embeddings().clone();
        Parameter::new("embeddings.word", shape, data)
    }

    /// The decoder for serving is another code path.
    #[test]
    fn the_loss_is_that_of_the_heads_logits() {
        let (weights, head) = (small(), small_head());
        let vectors = noise(5 * 8, 1);
        let ids: Vec<u32> = (0..20).collect();
        let expected = vectors.chunks(8).zip(TARGETS).map(|(vector, target)| {
            let logits = head.logits(vector, weights.word_embeddings(), &ids);
            let total: f64 = logits.iter().map(|logit| f64::from(*logit).exp()).sum();
            total.ln() - f64::from(logits[target as usize])
        });
        let expected: f64 = expected.sum();
        let mut trainable = TrainableLanguageHead::new(&head);
        let found = trainable.loss(&vectors, &TARGETS, &words()).expect("a loss");
        assert!((found - expected).abs() < 1e-4, "{found} {expected}");
        let (mean, _) = trainable.learn(&vectors, &TARGETS, &mut words(), 1.0).expect("learnt");
        assert!((mean - expected / 5.0).abs() < 1e-5, "{mean} {expected}");
        assert_eq!(trainable.head(&weights.architecture).expect("finite"), head);
    }

    #[test]
    fn blocks_change_nothing_but_the_order_of_sums() {
        let vectors = noise(5 * 8, 1);
        let learn = |block_rows: usize| {
            let (mut words, head) = (words(), TrainableLanguageHead::new(&small_head()));
            let mut head = TrainableLanguageHead { block_rows, ..head };
            let (loss, by_vectors) =
                head.learn(&vectors, &TARGETS, &mut words, 0.5).expect("learnt");
            let sum = head.loss(&vectors, &TARGETS, &words).expect("a loss");
            assert!((sum / 5.0 - loss).abs() < 1e-5);
            let gradients = head.parameters().chain([&words]);
            let gradients = gradients.flat_map(|p| p.gradient.values().to_vec());
            (loss, [by_vectors, gradients.collect()].concat())
        };
        let (loss, gradients) = learn(100);
        for block_rows in [1, 2, 5] {
            let (found, found_gradients) = learn(block_rows);
            assert!((found - loss).abs() < 1e-6);
            assert_close(&found_gradients, &gradients, 1e-5);
        }
    }

    #[test]
    fn what_does_not_fit_is_no_number_or_an_error() {
        let mut head = TrainableLanguageHead::new(&small_head());
        assert!(head.loss(&noise(8, 1), &[20], &words()).expect("a loss").is_nan());
        assert!(head.loss(&noise(16, 1), &[1], &words()).is_err());
    }
}
