//! From a file of rows to a task file and splits: what `dynamar init` infers.
//!
//! [`input`] reads the file, [`plan`] infers everything else from its rows, without asking and
//! without touching the disk, and [`write`] writes what was planned.

mod clean;
mod commands;
mod error;
mod fields;
pub mod input;
mod labels;
mod lengths;
mod names;
mod notes;
mod output;
mod pair_templates;
mod pairs;
mod profile;
mod split;
mod table;
mod target;
mod task_toml;
mod templates;
mod topic;
mod value;

pub use self::{
    clean::{Clean, Lines},
    commands::{Commands, commands, shell_quoted},
    error::InitError,
    fields::{FieldPlan, UnusedColumn},
    lengths::Lengths,
    output::{check_place, write},
    profile::{CountTokens, Profile},
    split::Part,
    table::{Row, Source, Table},
    target::{Answers, KindChoice, LabelCount, TargetPlan},
    templates::TemplatePlan,
};
use self::{fields::Fields, pairs::Relation};
use crate::prompt::TaskFile;

/// What the user decides; everything else is inferred.
#[derive(Default)]
pub struct Options<'a> {
    /// The column of the target; found by its name if not given.
    pub target: Option<&'a str>,
    pub kind: Option<KindChoice>,
    /// The columns that hold the texts.
    pub text: &'a [String],
    /// The labels, in this order; rows with others are left out.
    pub labels: &'a [String],
    /// Rows with the same value in this column are in the same split.
    pub group: Option<&'a str>,
    /// Whether to write a task file alone.
    pub no_split: bool,
    /// The task's name.
    pub name: Option<&'a str>,
    /// A name for the task if neither the file nor the target has one that says something.
    pub fallback_name: &'a str,
    /// The command, for the head of the task file.
    pub command: &'a str,
    /// Counts tokens as the encoder does; estimated from words if not given.
    pub count_tokens: Option<CountTokens<'a>>,
}

/// How the kept rows are split.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// For each kept row its part.
    pub parts: Vec<Part>,
}

impl Split {
    /// The number of rows in a part.
    pub fn size(&self, part: Part) -> usize {
        self.parts.iter().filter(|other| **other == part).count()
    }
}

/// What was inferred from a file.
pub struct Plan {
    pub name: String,
    pub profiles: Vec<Profile>,
    pub target: TargetPlan,
    pub fields: Vec<FieldPlan>,
    pub unused: Vec<UnusedColumn>,
    /// For pairs, how their sides relate.
    pub relation: Option<Relation>,
    pub lengths: Lengths,
    pub templates: Vec<TemplatePlan>,
    pub clean: Clean,
    pub split: Option<Split>,
    /// What the user should know about the data, a sentence each.
    pub notes: Vec<String>,
    /// The text of the task file.
    pub task_file: String,
}

/// Infers a task from the rows of a file.
///
/// # Errors
///
/// `InitError` if an option names what the file does not have, or if there is no text or nothing to
/// learn in it.
pub fn plan(table: &Table, options: &Options) -> Result<Plan, InitError> {
    let group = options.group.map(|name| table.column(name)).transpose()?;
    let profiles = profile::profiles(table, options.count_tokens);
    let at = target::column(table, &profiles, options.target)?;
    let mut target = target::plan(table, at, options.kind, options.labels)?;
    let fields = fields::choose(table, &profiles, at, options.text)?;
    let mut clean = clean::clean(table, &fields, &target);
    keep_learnable(table, &mut target, &mut clean)?;
    let asked = topic::topic(&target, fields.relation);
    let templates = templates::templates(&fields, &asked);
    let texts: Vec<String> = templates.iter().map(|template| template.text.clone()).collect();
    let lengths = lengths::plan(
        table,
        &profiles,
        &fields,
        lengths::overhead(&texts, options.count_tokens),
        options.count_tokens,
        asked == topic::Topic::Opinion,
    );
    let name = task_name(options, &table.source.path, &target.column)?;
    let parts = task_toml::Parts {
        name: &name,
        command: options.command,
        target: &target,
        fields: &fields,
        lengths: &lengths,
        templates: &templates,
    };
    let task_file = task_toml::write(&parts);
    TaskFile::parse(&task_file, "task.toml")
        .map_err(|error| InitError::TaskFile(Box::new(error)))?;
    let split = (!options.no_split).then(|| split_rows(table, &clean, &target, group));
    let notes = notes::notes(&target, &clean, split.as_ref(), &lengths);
    let Fields { fields, unused, relation } = fields;
    Ok(Plan {
        name,
        profiles,
        target,
        fields,
        unused,
        relation,
        lengths,
        templates,
        clean,
        split,
        notes,
        task_file,
    })
}

/// Takes labels that have too few different texts out of the target, and checks that enough is left.
fn keep_learnable(
    table: &Table,
    target: &mut TargetPlan,
    clean: &mut Clean,
) -> Result<(), InitError> {
    if let Answers::Classification { labels, positive } = &mut target.answers {
        let rare = clean::without_rare_labels(clean, table, labels::MIN_ROWS);
        labels.retain(|label| !rare.contains(&label.name));
        for label in labels.iter_mut() {
            label.rows = clean.kept.iter().filter(|row| row.answer == label.name).count();
        }
        labels.retain(|label| label.rows > 0);
        let names: Vec<&str> = labels.iter().map(|label| label.name.as_str()).collect();
        *positive = positive.take().filter(|name| names.len() == 2 && names.contains(&&**name));
        if names.len() < 2 {
            return Err(InitError::NothingLeft { kept: clean.kept.len(), left_out: told(clean) });
        }
    }
    match clean.kept.len() {
        0 | 1 => Err(InitError::NothingLeft { kept: clean.kept.len(), left_out: told(clean) }),
        _ => Ok(()),
    }
}

fn told(clean: &Clean) -> String {
    let reasons = clean.left_out.iter().map(|lines| format!("{} ({})", lines.reason, lines.rows));
    reasons.collect::<Vec<_>>().join(", ")
}

fn split_rows(table: &Table, clean: &Clean, target: &TargetPlan, group: Option<usize>) -> Split {
    let groups: Option<Vec<String>> = group.map(|column| {
        clean.kept.iter().map(|row| table.value(row.at, column).to_owned()).collect()
    });
    let by_label = matches!(target.answers, Answers::Classification { .. });
    Split { parts: split::split(&clean.kept, groups.as_deref(), by_label) }
}

/// Names of files and targets that say nothing of a task.
const GENERIC_NAMES: [&str; 18] = [
    "data", "dataset", "train", "training", "test", "dev", "all", "file", "input", "rows",
    "labels", "label", "target", "class", "y", "out", "is", "csv",
];

/// The task's name: the one that is given, or the file's and the target's.
fn task_name(options: &Options, path: &str, target: &str) -> Result<String, InitError> {
    if let Some(name) = options.name {
        return match names::is_plain(name) {
            true => Ok(name.to_owned()),
            false => Err(InitError::Name { name: name.to_owned() }),
        };
    }
    let file = path.rsplit('/').next().unwrap_or_default();
    let stem = file.split('.').next().unwrap_or_default();
    let mut words: Vec<String> = Vec::new();
    for word in [stem, target].into_iter().flat_map(names::words) {
        let word = names::plain_name(&word, "").to_lowercase();
        let says = !word.is_empty() && !GENERIC_NAMES.contains(&word.as_str());
        if says && !words.contains(&word) {
            words.push(word);
        }
    }
    let fallback = names::plain_name(options.fallback_name, "task");
    Ok(names::plain_name(&words.join("-"), &fallback))
}

#[cfg(test)]
mod tests;
