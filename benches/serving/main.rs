//! What the server adds to its encoder, and what it is worth beside other ways: `make bench`.
//!
//! The release server runs as a process of its own, with its default settings but that calls may
//! wait for long, on an encoder with two small tasks. It is measured beside the encoder alone: as
//! many sessions as the server has workers, over batches of prompts sorted by length, with no queue,
//! no text and no network. That is the ceiling. Blocks of both take turns in one run, and a figure is
//! a ratio of medians.
//!
//! Caller and server share the machine, as they do not in service: what the callers take is
//! measured and shown beside, and costs the server's throughput that much.

mod clocks;
mod in_process;
mod latency;
mod load;
mod measure;
mod memory;
mod mixes;
mod multiply;
mod overload;
mod predict;
mod quantised;
mod random;
mod rate;
mod report;
mod server;
mod setup;
mod statistics;
mod targets;
mod work;

use std::{path::PathBuf, process::ExitCode, sync::Arc, thread, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use clap::{Parser, ValueEnum};
use dynamar::inference::{Model, Runtime};
use serde_json::json;

use in_process::InProcess;
use latency::Added;
use measure::{Bench, Measured};
use memory::Memory;
use mixes::{ALL_16, Maker, Mix, SKEWED, UNIFORM};
use multiply::Multiplier;
use overload::Overload;
use predict::Predicted;
use quantised::Quantised;
use report::Report;
use server::Server;
use setup::Served;
use statistics::median;

/// Measures the server
#[derive(Parser)]
struct Args {
    /// A directory with product-category, product-match, review-intensity and review-polarity,
    /// each with a train.csv, whose texts are asked for too
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Measure only this part; may be repeated
    #[arg(long, value_enum, value_name = "PART")]
    only: Vec<Part>,
    /// Measure only this mix of lengths; may be repeated
    #[arg(long, value_name = "NAME")]
    mix: Vec<String>,
    /// Seconds of a block
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Blocks of each of those that take turns
    #[arg(long, default_value_t = 3)]
    blocks: usize,
    /// Seconds of an open loop; three times as many for the skewed mix
    #[arg(long, default_value_t = 5.0)]
    open_seconds: f64,
    /// Seconds of the overload
    #[arg(long, default_value_t = 60.0)]
    overload_seconds: f64,
    /// Starts of the server, whose median is taken
    #[arg(long, default_value_t = 5)]
    starts: usize,
    /// Requests after which the memory is looked at
    #[arg(long, default_value_t = 100_000)]
    rss_requests: usize,
    /// The checkpoint of the encoder
    #[arg(long, value_name = "DIR", default_value = "models/encoders/minilm-l6")]
    encoder: PathBuf,
    /// The program that is measured
    #[arg(long, value_name = "FILE", default_value = "target/release/dynamar")]
    dynamar: PathBuf,
    /// Where the figures go
    #[arg(long, value_name = "FILE", default_value = "target/bench/serving.json")]
    out: PathBuf,
    /// Multiply matrices of this hidden size when asked on standard input
    #[arg(long, hide = true, value_name = "HIDDEN")]
    multiply_alone: Option<usize>,
    /// Passed by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// How soon the server serves
    Start,
    /// What the server adds to a lone request
    Latency,
    /// Throughput and CPU time beside the ceiling, for each mix
    Mixes,
    /// Latency under loads that do not wait for answers, for each mix
    Open,
    /// Scoring a file beside the ceiling
    Predict,
    /// The encoder in int8
    Int8,
    /// Memory after many requests
    Rss,
    /// More than it can do, for a minute
    Overload,
}

impl Args {
    fn measures(&self, part: Part) -> bool {
        self.only.is_empty() || self.only.contains(&part)
    }

    fn check(&self) -> Result<()> {
        let seconds = [self.seconds, self.open_seconds];
        ensure!(
            seconds.iter().all(|seconds| (0.1..=600.0).contains(seconds)),
            "--seconds and --open-seconds must lie between 0.1 and 600"
        );
        ensure!(
            (10.0..=600.0).contains(&self.overload_seconds),
            "--overload-seconds must lie between 10 and 600"
        );
        let counts = [self.blocks, self.starts, self.rss_requests];
        ensure!(
            counts.iter().all(|&count| count > 0),
            "--blocks, --starts and --rss-requests must be at least 1"
        );
        let (dynamar, encoder) = (self.dynamar.display(), self.encoder.display());
        ensure!(
            self.dynamar.is_file() && self.encoder.is_dir(),
            "{dynamar} and {encoder} are needed: `make bench` makes them"
        );
        Ok(())
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    let outcome = match args.multiply_alone {
        Some(hidden_size) => multiply::serve(hidden_size),
        None => run(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<()> {
    args.check()?;
    let served = setup::checkpoint(&args.dynamar, &args.encoder)?;
    let model = Model::load(&served.checkpoint)?;
    let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut maker = Maker::new(&model)?;
    let (mixes, left_out) = maker.all(args.data.as_deref())?;
    let unknown = |name: &&String| mixes.iter().all(|mix| mix.name != **name);
    if let Some(name) = args.mix.iter().find(unknown) {
        let known: Vec<&str> = mixes.iter().map(|mix| mix.name.as_str()).collect();
        bail!("there is no mix {name:?}; there are: {}", known.join(", "));
    }
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let mut report = Report::begin(workers, left_out)?;
    report.set("blocks", json!(args.blocks));
    report.set("block_seconds", json!(args.seconds));
    let mut run = Run { args, served: &served, tokio: &tokio, report: &mut report };
    // First what needs a server of its own, while this process has no session of the encoder.
    if args.measures(Part::Start) {
        run.starts()?;
    }
    if args.measures(Part::Rss) {
        run.memory(&Arc::new(maker.short()?))?;
    }
    if args.measures(Part::Overload) {
        let of_mix = |mix: &&Arc<Mix>| match &args.mix[..] {
            [] => mix.name == UNIFORM,
            asked => asked.contains(&mix.name),
        };
        mixes.iter().filter(of_mix).try_for_each(|mix| run.overload(mix))?;
    }
    let beside = [Part::Latency, Part::Int8, Part::Mixes, Part::Open, Part::Predict];
    if beside.into_iter().any(|part| args.measures(part)) {
        let runtime = Runtime::load(None)?;
        let mut bench = Bench {
            tokio: &tokio,
            in_process: InProcess::new(&model, &runtime, workers)?,
            multiplier: Multiplier::start(model.architecture.hidden_size)?,
            block: Duration::from_secs_f64(args.seconds),
            blocks: args.blocks,
            open: Duration::from_secs_f64(args.open_seconds),
        };
        if args.measures(Part::Predict) {
            run.predict(&mut bench, &model, &runtime, &mixes, workers)?;
        }
        run.beside(&mut bench, &mixes)?;
    }
    report.end(&args.out)
}

/// The parts of a run.
struct Run<'a> {
    args: &'a Args,
    served: &'a Served,
    tokio: &'a tokio::runtime::Runtime,
    report: &'a mut Report,
}

impl Run<'_> {
    fn server(&self) -> Result<Server> {
        self.tokio.block_on(Server::start(&self.args.dynamar, &self.served.models))
    }

    /// The median of several starts; before each the server of the one before has ended.
    fn starts(&mut self) -> Result<()> {
        let start = |_| Ok(self.server()?.started_in.as_secs_f64());
        let seconds = (0..self.args.starts).map(start).collect::<Result<Vec<f64>>>()?;
        let median = median(seconds.iter().copied());
        self.report
            .say(format!("start: {median:.2} s until it serves (median of {})", seconds.len()));
        self.report.set("start_seconds", json!(median));
        self.report.set("start_seconds_of_starts", json!(seconds));
        Ok(())
    }

    fn memory(&mut self, mix: &Arc<Mix>) -> Result<()> {
        let (server, bytes) = (self.server()?, self.served.encoder_bytes()?);
        let requests = self.args.rss_requests;
        let memory = Memory::measure(self.tokio, &server, mix, bytes, requests)?;
        self.report.set("rss_over_weights", json!(memory.over_weights()));
        self.report.set("rss", memory.json());
        self.report.say(memory.sentence());
        Ok(())
    }

    fn overload(&mut self, mix: &Arc<Mix>) -> Result<()> {
        let settings = [(overload::SETTING, overload::MAX_QUEUE_DELAY_MS.to_string())];
        let (dynamar, models) = (&self.args.dynamar, &self.served.models);
        let server = self.tokio.block_on(Server::start_with(dynamar, models, &settings))?;
        let block = Duration::from_secs_f64(self.args.seconds);
        let length = Duration::from_secs_f64(self.args.overload_seconds);
        let overload = Overload::measure(self.tokio, &server, mix, block, length)?;
        overload.tell(self.report);
        Ok(())
    }

    /// Scoring the reviews of the demo.
    fn predict(
        &mut self,
        bench: &mut Bench<'_>,
        model: &Model,
        runtime: &Runtime,
        mixes: &[Arc<Mix>],
        workers: usize,
    ) -> Result<()> {
        let reviews = mixes.iter().find(|mix| mix.name == mixes::REVIEWS);
        let reviews = reviews.context("every run has this mix")?;
        let predicted = Predicted::measure(bench, model, runtime, reviews, workers)?;
        self.report.say(predicted.sentence());
        self.report.set("predict_throughput_ratio_to_ceiling", json!(predicted.throughput_ratio()));
        self.report.set("predict_cpu_ratio_to_ceiling", json!(predicted.cpu_ratio()));
        self.report.set("predict", predicted.json());
        Ok(())
    }

    /// What is measured beside the encoder alone, or beside another server.
    fn beside(&mut self, bench: &mut Bench<'_>, mixes: &[Arc<Mix>]) -> Result<()> {
        let server = self.server()?;
        let named = |name: &str| {
            mixes.iter().find(|mix| mix.name == name).context("every run has this mix")
        };
        if self.args.measures(Part::Latency) {
            let added = Added::measure(bench, &server, named(ALL_16)?)?;
            self.report.say(added.sentence());
            self.report.set("added_latency_ms", json!(added.ms()));
            self.report.set("latency", added.json());
        }
        if self.args.measures(Part::Int8) {
            self.int8(bench, &server, named(SKEWED)?)?;
        }
        let is_asked =
            |mix: &&Arc<Mix>| self.args.mix.is_empty() || self.args.mix.contains(&mix.name);
        for mix in mixes.iter().filter(is_asked) {
            let mut measured = Measured::new(mix);
            if self.args.measures(Part::Mixes) {
                measured.closed(bench, &server)?;
            }
            if self.args.measures(Part::Open) {
                measured.open(bench, &server)?;
            }
            if measured.is_something() {
                self.report.add(measured);
            }
        }
        Ok(())
    }

    fn int8(&mut self, bench: &Bench<'_>, fp32: &Server, mix: &Arc<Mix>) -> Result<()> {
        let Some(int8) = setup::quantised(&self.args.dynamar, self.served)? else {
            self.report.say("int8 is left out: `dynamar import` has no --quantize".to_owned());
            return Ok(());
        };
        let quantised = Quantised::measure(bench, &self.args.dynamar, &int8, fp32, mix)?;
        self.report.say(format!("int8: {:.2} times as fast as fp32", quantised.speedup()));
        self.report.set("int8_speedup", json!(quantised.speedup()));
        self.report.set("int8", quantised.json());
        Ok(())
    }
}
