//! One task's way from an example to a prediction.

use std::{ops::Range, sync::Arc};

use super::{device::Device, head::Head, reading::Reading};
use crate::{
    evaluation::Threshold,
    prompt::{InferenceMode, PromptPool, TaskFile},
    task::{Example, Output, Prediction},
    tokenization::{Prompt, PromptSet, PromptSetError, PromptTokenizer, TokenizerError},
};

/// Prompts that go through the encoder together in `predict`, in tokens.
const BATCH_TOKENS: usize = 2048;

/// Examples that are predicted at a time, in all templates.
const CHUNK_EXAMPLES: usize = 1024;

/// Anything that turns prompts into mask vectors.
pub trait MaskEncoder {
    /// `[prompts, hidden]`: the last hidden state at each prompt's mask.
    fn mask_vectors(&mut self, prompts: &[&Prompt]) -> Result<Vec<f32>, PredictError>;

    /// Numbers of a mask vector.
    fn hidden_size(&self) -> usize;

    /// What it computes on.
    fn device(&self) -> Device {
        Device::Cpu
    }
}

/// Why there is no prediction.
#[derive(Debug, thiserror::Error)]
pub enum PredictError {
    #[error("the encoder failed: {0}")]
    Encoder(String),
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
}

/// Which templates are to answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TemplateChoice {
    /// Those that training chose or the task file names.
    Default,
    /// The canonical template, or the one named.
    Single(Option<String>),
    /// The pool, or those named.
    Ensemble(Vec<String>),
}

/// A template was named that the task does not have.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("no template {id:?}; the task has: {known}")]
pub struct SelectionError {
    pub id: String,
    pub known: String,
}

/// A task file bound to a tokenizer, and a head.
#[derive(Clone)]
pub struct TaskPredictor {
    pub file: Arc<TaskFile>,
    tokenizer: Arc<PromptTokenizer>,
    prompts: Arc<PromptSet>,
    pub head: Head,
}

impl TaskPredictor {
    /// Binds a task file to a tokenizer and to an encoder with `max_positions` positions. `path`
    /// names the task file in messages.
    pub fn new(
        file: Arc<TaskFile>,
        tokenizer: Arc<PromptTokenizer>,
        max_positions: usize,
        head: Head,
        path: &str,
    ) -> Result<Self, PromptSetError> {
        let prompts = Arc::new(PromptSet::new(&file, &tokenizer, max_positions, path)?);
        Ok(Self { file, tokenizer, prompts, head })
    }

    /// The tokenizer that makes its prompts.
    pub fn tokenizer(&self) -> &PromptTokenizer {
        &self.tokenizer
    }

    /// The same with another head.
    pub fn with_head(&self, head: Head) -> Self {
        Self { head, ..self.clone() }
    }

    /// Of two labels the one that is looked for and from which probability on: 0.5 where nothing
    /// says another.
    pub fn threshold(&self) -> Option<Threshold> {
        let value = self.decision_threshold().unwrap_or(0.5);
        self.file.positive.map(|positive| Threshold { positive, value })
    }

    /// The probability from which on the positive of two labels is decided for: that of the task
    /// file, or else the one that was fitted.
    pub fn decision_threshold(&self) -> Option<f32> {
        self.file.threshold.or(self.head.calibration.threshold)
    }

    /// The label that an answer decides for, by its index.
    ///
    /// Of two labels it is the positive one if its probability is at least `asked`, or else
    /// [`Self::decision_threshold`]; where there is neither, the most probable. Of more labels it is
    /// the most probable, or none if that is less probable than `asked`.
    pub fn decide(&self, output: &Output, asked: Option<f32>) -> Option<usize> {
        let (best, Output::Probabilities(all)) = (output.best_label()?, output) else {
            return None;
        };
        let Some(positive) = self.file.positive else {
            return Some(best).filter(|&best| asked.is_none_or(|least| all[best] >= least));
        };
        let Some(value) = asked.or(self.decision_threshold()) else { return Some(best) };
        Threshold { positive, value }.decide(all)
    }

    /// Tells whether texts that do not fit are read in windows.
    pub fn has_windows(&self) -> bool {
        self.file.prompts.sliding_window.is_some()
    }

    /// Templates that answer when a caller names none.
    pub fn inference(&self) -> InferenceMode {
        self.head.inference.or(self.file.prompts.inference).unwrap_or_default()
    }

    /// Indices of the chosen templates; never empty.
    pub fn select(&self, choice: &TemplateChoice) -> Result<Vec<usize>, SelectionError> {
        let prompts = &self.file.prompts;
        let single = || vec![prompts.canonical];
        match (choice, self.inference()) {
            (TemplateChoice::Single(None), _)
            | (TemplateChoice::Default, InferenceMode::Single) => Ok(single()),
            (TemplateChoice::Default, InferenceMode::Ensemble) => Ok(prompts.pool.clone()),
            (TemplateChoice::Single(Some(id)), _) => Ok(vec![find(prompts, id)?]),
            (TemplateChoice::Ensemble(ids), _) if ids.is_empty() => Ok(prompts.pool.clone()),
            (TemplateChoice::Ensemble(ids), _) => {
                let mut chosen =
                    ids.iter().map(|id| find(prompts, id)).collect::<Result<Vec<_>, _>>()?;
                chosen.sort_unstable();
                chosen.dedup();
                Ok(chosen)
            }
        }
    }

    /// Wraps an example in one template, its texts cut to fit: what training reads.
    pub fn prompt(&self, example: &Example, template: usize) -> Result<Prompt, TokenizerError> {
        self.prompts.encode(&self.tokenizer, example, template)
    }

    /// Wraps an example in each of the templates, as inference reads it: with the windows of one
    /// template after those of another ([`PromptSet::windows`]).
    pub fn read(
        &self,
        example: &Example,
        templates: &[usize],
    ) -> Result<(Vec<Prompt>, Reading), TokenizerError> {
        let mut prompts = Vec::with_capacity(templates.len());
        let mut reading = Reading::with_capacity(templates.len());
        for &template in templates {
            let windows = self.prompts.windows(&self.tokenizer, example, template)?;
            reading.push(&windows);
            prompts.extend(windows);
        }
        Ok((prompts, reading))
    }

    /// The prediction from the mask vectors of the prompts that one example was read in, and what
    /// its head adds for the example ([`Head::offsets`]).
    pub fn answer<'v>(
        &self,
        mask_vectors: impl IntoIterator<Item = &'v [f32]>,
        offsets: &[f32],
        reading: &Reading,
    ) -> Prediction {
        let logits: Vec<Vec<f32>> =
            mask_vectors.into_iter().map(|vector| self.head.logits(vector, offsets)).collect();
        self.conclude(&logits, reading)
    }

    /// The prediction from the logits of the prompts that one example was read in: calibrated
    /// probabilities or values are averaged over the windows of each template, and then over the
    /// templates.
    pub fn conclude(&self, logits: &[Vec<f32>], reading: &Reading) -> Prediction {
        let kind = &self.file.task.kind;
        let outputs: Vec<Output> =
            logits.iter().map(|logits| self.head.output(kind, logits)).collect();
        let of_windows = |range: Range<usize>| average(&outputs[range], kind.outputs()).0;
        let of_templates: Vec<Output> = reading.ranges().map(of_windows).collect();
        let (output, template_spread) = average(&of_templates, kind.outputs());
        let (truncated, windows) = (reading.is_truncated(), reading.windows());
        Prediction { output, truncated, template_spread, windows }
    }

    /// Examples whose prompts are made at a time, where `without_windows` are without windows.
    fn examples_at_once(&self, without_windows: usize) -> usize {
        match self.file.prompts.sliding_window {
            None => without_windows,
            Some(window) => (CHUNK_EXAMPLES / window.max_windows).max(1),
        }
    }
}

fn find(prompts: &PromptPool, id: &str) -> Result<usize, SelectionError> {
    prompts.templates.iter().position(|template| template.id == id).ok_or_else(|| {
        let known: Vec<&str> = prompts.templates.iter().map(|t| t.id.as_str()).collect();
        SelectionError { id: id.to_owned(), known: known.join(", ") }
    })
}

/// Mean of the outputs and the largest standard deviation of any component.
fn average(outputs: &[Output], components: usize) -> (Output, f32) {
    let component = |output: &Output, at: usize| match output {
        Output::Probabilities(probabilities) => f64::from(probabilities[at]),
        Output::Value(value) => *value,
    };
    let count = outputs.len() as f64;
    let mut means = Vec::with_capacity(components);
    let mut spread = 0.0f64;
    for at in 0..components {
        let mean = outputs.iter().map(|output| component(output, at)).sum::<f64>() / count;
        let squares = outputs.iter().map(|output| (component(output, at) - mean).powi(2));
        spread = spread.max((squares.sum::<f64>() / count).sqrt());
        means.push(mean);
    }
    let output = match outputs.first() {
        Some(Output::Value(_)) => Output::Value(means[0]),
        _ => Output::Probabilities(means.iter().map(|&mean| mean as f32).collect()),
    };
    (output, spread as f32)
}

/// Predicts any number of examples, each wrapped in each of the templates, of which there is at
/// least one.
///
/// Prompts go through the encoder sorted by length, in batches; the answers come in the order of
/// the examples.
pub fn predict(
    encoder: &mut dyn MaskEncoder,
    task: &TaskPredictor,
    examples: &[Example],
    templates: &[usize],
) -> Result<Vec<Prediction>, PredictError> {
    let choices = [templates.to_vec()];
    Ok(predict_each(encoder, task, examples, &choices)?.into_iter().flatten().collect())
}

/// For each choice of templates the predictions of all examples. Every prompt goes through the
/// encoder once, however many choices have its template.
pub fn predict_each(
    encoder: &mut dyn MaskEncoder,
    task: &TaskPredictor,
    examples: &[Example],
    choices: &[Vec<usize>],
) -> Result<Vec<Vec<Prediction>>, PredictError> {
    let mut templates = choices.concat();
    templates.sort_unstable();
    templates.dedup();
    let place = |template: &usize| templates.binary_search(template).ok();
    let choices: Vec<Vec<usize>> =
        choices.iter().map(|choice| choice.iter().filter_map(place).collect()).collect();
    let mut answers = vec![Vec::with_capacity(examples.len()); choices.len()];
    // In pieces, so that memory does not grow with the prompts of a whole file.
    read_each(encoder, task, examples, &templates, CHUNK_EXAMPLES, |example, vectors, reading| {
        let offsets = task.head.offsets(example);
        for (answers, choice) in answers.iter_mut().zip(&choices) {
            let (reading, places) = reading.select(choice);
            let vectors = places.iter().map(|&at| vectors[at].as_slice());
            answers.push(task.answer(vectors, &offsets, &reading));
        }
    })?;
    Ok(answers)
}

/// Reads examples in each of the templates and gives `take` the mask vectors of each example's
/// prompts and how they belong together, example by example.
///
/// Prompts of up to `at_once` examples are made and encoded together; of fewer where the task has a
/// stride, so that windows take no more memory.
pub fn read_each(
    encoder: &mut dyn MaskEncoder,
    task: &TaskPredictor,
    examples: &[Example],
    templates: &[usize],
    at_once: usize,
    mut take: impl FnMut(&Example, &[Vec<f32>], &Reading),
) -> Result<(), PredictError> {
    for examples in examples.chunks(task.examples_at_once(at_once)) {
        let mut prompts = Vec::with_capacity(examples.len() * templates.len());
        let mut readings = Vec::with_capacity(examples.len());
        for example in examples {
            let (of_example, reading) = task.read(example, templates)?;
            prompts.extend(of_example);
            readings.push(reading);
        }
        let vectors = encode_all(encoder, &prompts)?;
        let mut rest = vectors.as_slice();
        for (example, reading) in examples.iter().zip(&readings) {
            let (vectors, after) = rest.split_at(reading.prompts());
            take(example, vectors, reading);
            rest = after;
        }
    }
    Ok(())
}

/// The mask vector of every prompt, in their order.
pub fn encode_all(
    encoder: &mut dyn MaskEncoder,
    prompts: &[Prompt],
) -> Result<Vec<Vec<f32>>, PredictError> {
    let mut order: Vec<usize> = (0..prompts.len()).collect();
    order.sort_by_key(|&at| prompts[at].input_ids.len());
    let mut vectors = vec![Vec::new(); prompts.len()];
    let mut rest = order.as_slice();
    while !rest.is_empty() {
        let (batch, after) = rest.split_at(batch_size(rest, prompts));
        let batch_prompts: Vec<&Prompt> = batch.iter().map(|&at| &prompts[at]).collect();
        let encoded = encoder.mask_vectors(&batch_prompts)?;
        for (&at, vector) in batch.iter().zip(encoded.chunks(encoder.hidden_size())) {
            vectors[at] = vector.to_vec();
        }
        rest = after;
    }
    Ok(vectors)
}

/// How many of the prompts, taken in order, stay within the tokens of a batch; at least one.
fn batch_size(order: &[usize], prompts: &[Prompt]) -> usize {
    let mut tokens = 0;
    let fitting = order.iter().take_while(|&&at| {
        tokens += prompts[at].input_ids.len();
        tokens <= BATCH_TOKENS
    });
    fitting.count().max(1)
}

#[cfg(test)]
pub mod tests;
