//! How good one task of a checkpoint is, as a page.

use std::collections::BTreeMap;

use maud::{Markup, html};
use serde::Serialize;

use super::{
    chart::{Caption, confusion_chart, reliability_chart, scatter_chart},
    comparison::TemplateRole,
    figure::{figure, words},
    page::{document, facts},
    table::{Cell, Table},
};
use crate::evaluation::{Classification, Metrics, PositiveMetrics, Regression};

/// Labels that a table lists; the largest by examples.
const MAX_LABEL_ROWS: usize = 100;

/// An evaluation of one task.
#[derive(Debug, Clone, PartialEq)]
pub struct EvaluationPage {
    /// The checkpoint's id.
    pub checkpoint: String,
    pub task: String,
    /// The file of labelled examples.
    pub data: String,
    /// Which templates gave `metrics`, in words.
    pub answered_by: String,
    pub metrics: Metrics,
    /// The metric that the table of templates has first.
    pub headline: String,
    /// Each template alone; empty if they were not asked for.
    pub templates: Vec<TemplateMetrics>,
    /// The pool's answers averaged.
    pub ensemble: Option<BTreeMap<String, f64>>,
    /// True and predicted values of a regression task.
    pub points: Vec<(f64, f64)>,
}

/// The figures of one template.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TemplateMetrics {
    pub id: String,
    pub role: TemplateRole,
    /// As `Metrics::summary` has them.
    pub metrics: BTreeMap<String, f64>,
}

/// The evaluation on one page, which needs nothing but itself.
pub fn evaluation_page(page: &EvaluationPage) -> String {
    let body = html! {
        (facts([
            ("Checkpoint", page.checkpoint.clone()),
            ("Data", page.data.clone()),
            ("Answered by", page.answered_by.clone()),
        ]))
        h2 { "Metrics" }
        @for table in metric_tables(&page.metrics) { (table.html()) }
        div.charts {
            @match &page.metrics {
                Metrics::Classification(metrics) => (label_charts(metrics)),
                Metrics::Regression(_) => (scatter(&page.points)),
            }
        }
        @if !page.templates.is_empty() {
            h2 { "Templates" }
            (templates_table(&page.headline, &page.templates, page.ensemble.as_ref()).html())
        }
    };
    document(&format!("{}: evaluation", page.task), &body)
}

/// The figures of an evaluation as tables: all in all, decisions for the positive label, by label.
pub fn metric_tables(metrics: &Metrics) -> Vec<Table> {
    match metrics {
        Metrics::Regression(metrics) => vec![regression_figures(metrics)],
        Metrics::Classification(metrics) => {
            let decided = metrics.positive.as_ref().map(decisions);
            let tables = [Some(classification_figures(metrics)), decided, Some(labels(metrics))];
            tables.into_iter().flatten().collect()
        }
    }
}

fn scatter(points: &[(f64, f64)]) -> Markup {
    let caption = Caption {
        title: "Predicted and true values".to_owned(),
        description: "One dot for each example; on the dashed line they are equal.".to_owned(),
    };
    scatter_chart(&caption, points)
}

fn label_charts(metrics: &Classification) -> Markup {
    let labels: Vec<String> = metrics.labels.iter().map(|label| label.label.clone()).collect();
    let matrix = Caption {
        title: "Confusion matrix".to_owned(),
        description: "Examples, shaded by their share of the true label's; cells say their count \
                      when pointed at."
            .to_owned(),
    };
    let reliability = Caption {
        title: "Reliability".to_owned(),
        description: format!(
            "Accuracy by the predicted label's probability; calibration error {:.3}.",
            metrics.ece
        ),
    };
    html! {
        (confusion_chart(&matrix, &labels, &metrics.confusion))
        (reliability_chart(&reliability, 0, &metrics.reliability))
    }
}

fn regression_figures(metrics: &Regression) -> Table {
    let figures_in_order = [
        ("Spearman", Some(metrics.spearman)),
        ("Pearson", Some(metrics.pearson)),
        ("RMSE", Some(metrics.rmse)),
        ("MAE", Some(metrics.mae)),
        ("R²", Some(metrics.r2)),
    ];
    figures(metrics.examples, &figures_in_order)
}

fn classification_figures(metrics: &Classification) -> Table {
    let (precision, area) = match &metrics.positive {
        Some(_) => ("average precision", "AUROC"),
        None => ("average precision (macro)", "AUROC (macro)"),
    };
    figures(
        metrics.examples,
        &[
            ("accuracy", Some(metrics.accuracy)),
            ("macro F1", Some(metrics.macro_f1)),
            (precision, metrics.average_precision),
            (area, metrics.auroc),
            ("log loss", Some(metrics.log_loss)),
            ("Brier score", Some(metrics.brier)),
            ("calibration error", Some(metrics.ece)),
        ],
    )
}

fn figures(examples: usize, named: &[(&str, Option<f64>)]) -> Table {
    let row = |(name, value): &(&str, Option<f64>)| vec![Cell::new(*name), cell(*value)];
    Table {
        caption: format!("On {examples} examples"),
        columns: ["metric", "value"].map(str::to_owned).to_vec(),
        rows: named.iter().map(row).collect(),
    }
}

fn cell(value: Option<f64>) -> Cell {
    Cell::new(value.map_or("–".to_owned(), figure))
}

fn decisions(positive: &PositiveMetrics) -> Table {
    let decisions = [Some(positive.at_half), positive.at_threshold].into_iter().flatten();
    let rows = decisions.map(|decision| {
        let threshold = Cell::new(format!("from {:.3}", decision.threshold));
        let figures = [decision.precision, decision.recall, decision.f1];
        std::iter::once(threshold).chain(figures.map(|value| cell(Some(value)))).collect()
    });
    Table {
        caption: format!("Saying {:?} from a probability on", positive.label),
        columns: ["threshold", "precision", "recall", "F1"].map(str::to_owned).to_vec(),
        rows: rows.collect(),
    }
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

/// Every template with its metrics, the headline metric first, and the ensemble at the end.
pub fn templates_table(
    headline: &str,
    templates: &[TemplateMetrics],
    ensemble: Option<&BTreeMap<String, f64>>,
) -> Table {
    let all = templates.iter().map(|template| &template.metrics).chain(ensemble);
    let mut names: Vec<&str> = all.flat_map(BTreeMap::keys).map(String::as_str).collect();
    names.sort_unstable_by_key(|name| (*name != headline, *name));
    names.dedup();
    let figures = |metrics: &BTreeMap<String, f64>| {
        names.iter().map(|name| cell(metrics.get(*name).copied())).collect::<Vec<_>>()
    };
    let row = |name: &str, role: &str, metrics| {
        let mut row = vec![Cell::new(name), Cell::new(role)];
        row.extend(figures(metrics));
        row
    };
    let mut rows: Vec<Vec<Cell>> = templates
        .iter()
        .map(|template| row(&template.id, &template.role.to_string(), &template.metrics))
        .collect();
    rows.extend(ensemble.map(|metrics| row("ensemble", "averaged", metrics)));
    let mut columns = ["template", "part"].map(str::to_owned).to_vec();
    columns.extend(names.iter().map(|name| words(name)));
    Table { caption: "Each template alone, and the pool averaged".to_owned(), columns, rows }
}

#[cfg(test)]
mod tests;
