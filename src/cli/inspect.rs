//! `dynamar inspect`.

use std::{fmt::Write, path::PathBuf};

use anyhow::Result;

use super::output;
use crate::{
    checkpoint::{Checkpoint, Manifest},
    inference::{Model, ServedTask, language_head},
    task::Kind,
    weights::LanguageHead,
};

/// Says what a checkpoint holds and whether it is intact
///
/// Example: dynamar inspect models/serving/reviews
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// The checkpoint's directory
    directory: PathBuf,
    /// Print the manifest as JSON
    #[arg(long)]
    json: bool,
}

/// Verifies and prints.
pub fn run(args: &Args) -> Result<()> {
    let checkpoint = Checkpoint::open(&args.directory)?;
    let model = Model::from_checkpoint(&checkpoint)?;
    let language_head = language_head(&checkpoint)?;
    if args.json {
        return output::json(&checkpoint.manifest);
    }
    output::text(&describe(&checkpoint.manifest, &model, language_head.as_ref())?)
}

fn describe(
    manifest: &Manifest,
    model: &Model,
    language_head: Option<&LanguageHead>,
) -> Result<String> {
    let architecture = &manifest.encoder.architecture;
    let mut text = String::new();
    writeln!(text, "checkpoint {}  format {}", manifest.id, manifest.format_version)?;
    let provenance = &manifest.provenance;
    writeln!(text, "written by {} from {}", provenance.created_by, provenance.encoder_from)?;
    let (layers, heads) = (architecture.layers, architecture.heads);
    let (layers, heads) = match manifest.encoder.graph {
        Some(_) => ("a graph of another exporter".to_owned(), String::new()),
        None => {
            let family = architecture.family.name();
            (format!("{family}, {layers} layers"), format!("{heads} heads, "))
        }
    };
    writeln!(
        text,
        "encoder    {}: {layers}, {} wide, {heads}vocabulary {}, up to {} tokens",
        manifest.encoder.name,
        architecture.hidden_size,
        architecture.vocabulary_size,
        architecture.max_positions
    )?;
    let head = if language_head.is_some() { "with its language head" } else { "no language head" };
    writeln!(text, "           {head}")?;
    for (name, task) in &model.tasks {
        describe_task(&mut text, name, task)?;
    }
    let bytes: u64 = manifest.files.values().map(|file| file.bytes).sum();
    writeln!(text, "intact: {} files, {:.1} MB", manifest.files.len(), bytes as f64 / 1e6)?;
    Ok(text)
}

fn describe_task(text: &mut String, name: &str, task: &ServedTask) -> Result<()> {
    let file = &task.predictor.file;
    let answers = match &file.task.kind {
        Kind::Classification { labels } => labels.join(", "),
        Kind::Regression { min, max } => {
            let bound = |bound: &Option<f64>| bound.map_or("?".to_owned(), |b| b.to_string());
            format!("{} .. {}", bound(min), bound(max))
        }
    };
    let (kind, fields) = (file.task.kind.name(), file.task.field_names());
    writeln!(text, "task       {name}: {kind} of {fields} -> {answers}")?;
    let prompts = &file.prompts;
    let canonical = &prompts.templates[prompts.canonical];
    let (all, pool) = (prompts.templates.len(), prompts.pool.len());
    writeln!(text, "           {all} templates, pool of {pool}")?;
    writeln!(text, "           canonical {:?}: {}", canonical.id, canonical.text)?;
    let metrics: Vec<String> =
        task.report.metrics.iter().map(|(name, value)| format!("{name} {value:.4}")).collect();
    if !metrics.is_empty() {
        let examples = task.report.dev_examples;
        writeln!(text, "           dev ({examples} examples): {}", metrics.join("  "))?;
    }
    Ok(())
}
