//! `dynamar train`.

use std::{collections::BTreeMap, fmt::Write, path::PathBuf, sync::Arc};

use anyhow::{Result, ensure};

use super::{
    Global, baselines, data_warnings, interrupt, output,
    progress::{Progress, note},
    reading::{FaultArgs, OverlapArgs, ReadArgs, check_read_once, files_of_tasks, labelled},
    search_progress::SearchProgress,
    settings::{PrecisionArg, RecipeArgs, ResumeArgs, SettingsArgs, precision},
};
use crate::{
    checkpoint::Checkpoint,
    prompt::{TaskFile, pool},
    training::{self, Choice, Job, JobTask, Recipe, Settings, Stop, Trained},
};

/// Trains a task's head, with the encoder or on a frozen one, and writes a checkpoint to serve
///
/// Files are CSV or otherwise separated, JSON Lines, a JSON array or Parquet, also packed (.gz, .zst),
/// or standard input (-). Several --train or --dev of one --task are one set. Several --task, --train
/// and --dev in the same order train several tasks together on one encoder. A run that was killed
/// goes on with --resume and ends with the same weights.
///
/// Example: dynamar train --task task.toml --train train.csv --dev dev.csv \
///              --encoder models/encoders/minilm-l6 --out models/serving/mine
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// The task file (TOML); may be given several times
    #[arg(long, value_name = "FILE", required = true)]
    task: Vec<PathBuf>,
    /// Labelled examples; of several tasks one file each, in their order, or TASK=FILE
    #[arg(long, value_name = "FILE", required = true)]
    train: Vec<PathBuf>,
    /// Labelled examples by which the best step is chosen and probabilities are calibrated, given as
    /// --train is; without them the last step is kept
    #[arg(long, value_name = "FILE")]
    dev: Vec<PathBuf>,
    #[command(flatten)]
    overlap: OverlapArgs,
    #[command(flatten)]
    read: ReadArgs,
    #[command(flatten)]
    faults: FaultArgs,
    /// The checkpoint whose encoder is used
    #[arg(long, value_name = "DIR")]
    encoder: PathBuf,
    /// Where the checkpoint goes; with --tune head it may be --encoder itself, which the tasks
    /// then join
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    #[command(flatten)]
    settings: SettingsArgs,
    #[command(flatten)]
    recipe: RecipeArgs,
    #[command(flatten)]
    resume: ResumeArgs,
    /// Store the matrices of the trained encoder with fewer bits: fp16 for half the disk, int8 for a
    /// quarter of it and about twice the speed
    #[arg(long, value_enum, value_name = "PRECISION")]
    quantize: Option<PrecisionArg>,
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

/// Trains.
pub fn run(args: &Args, global: &Global) -> Result<()> {
    let requested = args.recipe.requested(&args.settings);
    // Mistakes of the command line come before any file is read.
    requested.over(Settings::new(requested.tune())).check()?;
    if let Some(threads) = args.threads {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build_global()?;
    }
    let mut tasks = tasks(args)?;
    let encoder = Checkpoint::open(&args.encoder)?;
    let runtime = global.runtime()?;
    let interrupt = interrupt::on_signal()?;
    tasks.iter().for_each(describe);
    let recipe = training::recipe(&mut tasks, &encoder, &requested, &interrupt)?;
    explain(&recipe);
    let mut job = Job {
        tasks,
        encoder: &encoder,
        out: &args.out,
        replace: args.replace,
        settings: &recipe.settings,
        recipe: Some(&recipe),
        adapted: None,
        budget: args.recipe.budget,
        precision: precision(args.quantize),
        runtime: &runtime,
        unfinished: args.resume.unfinished(),
        save_every: args.resume.save_every,
    };
    if args.resume.is_asked()
        && !args.replace
        && let Some(id) = job.finished()
    {
        return report_finished(args, &id);
    }
    data_warnings::note_all(&job.tasks, &encoder);
    let adapted = training::adapt(&job, &mut Progress::new(), &interrupt)?;
    job.adapted = adapted.as_ref();
    let found = args.recipe.budget.map(|budget| {
        let mut shown = SearchProgress::new(budget);
        training::search(&job, &requested, budget, &mut shown, &interrupt)
    });
    let found = found.transpose()?;
    if let Some(found) = &found {
        note(&format!("search: trains \"{}\"", found.name));
        job.settings = &found.settings;
    }
    let trained = training::train(&job, &mut Progress::new(), &interrupt)?;
    training::forget_search(&args.out)?;
    report(args, &job.tasks, &trained)
}

fn report_finished(args: &Args, id: &str) -> Result<()> {
    if args.json {
        return output::json(&serde_json::json!({ "out": args.out, "model": id }));
    }
    let out = args.out.display();
    output::text(&format!("{out} (checkpoint {id}) is finished; --replace trains it anew\n"))
}

/// Reads each task's files.
fn tasks(args: &Args) -> Result<Vec<JobTask>> {
    let reading = args.read.reading(&args.faults);
    check_read_once(&[&args.train, &args.dev])?;
    let files = args.task.iter().map(|path| Ok(Arc::new(TaskFile::read(path)?)));
    let files: Vec<Arc<TaskFile>> = files.collect::<Result<_>>()?;
    let names: Vec<&str> = files.iter().map(|file| file.task.name.as_str()).collect();
    let trains = files_of_tasks(&names, &args.train, "train")?;
    let devs = files_of_tasks(&names, &args.dev, "dev")?;
    let mut tasks = Vec::new();
    for (at, file) in files.iter().enumerate() {
        ensure!(!trains[at].is_empty(), "the task {:?} has no --train", file.task.name);
        let train = labelled(&trains[at], file, &reading)?;
        let dev = (!devs[at].is_empty()).then(|| labelled(&devs[at], file, &reading));
        let mut dev = dev.transpose()?;
        if let Some(dev) = &mut dev {
            args.overlap.settle(&train, dev)?;
        }
        let path = args.task[at].display().to_string();
        tasks.push(JobTask::new(Arc::clone(file), path, train, dev));
    }
    Ok(tasks)
}

/// Prints each choice of the recipe with its reason.
fn explain(recipe: &Recipe) {
    for Choice { setting, value, reason } in &recipe.choices {
        note(&format!("chosen: {setting} {value} ({reason})"));
    }
}

fn describe(task: &JobTask) {
    let prompts = &task.file.prompts;
    note(&format!(
        "{}: {} of {} examples, {} for development",
        task.file.task.name,
        task.file.task.kind.name(),
        task.train.examples.len(),
        task.dev.as_ref().map_or(0, |dev| dev.examples.len())
    ));
    let ids: Vec<&str> = prompts.pool.iter().map(|at| prompts.templates[*at].id.as_str()).collect();
    let spread = pool::spread(&prompts.templates, &prompts.pool)
        .map_or(String::new(), |(min, mean)| {
            format!(" (dissimilarity: least {min:.2}, mean {mean:.2})")
        });
    note(&format!("templates: {}{spread}", ids.join(", ")));
}

fn report(args: &Args, tasks: &[JobTask], trained: &Trained) -> Result<()> {
    let baselines = baselines::of_tasks(tasks)?;
    if args.json {
        let metrics: BTreeMap<&String, _> = trained
            .scores
            .iter()
            .map(|(task, score)| (task, score.as_ref().map(|score| &score.metrics)))
            .collect();
        let names = trained.scores.iter().map(|(task, _)| task);
        let json = serde_json::json!({
            "out": args.out,
            "model": trained.manifest.id,
            "step": trained.step,
            "steps": trained.steps,
            "stopped": trained.stop,
            "tasks": metrics,
            "pair_similarity_shares": names.zip(&trained.pair_shares).collect::<BTreeMap<_, _>>(),
            "baselines": baselines::summaries(tasks, &baselines),
        });
        return output::json(&json);
    }
    match &trained.stop {
        Some(Stop::Patience { step }) => note(&format!("stopped at step {step}: no new best")),
        Some(Stop::Diverged { reason }) => {
            note(&format!("warning: {reason}; the best so far, of step {}, is kept", trained.step));
        }
        None => {}
    }
    let mut text = format!(
        "{} (checkpoint {}, step {} of {})\n",
        args.out.display(),
        trained.manifest.id,
        trained.step,
        trained.steps
    );
    for (task, score) in &trained.scores {
        let Some(score) = score else { continue };
        let metrics = score.metrics.iter().map(|(name, value)| format!("{name} {value:.4}"));
        let metrics = metrics.collect::<Vec<_>>().join("  ");
        writeln!(text, "{task}: dev {metrics}")?;
    }
    for ((task, _), share) in trained.scores.iter().zip(&trained.pair_shares) {
        if let Some(share) = share {
            writeln!(
                text,
                "{task}: {:.0} % of each answer is how alike its pairs are",
                share * 100.0
            )?;
        }
    }
    text += &baselines::lines(tasks, &baselines);
    for warning in baselines::warnings(tasks, &baselines, trained) {
        note(&format!("warning: {warning}"));
    }
    output::text(&text)
}
