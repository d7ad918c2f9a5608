//! What turns prompts into mask vectors while a head is trained on them.

use std::collections::HashMap;

use candle_core::{Device, Tensor, Var};

use super::{
    TrainingError,
    encoder::{Dropout, TrainableEncoder},
};
use crate::{
    inference::{Encoder, MaskEncoder, PredictError, encode_all},
    tokenization::{PackedBatch, Prompt},
};

/// An encoder under training, or one that stays as it is.
pub enum Body {
    Trainable(TrainableEncoder),
    Frozen(CachedEncoder),
}

impl Body {
    /// `[prompts, hidden]`; gradients reach the parameters of a trainable encoder.
    pub fn forward(
        &mut self,
        prompts: &[Prompt],
        dropout: Dropout,
    ) -> Result<Tensor, TrainingError> {
        match self {
            Self::Trainable(encoder) => Ok(encoder.forward(&PackedBatch::new(prompts), dropout)?),
            Self::Frozen(encoder) => {
                let vectors = encoder.mask_vectors(&prompts.iter().collect::<Vec<_>>())?;
                let shape = (prompts.len(), encoder.hidden_size());
                Ok(Tensor::from_vec(vectors, shape, &Device::Cpu)?)
            }
        }
    }

    /// The parameters to train.
    pub fn parameters(&self) -> Vec<(String, Var)> {
        match self {
            Self::Trainable(encoder) => encoder.parameters(),
            Self::Frozen(_) => Vec::new(),
        }
    }

    /// For predictions.
    pub fn encoder(&mut self) -> &mut dyn MaskEncoder {
        match self {
            Self::Trainable(encoder) => encoder,
            Self::Frozen(encoder) => encoder,
        }
    }
}

/// Vectors beyond this many bytes are computed anew each time.
const MAX_CACHED_BYTES: usize = 1 << 30;

fn owned(prompts: &[&Prompt]) -> Vec<Prompt> {
    prompts.iter().map(|prompt| (*prompt).clone()).collect()
}

/// A frozen encoder that computes each prompt's vector once.
pub struct CachedEncoder {
    encoder: Encoder,
    vectors: HashMap<Prompt, Vec<f32>>,
}

impl CachedEncoder {
    /// Begins with nothing computed.
    pub fn new(encoder: Encoder) -> Self {
        Self { encoder, vectors: HashMap::new() }
    }

    /// Whether so many more vectors would take too much memory.
    fn is_full(&self, more: usize) -> bool {
        let vector_bytes = self.encoder.hidden_size() * size_of::<f32>();
        (self.vectors.len() + more) * vector_bytes > MAX_CACHED_BYTES
    }
}

impl MaskEncoder for CachedEncoder {
    fn mask_vectors(&mut self, prompts: &[&Prompt]) -> Result<Vec<f32>, PredictError> {
        let new: Vec<Prompt> = prompts
            .iter()
            .filter(|prompt| !self.vectors.contains_key(**prompt))
            .map(|prompt| (*prompt).clone())
            .collect();
        if self.is_full(new.len()) {
            return Ok(encode_all(&mut self.encoder, &owned(prompts))?.concat());
        }
        let encoded = encode_all(&mut self.encoder, &new)?;
        self.vectors.extend(new.into_iter().zip(encoded));
        Ok(prompts.iter().flat_map(|prompt| self.vectors[*prompt].iter().copied()).collect())
    }

    fn hidden_size(&self) -> usize {
        self.encoder.hidden_size()
    }
}
