//! What turns prompts into mask vectors while heads are trained on them.

use std::collections::HashMap;

use super::{
    TrainingError,
    encoder::{Dropout, ReadOut, TrainableEncoder},
    parameter::Parameter,
    sampling::Draw,
};
use crate::{
    inference::{Encoder, MaskEncoder, PredictError, encode_all},
    tokenization::{PackedBatch, Prompt, TokenizerError},
};

/// An encoder under training, or one that stays as it is.
pub enum Body {
    Trainable(Box<TrainableEncoder>),
    Frozen(Box<FrozenEncoder>),
}

impl From<TrainableEncoder> for Body {
    fn from(encoder: TrainableEncoder) -> Self {
        Self::Trainable(Box::new(encoder))
    }
}

impl From<FrozenEncoder> for Body {
    fn from(encoder: FrozenEncoder) -> Self {
        Self::Frozen(Box::new(encoder))
    }
}

/// The prompts of a batch, which only one task makes.
pub struct Batch<'a> {
    /// The task's place among those that are trained together.
    pub task: usize,
    pub draws: &'a [Draw],
    /// Examples of the task's training set.
    pub examples: usize,
    /// Templates that the draws may name.
    pub templates: usize,
    /// Wraps an example in a template.
    pub prompt: &'a dyn Fn(Draw) -> Result<Prompt, TokenizerError>,
}

impl Body {
    /// `[draws, hidden]`: the vector at each prompt's mask.
    pub fn forward(
        &mut self,
        batch: &Batch<'_>,
        dropout: Dropout,
    ) -> Result<Vec<f32>, TrainingError> {
        match self {
            Self::Trainable(encoder) => {
                let prompts = batch.draws.iter().map(|draw| (batch.prompt)(*draw));
                let prompts = prompts.collect::<Result<Vec<_>, _>>()?;
                let packed = PackedBatch::new(&prompts);
                Ok(encoder.forward(&packed, &ReadOut::masks(&packed), dropout)?)
            }
            Self::Frozen(encoder) => encoder.vectors(batch),
        }
    }

    /// Adds to the gradients of a trainable encoder, given that of the last forward pass's vectors.
    pub fn backward(&mut self, gradient: &[f32]) -> Result<(), TrainingError> {
        match self {
            Self::Trainable(encoder) => Ok(encoder.backward(gradient)?),
            Self::Frozen(_) => Ok(()),
        }
    }

    /// The parameters to train.
    pub fn parameters(&self) -> &[Parameter] {
        match self {
            Self::Trainable(encoder) => encoder.parameters(),
            Self::Frozen(_) => &[],
        }
    }

    /// The same to change.
    pub fn parameters_mut(&mut self) -> &mut [Parameter] {
        match self {
            Self::Trainable(encoder) => encoder.parameters_mut(),
            Self::Frozen(_) => &mut [],
        }
    }

    /// Texts whose vectors are kept, and those of the same training sets that are still to be
    /// encoded. Where nothing is kept there are none.
    pub fn encoded(&self) -> (usize, usize) {
        match self {
            Self::Trainable(_) => (0, 0),
            Self::Frozen(encoder) => encoder.encoded(),
        }
    }

    /// For predictions.
    pub fn encoder(&mut self) -> &mut dyn MaskEncoder {
        match self {
            Self::Trainable(encoder) => encoder.as_mut(),
            Self::Frozen(encoder) => encoder.as_mut(),
        }
    }
}

/// Vectors beyond this many bytes are computed anew each time.
const MAX_CACHED_BYTES: usize = 1 << 30;

/// Examples of a training set that are encoded together, whichever of them a batch asks for: the
/// last bits of a vector depend on what it was computed beside, and a resumed run must see the same.
const BLOCK_EXAMPLES: usize = 64;

/// A frozen encoder that computes each prompt's vector once.
pub struct FrozenEncoder {
    encoder: Encoder,
    /// By task, template and block of examples: `[examples of the block, hidden]`.
    blocks: HashMap<(usize, usize, usize), Vec<f32>>,
    /// Of prompts outside training sets.
    others: HashMap<Prompt, Vec<f32>>,
    /// By task, the texts of its training set in all templates.
    texts: HashMap<usize, usize>,
}

impl FrozenEncoder {
    /// Begins with nothing computed.
    pub fn new(encoder: Encoder) -> Self {
        let (blocks, others) = (HashMap::new(), HashMap::new());
        Self { encoder, blocks, others, texts: HashMap::new() }
    }

    /// Texts whose vectors are kept, and those that are still to be encoded.
    fn encoded(&self) -> (usize, usize) {
        let hidden = self.encoder.hidden_size().max(1);
        let kept = self.blocks.values().map(Vec::len).sum::<usize>() / hidden;
        (kept, self.texts.values().sum::<usize>().saturating_sub(kept))
    }

    /// The vectors of a batch of training examples.
    fn vectors(&mut self, batch: &Batch<'_>) -> Result<Vec<f32>, TrainingError> {
        let hidden = self.encoder.hidden_size();
        // Decided by the set's size, not by what is at hand: see `BLOCK_EXAMPLES`.
        let all = batch.examples.saturating_mul(batch.templates);
        if all.saturating_mul(hidden * size_of::<f32>()) > MAX_CACHED_BYTES {
            let alone = |draw: &Draw| Ok(self.encoder.mask_vectors(&[&(batch.prompt)(*draw)?])?);
            let vectors: Result<Vec<Vec<f32>>, TrainingError> =
                batch.draws.iter().map(alone).collect();
            return Ok(vectors?.concat());
        }
        self.texts.insert(batch.task, all);
        let mut vectors = Vec::with_capacity(batch.draws.len() * hidden);
        for draw in batch.draws {
            let block = self.block(batch, draw.template, draw.example / BLOCK_EXAMPLES)?;
            let row = draw.example % BLOCK_EXAMPLES * hidden;
            vectors.extend_from_slice(&block[row..row + hidden]);
        }
        Ok(vectors)
    }

    fn block(
        &mut self,
        batch: &Batch<'_>,
        template: usize,
        block: usize,
    ) -> Result<&[f32], TrainingError> {
        let key = (batch.task, template, block);
        if !self.blocks.contains_key(&key) {
            let first = block * BLOCK_EXAMPLES;
            let examples = first..(first + BLOCK_EXAMPLES).min(batch.examples);
            let prompts = examples
                .map(|example| (batch.prompt)(Draw { example, template }))
                .collect::<Result<Vec<_>, _>>()?;
            let vectors = encode_all(&mut self.encoder, &prompts)?.concat();
            self.make_room(vectors.len());
            self.blocks.insert(key, vectors);
        }
        Ok(&self.blocks[&key])
    }

    /// Forgets everything if so many more numbers would be too many.
    fn make_room(&mut self, numbers: usize) {
        let held: usize = self.blocks.values().map(Vec::len).sum();
        if (held + numbers) * size_of::<f32>() > MAX_CACHED_BYTES {
            self.blocks.clear();
        }
    }
}

impl MaskEncoder for FrozenEncoder {
    fn mask_vectors(&mut self, prompts: &[&Prompt]) -> Result<Vec<f32>, PredictError> {
        let is_new = |prompt: &&&Prompt| !self.others.contains_key(**prompt);
        let new: Vec<Prompt> =
            prompts.iter().filter(is_new).map(|prompt| (*prompt).clone()).collect();
        let bytes = self.encoder.hidden_size() * size_of::<f32>();
        if (self.others.len() + new.len()) * bytes > MAX_CACHED_BYTES {
            return self.encoder.mask_vectors(prompts);
        }
        let encoded = encode_all(&mut self.encoder, &new)?;
        self.others.extend(new.into_iter().zip(encoded));
        Ok(prompts.iter().flat_map(|prompt| self.others[*prompt].iter().copied()).collect())
    }

    fn hidden_size(&self) -> usize {
        self.encoder.hidden_size()
    }
}
