//! `dynamar evaluate`.

use std::{collections::BTreeMap, path::PathBuf, thread};

use anyhow::{Context, Result};
use serde::Serialize;

use super::{
    Global, output,
    reading::{FaultArgs, ReadArgs, check_read_once, labelled},
    templates::TemplateArgs,
};
use crate::{
    checkpoint::Checkpoint,
    dataset::Dataset,
    evaluation::{Metrics, Options, evaluate_with},
    inference::{MaskEncoder, Model, TaskPredictor, predict, predict_each},
    prompt::TaskFile,
    report::{
        EvaluationPage, Style, TemplateMetrics, TemplateRole, evaluation_page, metric_tables,
        templates_table,
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

/// With `--templates`, what is printed as JSON.
#[derive(Serialize)]
struct Json<'a> {
    metrics: &'a Metrics,
    #[serde(flatten)]
    by_template: &'a ByTemplate,
}

/// Predicts, compares and prints.
pub fn run(args: &Args, global: &Global) -> Result<()> {
    let checkpoint = Checkpoint::open(&args.model)?;
    checkpoint.task(&args.task)?;
    let model = Model::from_checkpoint(&checkpoint)?;
    let task = model.tasks.get(&args.task).context("the task was just found")?;
    let predictor = &task.predictor;
    let page = args.html.as_deref().map(output::Page::new).transpose()?;
    check_read_once(&[&args.data])?;
    let data = labelled(&args.data, &predictor.file, &args.read.reading(&args.faults))?;
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
    if let Some(page) = page {
        let (templates, ensemble) = by_template
            .as_ref()
            .map(|found| (found.templates.clone(), found.ensemble.clone()))
            .unzip();
        page.write(&evaluation_page(&EvaluationPage {
            checkpoint: model.id.clone(),
            task: args.task.clone(),
            data: data.path.clone(),
            answered_by: answered_by(&predictor.file, &chosen),
            metrics: metrics.clone(),
            headline: headline(&predictor.file.task.kind).to_owned(),
            templates: templates.unwrap_or_default(),
            ensemble,
            points: points(&data, &predictions),
        }))?;
    }
    print(args, &predictor.file.task.kind, &metrics, by_template.as_ref())
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
) -> Result<()> {
    if args.json {
        return match by_template {
            Some(by_template) => output::json(&Json { metrics, by_template }),
            None => output::json(metrics),
        };
    }
    let mut tables = metric_tables(metrics);
    tables.extend(
        by_template.map(|t| templates_table(headline(kind), &t.templates, Some(&t.ensemble))),
    );
    let texts: Vec<String> = tables
        .iter()
        .map(|table| format!("{}\n\n{}", table.caption, table.render(Style::Text)))
        .collect();
    output::text(&texts.join("\n"))
}
