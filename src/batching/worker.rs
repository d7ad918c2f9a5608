//! One thread with one encoder: takes a batch, runs it, answers.

use std::{
    sync::{Mutex, TryLockError},
    time::{Duration, Instant},
};

use super::{
    BatchError, Batched, Encoded,
    post::{Caller, Post},
    queue::{Batch, Queue, Ran},
};
use crate::{
    inference::MaskEncoder, metrics::BatchOutcome, panics::catch_panic, tokenization::Prompt,
};

/// Fewer tokens are computed about as soon by one thread as handed out to several.
const LEAST_LONE_TOKENS: usize = 16;

/// An encoder that computes with all CPUs, for a batch that has them to itself.
pub(super) type Lone = Mutex<Box<dyn MaskEncoder + Send>>;

/// Works until the queue is closed and empty, or until others have given this worker up.
pub(super) fn run(queue: &Queue, post: &Post, encoder: &mut dyn MaskEncoder, lone: Option<&Lone>) {
    while let Some(batch) = queue.next_batch() {
        let (tokens, longest, is_alone) = (batch.tokens(), batch.longest(), batch.is_alone);
        let (prompts, callers) = split(batch);
        let started = post.begin(callers, tokens);
        let Computed { vectors, by_worker } = compute(&prompts, tokens, is_alone, encoder, lone);
        let time = started.elapsed();
        // Nobody waits for this any more if it took so long that it was given up.
        let Some(callers) = post.end() else { return };
        let (prompts, succeeded) = (callers.len(), vectors.is_ok());
        queue.metrics().ran(BatchOutcome { prompts, tokens, longest, time, succeeded });
        for caller in &callers {
            queue.metrics().waited(started.saturating_duration_since(caller.since));
        }
        // Before anybody is answered: who asks again at once finds the CPUs free.
        queue.done(Ran { tokens, time, by_worker, succeeded: vectors.is_ok() });
        answer(callers, vectors, encoder.hidden_size(), started, time);
    }
}

fn split(batch: Batch) -> (Vec<Prompt>, Vec<Caller>) {
    let parts = batch.waiting.into_iter().map(|waiting| {
        let (tokens, since) = (waiting.tokens(), waiting.since);
        (waiting.prompt, Caller { reply: waiting.reply, since, tokens })
    });
    parts.unzip()
}

/// What an encoder made of a batch.
struct Computed {
    vectors: Result<Vec<f32>, String>,
    /// Whether it was the worker's own.
    by_worker: bool,
}

fn compute(
    prompts: &[Prompt],
    tokens: usize,
    is_alone: bool,
    encoder: &mut dyn MaskEncoder,
    lone: Option<&Lone>,
) -> Computed {
    let prompts: Vec<&Prompt> = prompts.iter().collect();
    let is_lone = is_alone && tokens >= LEAST_LONE_TOKENS;
    let mut lone = match lone.filter(|_| is_lone).map(Mutex::try_lock) {
        Some(Ok(lone)) => lone,
        // A panic is caught before it can poison the lock; and it would leave nothing half-changed.
        Some(Err(TryLockError::Poisoned(lone))) => lone.into_inner(),
        // Another worker is just done with it.
        Some(Err(TryLockError::WouldBlock)) | None => {
            return Computed { vectors: encode(encoder, &prompts), by_worker: true };
        }
    };
    Computed { vectors: encode(lone.as_mut(), &prompts), by_worker: false }
}

fn answer(
    callers: Vec<Caller>,
    vectors: Result<Vec<f32>, String>,
    hidden_size: usize,
    started: Instant,
    inference_time: Duration,
) {
    let tokens = callers.iter().map(|caller| caller.tokens).sum();
    let batch = Some(Batched { started, prompts: callers.len(), tokens });
    match vectors {
        Ok(vectors) => {
            for (caller, vector) in callers.into_iter().zip(vectors.chunks_exact(hidden_size)) {
                caller.reply.send(Ok(Encoded {
                    mask_vector: vector.into(),
                    tokens: caller.tokens,
                    queue_time: started.saturating_duration_since(caller.since),
                    inference_time,
                    batch,
                }));
            }
        }
        Err(message) => {
            tracing::error!(prompts = callers.len(), reason = message, "a batch failed");
            for caller in callers {
                caller.reply.send(Err(BatchError::Encoder(message.clone())));
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
