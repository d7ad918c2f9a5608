//! Predictions against the truth. Pure.

mod classification;
mod regression;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use classification::{Classification, LabelMetrics, classification};
pub use regression::{Regression, regression};

/// What is kept with a head about how it was made and how good it is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// On the development set, in the mode that serves; empty if there was none.
    #[serde(default)]
    pub metrics: BTreeMap<String, f64>,
    /// Examples of the development set.
    #[serde(default)]
    pub dev_examples: usize,
    /// How the head was trained.
    #[serde(default)]
    pub training: BTreeMap<String, serde_json::Value>,
}
