//! The prompts of one call, each of them once.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
};

use super::BatchError;
use crate::tokenization::Prompt;

/// Prompts of a call that are to go through the same encoder. Equal ones share a place.
pub struct Distinct {
    prompts: Vec<Prompt>,
    tokens: usize,
    max_tokens: usize,
    /// From the hash of a prompt's input to its place.
    places: HashMap<u64, usize>,
    hasher: RandomState,
}

impl Distinct {
    /// None yet; never more tokens than this, so that a call which asks for too much is noticed
    /// before all of its prompts are made.
    pub fn new(max_tokens: usize) -> Self {
        Self {
            prompts: Vec::new(),
            tokens: 0,
            max_tokens,
            places: HashMap::new(),
            hasher: RandomState::new(),
        }
    }

    /// Puts a prompt in, unless its like is there already, and returns its place.
    ///
    /// # Errors
    ///
    /// [`BatchError::TooLarge`] if the prompts become more than the batcher ever takes at once.
    pub fn insert(&mut self, prompt: Prompt) -> Result<usize, BatchError> {
        // Most calls have one prompt: nothing is hashed before there is a second one.
        if let [first] = &self.prompts[..] {
            self.places.insert(self.hasher.hash_one(first.input()), 0);
        }
        if !self.prompts.is_empty() {
            let hash = self.hasher.hash_one(prompt.input());
            let place = *self.places.entry(hash).or_insert(self.prompts.len());
            // Different ones with the same hash do not share; that costs a pass and nothing else.
            if self.prompts.get(place).is_some_and(|known| known.input() == prompt.input()) {
                return Ok(place);
            }
        }
        self.tokens += prompt.input_ids.len();
        if self.tokens > self.max_tokens {
            let (tokens, max_queued_tokens) = (self.tokens, self.max_tokens);
            return Err(BatchError::TooLarge { tokens, max_queued_tokens });
        }
        self.prompts.push(prompt);
        Ok(self.prompts.len() - 1)
    }

    /// The prompts in the order of their places, to be handed to the batcher.
    pub fn prompts_mut(&mut self) -> &mut Vec<Prompt> {
        &mut self.prompts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prompt(input_ids: &[u32], second_segment: usize, mask_position: usize) -> Prompt {
        let segment_ids = (0..input_ids.len()).map(|at| u32::from(at >= second_segment));
        Prompt {
            input_ids: input_ids.to_vec(),
            segment_ids: segment_ids.collect(),
            mask_position,
            truncated: false,
        }
    }

    #[test]
    fn prompts_share_a_place_if_the_encoder_cannot_tell_them_apart() {
        let mut distinct = Distinct::new(100);
        let mut check = |prompt: Prompt, expected| {
            assert_eq!(distinct.insert(prompt.clone()), Ok(expected), "{prompt:?}");
        };
        check(prompt(&[1, 2, 3], 3, 1), 0);
        check(prompt(&[1, 2, 3], 3, 1), 0);
        check(prompt(&[1, 2, 3], 3, 2), 1);
        check(prompt(&[1, 2, 3], 2, 1), 2);
        check(prompt(&[1, 2, 4], 3, 1), 3);
        check(prompt(&[1, 2], 3, 1), 4);
        check(Prompt { truncated: true, ..prompt(&[1, 2, 3], 2, 1) }, 2);
        assert_eq!(distinct.prompts_mut().len(), 5);
    }

    #[test]
    fn only_what_is_distinct_counts_and_too_much_is_noticed_at_once() {
        let mut distinct = Distinct::new(5);
        assert_eq!(distinct.insert(prompt(&[1, 2, 3], 3, 1)), Ok(0));
        assert_eq!(distinct.insert(prompt(&[1, 2, 3], 3, 1)), Ok(0));
        assert_eq!(distinct.insert(prompt(&[4, 5], 3, 1)), Ok(1));
        let error = BatchError::TooLarge { tokens: 6, max_queued_tokens: 5 };
        assert_eq!(distinct.insert(prompt(&[4], 3, 0)), Err(error));
    }
}
