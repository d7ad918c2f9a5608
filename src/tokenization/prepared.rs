//! A template's fixed parts as token ids, and how they and texts become a prompt.

use super::{
    Prompt, fit,
    tokenizer::{PromptTokenizer, TokenizerError},
};
use crate::{
    prompt::{Segment, Slot, Template},
    task::Truncate,
};

/// A template, tokenised as far as it is fixed.
#[derive(Debug, Clone)]
pub struct PreparedTemplate {
    pub parts: Vec<Part>,
    /// Tokens of everything but the slots.
    pub fixed_tokens: usize,
}

/// A part of a template.
#[derive(Debug, Clone)]
pub enum Part {
    Literal(Vec<u32>),
    /// A slot and the white space that stands before it: to a byte-level tokenizer a word with
    /// a space before it is another word.
    Slot(Slot, String),
    Mask,
    Separator,
}

/// The text of a slot.
pub struct SlotText {
    /// Its tokens, no more than the template takes of them.
    pub ids: Vec<u32>,
    /// How many of them fit.
    pub kept: usize,
    pub truncate: Truncate,
}

impl SlotText {
    /// Whether some of them do not fit.
    pub fn is_cut(&self) -> bool {
        self.kept < self.ids.len()
    }

    /// Drops those that do not fit.
    pub fn cut(&mut self) {
        fit::cut(&mut self.ids, self.kept, self.truncate);
    }
}

impl PreparedTemplate {
    /// Tokenises the literals.
    pub fn new(template: &Template, tokenizer: &PromptTokenizer) -> Result<Self, TokenizerError> {
        let mut parts = Vec::new();
        let mut fixed_tokens = tokenizer.prefix.len() + tokenizer.suffix.len();
        for (at, segment) in template.segments.iter().enumerate() {
            let part = match segment {
                Segment::Literal(text) => {
                    // White space at a literal's end belongs to the slot that follows it.
                    let ids = tokenizer.ids(text.trim_end())?;
                    fixed_tokens += ids.len();
                    Part::Literal(ids)
                }
                Segment::Mask => {
                    fixed_tokens += 1;
                    Part::Mask
                }
                Segment::Separator => {
                    fixed_tokens += tokenizer.separator.len();
                    Part::Separator
                }
                Segment::Slot(slot) => {
                    Part::Slot(slot.clone(), space_before(&template.segments[..at]))
                }
            };
            parts.push(part);
        }
        Ok(Self { parts, fixed_tokens })
    }

    /// Puts a prompt together. `texts` has one for each slot, in the template's order, cut.
    pub fn prompt(
        &self,
        tokenizer: &PromptTokenizer,
        texts: &[SlotText],
        truncated: bool,
    ) -> Prompt {
        let mut builder = Builder::new(tokenizer);
        let mut texts = texts.iter();
        for part in &self.parts {
            match part {
                Part::Literal(ids) => builder.extend(ids),
                Part::Mask => builder.mask(),
                Part::Separator => builder.separate(),
                Part::Slot(..) => builder.extend(texts.next().map_or(&[], |text| &text.ids)),
            }
        }
        builder.finish(truncated)
    }
}

fn space_before(before: &[Segment]) -> String {
    match before.last() {
        Some(Segment::Literal(text)) => text[text.trim_end().len()..].to_owned(),
        _ => String::new(),
    }
}

/// Puts a prompt together and notes where the mask went.
struct Builder<'a> {
    tokenizer: &'a PromptTokenizer,
    prompt: Prompt,
    segment: u32,
}

impl<'a> Builder<'a> {
    fn new(tokenizer: &'a PromptTokenizer) -> Self {
        let input_ids = tokenizer.prefix.clone();
        let segment_ids = vec![0; input_ids.len()];
        let prompt = Prompt { input_ids, segment_ids, mask_position: 0, truncated: false };
        Self { tokenizer, prompt, segment: 0 }
    }

    fn extend(&mut self, ids: &[u32]) {
        self.prompt.input_ids.extend_from_slice(ids);
        self.prompt.segment_ids.resize(self.prompt.input_ids.len(), self.segment);
    }

    fn mask(&mut self) {
        self.prompt.mask_position = self.prompt.input_ids.len();
        self.extend(&[self.tokenizer.mask]);
    }

    fn separate(&mut self) {
        self.extend(&self.tokenizer.separator);
        self.segment = 1;
    }

    fn finish(mut self, truncated: bool) -> Prompt {
        self.extend(&self.tokenizer.suffix);
        self.prompt.truncated = truncated;
        self.prompt
    }
}
