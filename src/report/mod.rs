//! Results for people: HTML pages that need nothing but themselves, and tables for a terminal or
//! a document. Pure: data in, text out.

mod chart;
mod comparison;
mod comparison_page;
mod comparison_tables;
mod derived;
mod evaluation_page;
mod evaluation_tables;
mod examples;
mod figure;
mod glossary;
mod page;
mod table;
mod verdict;

pub use comparison::{
    ComparisonFault, ComparisonPage, Method, Metric, Run, Shot, ShotResults, TaskKind, TaskResults,
    TemplateRole, TemplateScore,
};
pub use comparison_page::comparison_page;
pub use comparison_tables::comparison_tables;
pub use evaluation_page::{EvaluationPage, evaluation_page};
pub use evaluation_tables::{
    Intervals, TemplateMetrics, baselines_table, metric_tables, templates_table,
};
pub use examples::{NearestExample, ShownExample};
pub use table::{Cell, Style, Table};
