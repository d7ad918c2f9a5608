//! `dynamar evaluate`.

use std::{fmt::Write, path::PathBuf, thread};

use anyhow::{Context, Result};

use super::{Global, output};
use crate::{
    checkpoint::Checkpoint,
    dataset::read_csv,
    evaluation::{Metrics, evaluate},
    inference::{Model, TemplateChoice, predict},
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
    /// Answer with this template instead of what the task file says
    #[arg(long, value_name = "ID", conflicts_with = "ensemble")]
    template: Option<String>,
    /// Answer with all templates of the pool, averaged
    #[arg(long)]
    ensemble: bool,
    /// Print the metrics as JSON
    #[arg(long)]
    json: bool,
}

/// Predicts, compares and prints.
pub fn run(args: &Args, global: &Global) -> Result<()> {
    let checkpoint = Checkpoint::open(&args.model)?;
    checkpoint.task(&args.task)?;
    let model = Model::from_checkpoint(&checkpoint)?;
    let task = model.tasks.get(&args.task).context("the task was just found")?;
    let predictor = &task.predictor;
    let data = read_csv(&args.data, &predictor.file)?;
    let templates = predictor.select(&choice(args))?;
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let mut encoder = model.encoder(&global.runtime()?, threads)?;
    let predictions = predict(&mut encoder, predictor, &data.inputs(), &templates)?;
    let metrics = evaluate(&predictor.file.task.kind, &data.targets(), &predictions)?;
    if args.json {
        return output::json(&metrics);
    }
    output::text(&describe(&metrics)?)
}

fn choice(args: &Args) -> TemplateChoice {
    match (&args.template, args.ensemble) {
        (Some(id), _) => TemplateChoice::Single(Some(id.clone())),
        (None, true) => TemplateChoice::Ensemble(Vec::new()),
        (None, false) => TemplateChoice::Default,
    }
}

fn describe(metrics: &Metrics) -> Result<String> {
    let mut text = String::new();
    match metrics {
        Metrics::Regression(m) => {
            writeln!(text, "examples  {}", m.examples)?;
            for (name, value) in [
                ("Spearman", m.spearman),
                ("Pearson", m.pearson),
                ("RMSE", m.rmse),
                ("MAE", m.mae),
                ("R2", m.r2),
            ] {
                writeln!(text, "{name:8}  {value:.4}")?;
            }
        }
        Metrics::Classification(m) => {
            writeln!(text, "examples  {}", m.examples)?;
            writeln!(text, "accuracy  {:.4}", m.accuracy)?;
            writeln!(text, "macro F1  {:.4}", m.macro_f1)?;
            writeln!(text, "log loss  {:.4}", m.log_loss)?;
            let width = m.labels.iter().map(|l| l.label.chars().count()).max().unwrap_or(0).max(5);
            writeln!(text, "\n{:width$}  examples  precision  recall      F1", "label")?;
            for l in &m.labels {
                let (label, examples) = (&l.label, l.examples);
                let (precision, recall, f1) = (l.precision, l.recall, l.f1);
                writeln!(
                    text,
                    "{label:width$}  {examples:8}  {precision:9.4}  {recall:6.4}  {f1:.4}"
                )?;
            }
        }
    }
    Ok(text)
}
