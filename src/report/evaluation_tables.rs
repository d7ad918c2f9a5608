//! How good one task of a checkpoint is, as tables for a page and a terminal.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{
    comparison::TemplateRole,
    figure::{figure, words},
    table::{Cell, Table},
};
use crate::evaluation::{Classification, Decision, LengthBin, Metrics, Regression, Thresholds};

/// Labels that a table lists; the largest by examples.
const MAX_LABEL_ROWS: usize = 100;

/// 95 % intervals of metrics by the names that `Metrics::summary` gives them.
pub type Intervals = BTreeMap<String, (f64, f64)>;

/// The figures of one template.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TemplateMetrics {
    pub id: String,
    pub role: TemplateRole,
    /// As `Metrics::summary` has them.
    pub metrics: BTreeMap<String, f64>,
}

/// A name with its figures.
type Row<'a> = (String, &'a BTreeMap<String, f64>);

/// The figures of an evaluation as tables: all in all, decisions for the positive label, by label.
/// Metrics that have an interval are told with it.
pub fn metric_tables(
    metrics: &Metrics,
    thresholds: Option<&Thresholds>,
    intervals: &Intervals,
) -> Vec<Table> {
    match metrics {
        Metrics::Regression(metrics) => vec![regression_figures(metrics, intervals)],
        Metrics::Classification(metrics) => {
            let decided = thresholds.map(threshold_table);
            let figures = classification_figures(metrics, intervals);
            [Some(figures), decided, Some(labels(metrics))].into_iter().flatten().collect()
        }
    }
}

fn regression_figures(metrics: &Regression, intervals: &Intervals) -> Table {
    let in_order = [
        ("spearman", Some(metrics.spearman)),
        ("pearson", Some(metrics.pearson)),
        ("rmse", Some(metrics.rmse)),
        ("mae", Some(metrics.mae)),
        ("r2", Some(metrics.r2)),
    ];
    figures(metrics.examples, "", &in_order, intervals)
}

fn classification_figures(metrics: &Classification, intervals: &Intervals) -> Table {
    let in_order = [
        ("accuracy", Some(metrics.accuracy)),
        ("macro_f1", Some(metrics.macro_f1)),
        ("average_precision", metrics.average_precision),
        ("auroc", metrics.auroc),
        ("log_loss", Some(metrics.log_loss)),
        ("brier", Some(metrics.brier)),
        ("ece", Some(metrics.ece)),
    ];
    let of_ranking = if metrics.positive.is_some() { "" } else { " (macro)" };
    figures(metrics.examples, of_ranking, &in_order, intervals)
}

fn figures(
    examples: usize,
    of_ranking: &str,
    named: &[(&str, Option<f64>)],
    intervals: &Intervals,
) -> Table {
    let row = |(name, value): &(&str, Option<f64>)| {
        let mut shown = words(name);
        if matches!(*name, "average_precision" | "auroc") {
            shown += of_ranking;
        }
        let mut row = vec![Cell::term(shown), cell(*value)];
        if !intervals.is_empty() {
            let interval = intervals.get(*name);
            let interval =
                interval.map(|(low, high)| format!("{} to {}", figure(*low), figure(*high)));
            row.push(Cell::new(interval.unwrap_or("–".to_owned())));
        }
        row
    };
    let mut columns = ["metric", "value"].map(str::to_owned).to_vec();
    columns.extend((!intervals.is_empty()).then(|| "95 % interval".to_owned()));
    let caption = format!("On {examples} examples");
    Table { caption, columns, rows: named.iter().map(row).collect() }
}

fn cell(value: Option<f64>) -> Cell {
    Cell::new(value.map_or("–".to_owned(), figure))
}

/// Decisions at every threshold with a name; equal ones share a row.
fn threshold_table(found: &Thresholds) -> Table {
    let rows = named_decisions(found).into_iter().map(|(names, decision)| {
        let Decision { threshold, said, right, precision, recall, f1 } = decision;
        let mut row = vec![
            Cell::new(format!("from {threshold:.3} ({})", names.join(", "))),
            Cell::new(said.to_string()),
            Cell::new(right.to_string()),
        ];
        row.extend([precision, recall, f1].map(|value| cell(Some(value))));
        row
    });
    let columns = ["threshold", "answered", "right", "precision", "recall", "F1"];
    Table {
        caption: format!(
            "Answering {:?}, the true label of {} of {} examples, from a probability on",
            found.label, found.positives, found.examples
        ),
        columns: columns.map(str::to_owned).to_vec(),
        rows: rows.collect(),
    }
}

/// The thresholds in their order, with what they are.
pub fn named_decisions(found: &Thresholds) -> Vec<(Vec<&'static str>, Decision)> {
    let named = [
        ("the more probable label", Some(found.at_half)),
        ("stored with the task", found.stored),
        ("chosen with --threshold", found.chosen),
        ("highest F1 on these examples", Some(found.best)),
    ];
    let mut rows: Vec<(Vec<&str>, Decision)> = Vec::new();
    for (name, decision) in named {
        let Some(decision) = decision else { continue };
        match rows.iter_mut().find(|(_, other)| other.threshold == decision.threshold) {
            Some((names, _)) => names.push(name),
            None => rows.push((vec![name], decision)),
        }
    }
    rows.sort_by(|(_, a), (_, b)| a.threshold.total_cmp(&b.threshold));
    rows
}

fn labels(metrics: &Classification) -> Table {
    let mut labels: Vec<_> = metrics.labels.iter().collect();
    let all = labels.len();
    if all > MAX_LABEL_ROWS {
        labels.sort_by_key(|label| std::cmp::Reverse(label.examples));
        labels.truncate(MAX_LABEL_ROWS);
    }
    let rows = labels.iter().map(|label| {
        let figures = [Some(label.precision), Some(label.recall), Some(label.f1)];
        let mut row = vec![Cell::new(&label.label), Cell::new(label.examples.to_string())];
        row.extend(figures.map(cell));
        row.extend([label.average_precision, label.auroc].map(cell));
        row
    });
    let columns = ["label", "examples", "precision", "recall", "F1", "average precision", "AUROC"];
    let caption = if all > MAX_LABEL_ROWS {
        format!("The {MAX_LABEL_ROWS} commonest of {all} labels")
    } else {
        "By label".to_owned()
    };
    Table { caption, columns: columns.map(str::to_owned).to_vec(), rows: rows.collect() }
}

/// The model beside simpler ones, the headline metric first; the best of each column stands out.
pub fn baselines_table(headline: &str, model: &Metrics, baselines: &[(String, Metrics)]) -> Table {
    let summaries: Vec<(String, BTreeMap<String, f64>)> = baselines
        .iter()
        .map(|(name, metrics)| (name.clone(), metrics.summary()))
        .chain([("this model".to_owned(), model.summary())])
        .collect();
    let rows: Vec<Row> = summaries.iter().map(|(name, metrics)| (name.clone(), metrics)).collect();
    let mut table = by_name("answers of", headline, &rows);
    for row in &mut table.rows {
        row[0].is_term = true;
    }
    table.caption = "Beside simpler answers to the same examples".to_owned();
    table
}

/// Figures by the length of the text.
pub fn lengths_table(headline: &str, bins: &[LengthBin]) -> Table {
    let name = |bin: &LengthBin| match bin.from == bin.to {
        true => bin.from.to_string(),
        false => format!("{} to {}", bin.from, bin.to),
    };
    let rows: Vec<Row> = bins.iter().map(|bin| (name(bin), &bin.metrics)).collect();
    let mut table = by_name("characters", headline, &rows);
    table.columns.insert(1, "examples".to_owned());
    for (row, bin) in table.rows.iter_mut().zip(bins) {
        row.insert(1, Cell::new(bin.examples.to_string()));
    }
    table.caption = "By the length of the text".to_owned();
    table
}

/// Every template with its metrics, the headline metric first, and the ensemble at the end.
pub fn templates_table(
    headline: &str,
    templates: &[TemplateMetrics],
    ensemble: Option<&BTreeMap<String, f64>>,
) -> Table {
    let mut rows: Vec<Row> =
        templates.iter().map(|template| (template.id.clone(), &template.metrics)).collect();
    rows.extend(ensemble.map(|metrics| ("ensemble".to_owned(), metrics)));
    let mut table = by_name("template", headline, &rows);
    table.columns.insert(1, "part".to_owned());
    let parts = templates.iter().map(|template| template.role.to_string());
    for (row, part) in table.rows.iter_mut().zip(parts.chain(["averaged".to_owned()])) {
        row.insert(1, Cell::term(part));
    }
    table.caption = "Each template alone, and the pool averaged".to_owned();
    table
}

/// Names with their figures, the headline metric first.
fn by_name(what: &str, headline: &str, rows: &[Row]) -> Table {
    let all = rows.iter().flat_map(|(_, metrics)| metrics.keys());
    let mut names: Vec<&str> = all.map(String::as_str).collect();
    names.sort_unstable_by_key(|name| (*name != headline, *name));
    names.dedup();
    let row = |(name, metrics): &Row| {
        let figures = names.iter().map(|name| cell(metrics.get(*name).copied()));
        std::iter::once(Cell::new(name)).chain(figures).collect()
    };
    let columns = std::iter::once(what.to_owned()).chain(names.iter().map(|name| words(name)));
    Table {
        caption: String::new(),
        columns: columns.collect(),
        rows: rows.iter().map(row).collect(),
    }
}

#[cfg(test)]
mod tests;
