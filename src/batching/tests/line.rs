//! The order in which calls are served.

use tokio::sync::oneshot;

use super::*;

/// A line, and the ends at which answers are waited for.
struct Bench {
    line: Line,
    answers: Vec<oneshot::Receiver<super::super::reply::Answer>>,
    begun: Instant,
}

const DELAY: Duration = Duration::from_secs(1);

fn bench(share: usize) -> Bench {
    Bench { line: Line::new(share), answers: Vec::new(), begun: Instant::now() }
}

impl Bench {
    /// A call whose prompts have these first tokens, and all this length.
    fn call(&mut self, firsts: std::ops::Range<u32>, tokens: usize, deadline: Option<Duration>) {
        let call = Call::new(deadline.map(|deadline| self.begun + deadline));
        let waiting: Vec<Waiting> = firsts
            .map(|first| {
                let (reply, answer) = oneshot::channel();
                self.answers.push(answer);
                let prompt = Prompt {
                    input_ids: vec![first; tokens],
                    segment_ids: vec![0; tokens],
                    mask_position: 0,
                    truncated: false,
                };
                let call = Arc::clone(&call);
                Waiting { prompt, since: self.begun, reply: Reply::One(reply), call }
            })
            .collect();
        self.line.extend(waiting.into_iter());
    }

    /// The first tokens of the next batch, and how many were refused, so long after the beginning.
    fn take(&mut self, max_tokens: usize, after: Duration) -> (Vec<u32>, usize) {
        let taken = self.line.take(max_tokens, DELAY, self.begun + after);
        let firsts = taken.batch.iter().map(|waiting| waiting.prompt.input_ids[0]);
        (firsts.collect(), taken.refused.len())
    }

    fn next(&mut self, max_tokens: usize) -> Vec<u32> {
        self.take(max_tokens, Duration::ZERO).0
    }
}

#[test]
fn small_calls_are_served_in_their_order() {
    let mut bench = bench(20);
    for first in 0..6 {
        bench.call(first..first + 1, 10, None);
    }
    for expected in [[0, 1], [2, 3], [4, 5]] {
        assert_eq!(bench.next(20), expected);
    }
    assert!(bench.line.is_empty() && bench.line.tokens() == 0);
}

#[test]
fn a_large_call_neither_keeps_small_ones_waiting_nor_waits_for_all_of_them() {
    let mut bench = bench(20);
    bench.call(1000..1020, 10, None);
    // As many small calls come with every batch as a batch holds: what waits only grows, and
    // whoever waited for a quiet moment would wait for ever.
    let mut large = 0;
    for at in 0..60 {
        bench.call(2 * at..2 * at + 1, 10, None);
        bench.call(2 * at + 1..2 * at + 2, 10, None);
        let batch = bench.next(20);
        assert_eq!(batch.len(), 2);
        large += batch.iter().filter(|first| **first >= 1000).count();
        if let Some(first) = batch.iter().find(|first| **first < 1000) {
            assert!(at - first / 2 <= 1 + large as u32 / 2, "{first} in batch {at}");
        }
    }
    assert_eq!(large, 20, "all of the large call, two in each round");
}

#[test]
fn a_newcomer_waits_for_one_share_of_each_large_call() {
    let mut bench = bench(20);
    for at in 0..3 {
        bench.call(at * 100..at * 100 + 50, 10, None);
    }
    let Ahead { first, last } = bench.line.ahead(10);
    assert_eq!((first, last), (60, 70));
    let Ahead { first, last } = bench.line.ahead(45);
    assert_eq!((first, last), (60, 3 * 60 + 45));
    assert_eq!(bench.line.tokens(), 1500);
}

#[test]
fn what_nobody_waits_for_any_more_is_not_served() {
    let mut bench = bench(100);
    bench.call(0..1, 10, None);
    bench.call(1..2, 10, Some(Duration::from_millis(5)));
    bench.call(2..3, 10, Some(Duration::from_millis(50)));
    drop(bench.answers.remove(0));
    assert_eq!(bench.take(100, Duration::from_millis(10)), (vec![2], 2));
    let expired = bench.answers.remove(0).try_recv();
    assert!(expired.is_err(), "the queue answers, not the line");
    bench.call(3..4, 10, None);
    drop(bench.answers.pop());
    bench.line.forget_abandoned();
    assert!(bench.line.is_empty() && bench.line.tokens() == 0);
}

#[test]
fn a_call_that_waited_too_long_is_refused_and_one_that_was_begun_is_finished() {
    let mut bench = bench(20);
    bench.call(0..4, 10, None);
    bench.call(4..5, 10, None);
    assert_eq!(bench.next(20), [0, 1]);
    assert_eq!(bench.take(20, 2 * DELAY), (vec![2, 3], 1));
}

#[test]
fn a_probe_comes_before_all() {
    let mut bench = bench(20);
    bench.call(0..2, 10, None);
    let (reply, _answer) = oneshot::channel();
    let prompt = Prompt {
        input_ids: vec![9; 10],
        segment_ids: vec![0; 10],
        mask_position: 0,
        truncated: false,
    };
    let (since, reply) = (bench.begun, Reply::One(reply));
    bench.line.put_first(Waiting { prompt, since, reply, call: Call::new(None) });
    assert_eq!(bench.next(10), [9]);
    assert_eq!(bench.next(20), [0, 1]);
}
