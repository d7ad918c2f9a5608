//! What continued pretraining changes: an encoder, and a language head tied to its word embeddings.

use super::{
    super::{
        TrainingError,
        encoder::{Dropout, ReadOut, TrainableEncoder},
        optimizer::Rates,
        parameter::Parameter,
    },
    Settings,
    corpus::MaskedBatch,
    decoder::TrainableLanguageHead,
    similarity,
};
use crate::{
    architecture::Architecture,
    tokenization::{PackedBatch, Prompt},
    weights::{EncoderWeights, LanguageHead, WeightsError},
};

const WORDS: &str = Architecture::WORD_EMBEDDINGS;

/// An encoder, and its language head where one is trained.
pub struct LanguageModel {
    pub encoder: TrainableEncoder,
    head: Option<TrainableLanguageHead>,
}

impl LanguageModel {
    /// Begins with these weights.
    pub fn new(
        weights: &EncoderWeights,
        head: Option<&LanguageHead>,
    ) -> Result<Self, WeightsError> {
        let encoder = TrainableEncoder::new(weights)?;
        Ok(Self { encoder, head: head.map(TrainableLanguageHead::new) })
    }

    /// Adds the gradients of `weight` times the mean loss of the hidden tokens; returns that loss.
    pub fn guess(
        &mut self,
        batch: &MaskedBatch,
        weight: f64,
        dropout: Dropout,
    ) -> Result<f64, TrainingError> {
        let vectors = self.encoder.forward(&batch.tokens, &batch.read_out, dropout)?;
        let (head, words) = parts(&mut self.head, &mut self.encoder)?;
        let (loss, gradient) = head.learn(&vectors, &batch.targets, words, weight)?;
        self.encoder.backward(&gradient)?;
        Ok(loss)
    }

    /// The sum of the hidden tokens' losses, with nothing learnt and nothing dropped.
    pub fn loss(&mut self, batch: &MaskedBatch) -> Result<f64, TrainingError> {
        let vectors = self.encoder.encode(&batch.tokens, &batch.read_out)?;
        let (head, words) = parts(&mut self.head, &mut self.encoder)?;
        Ok(head.loss(&vectors, &batch.targets, words)?)
    }

    /// Adds the gradients of `weight` times the mean of 1 - cosine between each prompt's mask vector
    /// and its row of `meanings`; returns that mean. The rows have length 1.
    pub fn pull(
        &mut self,
        prompts: &[Prompt],
        meanings: &[f32],
        weight: f64,
        dropout: Dropout,
    ) -> Result<f64, TrainingError> {
        let batch = PackedBatch::new(prompts);
        let vectors = self.encoder.forward(&batch, &ReadOut::masks(&batch), dropout)?;
        let hidden = self.encoder.architecture().hidden_size;
        let (cosine, mut gradient) = similarity::mean_cosine(&vectors, meanings, hidden);
        gradient.iter_mut().for_each(|slope| *slope *= -weight as f32);
        self.encoder.backward(&gradient)?;
        Ok(1.0 - cosine)
    }

    /// Every parameter, the encoder's first.
    pub fn parameters(&self) -> impl Iterator<Item = &Parameter> {
        let head = self.head.iter().flat_map(TrainableLanguageHead::parameters);
        self.encoder.parameters().iter().chain(head)
    }

    /// The same to change.
    pub fn parameters_mut(&mut self) -> impl Iterator<Item = &mut Parameter> {
        let head = self.head.iter_mut().flat_map(TrainableLanguageHead::parameters_mut);
        self.encoder.parameters_mut().iter_mut().chain(head)
    }

    /// The rates of every parameter, in their order. A head that is `fresh` has a rate of its own.
    pub fn rates(&self, settings: &Settings, fresh: bool) -> Vec<Rates> {
        let of_head = if fresh { settings.head_learning_rate } else { settings.learning_rate };
        let encoder = self.encoder.architecture().parameters().into_iter();
        let encoder = encoder.map(|parameter| {
            Rates::of(parameter.role, settings.learning_rate, settings.weight_decay)
        });
        let head = self.head.iter().flat_map(TrainableLanguageHead::parameters);
        let head =
            head.map(|parameter| Rates::of_head(&parameter.name, of_head, settings.weight_decay));
        encoder.chain(head).collect()
    }

    /// The weights as they are now; refused if one is not finite.
    pub fn weights(&self) -> Result<(EncoderWeights, Option<LanguageHead>), WeightsError> {
        let weights = self.encoder.weights()?;
        let head = self.head.as_ref().map(|head| head.head(&weights.architecture));
        Ok((weights, head.transpose()?))
    }
}

/// The head and the word embeddings that its decoder shares.
fn parts<'a>(
    head: &'a mut Option<TrainableLanguageHead>,
    encoder: &'a mut TrainableEncoder,
) -> Result<(&'a mut TrainableLanguageHead, &'a mut Parameter), TrainingError> {
    let missing = |name: &str| WeightsError::Missing { name: name.to_owned() };
    let words = encoder.parameter_mut(WORDS).ok_or_else(|| missing(WORDS))?;
    Ok((head.as_mut().ok_or_else(|| missing("language_head"))?, words))
}
