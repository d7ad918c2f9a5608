//! How far a run has come, seen on texts that are kept from training.

use serde::{Deserialize, Serialize};

use super::{
    super::{Masking, TrainingError, encoder::ReadOut},
    Settings,
    corpus::{Corpus, MaskedBatch},
    language_model::LanguageModel,
    similarity::mean_cosine,
    trainer::Pull,
};
use crate::tokenization::{PackedBatch, Pieces, Prompt};

/// Texts and windows that are measured at most.
pub const MAX_MEASURED: usize = 1000;

/// Windows or prompts that are computed together.
const BATCH: usize = 32;

/// Of masking and wordings here: one for all runs, so that their figures compare.
const SEED: u64 = 0;
const VISIT: u64 = u64::MAX;

/// Figures of a model on texts that are held back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Measures {
    /// e to the mean loss of a hidden token; absent where none is trained on or none is held back.
    pub perplexity: Option<f64>,
    /// The mean cosine between mask vectors and what their texts meant to the encoder before
    /// training.
    pub similarity: Option<f64>,
}

/// What is measured on, made once.
#[derive(Default)]
pub struct HeldBack {
    masked: Vec<MaskedBatch>,
    prompts: Vec<Vec<Prompt>>,
    /// `[prompts, hidden]`
    meanings: Vec<f32>,
}

impl HeldBack {
    /// Of a corpus of held-back texts. For the similarity it takes the wordings of `pull`, and what
    /// this corpus's texts mean.
    pub fn new(
        corpus: &Corpus<'_>,
        settings: &Settings,
        pieces: &Pieces,
        pull: Option<(&Pull, Vec<f32>)>,
    ) -> Result<Self, TrainingError> {
        let mut held_back = Self::default();
        if settings.masks() {
            let (share, whole_words) = (settings.mask_share, settings.whole_words);
            let masking = Masking::new(pieces.clone(), share, whole_words, SEED);
            let windows = spread(corpus.len());
            let batches = windows.chunks(BATCH);
            held_back.masked =
                batches.map(|windows| corpus.masked(windows, VISIT, &masking)).collect();
        }
        if let Some((Pull { tokenizer, wrappers, .. }, meanings)) = pull {
            let wrap = |(at, text): (usize, &&str)| {
                wrappers.wrap(tokenizer, text, [SEED, VISIT, at as u64])
            };
            let prompts = corpus.texts.iter().enumerate().map(wrap);
            let prompts = prompts.collect::<Result<Vec<_>, _>>()?;
            held_back.prompts = prompts.chunks(BATCH).map(<[Prompt]>::to_vec).collect();
            held_back.meanings = meanings;
        }
        Ok(held_back)
    }

    /// Whether there is nothing to measure on.
    pub fn is_empty(&self) -> bool {
        self.masked.is_empty() && self.prompts.is_empty()
    }

    /// Measures the model as it is.
    pub fn measure(&self, model: &mut LanguageModel) -> Result<Measures, TrainingError> {
        Ok(Measures { perplexity: self.perplexity(model)?, similarity: self.similarity(model)? })
    }

    fn perplexity(&self, model: &mut LanguageModel) -> Result<Option<f64>, TrainingError> {
        let (mut loss, mut count) = (0.0, 0);
        for batch in &self.masked {
            loss += model.loss(batch)?;
            count += batch.targets.len();
        }
        Ok((count > 0).then(|| (loss / count as f64).exp()))
    }

    fn similarity(&self, model: &mut LanguageModel) -> Result<Option<f64>, TrainingError> {
        let hidden = model.encoder.architecture().hidden_size;
        let (mut total, mut count) = (0.0, 0);
        for prompts in &self.prompts {
            let batch = PackedBatch::new(prompts);
            let vectors = model.encoder.encode(&batch, &ReadOut::masks(&batch))?;
            let meanings = &self.meanings[count * hidden..];
            total += mean_cosine(&vectors, meanings, hidden).0 * prompts.len() as f64;
            count += prompts.len();
        }
        Ok((count > 0).then(|| total / count as f64))
    }
}

/// At most [`MAX_MEASURED`] of `count` places, evenly spread.
pub fn spread(count: usize) -> Vec<usize> {
    let kept = count.min(MAX_MEASURED);
    (0..kept).map(|at| at * count / kept).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_spread_and_limited() {
        assert!(spread(0).is_empty());
        assert_eq!(spread(3), [0, 1, 2]);
        let many = spread(3500);
        assert_eq!((many.len(), many[0], many[1], many[999]), (1000, 0, 3, 3496));
    }
}
