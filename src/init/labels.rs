//! Labels of a classification: their spelling, their order, and the one that is looked for. Pure.

use std::collections::BTreeMap;

use super::{
    InitError,
    target::{LabelCount, MAX_LABELS},
    value::number,
};

/// Rows of a label without which a head cannot be trained on it.
pub const MIN_ROWS: usize = 2;

/// The share of the rarer of two labels below which it is the one that is looked for.
const RARE: f64 = 0.35;

/// Why a row has no target.
pub const NO_TARGET: &str = "no label";
pub const NOT_NAMED: &str = "label that --labels does not name";
pub const ONCE: &str = "label that occurs once";
pub const NO_NUMBER: &str = "no number";

/// A label as the task file writes it: trimmed, and whole numbers without their `.0`.
pub fn canonical(value: &str) -> String {
    let value = value.trim();
    match value.split_once('.') {
        Some((whole, zeros))
            if !zeros.is_empty()
                && zeros.bytes().all(|byte| byte == b'0')
                && number(value).is_some() =>
        {
            whole.to_owned()
        }
        _ => value.to_owned(),
    }
}

/// The rows of each label; rows without one are not counted.
pub fn count<'a>(values: impl Iterator<Item = &'a str>) -> BTreeMap<String, usize> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for value in values.filter(|value| !value.is_empty()) {
        *counts.entry(canonical(value)).or_default() += 1;
    }
    counts
}

/// The labels of the file in their order; those that occur once are left out.
///
/// # Errors
///
/// `InitError` for fewer than two labels or more than `MAX_LABELS`.
pub fn of_file(
    column: &str,
    counts: &BTreeMap<String, usize>,
    shown: impl Fn() -> String,
) -> Result<Vec<LabelCount>, InitError> {
    let mut labels: Vec<LabelCount> = counts
        .iter()
        .filter(|(_, rows)| **rows >= MIN_ROWS)
        .map(|(name, rows)| LabelCount { name: name.clone(), rows: *rows })
        .collect();
    let column = column.to_owned();
    if counts.len() > MAX_LABELS {
        return Err(InitError::TooManyLabels { column, found: counts.len(), shown: shown() });
    }
    match &labels[..] {
        [] => Err(InitError::RareLabels { column }),
        [one] => Err(InitError::OneTarget { column, value: one.name.clone() }),
        _ => {
            order(&mut labels);
            Ok(labels)
        }
    }
}

/// The labels that the user names, in that order.
///
/// # Errors
///
/// `InitError` for one that hardly occurs in the file.
pub fn of_user(
    column: &str,
    counts: &BTreeMap<String, usize>,
    named: &[String],
) -> Result<Vec<LabelCount>, InitError> {
    let mut labels: Vec<LabelCount> = Vec::new();
    for name in named {
        let name = canonical(name);
        let rows = counts.get(&name).copied().unwrap_or(0);
        if rows < MIN_ROWS {
            let near = nearest(&name, counts);
            return Err(InitError::UnknownLabel { column: column.to_owned(), name, rows, near });
        }
        if labels.iter().all(|label| label.name != name) {
            labels.push(LabelCount { name, rows });
        }
    }
    match &labels[..] {
        [one] => Err(InitError::OneTarget { column: column.to_owned(), value: one.name.clone() }),
        _ => Ok(labels),
    }
}

/// A label of the file that may be meant, as the end of a message.
fn nearest(name: &str, counts: &BTreeMap<String, usize>) -> String {
    let wanted = name.to_lowercase();
    let near = counts
        .keys()
        .map(|known| (strsim::jaro_winkler(&known.to_lowercase(), &wanted), known))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    near.map_or(String::new(), |(_, known)| format!("; did you mean {known:?}?"))
}

/// Words with an order, the least first.
const SCALES: [&[&str]; 9] = [
    &["very negative", "negative", "neutral", "positive", "very positive"],
    &["strongly disagree", "disagree", "neutral", "agree", "strongly agree"],
    &["very low", "low", "medium", "high", "very high", "critical"],
    &["terrible", "bad", "poor", "ok", "fair", "good", "great", "excellent"],
    &["never", "rarely", "sometimes", "often", "always"],
    &["none", "mild", "moderate", "severe"],
    &["small", "medium", "large"],
    &["no", "maybe", "yes"],
    &["false", "true"],
];

/// Puts labels into the order of their numbers, of a scale of words, or of the alphabet.
fn order(labels: &mut [LabelCount]) {
    if labels.iter().all(|label| number(&label.name).is_some()) {
        labels.sort_by(|a, b| {
            let value = |label: &LabelCount| number(&label.name).unwrap_or(0.0);
            value(a).total_cmp(&value(b))
        });
        return;
    }
    let place = |scale: &[&str], label: &LabelCount| {
        let name = label.name.to_lowercase().replace(['_', '-'], " ");
        scale.iter().position(|word| *word == name)
    };
    let scale =
        SCALES.iter().find(|scale| labels.iter().all(|label| place(scale, label).is_some()));
    match scale {
        Some(scale) => labels.sort_by_key(|label| place(scale, label)),
        None => labels.sort_by_key(|label| (label.name.to_lowercase(), label.name.clone())),
    }
}

/// Labels that something is found with, rather than that it is not.
const POSITIVE: [&str; 22] = [
    "1",
    "yes",
    "y",
    "true",
    "t",
    "positive",
    "pos",
    "match",
    "same",
    "duplicate",
    "equal",
    "spam",
    "relevant",
    "toxic",
    "offensive",
    "hate",
    "fake",
    "fraud",
    "entailment",
    "similar",
    "good",
    "helpful",
];

/// Of two labels the one that is looked for: the rare one, or the one whose name says so, or the
/// second.
pub fn positive(labels: &[LabelCount]) -> Option<String> {
    let [first, second] = labels else { return None };
    let all = (first.rows + second.rows).max(1) as f64;
    let rarer = if first.rows < second.rows { first } else { second };
    let says = |label: &LabelCount| POSITIVE.contains(&label.name.to_lowercase().as_str());
    let chosen = match (rarer.rows as f64 / all < RARE, says(first), says(second)) {
        (true, ..) => rarer,
        (false, true, false) => first,
        _ => second,
    };
    Some(chosen.name.clone())
}

/// Labels that are the same but for their case, each group in the order of the file's labels.
pub fn case_variants(counts: &BTreeMap<String, usize>) -> Vec<Vec<String>> {
    let mut groups: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for name in counts.keys() {
        groups.entry(name.to_lowercase()).or_default().push(name.clone());
    }
    groups.into_values().filter(|group| group.len() > 1).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(labels: &[(&str, usize)]) -> BTreeMap<String, usize> {
        labels.iter().map(|(name, rows)| ((*name).to_owned(), *rows)).collect()
    }

    fn found(labels: &[(&str, usize)]) -> Vec<LabelCount> {
        of_file("x", &counts(labels), String::new).expect("labels")
    }

    fn names(labels: &[LabelCount]) -> Vec<&str> {
        labels.iter().map(|label| label.name.as_str()).collect()
    }

    #[test]
    fn labels_are_spelled_and_ordered_as_people_do() {
        assert_eq!(
            ["5.0", " a ", "1.50", "v1.0", "-3.00"].map(canonical),
            ["5", "a", "1.50", "v1.0", "-3"]
        );
        assert_eq!(names(&found(&[("10", 2), ("9", 2), ("-1", 2)])), ["-1", "9", "10"]);
        assert_eq!(
            names(&found(&[("High", 2), ("low", 2), ("medium", 2)])),
            ["low", "medium", "High"]
        );
        assert_eq!(names(&found(&[("b", 2), ("A", 2), ("once", 1)])), ["A", "b"]);
    }

    #[test]
    fn the_rare_or_the_named_label_is_looked_for() {
        for (labels, expected) in [
            ([("match", 10), ("different", 90)], "match"),
            ([("ham", 90), ("junk", 10)], "junk"),
            ([("0", 10), ("1", 90)], "0"),
            ([("spam", 50), ("ham", 50)], "spam"),
            ([("b", 50), ("a", 50)], "b"),
            ([("negative", 50), ("positive", 40)], "positive"),
        ] {
            assert_eq!(positive(&found(&labels)).as_deref(), Some(expected), "{labels:?}");
        }
        assert_eq!(positive(&found(&[("a", 2), ("b", 2), ("c", 2)])), None);
    }

    #[test]
    fn variants_and_unknown_labels_are_named() {
        let counts = counts(&[("Positive", 3), ("positive", 9), ("negative", 9), ("once", 1)]);
        assert_eq!(case_variants(&counts), [["Positive", "positive"]]);
        let named = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            of_user("x", &counts, &names)
        };
        let labels = named(&["positive", "negative", "positive"]).expect("labels");
        assert_eq!(names_of(&labels), ["positive", "negative"]);
        let error = named(&["negtive", "positive"]).expect_err("unknown").to_string();
        assert!(error.contains("did you mean \"negative\"?"), "{error}");
    }

    fn names_of(labels: &[LabelCount]) -> Vec<&str> {
        names(labels)
    }
}
