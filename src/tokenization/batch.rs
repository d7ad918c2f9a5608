//! Prompts of one batch, packed: their tokens one after the other, with no padding.

use super::Prompt;

/// Token arrays of several prompts, `[tokens]` each, and where each prompt begins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PackedBatch {
    pub input_ids: Vec<u32>,
    pub segment_ids: Vec<u32>,
    /// Each token's position in its prompt.
    pub position_ids: Vec<u32>,
    /// Prompt `i` has the tokens `offsets[i]..offsets[i + 1]`.
    pub offsets: Vec<usize>,
    /// The mask token of each prompt, as an index into the token arrays.
    pub mask_tokens: Vec<usize>,
}

impl PackedBatch {
    /// Packs prompts in their order.
    pub fn new<'a>(prompts: impl IntoIterator<Item = &'a Prompt>) -> Self {
        let mut batch = Self { offsets: vec![0], ..Self::default() };
        for prompt in prompts {
            let start = batch.input_ids.len();
            batch.input_ids.extend_from_slice(&prompt.input_ids);
            batch.segment_ids.extend_from_slice(&prompt.segment_ids);
            batch.position_ids.extend((0u32..).take(prompt.input_ids.len()));
            batch.offsets.push(batch.input_ids.len());
            batch.mask_tokens.push(start + prompt.mask_position);
        }
        batch
    }

    /// The number of prompts.
    pub fn len(&self) -> usize {
        self.mask_tokens.len()
    }

    /// Whether there is no prompt.
    pub fn is_empty(&self) -> bool {
        self.mask_tokens.is_empty()
    }

    /// The tokens of each prompt as a range.
    pub fn ranges(&self) -> impl Iterator<Item = std::ops::Range<usize>> {
        self.offsets.windows(2).map(|pair| pair[0]..pair[1])
    }

    /// Each token with each of the `kernel` tokens round it, itself in the middle; none where its prompt
    /// has ended.
    pub fn neighbours(&self, kernel: usize) -> impl Iterator<Item = (usize, Option<usize>)> {
        self.ranges().flat_map(move |range| {
            range.clone().flat_map(move |token| {
                let range = range.clone();
                (0..kernel).map(move |tap| {
                    let neighbour = (token + tap).checked_sub(kernel / 2);
                    (token, neighbour.filter(|neighbour| range.contains(neighbour)))
                })
            })
        })
    }

    /// Tokens of the longest prompt.
    pub fn longest(&self) -> usize {
        self.ranges().map(|range| range.len()).max().unwrap_or(0)
    }
}
