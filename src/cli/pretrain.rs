//! `dynamar pretrain`.

use std::{path::PathBuf, time::Instant};

use anyhow::Result;

use super::{
    Global, interrupt, output,
    progress::{Progress, note},
    reading::{FaultArgs, ReadArgs, check_read_once, origins},
    settings::ResumeArgs,
};
use crate::{
    checkpoint::Checkpoint,
    dataset::{TextLimits, read_texts},
    prompt::TaskFile,
    training::{
        Length,
        pretrain::{self, Job, Measures, Pretrained, Settings},
    },
};

/// Trains an encoder further on unlabelled text, as a masked language model, and writes an encoder
/// checkpoint with its language head
///
/// Texts come from CSV or otherwise separated files (with --column), JSON Lines, a JSON array, Parquet
/// or plain text with one text per line, also packed (.gz, .zst). A share of them is held back, and the perplexity on it shows what was gained. A
/// run that was killed goes on with --resume and ends with the same weights.
///
/// Example: dynamar pretrain --text reviews.csv --column text \
///              --encoder models/encoders/minilm-l6 --out models/encoders/minilm-l6-reviews
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// Texts; - is standard input; may be given several times
    #[arg(long, value_name = "FILE", required = true)]
    text: Vec<PathBuf>,
    /// The column, or the key in JSON, that holds the texts
    #[arg(long, value_name = "NAME")]
    column: Option<String>,
    #[command(flatten)]
    read: ReadArgs,
    #[command(flatten)]
    faults: FaultArgs,
    /// The checkpoint whose encoder is trained
    #[arg(long, value_name = "DIR")]
    encoder: PathBuf,
    /// Where the checkpoint goes
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    #[command(flatten)]
    settings: SettingsArgs,
    /// A task file (TOML) with one field, whose templates --similarity wraps round a text instead of
    /// built-in ones; may be given several times
    #[arg(long, value_name = "FILE")]
    task: Vec<PathBuf>,
    #[command(flatten)]
    resume: ResumeArgs,
    /// Threads that compute [default: all CPUs]
    #[arg(long)]
    threads: Option<usize>,
    /// Replace the checkpoint that stands there
    #[arg(long)]
    replace: bool,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// How to train.
#[derive(clap::Args)]
struct SettingsArgs {
    /// How many batches are taken [default: 2000]
    #[arg(long)]
    steps: Option<usize>,
    /// How often every window of the texts is visited, instead of --steps
    #[arg(long, conflicts_with = "steps")]
    epochs: Option<usize>,
    /// Windows of a batch
    #[arg(long, default_value_t = 32)]
    batch_size: usize,
    /// Tokens of a window at most; longer texts make several
    #[arg(long, value_name = "TOKENS", default_value_t = 128)]
    max_length: usize,
    /// The highest learning rate of the encoder, and of a language head that it has already
    #[arg(long, default_value_t = 5e-5)]
    learning_rate: f64,
    /// The highest learning rate of a language head that begins afresh [default: 10 times the
    /// encoder's]
    #[arg(long)]
    head_learning_rate: Option<f64>,
    /// Chance of a hidden value being dropped in training
    #[arg(long, default_value_t = 0.1)]
    dropout: f32,
    /// Share of the tokens that are to be guessed
    #[arg(long, value_name = "SHARE", default_value_t = 0.15)]
    mask_share: f64,
    /// Choose the pieces of a word together
    #[arg(long)]
    whole_words: bool,
    /// Weight of guessing hidden tokens; 0 leaves it out, and writes no language head
    #[arg(long, value_name = "WEIGHT", default_value_t = 1.0)]
    masking_weight: f64,
    /// Weight of the distance between the vector at a prompt's mask and the mean token vector that
    /// the encoder gives the bare text before training
    #[arg(long, value_name = "WEIGHT", default_value_t = 0.0)]
    similarity: f64,
    /// Share of the texts that is kept from training and measured
    #[arg(long, value_name = "SHARE", default_value_t = 0.05)]
    held_back: f64,
    /// Decides every draw: the same seed and number of threads give the same checkpoint
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

impl SettingsArgs {
    fn settings(&self) -> Settings {
        let defaults = Settings::default();
        let head_factor = defaults.head_learning_rate / defaults.learning_rate;
        Settings {
            length: match (self.epochs, self.steps) {
                (Some(epochs), _) => Length::Epochs(epochs),
                (None, Some(steps)) => Length::Steps(steps),
                (None, None) => defaults.length,
            },
            batch_size: self.batch_size,
            max_length: self.max_length,
            learning_rate: self.learning_rate,
            head_learning_rate: self.head_learning_rate.unwrap_or(self.learning_rate * head_factor),
            dropout: self.dropout,
            mask_share: self.mask_share,
            whole_words: self.whole_words,
            masking_weight: self.masking_weight,
            similarity: self.similarity,
            held_back: self.held_back,
            seed: self.seed,
            ..defaults
        }
    }
}

/// Trains.
pub fn run(args: &Args, global: &Global) -> Result<()> {
    let started = Instant::now();
    let settings = args.settings.settings();
    settings.check()?;
    if let Some(threads) = args.threads {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build_global()?;
    }
    let tasks =
        args.task.iter().map(|path| Ok((path.display().to_string(), TaskFile::read(path)?)));
    let tasks = tasks.collect::<Result<Vec<_>>>()?;
    check_read_once(&[&args.text])?;
    let (origins, reading) = (origins(&args.text), args.read.reading(&args.faults));
    let texts = read_texts(&origins, args.column.as_deref(), &TextLimits::default(), &reading)?;
    texts.notes.iter().for_each(|text| note(text));
    let encoder = Checkpoint::open(&args.encoder)?;
    let runtime = global.runtime()?;
    let interrupt = interrupt::on_signal()?;
    let job = Job {
        texts: &texts,
        tasks: &tasks,
        encoder: &encoder,
        out: &args.out,
        replace: args.replace,
        settings: &settings,
        runtime: &runtime,
        unfinished: args.resume.unfinished(),
        save_every: args.resume.save_every,
    };
    let pretrained = pretrain::pretrain(&job, &mut Progress::new(), &interrupt)?;
    report(args, &pretrained, started.elapsed().as_secs_f64())
}

fn report(args: &Args, pretrained: &Pretrained, seconds: f64) -> Result<()> {
    let Pretrained { manifest, steps, amounts, before, after } = pretrained;
    if args.json {
        return output::json(&serde_json::json!({
            "out": args.out,
            "model": manifest.id,
            "steps": steps,
            "text": amounts,
            "before": before,
            "after": after,
            "seconds": seconds,
        }));
    }
    let changes = [
        change("perplexity", before, after, |measures| measures.perplexity),
        change("similarity", before, after, |measures| measures.similarity),
    ];
    output::text(&format!(
        "{} (checkpoint {}){}, {seconds:.0} s\n",
        args.out.display(),
        manifest.id,
        changes.into_iter().flatten().collect::<String>()
    ))
}

/// What became of a figure, if it was measured.
fn change(
    name: &str,
    before: &Option<Measures>,
    after: &Option<Measures>,
    figure: fn(&Measures) -> Option<f64>,
) -> Option<String> {
    let (before, after) = (figure(before.as_ref()?)?, figure(after.as_ref()?)?);
    Some(format!(", {name} {before:.3} -> {after:.3}"))
}
