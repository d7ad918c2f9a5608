//! Results for people: HTML pages that need nothing but themselves, and tables for a terminal or
//! a document. Pure: data in, text out.

mod chart;
mod comparison;
mod comparison_page;
mod comparison_tables;
mod derived;
mod evaluation_page;
mod figure;
mod page;
mod table;

pub use comparison::{
    ComparisonFault, ComparisonPage, Method, Metric, Run, Shot, ShotResults, TaskKind, TaskResults,
    TemplateRole, TemplateScore,
};
pub use comparison_page::comparison_page;
pub use comparison_tables::comparison_tables;
pub use evaluation_page::{
    EvaluationPage, TemplateMetrics, evaluation_page, metric_tables, templates_table,
};
pub use table::{Cell, Style, Table};
