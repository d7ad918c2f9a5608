//! The cost of an architecture's variations in the exported graph: each against the same shape without
//! it, by CPU time of the same batches, in turns.
//!
//! cargo bench --bench variations [-- --rounds N]

use std::{collections::BTreeMap, time::Instant};

use anyhow::{Context, Result};
use clap::Parser;
use dynamar::{
    architecture::{ALL, Architecture, Distances, FamilyName, Role, Window},
    export,
    inference::{Encoder, EncoderSource, MaskEncoder, Runtime},
    tokenization::Prompt,
    weights::{Array, EncoderWeights, Precision},
};

/// Tokens of each prompt of a batch: from short to long, as reviews and titles are.
const LENGTHS: [usize; 12] = [10, 12, 16, 18, 22, 26, 32, 40, 52, 64, 90, 128];

#[derive(Parser)]
struct Args {
    /// Batches that each of the two encodes
    #[arg(long, default_value_t = 15)]
    rounds: usize,
    /// Given by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let runtime = Runtime::load(None).context("ONNX Runtime: `make fetch` gets it")?;
    let mpnet = shape(FamilyName::Mpnet)?;
    let buckets = Distances::Buckets { buckets: 32, max_distance: 128 };
    let modern = Architecture { window: None, ..shape(FamilyName::Modernbert)? };
    let rotary = Distances::Rotary { theta: 160_000.0, local_theta: 10_000.0 };
    let window = Some(Window { span: 64, global_every: 3 });
    let deberta = shape(FamilyName::Deberta)?;
    let disentangled =
        Distances::Disentangled { span: 256, buckets: 256, max_distance: 512, norm: true };
    let of = |base: &Architecture, distances| Architecture { distances, ..base.clone() };
    let with_rotary = of(&modern, rotary);
    let pairs = [
        ("relative position bias (MPNet)", of(&mpnet, Distances::None), of(&mpnet, buckets)),
        ("rotary positions (ModernBERT)", of(&modern, Distances::None), with_rotary.clone()),
        (
            "a window in two of three layers",
            with_rotary.clone(),
            Architecture { window, ..with_rotary },
        ),
        (
            "disentangled attention (DeBERTa)",
            of(&deberta, Distances::None),
            of(&deberta, disentangled),
        ),
    ];
    println!("768 wide, 6 layers, 12 heads; one thread; {LENGTHS:?} tokens a batch");
    for (name, without, with) in pairs {
        let mut pair = [encoder(&runtime, without)?, encoder(&runtime, with)?];
        let ratio = compare(&mut pair, args.rounds)?;
        println!("{name}: {:+.1} % of time", (ratio - 1.0) * 100.0);
    }
    Ok(())
}

/// A family's variations in the size of a base model with half its layers.
fn shape(name: FamilyName) -> Result<Architecture> {
    let family = ALL.iter().find(|family| family.name == name).context("a family")?;
    Ok(Architecture {
        hidden_size: 768,
        layers: 6,
        heads: 12,
        intermediate_size: if name == FamilyName::Modernbert { 1152 } else { 3072 },
        vocabulary_size: 30_000,
        max_positions: 512,
        ..(family.tiny)()
    })
}

fn encoder(runtime: &Runtime, architecture: Architecture) -> Result<Encoder> {
    let mut state = 1u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        ((state >> 40) as f32 / (1u64 << 24) as f32 - 0.5) * 0.1
    };
    let arrays: BTreeMap<String, Array> = architecture
        .parameters()
        .into_iter()
        .map(|parameter| {
            let centre = if parameter.role == Role::Scale { 1.0 } else { 0.0 };
            let count = parameter.shape.iter().product();
            let data = (0..count).map(|_| centre + next()).collect();
            (parameter.name, Array { shape: parameter.shape, data })
        })
        .collect();
    let weights = EncoderWeights::new(architecture, arrays)?;
    let home = tempfile::tempdir()?;
    let files = export::to_onnx(&weights, Precision::Fp32, "encoder.weights");
    let graph = home.path().join("encoder.onnx");
    std::fs::write(&graph, files.graph)?;
    std::fs::write(home.path().join("encoder.weights"), files.weights)?;
    Ok(EncoderSource::open(runtime, &graph, &weights.architecture)?.session(1)?)
}

/// The median of the second's time over the first's, each batch by both in turns.
fn compare(pair: &mut [Encoder; 2], rounds: usize) -> Result<f64> {
    let prompts: Vec<Prompt> = LENGTHS
        .iter()
        .map(|&length| Prompt {
            input_ids: (0..length as u32).map(|at| 100 + at * 7).collect(),
            segment_ids: vec![0; length],
            mask_position: length / 2,
            truncated: false,
        })
        .collect();
    let batch: Vec<&Prompt> = prompts.iter().collect();
    let mut ratios = Vec::new();
    for round in 0..rounds + 2 {
        let mut times = [0.0; 2];
        // The other begins every second time.
        for at in [round % 2, (round + 1) % 2] {
            let start = Instant::now();
            pair[at].mask_vectors(&batch)?;
            times[at] = start.elapsed().as_secs_f64();
        }
        // The first two warm caches up.
        if round >= 2 {
            ratios.push(times[1] / times[0]);
        }
    }
    ratios.sort_by(f64::total_cmp);
    ratios.get(ratios.len() / 2).copied().context("no round")
}
