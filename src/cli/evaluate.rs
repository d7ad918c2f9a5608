//! `dynamar evaluate`.

use std::{collections::BTreeMap, path::PathBuf, thread};

use anyhow::{Context, Result, ensure};
use serde::{Serialize, Serializer};

use super::{
    Global,
    evaluate_review::{Review, error_columns, lengths},
    output,
    output::Page,
    progress::note,
    reading::{FaultArgs, ReadArgs, check_read_once, labelled, origins},
    templates::TemplateArgs,
};
use crate::{
    baseline::{self, check_result},
    checkpoint::Checkpoint,
    dataset::{ChosenRows, Dataset},
    evaluation::{
        LengthBin, Metric, Metrics, Options, Threshold, Thresholds, by_length, evaluate_with,
        interval, review::judge,
    },
    inference::{MaskEncoder, Model, ServedTask, TaskPredictor, predict, predict_each},
    prompt::TaskFile,
    report::{
        EvaluationPage, Intervals, Style, TemplateMetrics, TemplateRole, baselines_table,
        evaluation_page, metric_tables, templates_table,
    },
    task::{Kind, Output, Prediction, Target, Task},
};

/// Says how good a checkpoint's task is on labelled examples, through the code that serves
///
/// Example: dynamar evaluate --model models/serving/reviews --task review-polarity \
///              --data models/data/review-polarity/test.csv
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// The checkpoint's directory
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    /// The task's name
    #[arg(long, value_name = "NAME")]
    task: String,
    /// Labelled examples: CSV or otherwise separated, JSON Lines, a JSON array or Parquet, also packed
    /// (.gz, .zst); - is standard input; may be given several times
    #[arg(long, visible_alias = "test", value_name = "FILE", required = true)]
    data: Vec<PathBuf>,
    #[command(flatten)]
    read: ReadArgs,
    #[command(flatten)]
    faults: FaultArgs,
    #[command(flatten)]
    answering: TemplateArgs,
    /// Evaluate every template of the task file alone, held-out ones too, and the pool averaged
    #[arg(long)]
    templates: bool,
    /// Training examples: the majority and a bag of words that learn from them stand beside the
    /// model, and on the page the nearest of them beside each mistake; may be given several times
    #[arg(long, value_name = "FILE")]
    train: Vec<PathBuf>,
    /// Of two labels, answer the positive one from this probability on (0 to 1): its figures stand
    /// beside those at the stored threshold, and it decides what a mistake is
    #[arg(long, value_name = "PROBABILITY", value_parser = probability, allow_negative_numbers = true)]
    threshold: Option<f32>,
    /// Write every mistake with all columns of its row, the true label, the answer and their
    /// probabilities (CSV); of numbers those that are off by more than the root mean squared error
    #[arg(long, value_name = "FILE")]
    errors: Option<PathBuf>,
    /// Write a page with figures and charts; it needs no other file
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Print the metrics as JSON
    #[arg(long)]
    json: bool,
}

/// Figures of each template alone and of the pool.
#[derive(Serialize)]
struct ByTemplate {
    templates: Vec<TemplateMetrics>,
    ensemble: BTreeMap<String, f64>,
}

/// Findings that are printed as JSON beside the metrics.
#[derive(Serialize)]
struct Findings {
    /// Of a task with two labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    thresholds: Option<Thresholds>,
    /// Simpler models on the same examples.
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "by_name")]
    baselines: Vec<(String, Metrics)>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    lengths: Vec<LengthBin>,
    mistakes: usize,
}

/// JSON without `--templates`.
#[derive(Serialize)]
struct Flat<'a> {
    #[serde(flatten)]
    metrics: &'a Metrics,
    #[serde(flatten)]
    findings: &'a Findings,
}

/// JSON with `--templates`.
#[derive(Serialize)]
struct Nested<'a> {
    metrics: &'a Metrics,
    #[serde(flatten)]
    by_template: &'a ByTemplate,
    #[serde(flatten)]
    findings: &'a Findings,
}

fn by_name<S: Serializer>(named: &[(String, Metrics)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(named.iter().map(|(name, metrics)| (name, metrics)))
}

fn probability(text: &str) -> Result<f32, String> {
    let value: f32 = text.parse().map_err(|_| format!("{text:?} is no number"))?;
    match (0.0..=1.0).contains(&value) {
        true => Ok(value),
        false => Err("a probability lies between 0 and 1".to_owned()),
    }
}

/// Predicts, compares and prints.
pub fn run(args: &Args, global: &Global) -> Result<()> {
    let checkpoint = Checkpoint::open(&args.model)?;
    checkpoint.task(&args.task)?;
    let model = Model::from_checkpoint(&checkpoint)?;
    let task = model.tasks.get(&args.task).context("the task was just found")?;
    let predictor = &task.predictor;
    let file = &predictor.file;
    let decision = args.threshold.map(|value| decision(predictor, value)).transpose()?;
    let page = args.html.as_deref().map(Page::new).transpose()?;
    let errors = args.errors.as_deref().map(Page::new).transpose()?;
    check_read_once(&[&args.data, &args.train])?;
    let reading = args.read.reading(&args.faults);
    let copied = errors
        .is_some()
        .then(|| ChosenRows::new(origins(&args.data), error_columns(file), file, &reading));
    let copied = copied.transpose()?;
    let data = labelled(&args.data, file, &reading)?;
    let has_train = !args.train.is_empty();
    if !has_train {
        note("--train FILE says what the majority and a bag of words get on these rows");
    }
    let train = has_train.then(|| labelled(&args.train, file, &reading)).transpose()?;
    let chosen = predictor.select(&args.answering.choice())?;
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let mut encoder = model.encoder(&global.runtime()?, threads)?;
    let (predictions, by_template) = if args.templates {
        let (predictions, found) = by_template(&mut encoder, predictor, &data, &chosen)?;
        (predictions, Some(found))
    } else {
        (predict(&mut encoder, predictor, &data.inputs(), &chosen)?, None)
    };
    let metrics = metrics(predictor, &data, &predictions)?;
    let (metric, intervals) = (headline(task, &data), intervals(predictor, &data, &predictions)?);
    let judged = judge(&data.targets(), &predictions, decision);
    let review = Review { file, data: &data, predictions: &predictions, judged };
    let findings = findings(predictor, &review, train.as_ref(), args.threshold)?;
    if let (Some(errors), Some(rows)) = (errors, copied) {
        review.write_errors(&rows, &errors)?;
        let examples = data.examples.len();
        note(&format!("{}: {} mistakes of {examples} examples", errors.name(), findings.mistakes));
    }
    if let Some(page) = page {
        let (templates, ensemble) = by_template
            .as_ref()
            .map(|found| (found.templates.clone(), found.ensemble.clone()))
            .unzip();
        page.write(&evaluation_page(&EvaluationPage {
            checkpoint: model.id.clone(),
            task: args.task.clone(),
            data: data.path.clone(),
            answered_by: answered_by(file, &chosen),
            metrics: metrics.clone(),
            headline: metric.name().to_owned(),
            intervals: intervals.clone(),
            baselines: findings.baselines.clone(),
            thresholds: findings.thresholds.clone(),
            lengths: findings.lengths.clone(),
            templates: templates.unwrap_or_default(),
            ensemble,
            points: points(&data, &predictions),
            range: range(&file.task.kind),
            mistakes: findings.mistakes,
            worst: review.worst(train.as_ref()),
            least_sure: review.least_sure(),
        }))?;
    }
    warn(&metrics, &findings, metric);
    print(args, metric, &intervals, &metrics, by_template.as_ref(), &findings)
}

/// The positive one of two labels and the requested threshold.
fn decision(task: &TaskPredictor, value: f32) -> Result<Threshold> {
    let labels = task.file.labels().len();
    ensure!(
        labels == 2,
        "--threshold is for tasks with two labels; {:?} {}",
        task.file.task.name,
        if labels == 0 { "predicts a number".to_owned() } else { format!("has {labels}") }
    );
    let positive = task.threshold().map_or(1, |threshold| threshold.positive);
    Ok(Threshold { positive, value })
}

fn findings(
    task: &TaskPredictor,
    review: &Review<'_>,
    train: Option<&Dataset>,
    chosen: Option<f32>,
) -> Result<Findings> {
    let Review { data, predictions, .. } = review;
    let (kind, targets) = (&task.file.task.kind, data.targets());
    let options = Options { threshold: task.threshold(), weights: None };
    let baselines = train.map(|train| baselines(task, train, data)).transpose()?;
    Ok(Findings {
        thresholds: Thresholds::of(kind, &targets, predictions, task.threshold(), chosen),
        baselines: baselines.unwrap_or_default(),
        lengths: by_length(kind, &lengths(data), &targets, predictions, &options)?,
        mistakes: review.mistakes(),
    })
}

/// Simpler models, trained on the training examples, on the same examples.
fn baselines(
    task: &TaskPredictor,
    train: &Dataset,
    data: &Dataset,
) -> Result<Vec<(String, Metrics)>> {
    let TaskFile { task, positive, .. } = &*task.file;
    let figures = baseline::figures(task, train, data, *positive)?;
    Ok(figures.into_iter().map(|(name, metrics)| (name.to_owned(), metrics)).collect())
}

/// The lowest and the highest value that the target may have.
fn range(kind: &Kind) -> (Option<f64>, Option<f64>) {
    match kind {
        Kind::Regression { min, max } => (*min, *max),
        Kind::Classification { .. } => (None, None),
    }
}

fn metrics(task: &TaskPredictor, data: &Dataset, predictions: &[Prediction]) -> Result<Metrics> {
    let options = Options { threshold: task.threshold(), weights: None };
    Ok(evaluate_with(&task.file.task.kind, &data.targets(), predictions, &options)?)
}

/// The predictions of the chosen templates, and the figures of every template and of the pool.
fn by_template(
    encoder: &mut dyn MaskEncoder,
    task: &TaskPredictor,
    data: &Dataset,
    chosen: &[usize],
) -> Result<(Vec<Prediction>, ByTemplate)> {
    let prompts = &task.file.prompts;
    let mut choices: Vec<Vec<usize>> = (0..prompts.templates.len()).map(|at| vec![at]).collect();
    choices.extend([prompts.pool.clone(), chosen.to_vec()]);
    let mut answers = predict_each(encoder, task, &data.inputs(), &choices)?;
    let predictions = answers.pop().context("the chosen templates were asked for")?;
    let summary = |predictions: &Vec<Prediction>| -> Result<BTreeMap<String, f64>> {
        Ok(metrics(task, data, predictions)?.summary())
    };
    let ensemble = summary(&answers.pop().context("the pool was asked for")?)?;
    let templates = prompts.templates.iter().enumerate().zip(&answers);
    let templates: Result<Vec<TemplateMetrics>> = templates
        .map(|((at, template), predictions)| {
            let (id, role) = (template.id.clone(), role(&task.file, at));
            Ok(TemplateMetrics { id, role, metrics: summary(predictions)? })
        })
        .collect();
    Ok((predictions, ByTemplate { templates: templates?, ensemble }))
}

fn role(file: &TaskFile, template: usize) -> TemplateRole {
    let prompts = &file.prompts;
    match template {
        at if at == prompts.canonical => TemplateRole::Canonical,
        at if prompts.templates[at].held_out => TemplateRole::HeldOut,
        at if prompts.pool.contains(&at) => TemplateRole::Pool,
        _ => TemplateRole::Unused,
    }
}

/// Which templates answered, in words.
fn answered_by(file: &TaskFile, chosen: &[usize]) -> String {
    match chosen {
        [one] => format!("the template {}", file.prompts.templates[*one].id),
        several => format!("{} templates, averaged", several.len()),
    }
}

/// True and predicted values; none for labels.
fn points(data: &Dataset, predictions: &[Prediction]) -> Vec<(f64, f64)> {
    let pairs = data.examples.iter().zip(predictions);
    let values =
        pairs.filter_map(|(labeled, prediction)| match (labeled.target, &prediction.output) {
            (Target::Value(truth), Output::Value(predicted)) => Some((truth, *predicted)),
            _ => None,
        });
    values.collect()
}

/// The metric of the task: the one of its file, of its training, or the one that says most about
/// these examples.
fn headline(task: &ServedTask, data: &Dataset) -> Metric {
    let TaskFile { metric, positive, task: Task { kind, .. }, .. } = &*task.predictor.file;
    let of_training = || {
        let name = task.report.training.get("metric")?.as_str()?;
        Metric::of_name(name).filter(|metric| metric.fits(kind))
    };
    let by_data = || Metric::for_task(kind, *positive, &data.targets()).metric;
    metric.or_else(of_training).unwrap_or_else(by_data)
}

/// Intervals of the figures, where the set is small.
fn intervals(
    task: &TaskPredictor,
    data: &Dataset,
    predictions: &[Prediction],
) -> Result<Intervals> {
    if data.examples.len() > interval::SMALL {
        return Ok(Intervals::new());
    }
    let options = Options { threshold: task.threshold(), weights: None };
    Ok(interval::intervals(&task.file.task.kind, &data.targets(), predictions, &options)?)
}

/// Warns of results that are not worth an encoder.
fn warn(metrics: &Metrics, findings: &Findings, metric: Metric) {
    let named = findings.baselines.iter().map(|(name, metrics)| (name.as_str(), metrics));
    let named: BTreeMap<&str, &Metrics> = named.collect();
    for warning in check_result(metrics, &named, metric.name(), metric.is_higher_better()) {
        note(&format!("warning: {warning}"));
    }
}

fn print(
    args: &Args,
    metric: Metric,
    intervals: &Intervals,
    metrics: &Metrics,
    by_template: Option<&ByTemplate>,
    findings: &Findings,
) -> Result<()> {
    if args.json {
        return match by_template {
            Some(by_template) => output::json(&Nested { metrics, by_template, findings }),
            None => output::json(&Flat { metrics, findings }),
        };
    }
    let mut tables = metric_tables(metrics, findings.thresholds.as_ref(), intervals);
    if !findings.baselines.is_empty() {
        tables.insert(0, baselines_table(metric.name(), metrics, &findings.baselines));
    }
    tables.extend(
        by_template.map(|t| templates_table(metric.name(), &t.templates, Some(&t.ensemble))),
    );
    let texts: Vec<String> = tables
        .iter()
        .map(|table| format!("{}\n\n{}", table.caption, table.render(Style::Text)))
        .collect();
    output::text(&texts.join("\n"))
}
