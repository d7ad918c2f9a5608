//! Wraps examples in templates and puts them into token ids.

use super::{
    fit::{self, Claim},
    tokenizer::{PromptTokenizer, TokenizerError},
};
use crate::{
    prompt::{Segment, Slot, TaskFile, TaskFileError, TaskFileFault, Template},
    task::{Example, Field},
};

/// One prompt, ready for the encoder.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Prompt {
    pub input_ids: Vec<u32>,
    /// Text segment of each token: 0 up to and with the first separator, then 1.
    pub segment_ids: Vec<u32>,
    /// Index of the mask token in `input_ids`.
    pub mask_position: usize,
    /// Whether field text was cut to fit.
    pub truncated: bool,
}

impl Prompt {
    /// All that the encoder sees of it: prompts with the same input have the same mask vector.
    pub fn input(&self) -> (&[u32], &[u32], usize) {
        (&self.input_ids, &self.segment_ids, self.mask_position)
    }
}

/// A task's templates, tokenised as far as they are fixed.
#[derive(Debug, Clone)]
pub struct PromptSet {
    templates: Vec<PreparedTemplate>,
    fields: Vec<Field>,
    max_length: usize,
}

#[derive(Debug, Clone)]
struct PreparedTemplate {
    parts: Vec<Part>,
    /// Tokens of everything but the slots.
    fixed_tokens: usize,
}

#[derive(Debug, Clone)]
enum Part {
    Literal(Vec<u32>),
    /// A slot and the white space that stands before it: to a byte-level tokenizer a word with
    /// a space before it is another word.
    Slot(Slot, String),
    Mask,
    Separator,
}

impl PromptSet {
    /// Tokenises the fixed parts of a task's templates. `max_positions` is the longest input
    /// that the encoder takes; `path` names the task file in messages.
    pub fn new(
        file: &TaskFile,
        tokenizer: &PromptTokenizer,
        max_positions: usize,
        path: &str,
    ) -> Result<Self, PromptSetError> {
        let mut faults = Vec::new();
        if file.max_length > max_positions {
            let message = format!(
                "max_length = {} is more than the encoder's {max_positions} positions",
                file.max_length
            );
            faults.push(TaskFileFault { line: 1, template: None, message });
        }
        let fields = file.task.fields.clone();
        let mut set = Self { templates: Vec::new(), fields, max_length: file.max_length };
        for template in &file.prompts.templates {
            let prepared = PreparedTemplate::new(template, tokenizer)?;
            faults.extend(set.check_fit(template, &prepared));
            set.templates.push(prepared);
        }
        if faults.is_empty() {
            Ok(set)
        } else {
            Err(TaskFileError::Invalid { path: path.to_owned(), faults }.into())
        }
    }

    fn check_fit(&self, template: &Template, prepared: &PreparedTemplate) -> Option<TaskFileFault> {
        let minimums: usize = prepared
            .parts
            .iter()
            .map(|part| match part {
                Part::Slot(slot, _) => min_tokens(&self.fields[slot.field], slot),
                _ => 0,
            })
            .sum();
        let fixed = prepared.fixed_tokens;
        (fixed + minimums > self.max_length).then(|| TaskFileFault {
            line: template.line,
            template: Some(template.id.clone()),
            message: format!(
                "its fixed part ({fixed} tokens) and the fields' min_tokens ({minimums}) do not \
                 fit max_length = {}",
                self.max_length
            ),
        })
    }

    /// Wraps an example in the template with this index.
    ///
    /// The result has at most `max_length` tokens and exactly one mask, whatever the text.
    pub fn encode(
        &self,
        tokenizer: &PromptTokenizer,
        example: &Example,
        template: usize,
    ) -> Result<Prompt, TokenizerError> {
        let template = &self.templates[template];
        let mut texts = Vec::new();
        let mut claims = Vec::new();
        for part in &template.parts {
            if let Part::Slot(slot, space) = part {
                let ids = slot_ids(tokenizer, example, slot, space)?;
                claims.push(self.claim(slot, ids.len()));
                texts.push(ids);
            }
        }
        let kept = fit::fit(&claims, self.max_length - template.fixed_tokens);
        let truncated = claims.iter().zip(&kept).any(|(claim, kept)| *kept < claim.tokens);
        let mut builder = Builder::new(tokenizer);
        let mut slots = texts.into_iter().zip(kept);
        for part in &template.parts {
            match part {
                Part::Literal(ids) => builder.extend(ids),
                Part::Mask => builder.mask(),
                Part::Separator => builder.separate(),
                Part::Slot(slot, _) => {
                    // One text was pushed for each slot, in this order.
                    let Some((mut ids, kept)) = slots.next() else {
                        continue;
                    };
                    fit::cut(&mut ids, kept, self.fields[slot.field].truncate);
                    builder.extend(&ids);
                }
            }
        }
        Ok(builder.finish(truncated))
    }

    fn claim(&self, slot: &Slot, tokens: usize) -> Claim {
        let field = &self.fields[slot.field];
        let tokens = tokens.min(slot.max_tokens().unwrap_or(usize::MAX));
        Claim { tokens, min_tokens: min_tokens(field, slot), priority: field.priority }
    }
}

/// Why a task's templates cannot be used with an encoder.
#[derive(Debug, thiserror::Error)]
pub enum PromptSetError {
    #[error(transparent)]
    TaskFile(#[from] TaskFileError),
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
}

fn min_tokens(field: &Field, slot: &Slot) -> usize {
    field.min_tokens.min(slot.max_tokens().unwrap_or(usize::MAX))
}

fn slot_ids(
    tokenizer: &PromptTokenizer,
    example: &Example,
    slot: &Slot,
    space: &str,
) -> Result<Vec<u32>, TokenizerError> {
    let text = slot.text(example);
    if space.is_empty() || text.is_empty() || text.starts_with(char::is_whitespace) {
        return tokenizer.ids(&text);
    }
    tokenizer.ids(&format!("{space}{text}"))
}

impl PreparedTemplate {
    fn new(template: &Template, tokenizer: &PromptTokenizer) -> Result<Self, TokenizerError> {
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
