//! How long a step takes, part by part, in the shape of a small encoder:
//! `cargo test --release --lib profile -- --ignored --nocapture`.

use std::{collections::BTreeMap, time::Instant};

use super::{
    encoder::{Dropout, ReadOut, TrainableEncoder},
    head::TrainableHead,
    objective::Objective,
    ops::{Dense, noise},
    optimizer::{Optimizer, Rates},
    random::{hash, normal},
    settings::{HeadShape, Settings, Tune},
};
use crate::{
    architecture::{ALL, Architecture, ParameterSpec, Role},
    prompt::ClassWeights,
    task::Target,
    tokenization::{PackedBatch, Prompt},
    weights::{Array, EncoderWeights},
};

const BATCH: usize = 32;
const LABELS: usize = 5;

/// The shape of MiniLM-L6 with random weights.
fn encoder() -> TrainableEncoder {
    let architecture = Architecture {
        hidden_size: 384,
        layers: 6,
        heads: 12,
        intermediate_size: 1536,
        vocabulary_size: 30_522,
        max_positions: 512,
        ..(ALL[0].tiny)()
    };
    let mut arrays = BTreeMap::new();
    for (at, parameter) in architecture.parameters().into_iter().enumerate() {
        let ParameterSpec { name, shape, role, .. } = parameter;
        let count = shape.iter().product();
        let ones = role == Role::Scale;
        let data = if ones { vec![1.0; count] } else { normal(count, 0.02, &[at as u64]) };
        arrays.insert(name, Array { shape, data });
    }
    let weights = EncoderWeights::new(architecture, arrays).expect("weights");
    TrainableEncoder::new(&weights).expect("an encoder")
}

/// Of the same length, or of mixed ones.
fn batch(step: u64, lengths: &[usize]) -> PackedBatch {
    let prompts: Vec<Prompt> = (0..BATCH)
        .map(|at| {
            let length = lengths[at % lengths.len()];
            let word = |token| (hash(&[step, at as u64, token]) % 30_522) as u32;
            Prompt {
                input_ids: (0..length as u64).map(word).collect(),
                segment_ids: vec![0; length],
                mask_position: length / 2,
                truncated: false,
            }
        })
        .collect();
    PackedBatch::new(&prompts)
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[test]
#[ignore = "measures, and takes a while"]
fn steps() {
    let mut encoder = encoder();
    let mut head = TrainableHead::new(HeadShape::Linear, 384, LABELS, 1);
    let mut optimizer = Optimizer::new(1.0);
    let targets: Vec<Target> = (0..BATCH).map(|at| Target::Label(at % LABELS)).collect();
    let objective =
        Objective::new(&targets, LABELS, ClassWeights::Even, &Settings::new(Tune::Full));
    for lengths in [&[64][..], &[8, 12, 16, 22, 28, 34, 20, 36]] {
        let mut times = [const { Vec::new() }; 4];
        for step in 0..14 {
            let batch = batch(step, lengths);
            let dropout = Dropout { probability: 0.1, seed: step };
            let start = Instant::now();
            let read_out = ReadOut::masks(&batch);
            let vectors = encoder.forward(&batch, &read_out, dropout).expect("vectors");
            let outputs = head.forward(&vectors, dropout).expect("outputs");
            let gradient = objective.evaluate(&outputs, LABELS, &vectors, &targets).by_outputs;
            let forward = milliseconds(start);
            encoder.backward(&head.backward(&gradient).expect("gradients")).expect("gradients");
            let backward = milliseconds(start) - forward;
            let parameters = encoder.parameters_mut().iter_mut().chain(head.parameters_mut());
            let with_rates = parameters.map(|p| {
                let rates = Rates::of_head(&p.name, 1e-5, 0.01);
                (p, rates)
            });
            optimizer.step(with_rates, 1.0).expect("a step");
            let whole = milliseconds(start);
            if step >= 3 {
                let parts = [forward, backward, whole - forward - backward, whole];
                times.iter_mut().zip(parts).for_each(|(times, part)| times.push(part));
            }
        }
        let least = times[3].iter().copied().fold(f64::INFINITY, f64::min);
        let [forward, backward, update, whole] = times.map(median);
        println!(
            "{BATCH} of {lengths:?} tokens, median ms: forward {forward:.1} backward {backward:.1} \
             optimiser {update:.1} step {whole:.1} (least {least:.1})"
        );
    }
}

/// Times a piece of work and prints its rate.
fn rate(name: &str, flop: f64, mut work: impl FnMut()) {
    let times = (0..12).map(|_| {
        let start = Instant::now();
        work();
        milliseconds(start)
    });
    let least = times.fold(f64::INFINITY, f64::min);
    println!("{name}: {least:.2} ms, {:.0} GFLOP/s", flop / least / 1e6);
}

#[test]
#[ignore = "measures, and takes a while"]
fn products() {
    for (rows, inputs, outputs) in [
        (2048, 384, 384),
        (2048, 384, 768),
        (2048, 384, 1536),
        (2048, 1536, 384),
        (704, 384, 384),
        (704, 384, 1536),
        (704, 1536, 384),
        (32, 384, 1536),
        (2048, 2048, 2048),
    ] {
        let dense = Dense { rows, inputs, outputs };
        let (mut x, mut w) = (noise(rows * inputs, 1), noise(inputs * outputs, 2));
        let (mut y, b) = (vec![0.0; rows * outputs], noise(outputs, 3));
        let flop = 2.0 * (rows * inputs * outputs) as f64;
        let name = format!("[{rows}, {inputs}] by [{inputs}, {outputs}]");
        rate(&format!("{name} x·w"), flop, || dense.product(&mut y, &x, &w).expect("product"));
        rate(&format!("{name} x·w+b"), flop, || dense.affine(&mut y, &x, &w, &b).expect("y"));
        rate(&format!("{name} dy·wᵀ"), flop, || {
            dense.input_gradient(&mut x, false, &y, &w).expect("dx");
        });
        x.fill(0.5);
        rate(&format!("{name} xᵀ·dy"), flop, || {
            dense.weight_gradient(&mut w, false, &x, &y).expect("dw");
        });
    }
}
