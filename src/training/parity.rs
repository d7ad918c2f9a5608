//! Whether an exported graph computes what the trainer does.

use std::path::Path;

use super::{TrainingError, encoder::TrainableEncoder};
use crate::{
    inference::{Encoder, Runtime, encode_all},
    tokenization::Prompt,
    weights::{EncoderWeights, Precision},
};

/// The two may differ by this much, times the largest component of a vector where that is above 1.
/// What is lost by storing matrices in fewer bits is in it; what that costs a task is measured.
fn tolerance(precision: Precision) -> f32 {
    match precision {
        Precision::Fp32 => 1e-4,
        Precision::Fp16 => 2e-2,
        Precision::Int8 => 0.5,
    }
}

/// Compares the vectors that the graph in this file gives for some prompts with those of the
/// trainer's own forward pass.
pub fn check_parity(
    weights: &EncoderWeights,
    precision: Precision,
    graph: &Path,
    runtime: &Runtime,
    prompts: &[Prompt],
) -> Result<(), TrainingError> {
    let mut trained = TrainableEncoder::new(weights)?;
    let mut exported = Encoder::load(runtime, graph, &weights.architecture, 1)?;
    let expected = encode_all(&mut trained, prompts)?.concat();
    let found = encode_all(&mut exported, prompts)?.concat();
    let largest = expected.iter().fold(1f32, |largest, value| largest.max(value.abs()));
    let tolerance = tolerance(precision) * largest;
    let differences = || found.iter().zip(&expected).map(|(a, b)| (a - b).abs());
    // Not by the largest: a comparison with NaN must fail.
    if differences().all(|difference| difference <= tolerance) {
        return Ok(());
    }
    Err(TrainingError::Parity { difference: differences().fold(0f32, f32::max), tolerance })
}
