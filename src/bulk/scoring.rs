//! Examples to predictions, on all CPUs: the prompts of a chunk, equal ones once, sorted by length
//! and cut into batches.
//!
//! Which prompts share a batch depends on the chunk alone, not on threads or time: a chunk that is
//! computed again comes out the same to the bit.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rayon::prelude::*;

use super::{BulkError, render::Outcome};
use crate::{
    batching::Distinct,
    inference::{MaskEncoder, Reading, TaskPredictor},
    panics::catch_panic,
    task::Example,
    tokenization::{Prompt, TokenizerError},
};

/// An encoder of one thread.
pub type BoxedEncoder = Box<dyn MaskEncoder + Send>;

/// Examples that one thread wraps in templates at a time.
const SLICE: usize = 32;

/// What every encoder is for.
pub struct Scorer<'a> {
    predictor: &'a TaskPredictor,
    templates: &'a [usize],
    batch_tokens: usize,
    pool: rayon::ThreadPool,
    /// Those that nobody uses now; there are as many as threads.
    encoders: Mutex<Vec<BoxedEncoder>>,
    stop: &'a Stop<'a>,
}

/// How often whoever waits looks whether to [`Stop`]: a signal sets a flag and wakes nobody.
pub const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Whether anybody wants the predictions still.
#[derive(Clone)]
pub struct Stop<'a> {
    /// Set from outside.
    pub interrupt: &'a AtomicBool,
    own: Arc<AtomicBool>,
}

impl<'a> Stop<'a> {
    pub fn new(interrupt: &'a AtomicBool) -> Self {
        Self { interrupt, own: Arc::new(AtomicBool::new(false)) }
    }

    /// Nobody does.
    pub fn set(&self) {
        self.own.store(true, Ordering::Relaxed);
    }

    pub fn is_set(&self) -> bool {
        self.own.load(Ordering::Relaxed) || self.interrupt.load(Ordering::Relaxed)
    }
}

/// Nobody wants the predictions any more.
pub struct Stopped;

/// The predictions of a chunk.
pub struct Scored {
    /// One for each example, in their order.
    pub outcomes: Vec<Outcome>,
    /// Tokens that went through the encoder.
    pub tokens: u64,
    /// Examples of whose tokens the tokenizer knows less than half.
    pub unknown: u64,
}

/// Places of an example's prompts.
struct Places {
    places: Vec<usize>,
    /// Numbers that the head adds to its outputs.
    offsets: Vec<f32>,
    reading: Reading,
    /// True if the tokenizer knows less than half of its tokens.
    is_unknown: bool,
}

/// An example in each of its templates.
struct Wrapped {
    prompts: Vec<Prompt>,
    reading: Reading,
    offsets: Vec<f32>,
    is_unknown: bool,
}

impl<'a> Scorer<'a> {
    /// With a thread for each encoder.
    ///
    /// # Errors
    ///
    /// If the system gives no more threads.
    pub fn new(
        predictor: &'a TaskPredictor,
        templates: &'a [usize],
        batch_tokens: usize,
        encoders: Vec<BoxedEncoder>,
        stop: &'a Stop<'a>,
    ) -> Result<Self, BulkError> {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(encoders.len())
            .thread_name(|number| format!("score-{number}"))
            .build()
            .map_err(|error| BulkError::Threads(error.to_string()))?;
        let encoders = Mutex::new(encoders);
        Ok(Self { predictor, templates, batch_tokens, pool, encoders, stop })
    }

    /// Predicts the examples that are any; the others keep their error. What fails with one prompt
    /// fails for the rows of that prompt alone.
    pub fn score(&self, examples: Vec<Result<Example, String>>) -> Result<Scored, Stopped> {
        self.pool.install(|| {
            let (prompts, places) = self.prompts(examples);
            let unknown = places.iter().flatten().filter(|of| of.is_unknown).count() as u64;
            let tokens = prompts.iter().map(|prompt| prompt.input_ids.len() as u64).sum();
            let vectors = self.encode(&prompts);
            if self.stop.is_set() {
                return Err(Stopped);
            }
            let outcomes = places
                .into_par_iter()
                .with_min_len(SLICE)
                .map(|places| self.answer(&places?, &vectors))
                .collect();
            Ok(Scored { outcomes, tokens, unknown })
        })
    }

    /// The distinct prompts, and for each example which are its.
    fn prompts(
        &self,
        examples: Vec<Result<Example, String>>,
    ) -> (Vec<Prompt>, Vec<Result<Places, String>>) {
        let wrapped: Vec<Result<Wrapped, String>> =
            examples.into_par_iter().with_min_len(SLICE).map(|one| self.wrap(&one?)).collect();
        let mut distinct = Distinct::new(usize::MAX);
        let place = |wrapped: Result<Wrapped, String>| {
            let Wrapped { prompts, reading, offsets, is_unknown } = wrapped?;
            let places = prompts.into_iter().map(|prompt| distinct.insert(prompt));
            let places = places.collect::<Result<_, _>>().map_err(|error| error.to_string())?;
            Ok(Places { places, offsets, reading, is_unknown })
        };
        let places = wrapped.into_iter().map(place).collect();
        (std::mem::take(distinct.prompts_mut()), places)
    }

    fn wrap(&self, example: &Example) -> Result<Wrapped, String> {
        if self.stop.is_set() {
            return Err("stopped".to_owned());
        }
        let told = |error: TokenizerError| error.to_string();
        let (prompts, reading) = self.predictor.read(example, self.templates).map_err(told)?;
        let is_unknown = self.predictor.tokenizer().is_mostly_unknown(example);
        Ok(Wrapped {
            prompts,
            reading,
            offsets: self.predictor.head.offsets(example),
            is_unknown: is_unknown.map_err(told)?,
        })
    }

    /// The mask vector of every prompt, in their order.
    fn encode(&self, prompts: &[Prompt]) -> Vec<Result<Vec<f32>, String>> {
        let batches = batches(prompts, self.batch_tokens);
        let encoded: Vec<Vec<Result<Vec<f32>, String>>> =
            batches.par_iter().with_max_len(1).map(|batch| self.batch(batch, prompts)).collect();
        let mut vectors = vec![Err(String::new()); prompts.len()];
        for (batch, encoded) in batches.into_iter().zip(encoded) {
            for (at, vector) in batch.into_iter().zip(encoded) {
                vectors[at] = vector;
            }
        }
        vectors
    }

    fn batch(&self, batch: &[usize], prompts: &[Prompt]) -> Vec<Result<Vec<f32>, String>> {
        let nothing = |reason: &str| vec![Err(reason.to_owned()); batch.len()];
        if self.stop.is_set() {
            return nothing("stopped");
        }
        // Pushed to and popped from, which a panic cannot leave half done.
        let free = || self.encoders.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(mut encoder) = free().pop() else { return nothing("no encoder is free") };
        let prompts: Vec<&Prompt> = batch.iter().map(|&at| &prompts[at]).collect();
        let vectors = match encode(encoder.as_mut(), &prompts) {
            Ok(vectors) => vectors.into_iter().map(Ok).collect(),
            Err(reason) if prompts.len() == 1 => nothing(&reason),
            // One of them may be to blame, and the others must not suffer for it.
            Err(_) => prompts.iter().map(|prompt| alone(encoder.as_mut(), prompt)).collect(),
        };
        free().push(encoder);
        vectors
    }

    fn answer(&self, of: &Places, vectors: &[Result<Vec<f32>, String>]) -> Outcome {
        let own: Result<Vec<&[f32]>, String> = of
            .places
            .iter()
            .map(|&place| vectors[place].as_ref().map(Vec::as_slice).map_err(Clone::clone))
            .collect();
        let prediction = self.predictor.answer(own?, &of.offsets, &of.reading);
        match prediction.output.is_finite() {
            true => Ok(prediction),
            false => Err("the model's answer is no finite number".to_owned()),
        }
    }
}

/// Prompts by length, cut where a batch, padded to its longest, would have more tokens than it may:
/// the best that can be done about padding.
fn batches(prompts: &[Prompt], max_tokens: usize) -> Vec<Vec<usize>> {
    let length = |at: usize| prompts[at].input_ids.len();
    let mut order: Vec<usize> = (0..prompts.len()).collect();
    // The longest first: the last batches, for which threads may have to wait, are then small.
    order.sort_by_key(|&at| std::cmp::Reverse(length(at)));
    let mut batches: Vec<Vec<usize>> = Vec::new();
    for at in order {
        match batches.last_mut() {
            Some(batch) if (batch.len() + 1) * length(batch[0]) <= max_tokens => batch.push(at),
            _ => batches.push(vec![at]),
        }
    }
    batches
}

fn alone(encoder: &mut dyn MaskEncoder, prompt: &Prompt) -> Result<Vec<f32>, String> {
    encode(encoder, &[prompt]).map(|mut vectors| vectors.swap_remove(0))
}

/// One vector for each prompt, or what went wrong, a panic included: an encoder fills its inputs
/// anew for each batch, so none sees what a panic has left behind.
fn encode(encoder: &mut dyn MaskEncoder, prompts: &[&Prompt]) -> Result<Vec<Vec<f32>>, String> {
    let vectors = catch_panic(|| encoder.mask_vectors(prompts))
        .map_err(|message| format!("the encoder panicked: {message}"))?
        .map_err(|error| error.to_string())?;
    let (found, expected) = (vectors.len(), prompts.len() * encoder.hidden_size());
    if found != expected || found == 0 {
        return Err(format!("the encoder gave {found} numbers, expected {expected}"));
    }
    Ok(vectors.chunks_exact(encoder.hidden_size()).map(<[f32]>::to_vec).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn prompt(tokens: usize) -> Prompt {
        Prompt {
            input_ids: vec![1; tokens],
            segment_ids: vec![0; tokens],
            mask_position: 0,
            truncated: false,
        }
    }

    proptest! {
        #[test]
        fn batches_hold_every_prompt_once_and_keep_within_their_limit(
            lengths in prop::collection::vec(1usize..200, 0..200),
            max_tokens in 1usize..1000,
        ) {
            let prompts: Vec<Prompt> = lengths.iter().copied().map(prompt).collect();
            let batches = batches(&prompts, max_tokens);
            for batch in &batches {
                let longest = batch.iter().map(|&at| lengths[at]).max().expect("not empty");
                prop_assert!(batch.len() == 1 || batch.len() * longest <= max_tokens);
            }
            let mut all = batches.concat();
            all.sort_unstable();
            prop_assert!(all.into_iter().eq(0..lengths.len()));
        }
    }
}
