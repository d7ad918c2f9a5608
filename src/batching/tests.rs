use std::{num::NonZeroUsize, sync::mpsc, task::Poll};

use super::*;
use crate::inference::PredictError;

/// Answers each prompt with its first token and the size of its batch. Waits for the gate before
/// each batch, and misbehaves on the tokens named below.
struct Echo {
    gate: mpsc::Receiver<()>,
    started: mpsc::Sender<Vec<u32>>,
}

const PANIC: u32 = 666;
const FAIL: u32 = 667;
const SHORT: u32 = 668;

impl MaskEncoder for Echo {
    fn mask_vectors(&mut self, prompts: &[&Prompt]) -> Result<Vec<f32>, PredictError> {
        let firsts: Vec<u32> = prompts.iter().map(|prompt| prompt.input_ids[0]).collect();
        // Errors mean that the test is over.
        let _ = self.started.send(firsts.clone());
        let _ = self.gate.recv();
        assert!(!firsts.contains(&PANIC), "told to panic");
        if firsts.contains(&FAIL) {
            return Err(PredictError::Encoder("told to fail".to_owned()));
        }
        if firsts.contains(&SHORT) {
            return Ok(vec![0.0]);
        }
        let vector = |first: u32| [first as f32, prompts.len() as f32];
        Ok(firsts.into_iter().flat_map(vector).collect())
    }

    fn hidden_size(&self) -> usize {
        2
    }
}

/// A batcher with one worker, the gate of its encoder, and the first tokens of each batch begun.
struct Bench {
    batcher: Batcher,
    gate: mpsc::Sender<()>,
    started: mpsc::Receiver<Vec<u32>>,
}

fn config(workers: usize, max_batch_tokens: usize, max_queued_tokens: usize) -> BatchingConfig {
    let count = |n| NonZeroUsize::new(n).expect("not 0");
    BatchingConfig {
        workers: NonZeroUsize::new(workers),
        max_batch_tokens: count(max_batch_tokens),
        max_queued_tokens: count(max_queued_tokens),
        max_queue_delay_ms: 60_000,
    }
}

fn bench(max_batch_tokens: usize, max_queued_tokens: usize) -> Bench {
    let config = config(1, max_batch_tokens, max_queued_tokens);
    let (gate, wait) = mpsc::channel();
    let (begin, started) = mpsc::channel();
    let encoder = Echo { gate: wait, started: begin };
    let batcher = Batcher::start(vec![Box::new(encoder)], None, &config).expect("a thread");
    Bench { batcher, gate, started }
}

impl Bench {
    fn open_gate(&self, batches: usize) {
        for _ in 0..batches {
            self.gate.send(()).expect("the worker lives");
        }
    }

    fn begun(&self) -> Vec<u32> {
        self.started.recv().expect("the worker lives")
    }
}

fn prompt(first: u32, tokens: usize) -> Prompt {
    Prompt {
        input_ids: vec![first; tokens],
        segment_ids: vec![0; tokens],
        mask_position: 0,
        truncated: false,
    }
}

/// Hands prompts in without waiting for the answers.
macro_rules! hand_in {
    ($bench:ident, $prompts:expr) => {{
        let mut call = Box::pin($bench.batcher.encode($prompts));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match call.as_mut().poll(&mut context) {
            Poll::Pending => Ok(call),
            Poll::Ready(answer) => Err(answer),
        }
    }};
}

// After the macro that it uses.
mod admitting;
mod caching;
mod replacing;

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.expect("a runtime").block_on(future)
}

fn firsts(answer: Result<Vec<Encoded>, BatchError>) -> Vec<f32> {
    let encoded = answer.expect("encoded");
    encoded.iter().map(|one| one.mask_vector[0]).collect()
}

#[test]
fn answers_keep_the_order_of_the_prompts_whatever_the_batches() {
    let bench = bench(8, 1000);
    let prompts: Vec<Prompt> = (0..20).map(|at| prompt(at, 1 + at as usize % 5)).collect();
    bench.open_gate(20);
    let answer = block_on(bench.batcher.encode(prompts));
    assert_eq!(firsts(answer), (0..20).map(|at| at as f32).collect::<Vec<_>>());
    assert!(block_on(bench.batcher.encode(Vec::new())).expect("nothing to do").is_empty());
}

#[test]
fn what_came_while_the_worker_was_busy_goes_together() {
    let bench = bench(100, 1000);
    let first = hand_in!(bench, vec![prompt(1, 4)]).ok().expect("waits");
    assert_eq!(bench.begun(), [1]);
    let second = hand_in!(bench, vec![prompt(2, 4)]).ok().expect("waits");
    let third = hand_in!(bench, vec![prompt(3, 4), prompt(4, 4)]).ok().expect("waits");
    bench.open_gate(2);
    assert_eq!(firsts(block_on(first)), [1.0]);
    let second = block_on(second).expect("encoded");
    assert_eq!(*second[0].mask_vector, [2.0, 3.0], "three in the batch");
    assert!(second[0].queue_time > Duration::ZERO);
    assert_eq!(firsts(block_on(third)), [3.0, 4.0]);
}

#[test]
fn a_call_is_taken_in_whole_or_not_at_all() {
    let bench = bench(10, 20);
    let first = hand_in!(bench, vec![prompt(1, 10)]).ok().expect("waits");
    assert_eq!(bench.begun(), [1]);
    let second = hand_in!(bench, vec![prompt(2, 15)]).ok().expect("waits");
    let refused = block_on(bench.batcher.encode(vec![prompt(3, 3), prompt(4, 3)]));
    let expected = BatchError::Full { queued_tokens: 15, max_queued_tokens: 20 };
    assert_eq!(refused, Err(expected));
    let refused = block_on(bench.batcher.encode(vec![prompt(3, 21)]));
    assert!(matches!(refused, Err(BatchError::TooLarge { tokens: 21, .. })));
    let fits = hand_in!(bench, vec![prompt(5, 5)]).ok().expect("waits");
    bench.open_gate(3);
    for (call, expected) in [(first, 1.0), (second, 2.0), (fits, 5.0)] {
        assert_eq!(firsts(block_on(call)), [expected]);
    }
}

#[test]
fn callers_that_have_gone_cost_no_encoder_time_and_make_room() {
    let bench = bench(10, 20);
    let first = hand_in!(bench, vec![prompt(1, 10)]).ok().expect("waits");
    assert_eq!(bench.begun(), [1]);
    let gone = hand_in!(bench, vec![prompt(2, 10)]).ok().expect("waits");
    let stays = hand_in!(bench, vec![prompt(3, 10)]).ok().expect("waits");
    drop(gone);
    let also = hand_in!(bench, vec![prompt(4, 10)]).ok().expect("there is room again");
    bench.open_gate(3);
    for (call, expected) in [(first, 1.0), (stays, 3.0), (also, 4.0)] {
        assert_eq!(firsts(block_on(call)), [expected]);
    }
    assert_eq!([bench.begun(), bench.begun()], [[3], [4]]);
}

#[test]
fn a_failing_batch_is_answered_and_the_worker_lives_on() {
    let bench = bench(10, 20);
    bench.open_gate(10);
    for (token, expected) in [
        (PANIC, "the encoder panicked: told to panic"),
        (FAIL, "the encoder failed: told to fail"),
        (SHORT, "the encoder gave 1 numbers, expected 2"),
    ] {
        let error = block_on(bench.batcher.encode(vec![prompt(token, 3)]));
        assert_eq!(error, Err(BatchError::Encoder(expected.to_owned())));
    }
    assert_eq!(firsts(block_on(bench.batcher.encode(vec![prompt(1, 3)]))), [1.0]);
}

#[test]
fn closed_finishes_what_waits_and_abandoned_answers_it() {
    for abandon in [false, true] {
        let bench = bench(10, 20);
        let first = hand_in!(bench, vec![prompt(1, 10)]).ok().expect("waits");
        assert_eq!(bench.begun(), [1]);
        let second = hand_in!(bench, vec![prompt(2, 10)]).ok().expect("waits");
        if abandon {
            bench.batcher.abandon();
        } else {
            bench.batcher.close();
        }
        let late = block_on(bench.batcher.encode(vec![prompt(3, 1)]));
        assert_eq!(late, Err(BatchError::Closed));
        // Once for each batch that is still run: the worker ends with the last, and its gate with it.
        bench.open_gate(if abandon { 1 } else { 2 });
        bench.batcher.join();
        assert_eq!(firsts(block_on(first)), [1.0]);
        let second = block_on(second);
        assert_eq!(second.is_err(), abandon, "{second:?}");
    }
}

/// An encoder that tells what it begins and waits for its gate.
fn echo() -> (Box<dyn MaskEncoder + Send>, Ends) {
    let ((gate, wait), (begin, started)) = (mpsc::channel(), mpsc::channel());
    (Box::new(Echo { gate: wait, started: begin }), Ends { gate, started })
}

/// The test's ends of an encoder's channels.
struct Ends {
    gate: mpsc::Sender<()>,
    started: mpsc::Receiver<Vec<u32>>,
}

#[test]
fn the_prompts_of_a_lone_call_are_divided_among_the_workers() {
    let ((one, one_ends), (other, other_ends)) = (echo(), echo());
    let batcher = Batcher::start(vec![one, other], None, &config(2, 1000, 1000));
    let bench = Divided { batcher: batcher.expect("threads") };
    let prompts = (1..=4).map(|first| prompt(first, 50)).collect();
    let call = hand_in!(bench, prompts).ok().expect("waits");
    // Neither is let go before both have begun: one that is done would share the rest.
    for end in [&one_ends, &other_ends] {
        assert_eq!(end.started.recv().expect("the worker lives").len(), 2);
    }
    for end in [&one_ends, &other_ends] {
        end.gate.send(()).expect("the worker lives");
    }
    assert_eq!(firsts(block_on(call)), [1.0, 2.0, 3.0, 4.0]);
}

struct Divided {
    batcher: Batcher,
}

#[test]
fn a_batch_that_has_the_machine_to_itself_gets_all_of_it() {
    let ((worker, worker_ends), (lone, lone_ends)) = (echo(), echo());
    let batcher = Batcher::start(vec![worker], Some(lone), &config(1, 1000, 1000));
    let bench = Divided { batcher: batcher.expect("threads") };
    for (tokens, ends) in [(40, &lone_ends), (5, &worker_ends), (40, &lone_ends)] {
        ends.gate.send(()).expect("the worker lives");
        let answer = block_on(bench.batcher.encode(vec![prompt(7, tokens)]));
        assert_eq!(firsts(answer), [7.0]);
        assert_eq!(ends.started.try_recv().expect("it went this way"), [7]);
    }
}

#[test]
fn a_batch_beside_another_gets_its_worker_alone() {
    let ((one, one_ends), (other, other_ends)) = (echo(), echo());
    let (lone, lone_ends) = echo();
    let batcher = Batcher::start(vec![one, other], Some(lone), &config(2, 1000, 1000));
    let bench = Divided { batcher: batcher.expect("threads") };
    let first = hand_in!(bench, vec![prompt(1, 40)]).ok().expect("waits");
    assert_eq!(lone_ends.started.recv().expect("the worker lives"), [1]);
    for ends in [&one_ends, &other_ends] {
        ends.gate.send(()).expect("the worker lives");
    }
    assert_eq!(firsts(block_on(bench.batcher.encode(vec![prompt(2, 40)]))), [2.0]);
    assert!(lone_ends.started.try_recv().is_err(), "it was taken");
    lone_ends.gate.send(()).expect("the worker lives");
    assert_eq!(firsts(block_on(first)), [1.0]);
}
