//! Workers that do not come back or die.

use super::*;

/// Gives each replacement its own gate.
fn with_replacements(batcher: Batcher) -> (Batcher, mpsc::Receiver<Ends>) {
    let (hand_out, handed_out) = mpsc::channel();
    let hand_out = std::sync::Mutex::new(hand_out);
    let replacements = move || {
        let (encoder, ends) = echo();
        hand_out.lock().expect("no panic").send(ends).map_err(|error| error.to_string())?;
        Ok(encoder)
    };
    (batcher.with_replacements(Box::new(replacements)), handed_out)
}

const NEVER: Duration = Duration::from_secs(3600);

#[test]
fn a_worker_that_does_not_come_back_is_replaced_and_its_callers_are_told() {
    let Bench { batcher, gate, started } = bench(10, 100);
    let (batcher, replaced) = with_replacements(batcher);
    let bench = Divided { batcher };
    assert!(bench.batcher.tend(Duration::ZERO), "it is idle");
    let stuck = hand_in!(bench, vec![prompt(1, 10)]).ok().expect("runs");
    assert_eq!(started.recv().expect("the worker lives"), [1]);
    let waits = hand_in!(bench, vec![prompt(2, 10)]).ok().expect("waits");
    assert!(bench.batcher.tend(NEVER) && replaced.try_recv().is_err(), "it has time");
    assert!(bench.batcher.tend(Duration::ZERO));
    let message = "the worker encoder-0 does not come back".to_owned();
    assert_eq!(block_on(stuck), Err(BatchError::Encoder(message)));
    assert_eq!(bench.batcher.pulse().failures, 1);
    let ends = replaced.recv().expect("replaced");
    ends.gate.send(()).expect("the replacement lives");
    assert_eq!(firsts(block_on(waits)), [2.0]);
    assert_eq!(bench.batcher.pulse().failures, 0);
    // It comes back after all, and ends: its place is taken.
    gate.send(()).expect("it lives");
    assert!(started.recv().is_err(), "it took another batch");
    drop(ends);
    bench.batcher.close();
    bench.batcher.join();
}

#[test]
fn without_a_replacement_the_place_stays_empty_and_is_asked_for_again() {
    let Bench { batcher, gate: _gate, started } = bench(10, 100);
    let given = std::sync::atomic::AtomicBool::new(false);
    let bench = Divided {
        batcher: batcher.with_replacements(Box::new(move || {
            match given.swap(true, std::sync::atomic::Ordering::Relaxed) {
                false => Err("there is none".to_owned()),
                true => Ok(echo().0),
            }
        })),
    };
    let stuck = hand_in!(bench, vec![prompt(1, 10)]).ok().expect("runs");
    assert_eq!(started.recv().expect("the worker lives"), [1]);
    assert!(!bench.batcher.tend(Duration::ZERO));
    assert!(block_on(stuck).is_err());
    assert!(bench.batcher.tend(Duration::ZERO));
    // The stuck worker still is, and is not waited for.
    bench.batcher.close();
    bench.batcher.join();
}

#[test]
fn a_probe_goes_before_what_waits_and_past_all_limits() {
    let bench = bench(10, 20);
    let running = hand_in!(bench, vec![prompt(1, 10)]).ok().expect("runs");
    assert_eq!(bench.begun(), [1]);
    let waits = hand_in!(bench, vec![prompt(2, 10), prompt(3, 10)]).ok().expect("waits");
    let mut probe = Box::pin(bench.batcher.probe(prompt(4, 10)));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(probe.as_mut().poll(&mut context).is_pending());
    bench.open_gate(4);
    assert_eq!(firsts(block_on(running)), [1.0]);
    assert_eq!(block_on(probe).expect("encoded").mask_vector[0], 4.0);
    assert_eq!(firsts(block_on(waits)), [2.0, 3.0]);
    assert_eq!(bench.begun(), [4], "before the others");
    bench.batcher.abandon();
    assert_eq!(block_on(bench.batcher.probe(prompt(4, 10))), Err(BatchError::Closed));
}
