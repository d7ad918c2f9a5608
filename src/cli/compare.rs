//! `dynamar compare`.

use std::{
    collections::{BTreeSet, HashMap},
    path::PathBuf,
    sync::Arc,
};

use anyhow::{Result, anyhow, bail, ensure};

use super::{
    compare_progress::CellProgress,
    interrupt, output,
    output::Page,
    progress::note,
    reading::{FaultArgs, OverlapArgs, ReadArgs, check_read_once, files_of_tasks, labelled},
    settings::{SettingsArgs, at_least_one},
};
use crate::{
    checkpoint::Checkpoint,
    comparison::{
        ComparedTask, Design, Experiment, Grid, Method, OutsideResults, Setting, read_outside,
        summarise,
    },
    prompt::TaskFile,
    report::{Shot, Style, comparison_page, comparison_tables},
    training::{JobTask, Length, Settings, Tune},
};

/// Steps of a few-shot run, where nothing is said.
const DEFAULT_STEPS: usize = 100;

/// Compares standard fine-tuning, static prompts and DynaMaR on your own data
///
/// Every method sees the same examples, the same number of steps and the same trials; settings are
/// chosen on --dev, and --test is scored once, at the end. Finished cells are kept in --work, so the
/// same command goes on after an interruption. Several --task, --train, --dev and --test in the same
/// order make one experiment; several --train of one --task are one set.
///
/// Example: dynamar compare --task task.toml --train train.csv --dev dev.csv --test test.csv \
///              --encoder models/encoders/minilm-l6 --shots 4,8,16,32 --seeds 5 \
///              --work target/compare --html report.html
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// The task file (TOML); may be given several times
    #[arg(long, value_name = "FILE", required = true)]
    task: Vec<PathBuf>,
    /// Labelled examples from which the training sets are drawn; of several tasks
    /// one file each, in their order, or TASK=FILE
    #[arg(long, value_name = "FILE", required = true)]
    train: Vec<PathBuf>,
    /// Labelled examples by which settings are chosen
    #[arg(long, value_name = "FILE", required = true)]
    dev: Vec<PathBuf>,
    /// Labelled examples that are scored at the end
    #[arg(long, value_name = "FILE", required = true)]
    test: Vec<PathBuf>,
    /// The checkpoint whose encoder all methods begin with
    #[arg(long, value_name = "DIR")]
    encoder: PathBuf,
    /// Training examples of each label (regression: in all), and "all"
    #[arg(long, value_name = "K,…", value_delimiter = ',', default_value = "4,8,16,32")]
    shots: Vec<Shot>,
    /// Other numbers of examples, for one task
    #[arg(long, value_name = "TASK=K,…", value_parser = task_shots)]
    task_shots: Vec<(String, Vec<Shot>)>,
    /// Draws of the training examples, and of all else that is drawn
    #[arg(long, default_value_t = 5)]
    seeds: u64,
    /// Methods: majority, bag-of-words, frozen, standard, label-words, static, dynamic [default: all]
    #[arg(long, value_name = "NAME,…", value_delimiter = ',', value_parser = method)]
    methods: Vec<Method>,
    /// The figure by which methods are compared, for one task [default: accuracy, or spearman]
    #[arg(long, value_name = "TASK=NAME", value_parser = task_metric)]
    metric: Vec<(String, String)>,
    /// The column with which the others are compared, one of --add-results too [default: M0 standard]
    #[arg(long, value_name = "COLUMN")]
    baseline: Option<String>,
    /// Learning rates to choose from, for every method
    #[arg(long, value_name = "RATE,…", value_delimiter = ',')]
    learning_rates: Vec<f64>,
    /// Consistency weights to choose from, instead of --consistency
    #[arg(long, value_name = "WEIGHT,…", value_delimiter = ',')]
    consistency_weights: Vec<f64>,
    /// Contrastive weights to choose from, instead of --contrastive
    #[arg(long, value_name = "WEIGHT,…", value_delimiter = ',')]
    contrastive_weights: Vec<f64>,
    /// Trainings by which each setting is judged
    #[arg(long, default_value_t = 1)]
    trial_seeds: u64,
    /// Visits of every example in runs on the whole training set; few-shot runs take --steps [100]
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = at_least_one)]
    full_epochs: usize,
    /// Examples of --dev and of --test that are scored at most: a draw that stays the same
    #[arg(long, value_name = "N", default_value_t = 5000)]
    max_scored: usize,
    /// Results of other programs, as further columns (JSON)
    #[arg(long, value_name = "FILE")]
    add_results: Vec<PathBuf>,
    /// Where finished cells, drawn training sets and the record (results.json) are kept
    #[arg(long, value_name = "DIR", default_value = "target/compare")]
    work: PathBuf,
    /// Write the report as a page
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Print the tables as Markdown
    #[arg(long, conflicts_with = "json")]
    markdown: bool,
    #[command(flatten)]
    overlap: OverlapArgs,
    #[command(flatten)]
    read: ReadArgs,
    #[command(flatten)]
    faults: FaultArgs,
    /// Threads that compute [default: all CPUs]
    #[arg(long)]
    threads: Option<usize>,
    /// Print the record as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: SettingsArgs,
}

fn method(text: &str) -> Result<Method, String> {
    Method::ALL.into_iter().find(|method| method.name() == text).ok_or_else(|| {
        let names: Vec<&str> = Method::ALL.iter().map(|method| method.name()).collect();
        format!("there are: {}", names.join(", "))
    })
}

fn task_metric(text: &str) -> Result<(String, String), String> {
    let (task, metric) = text.split_once('=').ok_or("write it as TASK=NAME")?;
    Ok((task.to_owned(), metric.to_owned()))
}

fn task_shots(text: &str) -> Result<(String, Vec<Shot>), String> {
    let (task, shots) = text.split_once('=').ok_or("write it as TASK=K,…")?;
    let shots = shots.split(',').map(str::parse).collect::<Result<_, _>>()?;
    Ok((task.to_owned(), shots))
}

/// Runs the experiment and prints its tables.
pub fn run(args: &Args) -> Result<()> {
    if let Some(threads) = args.threads {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build_global()?;
    }
    let design = design(args)?;
    let tasks = tasks(args)?;
    let page = args.html.as_deref().map(Page::new).transpose()?;
    let outside = args.add_results.iter().map(|path| read_outside(path));
    let outside = outside.collect::<Result<Vec<_>, _>>()?;
    check_columns(&outside, &tasks, &design)?;
    let encoder = Checkpoint::open(&args.encoder)?;
    let interrupt = interrupt::on_signal()?;
    let experiment = Experiment::new(&tasks, &design, &encoder)?;
    let results = experiment.run(&mut CellProgress::new(), &interrupt)?;
    let entry = &encoder.manifest.encoder;
    let encoder = format!("{} (checkpoint {})", entry.name, encoder.manifest.id);
    let record = summarise(&tasks, &design, &encoder, &results, &outside, vec![command_line()]);
    record.check()?;
    let json = serde_json::to_string_pretty(&record)? + "\n";
    Page::new(&args.work.join("results.json"))?.write(&json)?;
    if let Some(page) = page {
        page.write(&comparison_page(&record))?;
    }
    if args.json {
        return output::text(&json);
    }
    let style = if args.markdown { Style::Markdown } else { Style::Text };
    output::text(&comparison_tables(&record, style))
}

/// Refuses outside results that would be overlooked or mixed up, and a baseline that is no column.
fn check_columns(
    outside: &[OutsideResults],
    tasks: &[ComparedTask],
    design: &Design,
) -> Result<()> {
    let ids = |methods: &[Method]| -> BTreeSet<String> {
        methods.iter().flat_map(|m| m.answers()).map(|answer| answer.id.to_owned()).collect()
    };
    let (mut taken, mut columns) = (ids(&Method::ALL), ids(&design.methods));
    for results in outside {
        let name = &results.method;
        ensure!(taken.insert(name.clone()), "--add-results: there is a column {name:?} already");
        columns.insert(name.clone());
        let known: Vec<&str> = tasks.iter().map(|task| task.file.task.name.as_str()).collect();
        if let Some(task) = results.tasks().find(|task| !known.contains(task)) {
            bail!(
                "--add-results: {name:?} has results of {task:?}; the tasks are: {}",
                known.join(", ")
            );
        }
    }
    if let Some(baseline) = design.baseline.as_ref().filter(|name| !columns.contains(*name)) {
        let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
        bail!("--baseline: there is no column {baseline:?}; there are: {}", columns.join(", "));
    }
    Ok(())
}

/// The command as it was typed.
fn command_line() -> String {
    let quoted = |word: String| {
        if word.contains(char::is_whitespace) { format!("'{word}'") } else { word }
    };
    let words = std::env::args().skip(1).map(quoted);
    ["dynamar".to_owned()].into_iter().chain(words).collect::<Vec<_>>().join(" ")
}

fn design(args: &Args) -> Result<Design> {
    if let Some(flag) = args.settings.not_for_compare() {
        bail!("{flag} cannot be: all methods are trained alike, each with its own input and head");
    }
    let requested = args.settings.requested();
    let mut settings = requested.over(Settings::new(Tune::Full));
    if let Length::Epochs(_) = settings.length {
        settings.length = Length::Steps(DEFAULT_STEPS);
    }
    // Probabilities are compared as they come.
    settings.calibrate = false;
    ensure!(args.seeds > 0 && args.trial_seeds > 0, "at least one seed is needed");
    ensure!(args.max_scored > 0, "at least one example must be scored");
    let grid = grid(args, &settings);
    for setting in grid.settings() {
        let Setting { learning_rate, consistency, contrastive, .. } = setting;
        Settings { learning_rate, consistency, contrastive, ..settings.clone() }.check()?;
    }
    let methods = if args.methods.is_empty() { Method::ALL.to_vec() } else { args.methods.clone() };
    Ok(Design {
        methods,
        baseline: args.baseline.clone(),
        seeds: args.seeds,
        grid,
        trial_seeds: args.trial_seeds,
        settings,
        epochs: args.full_epochs,
        max_scored: args.max_scored,
        work: args.work.clone(),
    })
}

/// The values to choose from, or the one that all runs have.
fn grid(args: &Args, settings: &Settings) -> Grid {
    let or = |given: &[f64], one: f64| {
        let mut values = if given.is_empty() { vec![one] } else { given.to_vec() };
        values.sort_by(f64::total_cmp);
        values.dedup();
        values
    };
    Grid {
        learning_rates: or(&args.learning_rates, settings.learning_rate),
        consistency: or(&args.consistency_weights, settings.consistency),
        contrastive: or(&args.contrastive_weights, settings.contrastive),
    }
}

/// In order, each once.
fn shots(given: &[Shot]) -> Result<Vec<Shot>> {
    let shots: BTreeSet<Shot> = given.iter().copied().collect();
    ensure!(!shots.contains(&Shot::Count(0)), "--shots: at least 1 example must be taken");
    Ok(shots.into_iter().collect())
}

/// Reads each task's files.
fn tasks(args: &Args) -> Result<Vec<ComparedTask>> {
    let count = args.task.len();
    let reading = args.read.reading(&args.faults);
    check_read_once(&[&args.train, &args.dev, &args.test])?;
    let files = args.task.iter().map(|path| Ok(Arc::new(TaskFile::read(path)?)));
    let files: Vec<Arc<TaskFile>> = files.collect::<Result<_>>()?;
    let names: Vec<&str> = files.iter().map(|file| file.task.name.as_str()).collect();
    let [trains, devs, tests] = [("train", &args.train), ("dev", &args.dev), ("test", &args.test)]
        .map(|(flag, paths)| files_of_tasks(&names, paths, flag));
    let (trains, devs, tests) = (trains?, devs?, tests?);
    let mut metrics: HashMap<&str, &str> =
        args.metric.iter().map(|(task, metric)| (task.as_str(), metric.as_str())).collect();
    let mut own_shots: HashMap<&str, &[Shot]> =
        args.task_shots.iter().map(|(task, shots)| (task.as_str(), shots.as_slice())).collect();
    let mut tasks = Vec::new();
    for (at, file) in files.iter().enumerate() {
        let file = Arc::clone(file);
        let read = |paths: &[PathBuf], flag: &str| {
            ensure!(!paths.is_empty(), "the task {:?} has no --{flag}", file.task.name);
            labelled(paths, &file, &reading)
        };
        let train = read(&trains[at], "train")?;
        let (mut dev, mut test) = (read(&devs[at], "dev")?, read(&tests[at], "test")?);
        args.overlap.settle(&train, &mut dev)?;
        args.overlap.settle(&train, &mut test)?;
        args.overlap.settle(&dev, &mut test)?;
        let name = &file.task.name;
        let taken = tasks.iter().any(|task: &ComparedTask| task.file.task.name == *name);
        ensure!(!taken, "two tasks are called {name:?}");
        let usual = JobTask::usual_metric(&file, &train).name();
        let metric = metrics.remove(file.task.name.as_str()).unwrap_or(usual).to_owned();
        let shots = shots(own_shots.remove(file.task.name.as_str()).unwrap_or(&args.shots))?;
        let path = args.task[at].display().to_string();
        let class_weights = args.settings.requested().class_weights;
        let class_weights = class_weights.or(file.class_weights).unwrap_or_default();
        tasks.push(ComparedTask { file, path, train, dev, test, metric, class_weights, shots });
    }
    if let Some(task) = metrics.keys().next() {
        return Err(anyhow!("--metric {task}=…: there is no such task"));
    }
    if let Some(task) = own_shots.keys().next() {
        return Err(anyhow!("--task-shots {task}=…: there is no such task"));
    }
    note(&format!(
        "{count} tasks, {}",
        tasks.iter().map(|t| t.file.task.name.as_str()).collect::<Vec<_>>().join(", ")
    ));
    Ok(tasks)
}
