//! Who is taken in, in which turn, and what it costs when nobody waits any more.

use std::time::Instant;

use super::*;
use crate::batching::queue::Ran;

/// As `bench`, with a measured rate of 1000 tokens per second and a longest wait of a second.
fn measured(max_batch_tokens: usize, max_queued_tokens: usize) -> Bench {
    let mut config = config(1, max_batch_tokens, max_queued_tokens);
    config.max_queue_delay_ms = 1000;
    let ((gate, wait), (begin, started)) = (mpsc::channel(), mpsc::channel());
    let encoder = Echo { gate: wait, started: begin };
    let batcher = Batcher::start(vec![Box::new(encoder)], None, &config).expect("a thread");
    let time = Duration::from_secs(1);
    for _ in 0..4 {
        batcher.queue.done(Ran { tokens: 1000, time, by_worker: true, succeeded: true });
    }
    Bench { batcher, gate, started }
}

fn within(time: Duration) -> Terms {
    Terms { deadline: Some(Instant::now() + time), connection: None }
}

#[test]
fn a_call_that_would_wait_too_long_is_refused_at_once_and_before_anything_is_done_for_it() {
    let bench = measured(500, 100_000);
    let _running = hand_in!(bench, vec![prompt(1, 500)]).ok().expect("runs");
    assert_eq!(bench.begun(), [1]);
    let waiting = hand_in!(bench, vec![prompt(2, 800)]).ok().expect("waits");
    // Half of the batch that runs and all of what waits.
    let error = block_on(bench.batcher.encode(vec![prompt(3, 5)])).expect_err("1.05 s");
    let BatchError::Overloaded { wait, max_wait } = error else { panic!("{error:?}") };
    assert_eq!(max_wait, Duration::from_secs(1));
    assert!((1045..1055).contains(&wait.as_millis()), "{wait:?}");
    assert!(error.is_passing());
    assert_eq!(bench.batcher.check(&Terms::default()), Err(error));
    drop(waiting);
    assert_eq!(bench.batcher.check(&Terms::default()), Ok(()), "its caller has gone");
    let taken = hand_in!(bench, vec![prompt(3, 5)]).ok().expect("there is room again");
    bench.open_gate(2);
    assert_eq!(firsts(block_on(taken)), [3.0]);
}

#[test]
fn a_call_that_would_come_too_late_for_its_caller_is_refused_at_once() {
    let bench = measured(500, 100_000);
    let _running = hand_in!(bench, vec![prompt(1, 500)]).ok().expect("runs");
    assert_eq!(bench.begun(), [1]);
    let error = bench.batcher.admit(&mut vec![prompt(2, 50)], &within(Duration::from_millis(290)));
    let error = error.err().expect("0.3 s");
    assert!(matches!(error, BatchError::TooLate { .. }), "{error:?}");
    let in_time = within(Duration::from_secs(60));
    let taken = bench.batcher.admit(&mut vec![prompt(2, 50)], &in_time).expect("in time");
    bench.open_gate(2);
    assert_eq!(firsts(block_on(taken.answers())), [2.0]);
    let late = bench.batcher.admit(&mut vec![prompt(2, 50)], &within(Duration::ZERO));
    assert_eq!(late.err(), Some(BatchError::Expired));
}

#[test]
fn what_is_over_before_it_is_begun_costs_no_encoder_time() {
    let bench = bench(10, 1000);
    let running = hand_in!(bench, vec![prompt(1, 10)]).ok().expect("runs");
    assert_eq!(bench.begun(), [1]);
    // The clock need not go on for this: it has passed this moment by the time of the next batch.
    let soon = within(Duration::from_nanos(1_000_000));
    let expires = bench.batcher.admit(&mut vec![prompt(2, 10), prompt(3, 10)], &soon);
    let expires = expires.expect("taken in");
    while soon.deadline.is_some_and(|deadline| Instant::now() <= deadline) {
        std::thread::yield_now();
    }
    let gone = hand_in!(bench, vec![prompt(4, 10)]).ok().expect("waits");
    let stays = hand_in!(bench, vec![prompt(5, 10)]).ok().expect("waits");
    drop(gone);
    bench.open_gate(2);
    assert_eq!(firsts(block_on(running)), [1.0]);
    assert_eq!(block_on(expires.answers()), Err(BatchError::Expired));
    assert_eq!(firsts(block_on(stays)), [5.0]);
    assert_eq!(bench.begun(), [5], "and nothing between");
}

#[test]
fn a_small_call_is_not_kept_waiting_by_a_large_one() {
    let bench = bench(20, 1000);
    let large = (100..120).map(|first| prompt(first, 10)).collect();
    let large = hand_in!(bench, large).ok().expect("runs");
    assert_eq!(bench.begun(), [100, 101]);
    let small = hand_in!(bench, vec![prompt(1, 10)]).ok().expect("waits");
    bench.open_gate(11);
    assert_eq!(firsts(block_on(small)), [1.0]);
    assert_eq!(firsts(block_on(large)).len(), 20);
    let batches: Vec<Vec<u32>> = bench.started.try_iter().take(2).collect();
    assert_eq!(batches, [[102, 103], [1, 104]].map(Vec::from), "after one share of it");
}

#[test]
fn one_connection_has_at_most_half_of_the_queue() {
    let bench = bench(10, 100);
    let connection = Arc::new(Load::default());
    let of_one = Terms { deadline: None, connection: Some(Arc::clone(&connection)) };
    let running = hand_in!(bench, vec![prompt(1, 10)]).ok().expect("runs");
    assert_eq!(bench.begun(), [1]);
    let first = bench.batcher.admit(&mut vec![prompt(2, 50)], &of_one).expect("taken in");
    let error = bench.batcher.admit(&mut vec![prompt(3, 10)], &of_one).err();
    assert_eq!(error, Some(BatchError::ConnectionFull { tokens: 50, max_tokens: 50 }));
    let other = hand_in!(bench, vec![prompt(4, 50)]).ok().expect("others have room");
    bench.open_gate(3);
    assert_eq!(firsts(block_on(running)), [1.0]);
    assert_eq!(firsts(block_on(first.answers())), [2.0]);
    assert_eq!(firsts(block_on(other)), [4.0]);
    bench.batcher.admit(&mut vec![prompt(3, 10)], &of_one).expect("its first call is done");
}
