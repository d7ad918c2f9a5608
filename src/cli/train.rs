//! `dynamar train`.

use std::{path::PathBuf, sync::Arc};

use anyhow::Result;

use super::{Global, interrupt, output, progress::Progress, progress::note};
use crate::{
    checkpoint::Checkpoint,
    dataset::read_csv,
    prompt::{TaskFile, pool},
    training::{self, HeadShape, Job, Length, Settings, Trained, Tune},
};

/// Trains a task's head, with the encoder or on a frozen one, and writes a checkpoint to serve
///
/// Example: dynamar train --task task.toml --train train.csv --dev dev.csv \
///              --encoder models/encoders/minilm-l6 --out models/serving/mine
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// The task file (TOML)
    #[arg(long, value_name = "FILE")]
    task: PathBuf,
    /// Labelled examples (CSV)
    #[arg(long, value_name = "FILE")]
    train: PathBuf,
    /// Labelled examples by which the best step is chosen (CSV); without them the last is kept
    #[arg(long, value_name = "FILE")]
    dev: Option<PathBuf>,
    /// The checkpoint whose encoder is used
    #[arg(long, value_name = "DIR")]
    encoder: PathBuf,
    /// Where the checkpoint goes; with --tune head it may be --encoder itself, which the task
    /// then joins
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// What is trained: encoder and head, or the head alone on the encoder as it is
    #[arg(long, value_enum, default_value = "full")]
    tune: TuneArg,
    /// The head's shape
    #[arg(long, value_enum, default_value = "linear")]
    head: HeadArg,
    /// How often every example is visited [default: 3, with --tune head 20]
    #[arg(long, conflicts_with = "steps")]
    epochs: Option<usize>,
    /// How many batches are taken, instead of --epochs
    #[arg(long)]
    steps: Option<usize>,
    /// Examples of a batch
    #[arg(long, default_value_t = 32)]
    batch_size: usize,
    /// The encoder's highest learning rate [default: 5e-5]
    #[arg(long)]
    learning_rate: Option<f64>,
    /// The head's highest learning rate [default: 10 times the encoder's; 3e-3 with --tune head]
    #[arg(long)]
    head_learning_rate: Option<f64>,
    /// Chance of a value being dropped in training
    #[arg(long, default_value_t = 0.1)]
    dropout: f32,
    /// Where randomness begins; the same seed, data and thread count give the same weights
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Threads that compute [default: all CPUs]
    #[arg(long)]
    threads: Option<usize>,
    /// Replace the checkpoint, or with --tune head the task, that stands there
    #[arg(long)]
    replace: bool,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum TuneArg {
    Full,
    Head,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum HeadArg {
    Linear,
    Mlp,
}

/// Trains.
pub fn run(args: &Args, global: &Global) -> Result<()> {
    keep_freed_memory();
    let settings = settings(args);
    settings.check()?;
    if let Some(threads) = args.threads {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build_global()?;
    }
    let task_path = args.task.display().to_string();
    let task = Arc::new(TaskFile::read(&args.task)?);
    let train = read_csv(&args.train, &task)?;
    let dev = args.dev.as_deref().map(|path| read_csv(path, &task)).transpose()?;
    let encoder = Checkpoint::open(&args.encoder)?;
    let runtime = global.runtime()?;
    let interrupt = interrupt::on_signal()?;
    describe(&task, train.examples.len(), dev.as_ref().map_or(0, |dev| dev.examples.len()));
    let job = Job {
        task,
        task_path: &task_path,
        train: &train,
        dev: dev.as_ref(),
        encoder: &encoder,
        out: &args.out,
        replace: args.replace,
        settings: &settings,
        runtime: &runtime,
    };
    let trained = training::train(&job, &mut Progress::new(), &interrupt)?;
    report(args, &trained)
}

/// Every step frees and allocates hundreds of megabytes. glibc would give them back to the system
/// and have them mapped anew each time, a good part of the time of a step.
#[cfg(target_env = "gnu")]
fn keep_freed_memory() {
    const TRIM_THRESHOLD_BYTES: libc::c_int = 1 << 30;
    const TOP_PAD_BYTES: libc::c_int = 1 << 26;
    // The largest that glibc takes.
    const MMAP_THRESHOLD_BYTES: libc::c_int = 1 << 25;
    #[allow(unsafe_code)] // there is no other way to the allocator's settings
    // SAFETY: `mallopt` takes numbers and no pointers; no other thread allocates yet. A setting
    // that it refuses stays as it was, and costs time only.
    unsafe {
        libc::mallopt(libc::M_TRIM_THRESHOLD, TRIM_THRESHOLD_BYTES);
        libc::mallopt(libc::M_TOP_PAD, TOP_PAD_BYTES);
        libc::mallopt(libc::M_MMAP_THRESHOLD, MMAP_THRESHOLD_BYTES);
    }
}

#[cfg(not(target_env = "gnu"))]
fn keep_freed_memory() {}

fn settings(args: &Args) -> Settings {
    let tune = match args.tune {
        TuneArg::Full => Tune::Full,
        TuneArg::Head => Tune::Head,
    };
    let mut settings = Settings::new(tune);
    settings.head = match args.head {
        HeadArg::Linear => HeadShape::Linear,
        HeadArg::Mlp => HeadShape::Mlp,
    };
    settings.length = match (args.epochs, args.steps) {
        (_, Some(steps)) => Length::Steps(steps),
        (Some(epochs), None) => Length::Epochs(epochs),
        (None, None) => settings.length,
    };
    if let Some(rate) = args.learning_rate {
        settings.head_learning_rate *= rate / settings.learning_rate;
        settings.learning_rate = rate;
    }
    settings.head_learning_rate = args.head_learning_rate.unwrap_or(settings.head_learning_rate);
    settings.batch_size = args.batch_size;
    settings.dropout = args.dropout;
    settings.seed = args.seed;
    settings
}

fn describe(task: &TaskFile, train: usize, dev: usize) {
    let prompts = &task.prompts;
    note(&format!(
        "{}: {} of {train} examples, {dev} for development",
        task.task.name,
        task.task.kind.name()
    ));
    let ids: Vec<&str> = prompts.pool.iter().map(|at| prompts.templates[*at].id.as_str()).collect();
    let spread = pool::spread(&prompts.templates, &prompts.pool)
        .map_or(String::new(), |(min, mean)| {
            format!(" (dissimilarity: least {min:.2}, mean {mean:.2})")
        });
    note(&format!("templates: {}{spread}", ids.join(", ")));
}

fn report(args: &Args, trained: &Trained) -> Result<()> {
    let metrics = trained.score.as_ref().map(|score| score.metrics.clone()).unwrap_or_default();
    if args.json {
        let json = serde_json::json!({
            "out": args.out,
            "model": trained.manifest.id,
            "step": trained.step,
            "steps": trained.steps,
            "metrics": metrics,
        });
        return output::json(&json);
    }
    let metrics: Vec<String> =
        metrics.iter().map(|(name, value)| format!("{name} {value:.4}")).collect();
    let dev =
        if metrics.is_empty() { String::new() } else { format!(": dev {}", metrics.join("  ")) };
    output::text(&format!(
        "{} (checkpoint {}, step {} of {}){dev}\n",
        args.out.display(),
        trained.manifest.id,
        trained.step,
        trained.steps
    ))
}
