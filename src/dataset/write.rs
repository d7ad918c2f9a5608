//! Writes labelled examples as CSV, for other programs and for whoever wants to see them.

use std::path::Path;

use super::{Dataset, LabeledExample};
use crate::{prompt::TaskFile, task::Target};

/// Writes a task's examples as a file that [`read_labelled`](super::read_labelled) reads.
pub fn write_csv(path: &Path, file: &TaskFile, data: &Dataset) -> std::io::Result<()> {
    let mut writer = csv::Writer::from_path(path)?;
    let target = &file.target_column.0;
    writer.write_record(file.field_columns.iter().chain([target]))?;
    for LabeledExample { example, target, .. } in &data.examples {
        let target = match target {
            Target::Label(label) => file.labels()[*label].clone(),
            Target::Value(value) => value.to_string(),
        };
        writer.write_record(example.values.iter().chain([&target]))?;
    }
    writer.flush()
}
