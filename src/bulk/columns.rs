//! Which columns there are, which of them a task reads, and which are added.

use std::collections::{BTreeMap, BTreeSet};

use super::{BulkError, Format, LeastSure, Uncertainty};
use crate::{
    evaluation::Threshold,
    prompt::TaskFile,
    rows::{Column, FieldColumn, NameLimits, RowsError, find_field, known_names, shown},
    task::{Field, Kind, Task},
};

/// A column that is added.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Added {
    Label,
    /// Of the label.
    Probability,
    /// The label to act on.
    Decision(Threshold),
    /// Uncertainty of the prediction.
    Uncertainty(Uncertainty),
    /// Of the label with this index.
    Score(usize),
    Value,
    Truncated,
    /// Windows that the text was read in.
    Windows,
    Error,
}

/// What goes in and out, column by column.
#[derive(Debug, Clone)]
pub struct Layout {
    /// The input's columns; `None` if each row says its own, and nobody need know.
    pub columns: Option<Vec<Column>>,
    /// For each field of the task its column.
    pub fields: Vec<FieldColumn>,
    pub added: Vec<(String, Added)>,
    pub task: Task,
    pub output: Format,
}

/// What was asked for.
#[derive(Debug, Clone, Default)]
pub struct Naming {
    /// For some fields the column that holds them.
    pub fields: BTreeMap<String, String>,
    /// Before the names of the columns that are added.
    pub prefix: String,
    /// Whether the probability of every label is wanted.
    pub scores: bool,
    /// Only the least sure rows are wanted, which say how unsure they are.
    pub least_sure: Option<LeastSure>,
}

impl Layout {
    /// Finds the task's fields among the columns. `path` is for messages; `threshold` is that of the
    /// positive of two labels.
    ///
    /// # Errors
    ///
    /// If a column is missing, or there twice, or has the name of one that is added, or if the
    /// columns are too many or their names too long.
    pub fn new(
        path: &str,
        columns: Option<Vec<Column>>,
        file: &TaskFile,
        threshold: Option<Threshold>,
        naming: &Naming,
        output: Format,
    ) -> Result<Self, BulkError> {
        let task = file.task.clone();
        if let Some(field) = naming.fields.keys().find(|field| !has_field(&task, field)) {
            let known = task.field_names();
            return Err(BulkError::UnknownField { field: field.clone(), known });
        }
        let known = columns.as_deref();
        let mut limits = NameLimits::default();
        let names = known.unwrap_or_default().iter();
        names.map(|column| &column.name).try_for_each(|name| limits.add(path, name))?;
        let fields = find_fields(path, known, file, naming)?;
        let added = added(file, threshold, naming);
        check_names(path, known.unwrap_or_default(), &fields, &added, output)?;
        Ok(Self { columns, fields, added, task, output })
    }

    /// The input's columns, as far as they are known.
    pub fn columns(&self) -> &[Column] {
        self.columns.as_deref().unwrap_or_default()
    }
}

fn has_field(task: &Task, name: &str) -> bool {
    task.fields.iter().any(|field| field.name == name)
}

/// Finds the column of every field, by the rule of [`find_field`].
fn find_fields(
    path: &str,
    columns: Option<&[Column]>,
    file: &TaskFile,
    naming: &Naming,
) -> Result<Vec<FieldColumn>, BulkError> {
    let find = |(field, trained): (&Field, &String)| {
        let chosen = naming.fields.get(&field.name).map(String::as_str);
        let found = find_field(columns, chosen, &field.name, trained);
        // Nothing is known of the columns, or the field may be missing.
        let is_known = columns.is_some_and(|columns| !columns.is_empty());
        if found.place.is_some() || !is_known || field.optional {
            return Ok(found);
        }
        let names = columns.unwrap_or_default().iter().map(|column| column.name.as_str());
        Err(BulkError::MissingColumn {
            path: path.to_owned(),
            field: field.name.clone(),
            column: found.name,
            known: known_names(names),
        })
    };
    file.task.fields.iter().zip(&file.field_columns).map(find).collect()
}

fn added(file: &TaskFile, threshold: Option<Threshold>, naming: &Naming) -> Vec<(String, Added)> {
    let mut added = Vec::new();
    match &file.task.kind {
        Kind::Classification { labels } => {
            added.push(("label".to_owned(), Added::Label));
            added.push(("probability".to_owned(), Added::Probability));
            let decision = |threshold| ("decision".to_owned(), Added::Decision(threshold));
            added.extend(threshold.map(decision));
            if naming.scores {
                let scores = labels.iter().enumerate();
                added.extend(
                    scores.map(|(at, label)| (format!("probability_{label}"), Added::Score(at))),
                );
            }
        }
        Kind::Regression { .. } => added.push(("value".to_owned(), Added::Value)),
    }
    if let Some(LeastSure { uncertainty, .. }) = naming.least_sure {
        added.push(("uncertainty".to_owned(), Added::Uncertainty(uncertainty)));
    }
    added.push(("truncated".to_owned(), Added::Truncated));
    if file.prompts.sliding_window.is_some() {
        added.push(("windows".to_owned(), Added::Windows));
    }
    added.push(("error".to_owned(), Added::Error));
    added.into_iter().map(|(name, what)| (format!("{}{name}", naming.prefix), what)).collect()
}

fn check_names(
    path: &str,
    columns: &[Column],
    fields: &[FieldColumn],
    added: &[(String, Added)],
    output: Format,
) -> Result<(), BulkError> {
    let mut seen = BTreeSet::new();
    for Column { name, .. } in columns {
        if added.iter().any(|(added, _)| added == name) {
            return Err(BulkError::Clash { path: path.to_owned(), column: shown(name) });
        }
        // In CSV columns are told apart by their place, but not by who names one.
        let matters = !output.is_separated() || fields.iter().any(|field| field.name == *name);
        if !seen.insert(name) && matters {
            let (path, column) = (path.to_owned(), shown(name));
            return Err(RowsError::RepeatedColumn { path, column }.into());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
