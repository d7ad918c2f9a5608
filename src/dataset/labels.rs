//! What a set of examples must hold before a head can be trained on it.

use super::{Dataset, DatasetError};
use crate::task::{Kind, Target, Task};

/// Examples of each label that training needs.
const MIN_EXAMPLES: usize = 2;

/// Refuses a training set in which a label hardly occurs, or all targets are the same.
pub fn check_labels(data: &Dataset, task: &Task) -> Result<(), DatasetError> {
    let faults = match &task.kind {
        Kind::Classification { labels } => rare_labels(data, labels),
        Kind::Regression { .. } => constant_targets(data),
    };
    if faults.is_empty() {
        return Ok(());
    }
    Err(DatasetError::Labels { path: data.path.clone(), message: faults.join("; ") })
}

fn rare_labels(data: &Dataset, labels: &[String]) -> Vec<String> {
    let mut counts = vec![0usize; labels.len()];
    for labeled in &data.examples {
        if let Target::Label(label) = labeled.target {
            counts[label] += 1;
        }
    }
    let rare = labels.iter().zip(counts).filter(|(_, count)| *count < MIN_EXAMPLES);
    rare.map(|(label, count)| {
        let occurs = if count == 0 { "does not occur" } else { "occurs once" };
        format!("label {label:?} {occurs}; at least {MIN_EXAMPLES} examples of each are needed")
    })
    .collect()
}

fn constant_targets(data: &Dataset) -> Vec<String> {
    let varies = data.examples.windows(2).any(|pair| pair[0].target != pair[1].target);
    if varies {
        return Vec::new();
    }
    vec!["all targets are the same; there is nothing to learn".to_owned()]
}
