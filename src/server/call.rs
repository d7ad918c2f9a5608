//! A call, from what it asks to what it is answered: prompts, mask vectors, heads. One way for
//! all calls, however many tasks they ask.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    cpus::{Cpus, Work},
    incoming::Incoming,
    room::Room,
    stages,
    status::CallError,
};
use crate::{
    batching::{Admitted, BatchError, Batcher, Distinct, Encoded, Terms},
    inference::{Head, Reading},
    registry::Route,
    task::{Example, Prediction},
};

/// Text that is tokenised in some hundred microseconds.
const SMALL_TEXT_BYTES: usize = 2048;

/// Time of comparing a text, in times of tokenising it.
const COMPARISON: usize = 3;

/// What a prompt costs besides its text, in bytes of text.
const PROMPT_BYTES: usize = 32;

/// Multiplications that are done in some hundred microseconds: those of linear heads for hundreds
/// of prompts, of heads with a dense layer for a few.
const SMALL_HEADS: usize = 1 << 20;

/// What is asked of one task, checked.
pub(super) struct TaskQuestion {
    pub route: Arc<Route>,
    /// At least one.
    pub examples: Vec<Example>,
    /// Indices of the templates that each example is wrapped in; at least one.
    pub templates: Vec<usize>,
}

impl TaskQuestion {
    /// Bytes of text that are tokenised, and what every prompt, and the comparison of pairs, costs
    /// besides in such bytes.
    fn text_bytes(&self) -> usize {
        let of_example = |example: &Example| -> usize {
            PROMPT_BYTES + example.values.iter().map(String::len).sum::<usize>()
        };
        let compares = self.route.task.predictor.head.pair_similarity.is_some();
        let times = self.templates.len() + if compares { COMPARISON } else { 0 };
        self.examples.iter().map(of_example).sum::<usize>() * times
    }
}

/// What one task says.
pub(super) struct TaskAnswer {
    pub route: Arc<Route>,
    /// One for each example, in their order.
    pub predictions: Vec<Prediction>,
}

/// What a call is answered.
pub(super) struct Answer {
    /// In the order asked.
    pub tasks: Vec<TaskAnswer>,
    pub cost: Cost,
}

impl Answer {
    /// Windows that examples were read in, of all tasks that have a stride.
    pub fn windows(&self) -> usize {
        let has_windows = |task: &&TaskAnswer| task.route.task.predictor.has_windows();
        let predictions = self.tasks.iter().filter(has_windows).flat_map(|task| &task.predictions);
        predictions.map(|prediction| prediction.windows).sum()
    }
}

/// What a call cost.
#[derive(Debug, Default)]
pub(super) struct Cost {
    /// Tokens that went through an encoder.
    pub tokens: usize,
    /// Distinct prompts whose vector came from the cache.
    pub cached: usize,
    /// How long it took to make the prompts.
    pub tokenization_time: Duration,
    /// The longest that a prompt waited for a worker.
    pub queue_time: Duration,
    /// The longest that an encoder took for a batch.
    pub inference_time: Duration,
}

/// The prompts of a call.
struct Prompts {
    passes: Vec<Pass>,
    tasks: Vec<TaskPrompts>,
}

/// What is to go through one encoder, whichever tasks it is for.
struct Pass {
    batcher: Arc<Batcher>,
    prompts: Distinct,
    /// Once the batcher has taken the prompts.
    admitted: Option<Admitted>,
}

/// The prompts of one task.
struct TaskPrompts {
    route: Arc<Route>,
    /// Which pass they are in.
    pass: usize,
    /// Their places in it, example by example, each of which knows how many are its own.
    places: Vec<usize>,
    /// Inputs of each example's answer besides its mask vectors.
    rest: Vec<Rest>,
}

/// Inputs of an answer besides mask vectors.
struct Rest {
    /// Numbers that the head adds to its outputs.
    offsets: Vec<f32>,
    /// The example's prompts.
    reading: Reading,
}

impl TaskPrompts {
    /// Multiplications that its head takes.
    fn multiplications(&self) -> usize {
        let Head { dense, output, .. } = &self.route.task.predictor.head;
        let dense = dense.as_ref().map_or(0, |dense| dense.layer.weight.data.len());
        (dense + output.weight.data.len()) * self.places.len()
    }
}

/// Answers what is asked of one task or of several. With a `room`, a full queue is waited for as
/// long as the stream that has this room fills it.
pub(super) async fn answer(
    questions: Vec<TaskQuestion>,
    cpus: &Cpus,
    call: &Incoming,
    room: Option<&Room>,
) -> Result<Answer, CallError> {
    let bytes = questions.iter().map(TaskQuestion::text_bytes).sum();
    let size = Work::up_to(SMALL_TEXT_BYTES, bytes);
    let (terms, trace) = (&call.terms, &call.trace);
    let (begun, tokenise) = (Instant::now(), trace.stage("tokenise"));
    let Prompts { mut passes, tasks } = cpus.run(size, move || prompts(questions)).await??;
    drop(tokenise);
    let tokenization_time = begun.elapsed();
    let stay = match room {
        None => admit(&mut passes, terms).map(|()| None),
        Some(room) => room.enter(|| admit(&mut passes, terms)).await.map(Some),
    }?;
    let encoded = encode(passes).await?;
    drop(stay);
    let cost = Cost { tokenization_time, ..cost(&encoded) };
    stages::trace_batches(trace, &encoded, &cost);
    let multiplications = tasks.iter().map(TaskPrompts::multiplications).sum();
    let size = Work::up_to(SMALL_HEADS, multiplications);
    let _head = trace.stage("head");
    let tasks = cpus.run(size, move || apply_heads(tasks, &encoded)).await?;
    Ok(Answer { tasks, cost })
}

/// Wraps every example in each of its templates.
fn prompts(questions: Vec<TaskQuestion>) -> Result<Prompts, CallError> {
    let mut passes: Vec<Pass> = Vec::new();
    let mut tasks = Vec::with_capacity(questions.len());
    for question in questions {
        let batcher = &question.route.batcher;
        let is_same = |pass: &Pass| Arc::ptr_eq(&pass.batcher, batcher);
        let pass = passes.iter().position(is_same).unwrap_or_else(|| {
            let (batcher, prompts) = (Arc::clone(batcher), batcher.distinct());
            passes.push(Pass { batcher, prompts, admitted: None });
            passes.len() - 1
        });
        tasks.push(place(question, pass, &mut passes[pass].prompts)?);
    }
    Ok(Prompts { passes, tasks })
}

fn place(
    question: TaskQuestion,
    pass: usize,
    prompts: &mut Distinct,
) -> Result<TaskPrompts, CallError> {
    let TaskQuestion { route, examples, templates } = question;
    let mut places = Vec::with_capacity(examples.len() * templates.len());
    let mut rest = Vec::with_capacity(examples.len());
    let predictor = &route.task.predictor;
    for example in &examples {
        let (of_example, reading) = predictor.read(example, &templates)?;
        for prompt in of_example {
            places.push(prompts.insert(prompt)?);
        }
        rest.push(Rest { offsets: predictor.head.offsets(example), reading });
    }
    Ok(TaskPrompts { route, pass, places, rest })
}

/// Hands the prompts to their batchers. After an error, those that are not taken in yet can be
/// handed over again.
fn admit(passes: &mut [Pass], terms: &Terms) -> Result<(), BatchError> {
    for pass in passes.iter_mut().filter(|pass| pass.admitted.is_none()) {
        pass.admitted = Some(pass.batcher.admit(pass.prompts.prompts_mut(), terms)?);
    }
    Ok(())
}

/// The answers of each pass, in the order of its prompts. Several encoders work at the same time:
/// all have their prompts before one is waited for.
async fn encode(passes: Vec<Pass>) -> Result<Vec<Vec<Encoded>>, BatchError> {
    let mut encoded = Vec::with_capacity(passes.len());
    for admitted in passes.into_iter().filter_map(|pass| pass.admitted) {
        encoded.push(admitted.answers().await?);
    }
    Ok(encoded)
}

fn cost(passes: &[Vec<Encoded>]) -> Cost {
    passes.iter().flatten().fold(Cost::default(), |cost, one| Cost {
        tokens: cost.tokens + one.tokens,
        cached: cost.cached + usize::from(one.is_cached()),
        queue_time: cost.queue_time.max(one.queue_time),
        inference_time: cost.inference_time.max(one.inference_time),
        ..cost
    })
}

/// From the mask vectors of every pass to the predictions of every task.
fn apply_heads(tasks: Vec<TaskPrompts>, passes: &[Vec<Encoded>]) -> Vec<TaskAnswer> {
    let answer = |task: TaskPrompts| {
        let encoded = &passes[task.pass];
        let mut places = task.places.as_slice();
        let predictions = task.rest.iter().map(|Rest { offsets, reading }| {
            let (own, after) = places.split_at(reading.prompts());
            places = after;
            let vectors = own.iter().map(|&place| &*encoded[place].mask_vector);
            task.route.task.predictor.answer(vectors, offsets, reading)
        });
        let predictions = predictions.collect();
        TaskAnswer { route: task.route, predictions }
    };
    tasks.into_iter().map(answer).collect()
}
