//! Scoring a file beside the encoder alone.

use std::{
    collections::BTreeSet,
    fs,
    num::{NonZeroU64, NonZeroUsize},
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use dynamar::{
    bulk::{
        self, BoxedEncoder, Files, Format, Input, Job, Naming, Observer, Progress, Target,
        Unfinished,
    },
    inference::{EncoderSource, Model, Runtime, TemplateChoice},
    rows::ReadOptions,
};
use serde_json::{Value, json};

use crate::{clocks, measure::Bench, mixes::Mix, rate::Rate, rate::Rates, setup::POLARITY};

/// Where the files lie.
const DIRECTORY: &str = "target/bench/predict";

/// As `dynamar predict` has it: rows of a row group, and tokens of a batch.
const GROUP_ROWS: NonZeroU64 = NonZeroU64::new(8192).expect("not 0");
const BATCH_TOKENS: NonZeroUsize = NonZeroUsize::new(256).expect("not 0");

/// Copies of the texts in a file at least: the end of a run must not count for much.
const LEAST_COPIES: usize = 2;

/// What scoring gave, in blocks that took turns with the ceiling.
pub struct Predicted {
    mix: String,
    rows: usize,
    ceiling: Rates,
    predict: Rates,
}

struct Nobody;

impl Observer for Nobody {
    fn begin(&mut self, _: &Progress) {}

    fn advanced(&mut self, _: &Progress) {}
}

/// A file that is scored again and again.
struct Scored<'a> {
    model: &'a Model,
    source: EncoderSource,
    workers: usize,
    input: PathBuf,
    output: PathBuf,
    /// Rows of a chunk, which are all different, and of the file.
    chunk_rows: NonZeroUsize,
    rows: usize,
}

impl Predicted {
    /// Scores the mix's texts, as often as a block takes.
    pub fn measure(
        bench: &mut Bench<'_>,
        model: &Model,
        runtime: &Runtime,
        mix: &Mix,
        workers: usize,
    ) -> Result<Self> {
        let ceiling = bench.in_process.best_ceiling(mix, bench.block)?;
        let rate = bench.in_process.ceiling(&ceiling, bench.block)?.per_second();
        let source = model.encoder_source(runtime)?;
        let scored = Scored::write(model, source, mix, rate, bench.block, workers)?;
        let mut measured = Self {
            mix: mix.name.clone(),
            rows: scored.rows,
            ceiling: Rates::default(),
            predict: Rates::default(),
        };
        for _ in 0..bench.blocks {
            measured.ceiling.0.push(bench.in_process.ceiling(&ceiling, bench.block)?);
            measured.predict.0.push(scored.run()?);
        }
        Ok(measured)
    }

    /// Rows in a second by the ceiling's prompts.
    pub fn throughput_ratio(&self) -> f64 {
        self.predict.per_second() / self.ceiling.per_second()
    }

    /// CPU time for a row by the ceiling's for a prompt.
    pub fn cpu_ratio(&self) -> f64 {
        self.predict.cpu_ms() / self.ceiling.cpu_ms()
    }

    pub fn sentence(&self) -> String {
        format!(
            "predict, {}: {:.1} rows/s, ceiling {:.1}: {:.3} of its throughput, {:.3} of its CPU \
             time ({} rows)",
            self.mix,
            self.predict.per_second(),
            self.ceiling.per_second(),
            self.throughput_ratio(),
            self.cpu_ratio(),
            self.rows
        )
    }

    pub fn json(&self) -> Value {
        let ceiling = self.ceiling.json();
        json!({ "mix": self.mix, "rows": self.rows, "ceiling": ceiling, "predict": self.predict.json() })
    }
}

impl<'a> Scored<'a> {
    /// Writes the distinct texts one after the other, and all of them again: in a chunk of as many
    /// rows no text is there twice, which would cost nothing.
    fn write(
        model: &'a Model,
        source: EncoderSource,
        mix: &Mix,
        rate: f64,
        block: Duration,
        workers: usize,
    ) -> Result<Self> {
        let mut seen = BTreeSet::new();
        let items = mix.items.iter().filter(|item| seen.insert(&item.prompt.input_ids));
        let texts: Vec<&str> = items.map(|item| item.text.as_str()).collect();
        // Left-out doubles would make rows of another mean size than the ceiling's prompts.
        ensure!(100 * texts.len() >= 95 * mix.items.len(), "the mix has many texts twice");
        let copies = (rate * block.as_secs_f64() / texts.len() as f64).ceil() as usize;
        let copies = copies.max(LEAST_COPIES);
        let rows: String =
            texts.iter().map(|text| format!("\"{}\"\n", text.replace('"', "\"\""))).collect();
        fs::create_dir_all(DIRECTORY)?;
        let (input, output) =
            (Path::new(DIRECTORY).join("in.csv"), Path::new(DIRECTORY).join("out.csv"));
        fs::write(&input, format!("text\n{}", rows.repeat(copies)))?;
        let chunk_rows = NonZeroUsize::new(texts.len()).context("a mix has prompts")?;
        let rows = copies * texts.len();
        Ok(Self { model, source, workers, input, output, chunk_rows, rows })
    }

    fn run(&self) -> Result<Rate> {
        let session = |_| -> Result<BoxedEncoder> { Ok(Box::new(self.source.session(1)?)) };
        let encoders = (0..self.workers).map(session).collect::<Result<_>>()?;
        let task = self.model.tasks.get(POLARITY).context("the checkpoint has its task")?;
        let templates = task.predictor.select(&TemplateChoice::Default)?;
        let job = Job {
            checkpoint: &self.model.id,
            predictor: &task.predictor,
            templates: &templates,
            naming: &Naming::default(),
            shard: None,
            chunk_rows: self.chunk_rows,
            group_rows: GROUP_ROWS,
            batch_tokens: BATCH_TOKENS,
            max_errors: Some(0),
            unfinished: Unfinished::Restart,
            replace: true,
            save_interval: Duration::from_secs(1),
        };
        let files = Files {
            input: Input::File(&self.input),
            reading: ReadOptions::default(),
            target: Target::File(&self.output),
            output_format: Format::Csv,
        };
        let (begin, cpu) = (Instant::now(), clocks::process(std::process::id())?);
        let never = AtomicBool::new(false);
        let summary = bulk::run(files, &job, encoders, &mut Nobody, &never)?;
        let (time, cpu) =
            (begin.elapsed(), clocks::process(std::process::id())?.saturating_sub(cpu));
        ensure!(summary.counts.rows == self.rows as u64, "{} rows came out", summary.counts.rows);
        Ok(Rate::new(self.rows as f64, time, cpu))
    }
}
