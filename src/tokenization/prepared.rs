//! A template's fixed parts as token ids, and how they and texts become a prompt.

use super::{
    Prompt, fit,
    tokenizer::{PromptTokenizer, TokenizerError, WordMarks},
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
    Slot(Slot, SlotPlace),
    Mask,
    Separator,
}

/// Surroundings of a slot, as far as they matter to the tokens of its text.
#[derive(Debug, Clone)]
pub struct SlotPlace {
    /// White space before it: to a byte-level tokenizer a word with a space before it is another word.
    pub space: String,
    /// Text stands before it with no space between.
    pub continues: bool,
    /// White space at the end of its text goes into what follows: the mask token takes it in.
    pub drops_space: bool,
}

/// The text of a slot.
pub struct SlotText {
    /// Its tokens, no more than the template takes of them.
    pub ids: Vec<u32>,
    /// Number of them that fit.
    pub kept: usize,
    pub truncate: Truncate,
}

impl SlotText {
    /// Tells whether some of them do not fit.
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
                    let ids = literal_ids(tokenizer, text, &template.segments, at)?;
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
                    let place = SlotPlace::new(&template.segments, at, tokenizer);
                    Part::Slot(slot.clone(), place)
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

/// The tokens of a literal at this place of a template.
fn literal_ids(
    tokenizer: &PromptTokenizer,
    text: &str,
    segments: &[Segment],
    at: usize,
) -> Result<Vec<u32>, TokenizerError> {
    let text = match segments.get(at + 1) {
        // White space at its end belongs to the slot that follows, and is taken in by a mask.
        Some(Segment::Slot(_) | Segment::Mask) => text.trim_end(),
        _ => text,
    };
    if text_stands_before(segments, at) && !text.starts_with(char::is_whitespace) {
        return tokenizer.continuing_ids(text);
    }
    tokenizer.ids(text)
}

/// Tells whether the segment before this one is text that does not end with white space of its own.
fn text_stands_before(segments: &[Segment], at: usize) -> bool {
    match at.checked_sub(1).map(|before| &segments[before]) {
        Some(Segment::Literal(text)) => !text.ends_with(char::is_whitespace),
        Some(Segment::Slot(_)) => true,
        Some(Segment::Mask | Segment::Separator) | None => false,
    }
}

impl SlotPlace {
    fn new(segments: &[Segment], at: usize, tokenizer: &PromptTokenizer) -> Self {
        let space = match at.checked_sub(1).map(|before| &segments[before]) {
            Some(Segment::Literal(text)) => text[text.trim_end().len()..].to_owned(),
            _ => String::new(),
        };
        let drops_space = match segments.get(at + 1) {
            Some(Segment::Mask) => true,
            // One space marks the next word, however many there are.
            Some(Segment::Literal(text)) => {
                tokenizer.marks == WordMarks::Word && text.starts_with(char::is_whitespace)
            }
            _ => false,
        };
        Self { space, continues: text_stands_before(segments, at), drops_space }
    }

    /// The tokens of a text in this place.
    pub fn ids(&self, tokenizer: &PromptTokenizer, text: &str) -> Result<Vec<u32>, TokenizerError> {
        let text = if self.drops_space { text.trim_end() } else { text };
        if text.is_empty() || text.starts_with(char::is_whitespace) {
            return tokenizer.ids(text);
        }
        match self.space.is_empty() {
            true if self.continues => tokenizer.continuing_ids(text),
            true => tokenizer.ids(text),
            false => tokenizer.ids(&format!("{}{text}", self.space)),
        }
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
