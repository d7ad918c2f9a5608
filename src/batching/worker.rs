//! One thread with one encoder: takes a batch, runs it, answers.

use std::{
    sync::{Mutex, TryLockError},
    time::{Duration, Instant},
};

use super::{
    BatchError, Encoded,
    panic::catch_panic,
    queue::{Batch, Queue, Waiting},
};
use crate::{inference::MaskEncoder, tokenization::Prompt};

/// Fewer tokens are computed about as soon by one thread as handed out to several.
const LEAST_LONE_TOKENS: usize = 16;

/// An encoder that computes with all CPUs, for a batch that has them to itself.
pub(super) type Lone = Mutex<Box<dyn MaskEncoder + Send>>;

/// Works until the queue is closed and empty.
pub(super) fn run(queue: &Queue, encoder: &mut dyn MaskEncoder, lone: Option<&Lone>) {
    while let Some(batch) = queue.next_batch() {
        let started = Instant::now();
        let vectors = compute(&batch, encoder, lone);
        let inference_time = started.elapsed();
        // Before anybody is answered: who asks again at once finds the CPUs free.
        queue.done();
        answer(batch.waiting, vectors, encoder.hidden_size(), started, inference_time);
    }
}

fn compute(
    batch: &Batch,
    encoder: &mut dyn MaskEncoder,
    lone: Option<&Lone>,
) -> Result<Vec<f32>, String> {
    let prompts: Vec<&Prompt> = batch.waiting.iter().map(|waiting| &waiting.prompt).collect();
    let is_lone = batch.is_alone && batch.tokens() >= LEAST_LONE_TOKENS;
    match lone.filter(|_| is_lone).map(Mutex::try_lock) {
        Some(Ok(mut lone)) => encode(lone.as_mut(), &prompts),
        // A panic is caught before it can poison the lock; and it would leave nothing half-changed.
        Some(Err(TryLockError::Poisoned(lone))) => encode(lone.into_inner().as_mut(), &prompts),
        // Another worker is just done with it.
        Some(Err(TryLockError::WouldBlock)) | None => encode(encoder, &prompts),
    }
}

fn answer(
    batch: Vec<Waiting>,
    vectors: Result<Vec<f32>, String>,
    hidden_size: usize,
    started: Instant,
    inference_time: Duration,
) {
    match vectors {
        Ok(vectors) => {
            for (waiting, vector) in batch.into_iter().zip(vectors.chunks_exact(hidden_size)) {
                let encoded = Encoded {
                    mask_vector: vector.into(),
                    tokens: waiting.prompt.input_ids.len(),
                    queue_time: started.duration_since(waiting.since),
                    inference_time,
                };
                waiting.reply.send(Ok(encoded));
            }
        }
        Err(message) => {
            tracing::error!(prompts = batch.len(), reason = message, "a batch failed");
            for waiting in batch {
                let error = BatchError::Encoder(message.clone());
                waiting.reply.send(Err(error));
            }
        }
    }
}

/// One vector for each prompt, or what went wrong, a panic included: the worker lives on. An
/// encoder fills its inputs anew for each batch, so none sees what a panic has left behind.
fn encode(encoder: &mut dyn MaskEncoder, prompts: &[&Prompt]) -> Result<Vec<f32>, String> {
    let vectors = catch_panic(|| encoder.mask_vectors(prompts))
        .map_err(|message| format!("the encoder panicked: {message}"))?
        .map_err(|error| error.to_string())?;
    let expected = prompts.len() * encoder.hidden_size();
    if vectors.is_empty() || vectors.len() != expected {
        let found = vectors.len();
        return Err(format!("the encoder gave {found} numbers, expected {expected}"));
    }
    Ok(vectors)
}
