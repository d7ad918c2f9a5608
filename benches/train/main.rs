//! How fast training is beside PyTorch, and how much memory it takes: `make bench-train`.
//!
//! Both sides fine-tune the same encoder on the very same batches of token ids, in blocks of steps
//! that take turns; a speed-up is the median over the blocks of PyTorch's time by ours. Before that,
//! with dropout off, both must report the same losses: they compute the same thing.
//!
//! Two things differ, and are part of what is measured. PyTorch pads a batch to its longest sequence
//! and computes every row of the last layer; ours packs, and computes the mask rows. PyTorch's AdamW
//! goes over all word embeddings; ours over those of the batch.

mod data;
mod measure;
mod memory;
mod ours;
mod peer;
mod report;

use std::{path::PathBuf, process::ExitCode, thread};

use anyhow::{Context, Result, bail};
use clap::Parser;
use dynamar::{import, tokenization::PromptTokenizer};

use data::Sources;
use measure::{Measured, Plan};
use report::Report;

/// Measures training against PyTorch
#[derive(Parser)]
struct Args {
    /// A directory with product-category, product-match, review-intensity and review-polarity,
    /// each with a train.csv; without it only the demo's reviews are measured
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// A Python that has PyTorch and transformers
    #[arg(long, value_name = "FILE", default_value = "target/bench-venv/bin/python")]
    python: PathBuf,
    /// A Hugging Face directory with an encoder
    #[arg(long, value_name = "DIR", default_value = "models/fetched/minilm-l6")]
    encoder: PathBuf,
    /// Threads of each side [default: all CPUs]
    #[arg(long)]
    threads: Option<usize>,
    /// Blocks of each side
    #[arg(long, default_value_t = 7)]
    blocks: usize,
    /// Training steps of a block
    #[arg(long, default_value_t = 4)]
    steps: usize,
    /// Measure only this scenario; may be repeated
    #[arg(long, value_name = "NAME")]
    scenario: Vec<String>,
    /// Where the figures go
    #[arg(long, value_name = "FILE", default_value = "target/bench/train.json")]
    out: PathBuf,
    /// Train a little and print the most memory that this process took
    #[arg(long, hide = true)]
    memory_alone: bool,
    /// Passed by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench-train: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<()> {
    if args.blocks == 0 || args.steps == 0 {
        bail!("--blocks and --steps must be at least 1");
    }
    let threads =
        args.threads.unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from));
    rayon::ThreadPoolBuilder::new().num_threads(threads).build_global()?;
    let encoder = import::read(&args.encoder)?;
    let tokenizer = PromptTokenizer::from_bytes(&encoder.tokenizer, &args.encoder)?;
    let sources = Sources {
        data: args.data.as_deref(),
        tokenizer: &tokenizer,
        max_positions: encoder.weights.architecture.max_positions,
    };
    if args.memory_alone {
        return memory::measure_here(sources.equal(memory::STEPS)?, encoder.weights);
    }
    let plan = Plan { blocks: args.blocks, steps: args.steps };
    let (mut scenarios, left_out) = sources.scenarios(plan.batches())?;
    if !args.scenario.is_empty() {
        scenarios.retain(|scenario| args.scenario.contains(&scenario.name));
    }
    let command = peer::Command { python: &args.python, encoder: &args.encoder, threads };
    let mut report = Report::begin(threads, left_out)?;
    for scenario in &scenarios {
        let measured = Measured::take(scenario, &plan, &encoder.weights, &command)
            .with_context(|| format!("scenario {}", scenario.name))?;
        report.add(scenario, measured);
    }
    report.memory = Some(memory::measure(&sources.equal(memory::STEPS)?, args, &command)?);
    report.write(&args.out)?;
    report.end()
}
