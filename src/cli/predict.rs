//! `dynamar predict`.

use std::{
    collections::BTreeMap,
    env, fmt, io,
    num::{NonZeroU64, NonZeroUsize},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, bail, ensure};

use super::{
    Global, interrupt, output, output::Destination, predict_progress::PredictProgress, progress,
    reading::ReadArgs, settings, templates::TemplateArgs,
};
use crate::{
    bulk::{
        self, BoxedEncoder, Counts, Files, Format, Input, Job, LeastSure, Naming, Shard, Summary,
        Target, Unfinished,
    },
    config::Config,
    inference::{Model, Runtime, TaskPredictor},
    rows::STANDARD_INPUT,
};

/// Stands for standard input and output.
const STREAM: &str = "-";

/// Path that stands for standard output, too.
const STDOUT: &str = "/dev/stdout";

/// The shard's number in a Kubernetes Job with completionMode: Indexed.
const INDEX: &str = "JOB_COMPLETION_INDEX";

/// How much of a run's time may be lost when it is killed.
const SAVE_INTERVAL: Duration = Duration::from_secs(1);

/// Scores the rows of a file (CSV or otherwise separated, JSON or Parquet), no server needed
///
/// The output has the input's rows and columns in their order, and after them label and
/// probability, or value, then truncated and error. A row that cannot be scored says why in its
/// error, and the others go on. A run that was killed goes on with --resume and writes the same
/// bytes.
///
/// Example: dynamar predict --model models/serving/reviews --task review-polarity \
///              --in reviews.csv --out scored.parquet
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// The checkpoint's directory
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    /// The task's name
    #[arg(long, value_name = "NAME")]
    task: String,
    /// The rows, also packed (.gz, .zst); - is standard input
    #[arg(long = "in", value_name = "FILE")]
    input: PathBuf,
    /// Where the scored rows go; - is standard output
    #[arg(long = "out", value_name = "FILE")]
    output: PathBuf,
    #[command(flatten)]
    read: ReadArgs,
    /// The output's format [default: by its extension]
    #[arg(long, value_enum, value_name = "FORMAT")]
    out_format: Option<FormatArg>,
    /// The column that holds a field; may be given several times [default: the one with the field's
    /// name, or else the one that the task file names]
    #[arg(long, value_name = "FIELD=COLUMN", value_parser = field)]
    field: Vec<(String, String)>,
    /// Write only some rows, in another order than the input's: uncertain has the least sure first,
    /// those to label next, with their uncertainty. Such a run cannot be gone on with
    #[arg(long, value_enum, value_name = "ORDER", conflicts_with = "resume")]
    order: Option<OrderArg>,
    /// Rows that --order writes; as many are in memory
    #[arg(long, value_name = "ROWS", default_value = "200", value_parser = limit, requires = "order")]
    limit: NonZeroUsize,
    /// Put before the names of the columns that are added
    #[arg(long, value_name = "TEXT", default_value = "")]
    prefix: String,
    /// Add the probability of every label, as probability_LABEL
    #[arg(long)]
    scores: bool,
    #[command(flatten)]
    answering: TemplateArgs,
    /// Rows that may fail; one more ends the run [default: any number]
    #[arg(long, value_name = "ROWS")]
    max_errors: Option<u64>,
    /// Go on from where an interrupted run stopped; without one, begin. If the output is there and
    /// nothing is left of a run, all is done
    #[arg(long, conflicts_with = "restart")]
    resume: bool,
    /// Forget an interrupted run and begin anew
    #[arg(long)]
    restart: bool,
    /// Replace the output that stands there
    #[arg(long)]
    replace: bool,
    /// Score one of COUNT parts of the rows, INDEX from 0; {shard} in --out stands for it, or else
    /// it is put before the extension
    #[arg(long, value_name = "INDEX/COUNT", conflicts_with = "shards")]
    shard: Option<Shard>,
    /// As --shard, with the index of a Kubernetes Indexed Job (JOB_COMPLETION_INDEX)
    #[arg(long, value_name = "COUNT")]
    shards: Option<u64>,
    /// Threads that compute [default: batching.workers, one for each available CPU]
    #[arg(long, visible_alias = "workers")]
    threads: Option<NonZeroUsize>,
    /// Rows that are sorted by length together; about five times as many are in memory
    #[arg(long, value_name = "ROWS", default_value = "2048", value_parser = chunk_rows)]
    chunk_rows: NonZeroUsize,
    /// Rows of a row group of Parquet; a run that is killed loses what it has of one
    #[arg(long, value_name = "ROWS", default_value = "8192")]
    group_rows: NonZeroU64,
    /// Show progress on stderr
    #[arg(long)]
    progress: bool,
    /// Print the summary as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum OrderArg {
    /// The least sure first: by the margin between the two most probable labels, or if several
    /// templates answer by how much they differ
    Uncertain,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum FormatArg {
    Csv,
    Tsv,
    Jsonl,
    Parquet,
}

impl From<FormatArg> for Format {
    fn from(format: FormatArg) -> Self {
        match format {
            FormatArg::Csv => Self::Csv,
            FormatArg::Tsv => Self::Tsv,
            FormatArg::Jsonl => Self::Jsonl,
            FormatArg::Parquet => Self::Parquet,
        }
    }
}

fn field(text: &str) -> Result<(String, String), String> {
    let (field, column) = text.split_once('=').ok_or("write FIELD=COLUMN, such as text=review")?;
    Ok((field.to_owned(), column.to_owned()))
}

fn chunk_rows(text: &str) -> Result<NonZeroUsize, String> {
    /// Of short texts, which are all that so many rows can be of.
    const MOST: usize = 1 << 20;
    let rows = settings::at_least_one(text)?;
    NonZeroUsize::new(rows).filter(|rows| rows.get() <= MOST).ok_or(format!("at most {MOST}"))
}

fn limit(text: &str) -> Result<NonZeroUsize, String> {
    /// They are all in memory.
    const MOST: usize = 100_000;
    let rows = settings::at_least_one(text)?;
    NonZeroUsize::new(rows).filter(|rows| rows.get() <= MOST).ok_or(format!("at most {MOST}"))
}

/// Scores.
pub fn run(args: &Args, global: &Global) -> Result<()> {
    let shard = shard(args)?;
    let out = shard.map_or_else(|| args.output.clone(), |shard| shard.place(&args.output));
    let (from_stream, to_stream) = (is_stream(&args.input), is_stream(&args.output));
    ensure!(!(to_stream && args.json), "--json needs standard output for itself: name a file");
    ensure!(!(to_stream && shard.is_some()), "a shard goes to a file: name one");
    let config = Config::load(global.config.as_deref(), &[])?.config;
    let model = Model::load(&args.model)?;
    let predictor = &served(args, &model)?.predictor;
    let templates = predictor.select(&args.answering.choice())?;
    let naming = Naming {
        fields: args.field.iter().cloned().collect::<BTreeMap<_, _>>(),
        prefix: args.prefix.clone(),
        scores: args.scores,
        least_sure: least_sure(args, predictor, templates.len())?,
    };
    let job = Job {
        checkpoint: &model.id,
        predictor,
        templates: &templates,
        naming: &naming,
        shard,
        chunk_rows: args.chunk_rows,
        group_rows: args.group_rows,
        batch_tokens: config.batching.max_batch_tokens,
        max_errors: args.max_errors,
        unfinished: unfinished(args),
        replace: args.replace,
        save_interval: SAVE_INTERVAL,
    };
    let threads = args.threads.unwrap_or_else(|| config.batching.worker_count());
    let runtime = Runtime::load(config.onnxruntime.path.as_deref())?;
    let interrupt = interrupt::on_signal()?;
    let mut stdout = io::stdout().lock();
    let output_format = format(args.out_format, &out)?;
    let mut destination = (!to_stream).then(|| Destination::of(&out)).transpose()?;
    let files = Files {
        input: match from_stream {
            true => Input::Stream(STANDARD_INPUT.to_owned(), Box::new(io::stdin())),
            false => Input::File(&args.input),
        },
        reading: args.read.options(),
        target: match &mut destination {
            None => Target::Stream(&mut stdout),
            Some(Destination::Stream(file)) => Target::Stream(file),
            Some(Destination::File(path)) => Target::File(path),
        },
        output_format,
    };
    let is_piped = !matches!(files.target, Target::File(_));
    let begun = Instant::now();
    let encoders = encoders(&model, &runtime, threads)?;
    let mut observer = PredictProgress::new(args.progress);
    let summary = bulk::run(files, &job, encoders, &mut observer, &interrupt);
    observer.end();
    // Whoever reads the output has seen enough, as with `| head`.
    let summary = match summary {
        Err(bulk::BulkError::Write { source, .. })
            if is_piped && source.kind() == io::ErrorKind::BrokenPipe =>
        {
            return Ok(());
        }
        summary => summary?,
    };
    drop(stdout);
    tell(args, &out, &model.id, &summary, begun.elapsed())
}

fn least_sure(
    args: &Args,
    predictor: &TaskPredictor,
    templates: usize,
) -> Result<Option<LeastSure>> {
    match args.order {
        Some(OrderArg::Uncertain) => {
            let kind = &predictor.file.task.kind;
            Ok(Some(LeastSure::new(args.limit, kind, templates)?))
        }
        None => Ok(None),
    }
}

fn is_stream(path: &Path) -> bool {
    [STREAM, STDOUT].iter().any(|name| path.as_os_str() == *name)
}

fn shard(args: &Args) -> Result<Option<Shard>> {
    let Some(count) = args.shards else { return Ok(args.shard) };
    let index = env::var(INDEX).ok().and_then(|index| index.parse().ok());
    let index = index.with_context(|| {
        format!("--shards needs {INDEX}, which an Indexed Job sets, or say --shard INDEX/{count}")
    })?;
    Ok(Some(Shard::new(index, count).map_err(|error| anyhow!("--shards {count}: {error}"))?))
}

fn served<'m>(args: &Args, model: &'m Model) -> Result<&'m crate::inference::ServedTask> {
    if let Some(task) = model.tasks.get(&args.task) {
        return Ok(task);
    }
    let known: Vec<&str> = model.tasks.keys().map(String::as_str).collect();
    let (directory, task) = (args.model.display(), &args.task);
    bail!("the checkpoint {directory} holds no task {task:?}; it holds: {}", known.join(", "));
}

fn unfinished(args: &Args) -> Unfinished {
    match (args.resume, args.restart) {
        (true, _) => Unfinished::Resume,
        (false, true) => Unfinished::Restart,
        (false, false) => Unfinished::Refuse,
    }
}

fn format(asked: Option<FormatArg>, path: &Path) -> Result<Format> {
    match asked {
        Some(format) => Ok(format.into()),
        None if is_stream(path) => bail!("- has no extension: say --out-format"),
        None => Ok(Format::of(path)?),
    }
}

/// One session for each thread; they share the weights.
fn encoders(model: &Model, runtime: &Runtime, threads: NonZeroUsize) -> Result<Vec<BoxedEncoder>> {
    let source = model.encoder_source(runtime)?;
    let session = |_| -> Result<BoxedEncoder> { Ok(Box::new(source.session(1)?)) };
    (0..threads.get()).map(session).collect()
}

fn tell(args: &Args, out: &Path, id: &str, summary: &Summary, time: Duration) -> Result<()> {
    let Counts { rows, errors, truncated, unknown, tokens } = summary.counts;
    let seconds = time.as_secs_f64();
    if args.json {
        return output::json(&serde_json::json!({
            "out": out,
            "model": id,
            "task": args.task,
            "rows": rows,
            "errors": errors,
            "first_error": summary.first_error,
            "truncated": truncated,
            "mostly_unknown": unknown,
            "tokens": tokens,
            "resumed_rows": summary.resumed,
            "was_there": summary.was_there,
            "written_rows": summary.kept,
            "seconds": seconds,
        }));
    }
    let line = Line { out, summary, seconds }.to_string();
    if is_stream(out) {
        progress::note(&line);
        return Ok(());
    }
    output::text(&(line + "\n"))
}

/// The summary in a sentence.
struct Line<'a> {
    out: &'a Path,
    summary: &'a Summary,
    seconds: f64,
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Summary { counts, resumed, first_error, was_there, kept } = self.summary;
        let out = self.out.display();
        if *was_there {
            return write!(f, "{out} is there already: nothing to do");
        }
        let computed = counts.rows.saturating_sub(*resumed);
        let rate = computed as f64 / self.seconds.max(1e-9);
        write!(f, "{out}: ")?;
        if let Some(kept) = kept {
            write!(f, "the {kept} least sure of ")?;
        }
        write!(f, "{} rows", counts.rows)?;
        if *resumed > 0 {
            write!(f, ", {resumed} of them before")?;
        }
        write!(f, ", {rate:.0} rows/s; {} with truncated text", counts.truncated)?;
        if counts.unknown > 0 {
            let count = counts.unknown;
            write!(f, "; {count} of whose tokens the encoder's tokenizer knows less than half")?;
        }
        match first_error {
            Some(first) => write!(f, "; {} with an error, the first: {first}", counts.errors),
            None => write!(f, "; {} with an error", counts.errors),
        }
    }
}
