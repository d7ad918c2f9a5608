//! Which columns there are, which of them a task reads, and which are added.

use std::collections::{BTreeMap, BTreeSet};

use super::{BulkError, Format, LeastSure, Uncertainty, excerpt::excerpt};
use crate::{
    prompt::TaskFile,
    task::{Kind, Task},
};

/// Columns of a file at most.
pub const MAX_COLUMNS: usize = 4096;

/// Bytes of the longest name of a column.
pub const MAX_NAME_BYTES: usize = 4096;

/// Bytes of all names of columns. They stand in every row of JSONL, and some in many a message.
const MAX_NAMES_BYTES: usize = 1 << 20;

/// Bytes of a name in a message.
const SHOWN_BYTES: usize = 100;

/// The names of a file's columns, as they are found.
#[derive(Debug, Default)]
pub struct NameLimits {
    columns: usize,
    bytes: usize,
}

impl NameLimits {
    /// Takes in one more.
    ///
    /// # Errors
    ///
    /// If it is one too many, or too long. `path` is for messages.
    pub fn add(&mut self, path: &str, name: &str) -> Result<(), BulkError> {
        self.columns += 1;
        self.bytes += name.len();
        let path = path.to_owned();
        if self.columns > MAX_COLUMNS {
            return Err(BulkError::TooManyColumns { path, limit: MAX_COLUMNS });
        }
        if name.len() > MAX_NAME_BYTES {
            let (bytes, limit) = (name.len(), MAX_NAME_BYTES);
            return Err(BulkError::LongName { path, name: shown(name), bytes, limit });
        }
        if self.bytes > MAX_NAMES_BYTES {
            return Err(BulkError::LongNames { path, limit: MAX_NAMES_BYTES });
        }
        Ok(())
    }
}

/// A name for a message.
pub fn shown(name: &str) -> String {
    excerpt(name, SHOWN_BYTES).into_owned()
}

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnKind {
    Text,
    Boolean,
    /// Whole numbers of 64 bits.
    Integer,
    /// Numbers of 64 bits.
    Float,
    /// Whatever the Parquet file says.
    Arrow,
}

/// A column of the input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    pub name: String,
    pub kind: ColumnKind,
}

/// A column that is added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Added {
    Label,
    /// Of the label.
    Probability,
    /// How unsure the prediction is.
    Uncertainty(Uncertainty),
    /// Of the label with this index.
    Score(usize),
    Value,
    Truncated,
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

/// Where a field's text is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldColumn {
    pub name: String,
    /// Where each row says its own columns, the one that is read if a row has none of that name.
    pub otherwise: Option<String>,
    /// Its place among the columns; `None` if an optional field has none.
    pub place: Option<usize>,
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
    /// Finds the task's fields among the columns. `path` is for messages.
    ///
    /// # Errors
    ///
    /// If a column is missing, or there twice, or has the name of one that is added, or if the
    /// columns are too many or their names too long.
    pub fn new(
        path: &str,
        columns: Option<Vec<Column>>,
        file: &TaskFile,
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
        let added = added(&task.kind, naming);
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

/// A field's column is the one that was named for it, else the one of its own name, else the one
/// that the task file names for training.
fn find_fields(
    path: &str,
    columns: Option<&[Column]>,
    file: &TaskFile,
    naming: &Naming,
) -> Result<Vec<FieldColumn>, BulkError> {
    let place = |name: &str| columns?.iter().position(|column| column.name == name);
    let find = |(field, trained): (&crate::task::Field, &String)| {
        let candidates = match naming.fields.get(&field.name) {
            Some(column) => vec![column],
            None => vec![&field.name, trained],
        };
        let found = candidates.iter().find_map(|name| Some(((*name).clone(), place(name)?)));
        match found {
            Some((name, place)) => Ok(FieldColumn { name, otherwise: None, place: Some(place) }),
            // Nothing is known of the columns, or the field may be missing.
            None if columns.is_none_or(<[Column]>::is_empty) || field.optional => {
                let name = candidates[0].clone();
                let otherwise = candidates.get(1).filter(|_| columns.is_none());
                let otherwise = otherwise.filter(|other| ***other != name);
                Ok(FieldColumn { name, otherwise: otherwise.copied().cloned(), place: None })
            }
            None => Err(BulkError::MissingColumn {
                path: path.to_owned(),
                field: field.name.clone(),
                column: candidates[0].clone(),
                known: names(columns.unwrap_or_default()),
            }),
        }
    };
    file.task.fields.iter().zip(&file.field_columns).map(find).collect()
}

/// As many as a message can hold.
fn names(columns: &[Column]) -> String {
    const SHOWN: usize = 40;
    let names: Vec<String> = columns.iter().take(SHOWN).map(|column| shown(&column.name)).collect();
    match columns.len().saturating_sub(SHOWN) {
        0 => names.join(", "),
        more => format!("{}, and {more} more", names.join(", ")),
    }
}

fn added(kind: &Kind, naming: &Naming) -> Vec<(String, Added)> {
    let mut added = Vec::new();
    match kind {
        Kind::Classification { labels } => {
            added.push(("label".to_owned(), Added::Label));
            added.push(("probability".to_owned(), Added::Probability));
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
        let matters = output != Format::Csv || fields.iter().any(|field| field.name == *name);
        if !seen.insert(name) && matters {
            return Err(BulkError::RepeatedColumn { path: path.to_owned(), column: shown(name) });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
