//! Wraps examples in templates and puts them into token ids.

use super::{
    fit::{self, Claim},
    prepared::{Part, PreparedTemplate, SlotText},
    sliding,
    tokenizer::{PromptTokenizer, TokenizerError},
};
use crate::{
    prompt::{SlidingWindow, Slot, TaskFile, TaskFileError, TaskFileFault, Template},
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
    sliding_window: Option<SlidingWindow>,
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
        let (max_length, sliding_window) = (file.max_length, file.prompts.sliding_window);
        let mut set = Self { templates: Vec::new(), fields, max_length, sliding_window };
        for template in &file.prompts.templates {
            let prepared = PreparedTemplate::new(template, tokenizer)?;
            faults.extend(set.check_fit(template, &prepared));
            faults.extend(set.check_stride(template, &prepared));
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

    /// Windows must not lie further apart than one has room for text, or they would skip some.
    fn check_stride(
        &self,
        template: &Template,
        prepared: &PreparedTemplate,
    ) -> Option<TaskFileFault> {
        let SlidingWindow { stride, line, .. } = self.sliding_window?;
        let room = self.max_length.saturating_sub(prepared.fixed_tokens);
        (stride > room).then(|| TaskFileFault {
            line,
            template: Some(template.id.clone()),
            message: format!(
                "stride = {stride} is more than the {room} tokens that its fixed part leaves of \
                 max_length = {}; windows would skip text",
                self.max_length
            ),
        })
    }

    /// Wraps an example in the template with this index, its texts cut to fit.
    ///
    /// The result has at most `max_length` tokens and exactly one mask, whatever the text.
    pub fn encode(
        &self,
        tokenizer: &PromptTokenizer,
        example: &Example,
        template: usize,
    ) -> Result<Prompt, TokenizerError> {
        let template = &self.templates[template];
        let mut texts = self.texts(tokenizer, example, template)?;
        let truncated = texts.iter().any(SlotText::is_cut);
        texts.iter_mut().for_each(SlotText::cut);
        Ok(template.prompt(tokenizer, &texts, truncated))
    }

    /// Wraps an example in the template with this index, as inference reads it: in windows, if the
    /// task has a stride and the texts do not fit; else the one prompt that [`Self::encode`] gives.
    ///
    /// Each window is the template with the next piece of the longest text of those that do not fit,
    /// moved on by the stride, or by the room that the window has for it where that is less; the last
    /// piece ends with the text. Other texts that do not fit are cut, alike in all windows, and so is
    /// the longest, before it is divided, to what `max_windows` windows can hold. Either makes all
    /// windows `truncated`.
    pub fn windows(
        &self,
        tokenizer: &PromptTokenizer,
        example: &Example,
        template: usize,
    ) -> Result<Vec<Prompt>, TokenizerError> {
        let Some(SlidingWindow { stride, max_windows, .. }) = self.sliding_window else {
            return Ok(vec![self.encode(tokenizer, example, template)?]);
        };
        let template = &self.templates[template];
        let mut texts = self.texts(tokenizer, example, template)?;
        let slides = longest_cut(&texts);
        let room = slides.map_or(0, |at| texts[at].kept);
        let stride = stride.min(room);
        if let Some(at) = slides {
            texts[at].kept = sliding::capacity(room, stride, max_windows).min(texts[at].ids.len());
        }
        let truncated = texts.iter().any(SlotText::is_cut);
        texts.iter_mut().for_each(SlotText::cut);
        let Some(at) = slides else {
            return Ok(vec![template.prompt(tokenizer, &texts, truncated)]);
        };
        let whole = std::mem::take(&mut texts[at].ids);
        let windows = sliding::windows(whole.len(), room, stride).into_iter().map(|window| {
            whole[window].clone_into(&mut texts[at].ids);
            template.prompt(tokenizer, &texts, truncated)
        });
        Ok(windows.collect())
    }

    /// The text of each slot of a template, and how much of it fits.
    fn texts(
        &self,
        tokenizer: &PromptTokenizer,
        example: &Example,
        template: &PreparedTemplate,
    ) -> Result<Vec<SlotText>, TokenizerError> {
        let mut texts = Vec::new();
        let mut claims = Vec::new();
        for part in &template.parts {
            if let Part::Slot(slot, place) = part {
                let mut ids = place.ids(tokenizer, &slot.text(example))?;
                let truncate = self.fields[slot.field].truncate;
                let claim = self.claim(slot, ids.len());
                fit::cut(&mut ids, claim.tokens, truncate);
                claims.push(claim);
                texts.push(SlotText { ids, kept: claim.tokens, truncate });
            }
        }
        let kept = fit::fit(&claims, self.max_length - template.fixed_tokens);
        texts.iter_mut().zip(kept).for_each(|(text, kept)| text.kept = kept);
        Ok(texts)
    }

    fn claim(&self, slot: &Slot, tokens: usize) -> Claim {
        let field = &self.fields[slot.field];
        let tokens = tokens.min(slot.max_tokens().unwrap_or(usize::MAX));
        Claim { tokens, min_tokens: min_tokens(field, slot), priority: field.priority }
    }
}

/// The longest of the texts that are cut (the first of equals), by its place. One of which nothing
/// fits has no room to slide in.
fn longest_cut(texts: &[SlotText]) -> Option<usize> {
    let can_slide = |at: &usize| texts[*at].is_cut() && texts[*at].kept > 0;
    (0..texts.len()).rev().filter(can_slide).max_by_key(|&at| texts[at].ids.len())
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
