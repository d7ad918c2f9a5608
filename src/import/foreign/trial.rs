//! Runs a graph before it is taken: prompts of several lengths, alone and in one padded batch, the longest
//! prompt, and prompts whose vectors the directory brings.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{
    super::{ImportError, model_files::ModelDirectory},
    config::Sizes,
    lengths::{Length, lengths},
};
use crate::{
    architecture::Architecture,
    checkpoint::{Draft, ENCODER_FILE, ForeignGraph},
    inference::{Encoder, EncoderSource, MaskEncoder, PredictError, Runtime},
    tokenization::Prompt,
    weights::Precision,
};

/// Tokens of the prompts that are tried.
const LENGTHS: [usize; 5] = [3, 9, 5, 24, 15];

/// File with prompts and what another program computes for them.
const REFERENCE: &str = "reference.json";
const MAX_REFERENCE_BYTES: u64 = 16 << 20;

/// Largest difference between two ways to the same number, for numbers up to 1; for larger ones, relative
/// to the largest. By what the matrices are stored in.
fn tolerance(precision: Precision) -> f32 {
    match precision {
        Precision::Fp32 => 1e-3,
        Precision::Fp16 => 2e-2,
        Precision::Int8 => 0.5,
    }
}

/// Knowledge of a graph before it is tried.
#[derive(Clone, Copy)]
pub struct Given<'a> {
    pub sizes: &'a Sizes,
    pub precision: Precision,
    /// Some of its numbers depend on what else is in a batch.
    pub is_scaled_together: bool,
}

/// Findings of a trial.
pub struct Found {
    pub architecture: Architecture,
    pub graph: ForeignGraph,
}

/// A graph in a draft.
pub struct Trial<'a> {
    runtime: &'a Runtime,
    stored: PathBuf,
    /// Where it comes from, for messages.
    path: &'a Path,
    given: Given<'a>,
}

#[derive(Deserialize)]
struct Reference {
    prompts: Vec<ReferencePrompt>,
}

#[derive(Deserialize)]
struct ReferencePrompt {
    input_ids: Vec<u32>,
    #[serde(default)]
    token_type_ids: Vec<u32>,
    #[serde(default)]
    mask_position: usize,
    /// The last hidden state at the mask, or the logits.
    vector: Vec<f32>,
}

impl<'a> Trial<'a> {
    pub fn new(runtime: &'a Runtime, draft: &Draft, path: &'a Path, given: Given<'a>) -> Self {
        Self { runtime, stored: draft.path(ENCODER_FILE), path, given }
    }

    /// Tries the graph and finds out what it does not say of itself.
    pub fn run(
        &self,
        mut graph: ForeignGraph,
        directory: &ModelDirectory,
    ) -> Result<Found, ImportError> {
        let Sizes { vocabulary_size, segment_types, .. } = *self.given.sizes;
        let mut max_positions = self.given.sizes.max_positions;
        let architecture = |width, positions| {
            Architecture::foreign(width, vocabulary_size, positions, segment_types)
        };
        let unknown = architecture(1, max_positions);
        unknown.check().map_err(|error| self.wrong(error.to_string()))?;
        let source =
            EncoderSource::open_foreign(self.runtime, &self.stored, self.path, &graph, &unknown)?;
        let mut encoder = source.session(1)?;
        let first = self.prompt(LENGTHS[0].min(max_positions));
        let width = encoder.find_width(&first).map_err(|error| self.wrong(error.to_string()))?;
        graph.one_at_a_time = self.needs_to_be_alone(&mut encoder, &graph, max_positions)?;
        max_positions = self.longest(&mut encoder, max_positions)?;
        let architecture = architecture(width, max_positions);
        architecture.check().map_err(|error| self.wrong(error.to_string()))?;
        self.compare_with_reference(&mut encoder, &architecture, directory)?;
        Ok(Found { architecture, graph })
    }

    /// Tells whether prompts in a batch change each other. A graph that has no reason to is refused then.
    fn needs_to_be_alone(
        &self,
        encoder: &mut Encoder,
        graph: &ForeignGraph,
        max_positions: usize,
    ) -> Result<bool, ImportError> {
        let prompts: Vec<Prompt> =
            LENGTHS.iter().map(|length| self.prompt((*length).min(max_positions))).collect();
        let prompts: Vec<&Prompt> = prompts.iter().collect();
        let mut alone = Vec::new();
        for prompt in &prompts {
            alone.extend(self.vectors(encoder, &[prompt])?);
        }
        encoder.allow_any_padding();
        let together = self.vectors(encoder, &prompts)?;
        let (found, _) = difference(&alone, &together);
        if self.given.is_scaled_together {
            return Ok(found > tolerance(Precision::Fp32));
        }
        // Beside scales for a whole batch, nothing is less exact in 8 bits.
        let tolerance = match self.given.precision {
            Precision::Fp32 | Precision::Int8 => tolerance(Precision::Fp32),
            Precision::Fp16 => tolerance(Precision::Fp16),
        };
        if found <= tolerance {
            return Ok(false);
        }
        let output = &graph.output;
        Err(self.wrong(format!(
            "a prompt's numbers in {output} differ by {found:.1e} alone and beside longer ones, more than \
             {tolerance:.0e}: it does not leave out padding by its attention_mask"
        )))
    }

    /// Finds how many tokens the longest prompt has that it takes.
    fn longest(&self, encoder: &mut Encoder, claimed: usize) -> Result<usize, ImportError> {
        let mut first_error = None;
        for Length { tried, found } in lengths(claimed, self.given.sizes) {
            match self.vectors(encoder, &[&self.prompt(tried)]) {
                Ok(_) => return Ok(found),
                Err(error) => first_error = first_error.or(Some(error)),
            }
        }
        Err(first_error.unwrap_or_else(|| self.wrong("it has no positions".to_owned())))
    }

    /// Compares the graph with the prompts of reference.json, where there is one.
    fn compare_with_reference(
        &self,
        encoder: &mut Encoder,
        architecture: &Architecture,
        directory: &ModelDirectory,
    ) -> Result<(), ImportError> {
        let path = directory.beside_config(REFERENCE);
        if !directory.has(&path) {
            return Ok(());
        }
        let wrong =
            |message: String| ImportError::Config { path: path.display().to_string(), message };
        let bytes = directory.read(&path, MAX_REFERENCE_BYTES)?;
        let reference: Reference =
            serde_json::from_slice(&bytes).map_err(|error| wrong(error.to_string()))?;
        for (at, theirs) in reference.prompts.into_iter().enumerate() {
            let number = at + 1;
            let vector = theirs.vector.clone();
            let Some(prompt) = theirs.prompt(architecture) else {
                return Err(wrong(format!(
                    "prompt {number} is none that the encoder could be given"
                )));
            };
            if vector.len() != architecture.hidden_size {
                let (found, expected) = (vector.len(), architecture.hidden_size);
                return Err(wrong(format!(
                    "prompt {number} has a vector of {found} numbers, the graph gives {expected}"
                )));
            }
            let found = self.vectors(encoder, &[&prompt])?;
            let tolerance = tolerance(self.given.precision);
            let (difference, place) = difference(&vector, &found);
            if difference > tolerance {
                return Err(wrong(format!(
                    "number {} of prompt {number} is {}, but the graph gives {}: they differ by more than \
                     {tolerance:.0e} of the largest",
                    place + 1,
                    vector[place],
                    found[place]
                )));
            }
        }
        Ok(())
    }

    /// `[prompts, width]`, all finite.
    fn vectors(&self, encoder: &mut Encoder, prompts: &[&Prompt]) -> Result<Vec<f32>, ImportError> {
        let tokens = prompts.iter().map(|prompt| prompt.input_ids.len()).max().unwrap_or(0);
        let failed =
            |error: PredictError| self.wrong(format!("with a prompt of {tokens} tokens, {error}"));
        let vectors = encoder.mask_vectors(prompts).map_err(failed)?;
        if vectors.iter().all(|value| value.is_finite()) {
            return Ok(vectors);
        }
        Err(self.wrong(format!(
            "with a prompt of {tokens} tokens, it gives numbers that are not finite"
        )))
    }

    /// A prompt of so many tokens, none of them padding.
    fn prompt(&self, length: usize) -> Prompt {
        let vocabulary = self.given.sizes.vocabulary_size.max(1) as u64;
        let padding = self.given.sizes.padding_id;
        let id = |at: u64| {
            let id = (at * 7919 + 11) % vocabulary;
            let id = u32::try_from(id).unwrap_or_default();
            if id == padding { (id + 1) % vocabulary as u32 } else { id }
        };
        let input_ids: Vec<u32> = (0..length as u64).map(id).collect();
        Prompt {
            segment_ids: vec![0; length],
            mask_position: length / 2,
            input_ids,
            truncated: false,
        }
    }

    fn wrong(&self, message: String) -> ImportError {
        ImportError::Trial { path: self.path.display().to_string(), message }
    }
}

impl ReferencePrompt {
    /// The prompt, if it is one for this encoder.
    fn prompt(self, architecture: &Architecture) -> Option<Prompt> {
        let Self { input_ids, token_type_ids, mask_position, .. } = self;
        let length = input_ids.len();
        let segment_ids = if token_type_ids.is_empty() { vec![0; length] } else { token_type_ids };
        let is_below = |ids: &[u32], limit: usize| ids.iter().all(|&id| (id as usize) < limit);
        let is_good = length <= architecture.max_positions
            && mask_position < length
            && segment_ids.len() == length
            && is_below(&input_ids, architecture.vocabulary_size)
            && (architecture.segment_types == 0
                || is_below(&segment_ids, architecture.segment_types));
        is_good.then_some(Prompt { input_ids, segment_ids, mask_position, truncated: false })
    }
}

/// The largest difference of two numbers at the same place, relative to the largest number where that is
/// above 1, and its place.
fn difference(expected: &[f32], found: &[f32]) -> (f32, usize) {
    let largest = expected.iter().fold(1f32, |largest, value| largest.max(value.abs()));
    let differences = expected.iter().zip(found).map(|(a, b)| (a - b).abs() / largest);
    let indexed = differences.enumerate().map(|(place, difference)| (difference, place));
    indexed.fold((0.0, 0), |worst, one| if one.0 > worst.0 { one } else { worst })
}
