//! A task file as typed.

use serde::Deserialize;
use std::collections::BTreeMap;
use toml::Spanned;

use super::{InferenceMode, Sampling};
use crate::task::Truncate;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    pub task: TaskTable,
    pub fields: BTreeMap<Spanned<String>, FieldTable>,
    pub labels: Option<Spanned<Labels>>,
    pub target: Option<Spanned<Target>>,
    pub prompt: Spanned<Prompt>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskTable {
    pub name: Spanned<String>,
    pub kind: Spanned<String>,
    pub max_length: Option<Spanned<usize>>,
    pub metric: Option<Spanned<String>>,
    pub class_weights: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FieldTable {
    pub column: Option<String>,
    pub min_tokens: Option<usize>,
    #[serde(default)]
    pub truncate: Truncate,
    pub priority: Option<i32>,
    #[serde(default)]
    pub optional: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Labels {
    pub column: String,
    pub names: Spanned<Vec<LabelName>>,
    #[serde(default)]
    pub words: BTreeMap<Spanned<String>, Vec<String>>,
    pub positive: Option<Spanned<String>>,
    pub priors: Option<Spanned<BTreeMap<String, f64>>>,
    pub threshold: Option<Spanned<f64>>,
}

/// A label's name, which may be written as a number or a truth value.
#[derive(Deserialize)]
#[serde(untagged)]
pub enum LabelName {
    Text(String),
    Integer(i64),
    Float(f64),
    Boolean(bool),
}

impl LabelName {
    /// The name as a text.
    pub fn into_text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Integer(number) => number.to_string(),
            // 5.0 stays what it is.
            Self::Float(number) => format!("{number:?}"),
            Self::Boolean(truth) => truth.to_string(),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    pub column: String,
    pub min: Option<f64>,
    pub max: Option<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prompt {
    pub canonical: Spanned<String>,
    pub pool_size: Option<Spanned<usize>>,
    #[serde(default)]
    pub sampling: Sampling,
    pub inference: Option<InferenceMode>,
    pub stride: Option<Spanned<usize>>,
    pub max_windows: Option<Spanned<usize>>,
    pub plain: Option<Spanned<String>>,
    #[serde(default)]
    pub template: Vec<TemplateTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TemplateTable {
    pub id: Spanned<String>,
    pub text: Spanned<String>,
    #[serde(default)]
    pub held_out: bool,
    pub weight: Option<Spanned<f64>>,
}
