//! The batcher with a cache.

use super::*;

fn cached(max_batch_tokens: usize, max_queued_tokens: usize) -> Bench {
    let bench = bench(max_batch_tokens, max_queued_tokens);
    Bench { batcher: bench.batcher.with_cache(1 << 20), ..bench }
}

impl Bench {
    fn counters(&self) -> [u64; 3] {
        let CacheCounters { hits, misses, joined, .. } =
            self.batcher.cache_counters().expect("the cache is on");
        [hits, misses, joined]
    }
}

#[test]
fn what_was_encoded_before_costs_nothing() {
    let bench = cached(100, 1000);
    bench.open_gate(2);
    let first = block_on(bench.batcher.encode(vec![prompt(1, 5)])).expect("encoded");
    assert_eq!((first[0].tokens, first[0].is_cached()), (5, false));
    let asked = vec![prompt(2, 3), prompt(1, 5), prompt(1, 4)];
    let answer = block_on(bench.batcher.encode(asked)).expect("encoded");
    let tokens: Vec<usize> = answer.iter().map(|one| one.tokens).collect();
    assert_eq!(tokens, [3, 0, 4]);
    assert_eq!(answer[1].mask_vector, first[0].mask_vector);
    assert_eq!(*answer[0].mask_vector, [2.0, 2.0], "the known one was not in the batch");
    assert_eq!(bench.counters(), [1, 3, 0]);
    assert_eq!(bench.batcher.with_cache(0).cache_counters(), None);
}

#[test]
fn what_is_on_its_way_is_encoded_once_for_all_who_ask() {
    let bench = cached(100, 1000);
    let first = hand_in!(bench, vec![prompt(1, 5)]).ok().expect("waits");
    assert_eq!(bench.begun(), [1]);
    let second = hand_in!(bench, vec![prompt(1, 5)]).ok().expect("waits");
    let third = hand_in!(bench, vec![prompt(1, 5), prompt(2, 5), prompt(2, 5)]);
    let third = third.expect("waits");
    bench.open_gate(2);
    assert_eq!(block_on(first).expect("encoded")[0].tokens, 5);
    assert_eq!(block_on(second).expect("encoded")[0].tokens, 0);
    let third = block_on(third).expect("encoded");
    assert_eq!(third.iter().map(|one| one.tokens).collect::<Vec<_>>(), [0, 5, 0]);
    assert_eq!(third.iter().map(|one| one.mask_vector[0]).collect::<Vec<_>>(), [1.0, 2.0, 2.0]);
    assert_eq!(bench.begun(), [2]);
    assert_eq!(bench.counters(), [0, 2, 3]);
}

#[test]
fn a_flight_goes_on_while_anybody_waits_and_no_longer() {
    let bench = cached(5, 20);
    let busy = hand_in!(bench, vec![prompt(1, 5)]).ok().expect("waits");
    assert_eq!(bench.begun(), [1]);
    let gone = hand_in!(bench, vec![prompt(2, 5)]).ok().expect("waits");
    let stays = hand_in!(bench, vec![prompt(2, 5)]).ok().expect("waits");
    let also_gone = hand_in!(bench, vec![prompt(3, 5)]).ok().expect("waits");
    drop((gone, also_gone));
    bench.open_gate(2);
    assert_eq!(firsts(block_on(busy)), [1.0]);
    assert_eq!(firsts(block_on(stays)), [2.0]);
    assert_eq!(bench.begun(), [2]);
    // Nobody waited for the third; who asks now begins anew.
    bench.open_gate(1);
    assert_eq!(firsts(block_on(bench.batcher.encode(vec![prompt(3, 5)]))), [3.0]);
    assert_eq!(bench.begun(), [3]);
}

#[test]
fn what_failed_is_told_to_all_who_wait_and_forgotten() {
    let bench = cached(100, 1000);
    let first = hand_in!(bench, vec![prompt(FAIL, 3)]).ok().expect("waits");
    assert_eq!(bench.begun(), [FAIL]);
    let second = hand_in!(bench, vec![prompt(FAIL, 3)]).ok().expect("waits");
    bench.open_gate(2);
    let expected = Err(BatchError::Encoder("the encoder failed: told to fail".to_owned()));
    assert_eq!([block_on(first), block_on(second)], [expected.clone(), expected.clone()]);
    assert_eq!(block_on(bench.batcher.encode(vec![prompt(FAIL, 3)])), expected);
    assert_eq!(bench.counters(), [0, 2, 1]);
}

#[test]
fn a_call_that_is_not_taken_in_leaves_nothing_behind() {
    let bench = cached(10, 20);
    let busy = hand_in!(bench, vec![prompt(1, 10)]).ok().expect("waits");
    assert_eq!(bench.begun(), [1]);
    let waits = hand_in!(bench, vec![prompt(2, 10)]).ok().expect("waits");
    let mut refused = vec![prompt(3, 6), prompt(4, 6)];
    let error = bench.batcher.admit(&mut refused, &Terms::default()).err().expect("full");
    assert!(matches!(error, BatchError::Full { .. }), "{error:?}");
    assert_eq!(refused, [prompt(3, 6), prompt(4, 6)]);
    // It would be joined if the refused call had left it.
    let fits = hand_in!(bench, vec![prompt(3, 6)]).ok().expect("waits");
    bench.open_gate(3);
    for (call, expected) in [(busy, 1.0), (waits, 2.0), (fits, 3.0)] {
        assert_eq!(firsts(block_on(call)), [expected]);
    }
    assert_eq!(bench.counters(), [0, 3, 0]);
}

#[test]
fn those_who_join_have_a_limit_too() {
    let bench = cached(10, 20);
    let first = hand_in!(bench, vec![prompt(1, 10)]).ok().expect("waits");
    assert_eq!(bench.begun(), [1]);
    let second = hand_in!(bench, vec![prompt(1, 10)]).ok().expect("joins");
    let refused = block_on(bench.batcher.encode(vec![prompt(1, 10)]));
    let expected = BatchError::Full { queued_tokens: 20, max_queued_tokens: 20 };
    assert_eq!(refused, Err(expected));
    drop(first);
    let third = hand_in!(bench, vec![prompt(1, 10)]).ok().expect("there is room again");
    bench.open_gate(1);
    assert_eq!(firsts(block_on(second)), [1.0]);
    assert_eq!(firsts(block_on(third)), [1.0]);
}

#[test]
fn closed_or_abandoned_it_answers_those_who_joined() {
    let bench = cached(5, 20);
    let busy = hand_in!(bench, vec![prompt(1, 5)]).ok().expect("waits");
    assert_eq!(bench.begun(), [1]);
    let waits = hand_in!(bench, vec![prompt(2, 5)]).ok().expect("waits");
    let joins = hand_in!(bench, vec![prompt(2, 5)]).ok().expect("joins");
    bench.batcher.abandon();
    assert_eq!(block_on(waits), Err(BatchError::Closed));
    assert_eq!(block_on(joins), Err(BatchError::Closed));
    bench.open_gate(1);
    assert_eq!(firsts(block_on(busy)), [1.0]);
    assert_eq!(firsts(block_on(bench.batcher.encode(vec![prompt(1, 5)]))), [1.0], "it is known");
    assert_eq!(block_on(bench.batcher.encode(vec![prompt(2, 5)])), Err(BatchError::Closed));
}
