//! What `dynamar init` prints: what each column is, what was decided and why, and what comes next.

use std::{
    fmt::Write,
    path::{Path, PathBuf},
};

use serde_json::json;

use crate::init::{Answers, Commands, Part, Plan, Profile, Table};

/// Columns, labels and notes that are printed; the rest is counted.
const MAX_COLUMNS: usize = 40;
const MAX_LABELS: usize = 12;

/// Characters of a column's name that are printed.
const NAME_WIDTH: usize = 28;

/// Report of the inferences and of the files written.
pub struct Report<'a> {
    pub table: &'a Table,
    pub plan: &'a Plan,
    pub files: &'a [PathBuf],
    pub commands: &'a Commands,
}

impl Report<'_> {
    /// The report for people.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = self.write(&mut text);
        text
    }

    /// The report for programs.
    pub fn json(&self) -> serde_json::Value {
        let plan = self.plan;
        let templates = plan.templates.iter().map(|template| {
            json!({ "id": template.id, "text": template.text, "held_out": template.held_out })
        });
        let split = plan.split.as_ref().map(|split| {
            json!({
                "train": split.size(Part::Train),
                "dev": split.size(Part::Dev),
                "test": split.size(Part::Test),
            })
        });
        json!({
            "task": plan.name,
            "source": self.table.source,
            "rows": self.table.rows.len() + self.table.faulty.len(),
            "columns": plan.profiles,
            "target": plan.target,
            "fields": plan.fields,
            "not_read": plan.unused,
            "pairs": plan.relation,
            "lengths": plan.lengths,
            "templates": templates.collect::<Vec<_>>(),
            "kept": plan.clean.kept.len(),
            "left_out": plan.clean.left_out,
            "contradictory": plan.clean.contradictory,
            "split": split,
            "notes": plan.notes,
            "files": self.files,
            "commands": self.commands,
        })
    }

    fn write(&self, text: &mut String) -> std::fmt::Result {
        let (table, plan) = (self.table, self.plan);
        let rows = counted(table.rows.len() + table.faulty.len(), "row");
        let columns = counted(table.columns.len(), "column");
        let source = &table.source;
        writeln!(text, "{}: {}, {rows}, {columns}\n", source.path, source.format)?;
        self.columns(text)?;
        self.target(text)?;
        self.rows(text)?;
        let lengths = &plan.lengths;
        writeln!(
            text,
            "prompts     up to {} tokens; rows have {} (median), 99 % of them {} or fewer",
            lengths.max_length, lengths.median_tokens, lengths.long_tokens
        )?;
        let canonical = plan.templates.first().map_or("", |template| &template.text);
        let count = plan.templates.len();
        writeln!(text, "templates   {count}, of which this one answers: {canonical}")?;
        for note in &plan.notes {
            writeln!(text, "note: {note}")?;
        }
        let files: Vec<String> = self.files.iter().map(|file| shown(file)).collect();
        writeln!(text, "\nwrote {}", files.join(", "))?;
        let Commands { train, evaluate, serve } = self.commands;
        writeln!(text, "\nNext:\n  {train}\n  {evaluate}\n  {serve}")
    }

    fn columns(&self, text: &mut String) -> std::fmt::Result {
        let profiles = &self.plan.profiles;
        let cut = |name: &str| -> String {
            let cut: String = name.chars().take(NAME_WIDTH).collect();
            if cut.len() < name.len() { cut + "…" } else { cut }
        };
        let names = profiles.iter().take(MAX_COLUMNS).map(|profile| cut(&profile.column));
        let width = names.map(|name| name.chars().count()).max().unwrap_or(0);
        for (at, profile) in profiles.iter().enumerate().take(MAX_COLUMNS) {
            let role = self.role(at, profile);
            let name =
                if profile.column.is_empty() { "-".to_owned() } else { cut(&profile.column) };
            writeln!(text, "  {name:width$}  {role}")?;
        }
        if profiles.len() > MAX_COLUMNS {
            writeln!(text, "  and {} more columns", profiles.len() - MAX_COLUMNS)?;
        }
        writeln!(text)
    }

    /// Role of a column in the task.
    fn role(&self, at: usize, profile: &Profile) -> String {
        let plan = self.plan;
        if at == plan.target.at {
            return "the target".to_owned();
        }
        if let Some(field) = plan.fields.iter().find(|field| field.at == at) {
            let name = match field.name == field.column {
                true => String::new(),
                false => format!(" {:?}", field.name),
            };
            let empty = self.table.rows.len() - profile.filled;
            let empty = if empty > 0 { format!(", {empty} empty") } else { String::new() };
            let (median, long) = (profile.median_tokens, profile.long_tokens);
            let nature = profile.nature;
            return format!(
                "field{name}: {nature}, median {median} tokens, 99 % up to {long}{empty}"
            );
        }
        let unused = plan.unused.iter().find(|unused| unused.at == at);
        let reason = unused.map_or("", |unused| &unused.reason);
        format!("not read: {reason}")
    }

    fn target(&self, text: &mut String) -> std::fmt::Result {
        let target = &self.plan.target;
        let (kind, answers) = match &target.answers {
            Answers::Regression { min, max } => ("regression", format!("from {min} to {max}")),
            Answers::Classification { labels, positive } => {
                let shown: Vec<String> = labels
                    .iter()
                    .take(MAX_LABELS)
                    .map(|label| format!("{} ({})", label.name, label.rows))
                    .collect();
                let more = match labels.len().saturating_sub(MAX_LABELS) {
                    0 => String::new(),
                    more => format!(" and {more} more"),
                };
                let positive = positive.as_ref();
                let positive = positive.map_or(String::new(), |name| format!("; positive: {name}"));
                ("classification", format!("{}{more}{positive}", shown.join(", ")))
            }
        };
        writeln!(text, "task        {}: {kind} of {:?}", self.plan.name, target.column)?;
        writeln!(text, "because     {}", target.reason)?;
        writeln!(text, "answers     {answers}")
    }

    fn rows(&self, text: &mut String) -> std::fmt::Result {
        let plan = self.plan;
        let left_out: usize = plan.clean.left_out.iter().map(|lines| lines.rows).sum();
        let kept = plan.clean.kept.len();
        match &plan.split {
            Some(split) => {
                let [train, dev, test] =
                    [Part::Train, Part::Dev, Part::Test].map(|part| split.size(part));
                writeln!(text, "rows        {kept}: {train} to train, {dev} dev, {test} test")?;
            }
            None => writeln!(text, "rows        {kept} that can be used, not split")?,
        }
        if left_out > 0 {
            let what = if plan.split.is_some() { "left out" } else { "to mend" };
            writeln!(text, "{what:11} {left_out}")?;
        }
        for lines in &plan.clean.left_out {
            writeln!(text, "            {} {} ({})", lines.rows, lines.reason, lines.first())?;
        }
        Ok(())
    }
}

fn counted(count: usize, thing: &str) -> String {
    if count == 1 { format!("1 {thing}") } else { format!("{count} {thing}s") }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
