//! Writes the task file, with comments that say what each part is for. Pure.

use std::fmt::Write;

use super::{
    fields::{FieldPlan, Fields},
    lengths::{Cut, Lengths},
    names::spoken,
    pairs::Side,
    target::{Answers, TargetPlan},
    templates::TemplatePlan,
};
use crate::task::Truncate;

/// What a task file is made of.
pub struct Parts<'a> {
    pub name: &'a str,
    /// The command that wrote it.
    pub command: &'a str,
    pub target: &'a TargetPlan,
    pub fields: &'a Fields,
    pub lengths: &'a Lengths,
    pub templates: &'a [TemplatePlan],
}

/// Characters of a line of label names.
const WIDTH: usize = 96;

/// Templates that are trained on.
const POOL_SIZE: usize = 6;

/// The text of a task file.
pub fn write(parts: &Parts) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = head(&mut text, parts);
    let _ = fields(&mut text, parts);
    let _ = target(&mut text, parts.target);
    let _ = prompt(&mut text, parts.templates);
    text
}

fn head(text: &mut String, parts: &Parts) -> std::fmt::Result {
    let Lengths { max_length, median_tokens, long_tokens, cut_share, .. } = parts.lengths;
    let columns: Vec<String> =
        parts.fields.fields.iter().map(|field| quoted(&field.column)).collect();
    let kind = match &parts.target.answers {
        Answers::Classification { .. } => "classification",
        Answers::Regression { .. } => "regression",
    };
    let fits = match (cut_share * 100.0).round() {
        0.0 => "Nearly all fit.".to_owned(),
        cut => format!("{cut} % of the rows are longer and are cut."),
    };
    writeln!(text, "# Predicts {} from {}.", quoted(&parts.target.column), columns.join(", "))?;
    writeln!(text, "# Written by: {}", one_line(parts.command))?;
    writeln!(text, "# Change it as you like; docs/own-data.md says what to look at first.\n")?;
    writeln!(text, "[task]\nname = {}", quoted(parts.name))?;
    writeln!(text, "# {}.", one_line(&parts.target.reason))?;
    writeln!(text, "kind = \"{kind}\"")?;
    writeln!(
        text,
        "# Tokens of a prompt at most. Rows have {median_tokens} (median), 99 % of them"
    )?;
    writeln!(text, "# {long_tokens} or fewer. {fits}")?;
    writeln!(text, "max_length = {max_length}")
}

fn fields(text: &mut String, parts: &Parts) -> std::fmt::Result {
    let fields = &parts.fields.fields;
    let cuts = &parts.lengths.cuts;
    let mixed = cuts.iter().any(|cut| cut.priority != 1);
    writeln!(
        text,
        "\n# The texts, each with its column. A prompt that is too long is cut down to"
    )?;
    writeln!(
        text,
        "# min_tokens of each, the longest first{}.",
        match mixed {
            true => ", and those of priority 2 last",
            false => "",
        }
    )?;
    if cuts.iter().any(|cut| cut.truncate == Truncate::Middle) {
        writeln!(text, "# A long text keeps its beginning and its end (truncate = \"middle\").")?;
    }
    for (at, (field, cut)) in fields.iter().zip(cuts).enumerate() {
        if at > 0 {
            writeln!(text)?;
        }
        one_field(text, field, cut)?;
    }
    if !parts.fields.unused.is_empty() {
        writeln!(text)?;
    }
    for unused in &parts.fields.unused {
        writeln!(text, "# Not read: {} ({})", quoted(&unused.column), one_line(&unused.reason))?;
    }
    Ok(())
}

fn one_field(text: &mut String, field: &FieldPlan, cut: &Cut) -> std::fmt::Result {
    let side = match field.side {
        Side::Shared => "",
        Side::Left => "  # one side of the pair",
        Side::Right => "  # the other side",
    };
    writeln!(text, "[fields.{}]{side}", field.name)?;
    if field.name != field.column {
        writeln!(text, "column = {}", quoted(&field.column))?;
    }
    writeln!(text, "min_tokens = {}", cut.min_tokens)?;
    if cut.priority != 1 {
        writeln!(text, "priority = {}", cut.priority)?;
    }
    if cut.truncate == Truncate::Middle {
        writeln!(text, "truncate = \"middle\"")?;
    }
    if field.optional {
        writeln!(text, "optional = true")?;
    }
    Ok(())
}

fn target(text: &mut String, target: &TargetPlan) -> std::fmt::Result {
    let column = quoted(&target.column);
    match &target.answers {
        Answers::Regression { min, max } => {
            writeln!(
                text,
                "\n# The range of the file; answers stay in it. Widen it if there can be more."
            )?;
            writeln!(text, "[target]\ncolumn = {column}\nmin = {min:?}\nmax = {max:?}")
        }
        Answers::Classification { labels, positive } => {
            let names: Vec<String> = labels.iter().map(|label| quoted(&label.name)).collect();
            writeln!(text, "\n[labels]\ncolumn = {column}\nnames = {}", array(&names))?;
            let Some(positive) = positive else { return Ok(()) };
            writeln!(
                text,
                "# The label that is looked for: precision, recall and F1 are told of it."
            )?;
            writeln!(text, "positive = {}", quoted(positive))?;
            label_words(text, labels.iter().map(|label| label.name.as_str()))
        }
    }
}

/// Words that stand for labels, for the label-word baseline of `compare`, where they are obvious.
fn label_words<'a>(text: &mut String, labels: impl Iterator<Item = &'a str>) -> std::fmt::Result {
    let word = |label: &str| match spoken(label).as_str() {
        "negative" | "neg" => Some("terrible"),
        "positive" | "pos" => Some("great"),
        _ => None,
    };
    let words: Option<Vec<(&str, &str)>> =
        labels.map(|label| Some((label, word(label)?))).collect();
    let Some(words) = words else { return Ok(()) };
    writeln!(text, "\n# For --head label-words and `dynamar compare` alone.\n[labels.words]")?;
    words
        .iter()
        .try_for_each(|(label, word)| writeln!(text, "{} = [{}]", quoted(label), quoted(word)))
}

fn prompt(text: &mut String, templates: &[TemplatePlan]) -> std::fmt::Result {
    let canonical = templates.first().map_or("", |template| template.id);
    writeln!(
        text,
        "\n# Each example is trained on in several wordings; the canonical one answers."
    )?;
    writeln!(
        text,
        "# {{mask}} is where the answer is read. Say it in your own words, but differently"
    )?;
    writeln!(
        text,
        "# each time; the held-out one is never trained on and shows how much words matter."
    )?;
    writeln!(text, "[prompt]\ncanonical = {}\npool_size = {POOL_SIZE}", quoted(canonical))?;
    for template in templates {
        let (id, body) = (quoted(template.id), quoted(&template.text));
        writeln!(text, "\n[[prompt.template]]\nid = {id}\ntext = {body}")?;
        if template.held_out {
            writeln!(text, "held_out = true")?;
        }
    }
    Ok(())
}

/// A list on one line, or on several if it is long.
fn array(items: &[String]) -> String {
    let one_line = format!("[{}]", items.join(", "));
    if one_line.chars().count() <= WIDTH {
        return one_line;
    }
    let mut text = "[\n ".to_owned();
    let mut width = 1;
    for item in items {
        let length = item.chars().count() + 2;
        if width + length > WIDTH {
            text += "\n ";
            width = 1;
        }
        text += &format!(" {item},");
        width += length;
    }
    text + "\n]"
}

/// A string of TOML.
pub fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => quoted += "\\\"",
            '\\' => quoted += "\\\\",
            '\n' => quoted += "\\n",
            '\t' => quoted += "\\t",
            '\r' => quoted += "\\r",
            c if c.is_control() => quoted += &format!("\\u{:04X}", u32::from(c)),
            c => quoted.push(c),
        }
    }
    quoted + "\""
}

/// Text that ends no comment.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_survive_toml() {
        for text in ["a \"b\" \\ c", "tab\tline\n", "\u{7f}\u{1}", "größe {x}"] {
            let file = format!("x = {}", quoted(text));
            let table: toml::Table = toml::from_str(&file).expect("TOML");
            assert_eq!(table["x"].as_str(), Some(text), "{file}");
        }
    }

    #[test]
    fn long_lists_are_broken_into_lines() {
        let items: Vec<String> = (0..100).map(|at| quoted(&format!("label {at}"))).collect();
        let text = array(&items);
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH + 2), "{text}");
        let table: toml::Table = toml::from_str(&format!("x = {text}")).expect("TOML");
        assert_eq!(table["x"].as_array().map(Vec::len), Some(100));
        assert_eq!(array(&items[..2]), "[\"label 0\", \"label 1\"]");
    }
}
