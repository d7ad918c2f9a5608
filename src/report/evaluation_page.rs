//! How good one task of a checkpoint is, as a page.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::{
    chart::{Caption, confusion_chart, reliability_chart, scatter_chart, threshold_chart},
    evaluation_tables::{
        Intervals, TemplateMetrics, baselines_table, lengths_table, metric_tables, named_decisions,
        templates_table,
    },
    examples::{ShownExample, example_list},
    figure::{figure, words},
    glossary::term,
    page::{document, facts},
};
use crate::evaluation::{Classification, Decision, LengthBin, Metrics, Thresholds};

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
    /// The metric that the page opens with and that tables have first.
    pub headline: String,
    /// 95 % intervals of metrics, where the examples are few.
    pub intervals: Intervals,
    /// Simpler models on the same examples, by name.
    pub baselines: Vec<(String, Metrics)>,
    /// Of a task with two labels.
    pub thresholds: Option<Thresholds>,
    pub lengths: Vec<LengthBin>,
    /// Each template alone; empty if they were not asked for.
    pub templates: Vec<TemplateMetrics>,
    /// The pool's answers averaged.
    pub ensemble: Option<BTreeMap<String, f64>>,
    /// True and predicted values of a regression task.
    pub points: Vec<(f64, f64)>,
    /// The lowest and the highest value that the target may have.
    pub range: (Option<f64>, Option<f64>),
    /// Mistakes in all.
    pub mistakes: usize,
    /// The worst of them.
    pub worst: Vec<ShownExample>,
    /// The least sure answers.
    pub least_sure: Vec<ShownExample>,
}

/// The evaluation on one page, which needs nothing but itself.
pub fn evaluation_page(page: &EvaluationPage) -> String {
    let body = html! {
        p.lead { (opening(page)) }
        (facts([
            ("Checkpoint", page.checkpoint.clone()),
            ("Data", page.data.clone()),
            ("Answered by", page.answered_by.clone()),
        ]))
        @if !page.baselines.is_empty() {
            h2 { "Beside simpler answers" }
            (baselines_table(&page.headline, &page.metrics, &page.baselines).html())
        }
        h2 { "Metrics" }
        @for table in metric_tables(&page.metrics, page.thresholds.as_ref(), &page.intervals) {
            (table.html())
        }
        div.charts {
            @match &page.metrics {
                Metrics::Classification(metrics) => (label_charts(metrics)),
                Metrics::Regression(_) => (scatter(page)),
            }
        }
        @if let Some(found) = &page.thresholds { (threshold_section(found)) }
        (mistakes(page))
        (least_sure(page))
        @if !page.lengths.is_empty() {
            h2 { "By length" }
            (lengths_table(&page.headline, &page.lengths).html())
        }
        h2 { "Templates" }
        @if page.templates.is_empty() {
            p.note { "With --templates, this page has the figures of every template alone." }
        } @else {
            (templates_table(&page.headline, &page.templates, page.ensemble.as_ref()).html())
        }
    };
    document(&format!("{}: evaluation", page.task), &body)
}

/// The headline, and what simpler answers get.
fn opening(page: &EvaluationPage) -> Markup {
    let value = |metrics: &Metrics| metrics.summary().get(&page.headline).copied();
    let examples = match &page.metrics {
        Metrics::Classification(metrics) => metrics.examples,
        Metrics::Regression(metrics) => metrics.examples,
    };
    html! {
        (term(&words(&page.headline))) " "
        b { (value(&page.metrics).map_or("–".to_owned(), figure)) }
        @if let Some((low, high)) = page.intervals.get(&page.headline) {
            " (95 % interval " (figure(*low)) " to " (figure(*high)) ")"
        }
        " on " (examples) " examples"
        @for (name, metrics) in &page.baselines {
            "; " (term(name)) ": " (value(metrics).map_or("–".to_owned(), figure))
        }
        "."
    }
}

fn scatter(page: &EvaluationPage) -> Markup {
    let caption = Caption {
        title: "Predicted and true values".to_owned(),
        description: "One dot for each example; on the dashed line they are equal.".to_owned(),
    };
    scatter_chart(&caption, &page.points, page.range)
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

fn threshold_section(found: &Thresholds) -> Markup {
    let caption = Caption {
        title: format!("When to answer {:?}", found.label),
        description: "A higher threshold answers it less often: precision usually rises, and \
                      recall falls."
            .to_owned(),
    };
    html! {
        h2 { (term("Threshold")) }
        div.charts {
            (threshold_chart(&caption, found))
            div {
                @for (names, decision) in named_decisions(found) {
                    p { (told(found, &names, &decision)) }
                }
                p.note {
                    "A threshold that is read off the examples it is judged on flatters. Choose it \
                     on a development set; "
                    code { "evaluate --threshold" }
                    " then says what it does on others."
                }
            }
        }
    }
}

/// A decision in a sentence.
fn told(found: &Thresholds, names: &[&str], decision: &Decision) -> Markup {
    let Decision { threshold, said, right, precision, recall, f1 } = decision;
    html! {
        b { "From " (format!("{threshold:.3}")) } " (" (names.join(", ")) "): "
        (said) " of " (found.examples) " examples get the answer " (format!("{:?}", found.label))
        ", and " (right) " of these are right (precision " (figure(*precision)) "). These are "
        (right) " of the " (found.positives) " that there are (recall " (figure(*recall)) "). F1 "
        (figure(*f1)) "."
    }
}

fn mistakes(page: &EvaluationPage) -> Markup {
    let (rule, order) = match page.metrics {
        Metrics::Classification(_) => (
            "The answer is not the true label",
            "those with the lowest probability of the true label come first",
        ),
        Metrics::Regression(_) => (
            "The answer is off by more than the root mean squared error",
            "the largest errors come first",
        ),
    };
    html! {
        h2 { "Worst mistakes" }
        p.note {
            (rule) " in " (page.mistakes) " examples; " (order) ". "
            @if page.worst.iter().any(|example| example.nearest.is_some()) {
                "Beside each stands the training example that shares most words with it (cosine of \
                 TF-IDF vectors): with another label, one of the two may be labelled wrongly. "
            } @else if page.mistakes > 0 {
                "With --train FILE, the nearest training example stands beside each. "
            }
            "evaluate --errors FILE writes all of them."
        }
        (example_list(&page.worst))
    }
}

fn least_sure(page: &EvaluationPage) -> Markup {
    let why = match page.metrics {
        Metrics::Classification(_) => "The two most probable labels are closest here.",
        Metrics::Regression(_) => "The templates differ most here.",
    };
    html! {
        @if !page.least_sure.is_empty() {
            h2 { "Least sure answers" }
            p.note {
                (why) " More labelled examples like these teach most: "
                code { "predict --order uncertain" } " finds them among unlabelled texts."
            }
            (example_list(&page.least_sure))
        }
    }
}

#[cfg(test)]
mod tests;
