//! What is to be predicted: which column, whether a number or one of a few labels. Pure.

use std::collections::BTreeMap;

use super::{
    InitError, labels,
    names::has_word,
    profile::{Nature, Profile},
    table::Table,
    value::number,
};

/// Labels that are taken without being named with `--labels`.
pub const MAX_LABELS: usize = 100;

/// Distinct whole numbers that are still taken for labels.
pub const MAX_NUMBER_LABELS: usize = 10;

/// Share of the targets that must be numbers for a regression.
const NUMBERS: f64 = 0.95;

/// Distinct values that a message shows.
const SHOWN: usize = 5;

/// A range that is not widened to whole numbers.
const NARROW: f64 = 0.5;

/// Names of columns that hold the target, the likelier first.
const TARGET_NAMES: [&str; 14] = [
    "label",
    "labels",
    "target",
    "class",
    "sentiment",
    "polarity",
    "stars",
    "rating",
    "category",
    "intent",
    "emotion",
    "score",
    "topic",
    "y",
];

/// Names of columns whose numbers stand for classes.
const CLASS_WORDS: [&str; 9] =
    ["label", "labels", "class", "category", "intent", "topic", "cluster", "emotion", "type"];

/// A task's kind, as `--kind` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KindChoice {
    Classification,
    Regression,
}

/// A label with its rows.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct LabelCount {
    pub name: String,
    pub rows: usize,
}

/// What the task predicts.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Answers {
    /// Labels in the order of the task file.
    Classification { labels: Vec<LabelCount>, positive: Option<String> },
    /// A range that holds all numbers of the file, from one whole number to another.
    Regression { min: f64, max: f64 },
}

/// The target column and what was made of it.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct TargetPlan {
    pub column: String,
    #[serde(skip)]
    pub at: usize,
    #[serde(flatten)]
    pub answers: Answers,
    /// Why it is of this kind, and what would make it the other.
    pub reason: String,
    /// Labels that differ in their case alone.
    pub variants: Vec<Vec<String>>,
    /// Whether the user has named the labels.
    #[serde(skip)]
    pub named: bool,
}

impl TargetPlan {
    /// The target of a row as the task file writes it, or why the row has none.
    pub fn answer(&self, value: &str) -> Result<String, String> {
        let value = value.trim();
        if value.is_empty() {
            return Err(labels::NO_TARGET.to_owned());
        }
        match &self.answers {
            Answers::Classification { labels, .. } => {
                let name = labels::canonical(value);
                let is_known = labels.iter().any(|label| label.name == name);
                match (is_known, self.named) {
                    (true, _) => Ok(name),
                    (false, true) => Err(labels::NOT_NAMED.to_owned()),
                    (false, false) => Err(labels::ONCE.to_owned()),
                }
            }
            Answers::Regression { .. } => match number(value) {
                Some(_) => Ok(value.to_owned()),
                None => Err(labels::NO_NUMBER.to_owned()),
            },
        }
    }
}

/// The column of the target: the one that is named, or the one whose name says so, or the only one
/// with few values.
///
/// # Errors
///
/// `InitError` if the named column is not there, or no column or several could be meant.
pub fn column(
    table: &Table,
    profiles: &[Profile],
    named: Option<&str>,
) -> Result<usize, InitError> {
    if let Some(name) = named {
        return table.column(name);
    }
    let found = TARGET_NAMES.iter().find_map(|name| {
        let mut places =
            (0..table.columns.len()).filter(|at| table.columns[*at].eq_ignore_ascii_case(name));
        places.next()
    });
    found.or_else(|| only_one_with_few_values(profiles)).ok_or_else(|| InitError::WhichTarget {
        path: table.source.path.clone(),
        columns: table.quoted_columns(),
    })
}

fn only_one_with_few_values(profiles: &[Profile]) -> Option<usize> {
    let has_few = |profile: &Profile| {
        let is_number = profile.nature == Nature::Number && profile.distinct <= MAX_NUMBER_LABELS;
        profile.nature == Nature::Category || is_number && profile.distinct > 1
    };
    let mut found = profiles.iter().enumerate().filter(|(_, profile)| has_few(profile));
    let first = found.next().map(|(at, _)| at);
    first.filter(|_| found.next().is_none())
}

/// Decides what the task predicts.
///
/// # Errors
///
/// `InitError` if there is nothing to learn, or more labels than a classifier of texts has.
pub fn plan(
    table: &Table,
    at: usize,
    kind: Option<KindChoice>,
    named_labels: &[String],
) -> Result<TargetPlan, InitError> {
    let column = table.columns[at].clone();
    let counts = labels::count((0..table.rows.len()).map(|row| table.value(row, at)));
    if counts.is_empty() {
        return Err(InitError::NoTarget { column });
    }
    let evidence = Evidence::of(&counts);
    let chosen = if named_labels.is_empty() { kind } else { Some(KindChoice::Classification) };
    let (kind, reason) = match chosen {
        Some(kind) => (kind, "as asked for".to_owned()),
        None => evidence.kind(&column),
    };
    let variants = labels::case_variants(&counts);
    let answers = match kind {
        KindChoice::Regression => regression(&column, &counts)?,
        KindChoice::Classification => classification(&column, &counts, named_labels)?,
    };
    let variants = if kind == KindChoice::Regression { Vec::new() } else { variants };
    let named = !named_labels.is_empty();
    Ok(TargetPlan { column, at, answers, reason, variants, named })
}

/// What the distinct values of the target are.
struct Evidence {
    distinct: usize,
    rows: usize,
    numeric_rows: usize,
    whole: bool,
}

impl Evidence {
    fn of(counts: &BTreeMap<String, usize>) -> Self {
        let numbers: Vec<(f64, usize)> =
            counts.iter().filter_map(|(value, rows)| Some((number(value)?, *rows))).collect();
        Self {
            distinct: counts.len(),
            rows: counts.values().sum(),
            numeric_rows: numbers.iter().map(|(_, rows)| rows).sum(),
            whole: numbers.iter().all(|(value, _)| value.fract() == 0.0),
        }
    }

    fn kind(&self, column: &str) -> (KindChoice, String) {
        let distinct = self.distinct;
        if (self.numeric_rows as f64) < NUMBERS * self.rows as f64 {
            let reason = format!("{distinct} different texts");
            return (KindChoice::Classification, reason);
        }
        let are_classes = has_word(column, &CLASS_WORDS) && distinct <= MAX_LABELS;
        let few = distinct <= MAX_NUMBER_LABELS || are_classes;
        match (self.whole, few) {
            (true, true) => (
                KindChoice::Classification,
                format!("{distinct} different whole numbers; --kind regression predicts a number"),
            ),
            (true, false) => (
                KindChoice::Regression,
                format!(
                    "{distinct} different whole numbers; --kind classification makes them labels"
                ),
            ),
            (false, _) => (
                KindChoice::Regression,
                format!(
                    "{distinct} different numbers with fractions; --kind classification makes \
                         them labels"
                ),
            ),
        }
    }
}

fn regression(column: &str, counts: &BTreeMap<String, usize>) -> Result<Answers, InitError> {
    let numbers: Vec<f64> = counts.keys().filter_map(|value| number(value)).collect();
    let min = numbers.iter().copied().fold(f64::INFINITY, f64::min);
    let max = numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if numbers.is_empty() {
        let shown = shown(counts);
        return Err(InitError::NotNumbers { column: column.to_owned(), shown });
    }
    if min >= max {
        return Err(InitError::OneTarget { column: column.to_owned(), value: min.to_string() });
    }
    let (min, max) = rounded(min, max);
    Ok(Answers::Regression { min, max })
}

/// The range, widened to whole numbers: the extremes of a scale are seldom all in a file.
fn rounded(min: f64, max: f64) -> (f64, f64) {
    if max - min < NARROW { (min, max) } else { (min.floor(), max.ceil()) }
}

fn classification(
    column: &str,
    counts: &BTreeMap<String, usize>,
    named: &[String],
) -> Result<Answers, InitError> {
    let found = match named {
        [] => labels::of_file(column, counts, || shown(counts))?,
        named => labels::of_user(column, counts, named)?,
    };
    let positive = labels::positive(&found);
    Ok(Answers::Classification { labels: found, positive })
}

/// The most frequent values, for a message.
fn shown(counts: &BTreeMap<String, usize>) -> String {
    let mut by_rows: Vec<(&String, &usize)> = counts.iter().collect();
    by_rows.sort_by_key(|(_, rows)| std::cmp::Reverse(**rows));
    let shown: Vec<String> = by_rows
        .iter()
        .take(SHOWN)
        .map(|(value, rows)| format!("{:?} ({rows})", value.chars().take(40).collect::<String>()))
        .collect();
    shown.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::init::{profile::profiles, table::tests::table};

    fn target(name: &str, values: &[&str]) -> Result<TargetPlan, InitError> {
        let rows: Vec<[&str; 1]> = values.iter().map(|value| [*value]).collect();
        let rows: Vec<&[&str]> = rows.iter().map(|row| &row[..]).collect();
        plan(&table(&[name], &rows), 0, None, &[])
    }

    fn labels_of(plan: &TargetPlan) -> Vec<&str> {
        match &plan.answers {
            Answers::Classification { labels, .. } => {
                labels.iter().map(|label| label.name.as_str()).collect()
            }
            Answers::Regression { .. } => Vec::new(),
        }
    }

    fn check_labels(name: &str, values: &[&str], expected: &[&str]) {
        let plan = target(name, &values.repeat(3)).expect("labels");
        assert_eq!(labels_of(&plan), expected, "{values:?}");
    }

    fn check_range(name: &str, values: &[&str], min: f64, max: f64) {
        let plan = target(name, values).expect("numbers");
        assert_eq!(plan.answers, Answers::Regression { min, max }, "{values:?}");
    }

    #[test]
    fn few_whole_numbers_are_labels_in_their_order() {
        check_labels("stars", &["5", "1", "3", "2", "4"], &["1", "2", "3", "4", "5"]);
        check_labels("stars", &["5.0", "1.0", "5"], &["1", "5"]);
        check_labels("x", &["-1", "1", "0"], &["-1", "0", "1"]);
        let many: Vec<String> = (0..77).map(|at| at.to_string()).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(labels_of(&target("label", &many.repeat(2)).expect("labels")).len(), 77);
        check_range("price", &many, 0.0, 76.0);
    }

    #[test]
    fn fractions_are_numbers_with_the_range_of_the_file() {
        check_range("rating", &["4.5", "1", "3.25", "", "-2"], -2.0, 5.0);
        check_range("share", &["0.12", "0.93"], 0.0, 1.0);
        check_range("rate", &["0.012", "0.019"], 0.012, 0.019);
        // A few values that are no number do not make it a classification.
        let mut values = ["1.5", "2.5", "3.5"].repeat(20);
        values.push("n/a");
        check_range("rating", &values, 1.0, 4.0);
        let plan = target("rating", &values).expect("numbers");
        assert_eq!(plan.answer("n/a"), Err("no number".to_owned()));
        assert_eq!(plan.answer(" 1.5 "), Ok("1.5".to_owned()));
    }

    #[test]
    fn what_cannot_be_learned_is_refused_with_what_to_do() {
        let many: Vec<String> = (0..150).map(|at| format!("label {at}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        for (values, words) in [
            (many.repeat(2), vec!["150", "--labels", "--target"]),
            (vec!["a", "a", "a"], vec!["\"a\""]),
            (vec!["", " "], vec!["no value"]),
            (vec!["2.5", "2.5"], vec!["2.5"]),
        ] {
            let error = target("x", &values).expect_err("refused").to_string();
            assert!(words.iter().all(|word| error.contains(word)), "{error}");
        }
    }

    #[test]
    fn the_target_is_found_by_its_name_or_its_few_values() {
        let found = |columns: &[&str], rows: &[&[&str]], named| {
            let table = table(columns, rows);
            column(&table, &profiles(&table, None), named)
        };
        let rows: &[&[&str]] = &[&["a", "1", "2"]];
        assert_eq!(found(&["text", "Score", "Label"], rows, None).ok(), Some(2));
        assert_eq!(found(&["text", "a", "b"], rows, Some("B")).ok(), Some(2));
        let error = found(&["text", "a", "b"], rows, None).expect_err("which?");
        assert!(error.to_string().contains("--target"), "{error}");
        let rows: &[&[&str]] = &[&["It is good.", "1", "1.5"], &["It is bad.", "0", "1.5"]];
        assert_eq!(found(&["text", "spam", "x"], rows, None).ok(), Some(1));
    }
}
