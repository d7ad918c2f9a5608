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
    templates::TemplateArgs,
};
use crate::{
    checkpoint::Checkpoint,
    dataset::{Dataset, check_new_columns, read_csv},
    evaluation::{
        LengthBin, Metrics, Options, Threshold, Thresholds, by_length, evaluate_with, review::judge,
    },
    inference::{MaskEncoder, Model, TaskPredictor, predict, predict_each},
    prompt::TaskFile,
    report::{
        EvaluationPage, Intervals, Style, TemplateMetrics, TemplateRole, baselines_table,
        evaluation_page, metric_tables, templates_table,
    },
    task::{Kind, Output, Prediction, Target},
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
    /// Labelled examples (CSV)
    #[arg(long, value_name = "FILE")]
    data: PathBuf,
    #[command(flatten)]
    answering: TemplateArgs,
    /// Evaluate every template of the task file alone, held-out ones too, and the pool averaged
    #[arg(long)]
    templates: bool,
    /// Training examples (CSV): figures of the simplest answers that they allow stand beside the
    /// model's, and on the page the nearest of them beside each mistake
    #[arg(long, value_name = "FILE")]
    train: Option<PathBuf>,
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

/// What is printed as JSON beside the metrics.
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
    if errors.is_some() {
        check_new_columns(&args.data, error_columns(file))?;
    }
    let data = read_csv(&args.data, file)?;
    let train = args.train.as_deref().map(|path| read_csv(path, file)).transpose()?;
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
    let judged = judge(&data.targets(), &predictions, decision);
    let review = Review { file, data: &data, predictions: &predictions, judged };
    let findings = findings(predictor, &review, train.as_ref(), args.threshold)?;
    if let Some(errors) = errors {
        review.write_errors(&args.data, &errors)?;
        let place = args.errors.as_deref().unwrap_or(&args.data).display();
        note(&format!(
            "{place}: {} mistakes of {} examples",
            findings.mistakes,
            data.examples.len()
        ));
    }
    if let Some(page) = page {
        let (templates, ensemble) = by_template
            .as_ref()
            .map(|found| (found.templates.clone(), found.ensemble.clone()))
            .unzip();
        page.write(&evaluation_page(&EvaluationPage {
            checkpoint: model.id.clone(),
            task: args.task.clone(),
            data: args.data.display().to_string(),
            answered_by: answered_by(file, &chosen),
            metrics: metrics.clone(),
            headline: headline(&file.task.kind).to_owned(),
            intervals: Intervals::new(),
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
    print(args, &file.task.kind, &metrics, by_template.as_ref(), &findings)
}

/// Of two labels the positive one and the threshold that was asked for.
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

/// Simpler models, made of the training examples, on the same examples.
fn baselines(
    task: &TaskPredictor,
    train: &Dataset,
    data: &Dataset,
) -> Result<Vec<(String, Metrics)>> {
    let kind = &task.file.task.kind;
    let (name, output) = match kind {
        Kind::Classification { labels } => {
            let mut counts = vec![0.0f32; labels.len()];
            let of_train = train.examples.iter().filter_map(|labeled| labeled.target.label());
            of_train.for_each(|label| counts[label] += 1.0);
            let all: f32 = counts.iter().sum();
            let shares = counts.iter().map(|count| count / all).collect();
            ("always the commonest label", Output::Probabilities(shares))
        }
        Kind::Regression { .. } => {
            let values = train.examples.iter().filter_map(|labeled| labeled.target.value());
            let mean = values.sum::<f64>() / train.examples.len() as f64;
            ("always the mean", Output::Value(mean))
        }
    };
    let answer = Prediction { output, truncated: false, template_spread: 0.0 };
    let predictions = vec![answer; data.examples.len()];
    let threshold = task.threshold().map(|threshold| Threshold { value: 0.5, ..threshold });
    let options = Options { threshold, weights: None };
    let metrics = evaluate_with(kind, &data.targets(), &predictions, &options)?;
    Ok(vec![(name.to_owned(), metrics)])
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

/// The metric by which templates are compared.
fn headline(kind: &Kind) -> &'static str {
    match kind {
        Kind::Classification { .. } => "accuracy",
        Kind::Regression { .. } => "spearman",
    }
}

fn print(
    args: &Args,
    kind: &Kind,
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
    let mut tables = metric_tables(metrics, findings.thresholds.as_ref(), &Intervals::new());
    if !findings.baselines.is_empty() {
        tables.insert(0, baselines_table(headline(kind), metrics, &findings.baselines));
    }
    tables.extend(
        by_template.map(|t| templates_table(headline(kind), &t.templates, Some(&t.ensemble))),
    );
    let texts: Vec<String> = tables
        .iter()
        .map(|table| format!("{}\n\n{}", table.caption, table.render(Style::Text)))
        .collect();
    output::text(&texts.join("\n"))
}
