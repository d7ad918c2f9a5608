//! Which rows are kept: those with text and a target, each once. Pure.

use std::collections::{BTreeMap, HashMap, HashSet};

use sha2::{Digest, Sha256};

use super::{
    fields::Fields,
    pairs::{Relation, Side},
    table::Table,
    target::TargetPlan,
};

/// Lines that a report names for each reason.
pub const LISTED_LINES: usize = 5;

/// A hash of the texts of a row, however their letters' case and white space are.
pub type Key = [u8; 16];

/// A row that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptRow {
    /// Index in the table.
    pub at: usize,
    /// The target as the task file writes it.
    pub answer: String,
    /// Rows with the same key stay together.
    pub key: Key,
    /// Whether the same text has another target elsewhere.
    pub contradictory: bool,
}

/// Rows that something holds for, of which the first lines are named.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Lines {
    pub reason: String,
    pub rows: usize,
    pub lines: Vec<u64>,
}

impl Lines {
    /// The first lines, as a message names them.
    pub fn first(&self) -> String {
        let shown: Vec<String> = self.lines.iter().map(u64::to_string).collect();
        let more = if self.rows > self.lines.len() { ", …" } else { "" };
        let word = if self.rows == 1 { "line" } else { "lines" };
        format!("{word} {}{more}", shown.join(", "))
    }

    fn add(&mut self, line: u64) {
        self.rows += 1;
        if self.lines.len() < LISTED_LINES {
            self.lines.push(line);
        }
    }
}

/// The rows of a file, sorted out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Clean {
    pub kept: Vec<KeptRow>,
    /// Rows that are left out, by the reason.
    pub left_out: Vec<Lines>,
    /// Rows that are kept but whose text has several targets.
    pub contradictory: Lines,
}

/// Collects rows by the reason why they are left out, in the order in which reasons are met.
#[derive(Default)]
struct LeftOut {
    reasons: Vec<Lines>,
}

impl LeftOut {
    fn add(&mut self, reason: &str, line: u64) {
        let at = self.reasons.iter().position(|lines| lines.reason == reason);
        let at = at.unwrap_or_else(|| {
            self.reasons.push(Lines { reason: reason.to_owned(), ..Lines::default() });
            self.reasons.len() - 1
        });
        self.reasons[at].add(line);
    }
}

/// Sorts out the rows of a table: those without a text on each side or without a target are left
/// out, as are repetitions of a text with the same target.
pub fn clean(table: &Table, fields: &Fields, target: &TargetPlan) -> Clean {
    let mut left_out = LeftOut::default();
    for fault in &table.faulty {
        left_out.add("cannot be read", fault.line);
    }
    let mut kept = Vec::new();
    let mut seen: HashSet<(Key, String)> = HashSet::new();
    for (at, row) in table.rows.iter().enumerate() {
        let has_text = fields.sides().iter().all(|side| fields.has_text(table, at, *side))
            && fields.fields.iter().all(|f| f.optional || !table.value(at, f.at).is_empty());
        let answer = match target.answer(table.value(at, target.at)) {
            _ if !has_text => Err("no text".to_owned()),
            answer => answer,
        };
        match answer {
            Err(reason) => left_out.add(&reason, row.line),
            Ok(answer) if !seen.insert((exact_key(table, fields, at), answer.clone())) => {
                left_out.add("duplicate of an earlier row", row.line);
            }
            Ok(answer) => {
                let key = key(table, fields, at);
                kept.push(KeptRow { at, answer, key, contradictory: false });
            }
        }
    }
    let contradictory = mark_contradictory(table, &mut kept);
    Clean { kept, left_out: left_out.reasons, contradictory }
}

/// Leaves out the rows of labels of which fewer than `min_rows` are kept.
pub fn without_rare_labels(clean: &mut Clean, table: &Table, min_rows: usize) -> Vec<String> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for row in &clean.kept {
        *counts.entry(&row.answer).or_default() += 1;
    }
    let rare: Vec<String> = counts
        .into_iter()
        .filter(|(_, rows)| *rows < min_rows)
        .map(|(label, _)| label.to_owned())
        .collect();
    let mut left_out = LeftOut { reasons: std::mem::take(&mut clean.left_out) };
    clean.kept.retain(|row| {
        let is_rare = rare.contains(&row.answer);
        if is_rare {
            left_out.add("label that has one text", table.rows[row.at].line);
        }
        !is_rare
    });
    clean.left_out = left_out.reasons;
    rare
}

/// Marks rows whose text has several targets, and names them.
fn mark_contradictory(table: &Table, kept: &mut [KeptRow]) -> Lines {
    let mut answers: HashMap<Key, (String, bool)> = HashMap::new();
    for row in kept.iter() {
        let (first, several) =
            answers.entry(row.key).or_insert_with(|| (row.answer.clone(), false));
        *several |= *first != row.answer;
    }
    let mut lines =
        Lines { reason: "the same text with another target".to_owned(), ..Lines::default() };
    for row in kept {
        row.contradictory = answers.get(&row.key).is_some_and(|(_, several)| *several);
        if row.contradictory {
            lines.add(table.rows[row.at].line);
        }
    }
    lines
}

/// A text in lower case with single blanks.
fn normalised(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").to_lowercase()
}

fn exact_key(table: &Table, fields: &Fields, row: usize) -> Key {
    hash(fields.fields.iter().map(|field| table.value(row, field.at)))
}

/// The key of a row. Pairs of things that are alike have the same whichever comes first.
fn key(table: &Table, fields: &Fields, row: usize) -> Key {
    let of_side = |side: Side| -> Vec<String> {
        let of_side = fields.fields.iter().filter(|field| field.side == side);
        of_side.map(|field| normalised(table.value(row, field.at))).collect()
    };
    let mut sides = [of_side(Side::Left), of_side(Side::Right)];
    if fields.relation == Some(Relation::Alike) {
        sides.sort();
    }
    let shared = of_side(Side::Shared);
    hash(shared.iter().chain(sides.iter().flatten()).map(String::as_str))
}

/// A hash of texts that counts where one ends.
pub fn hash<'a>(texts: impl Iterator<Item = &'a str>) -> Key {
    let mut hasher = Sha256::new();
    for text in texts {
        hasher.update((text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    }
    let digest = hasher.finalize();
    std::array::from_fn(|at| digest[at])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::init::{fields, profile::profiles, table::tests::table, target};

    fn cleaned(columns: &[&str], rows: &[&[&str]], text: &[&str]) -> Clean {
        let table = table(columns, rows);
        let target = target::plan(&table, 0, None, &[]).expect("a target");
        let named: Vec<String> = text.iter().map(|name| (*name).to_owned()).collect();
        let fields = fields::choose(&table, &profiles(&table, None), 0, &named).expect("fields");
        clean(&table, &fields, &target)
    }

    fn reasons(clean: &Clean) -> Vec<(&str, &[u64])> {
        clean.left_out.iter().map(|lines| (lines.reason.as_str(), &lines.lines[..])).collect()
    }

    #[test]
    fn rows_without_text_or_label_and_duplicates_are_left_out() {
        let rows: &[&[&str]] = &[
            &["a", "one two"],
            &["b", "three four"],
            &["", "five"],
            &["a", " "],
            &["a", " one two "],
            &["b", "One  Two"],
            &["a", "ONE TWO"],
            &["once", "x y"],
            &["b", "seven"],
        ];
        let found = cleaned(&["y", "text"], rows, &["text"]);
        assert_eq!(
            reasons(&found),
            [
                ("no label", &[4][..]),
                ("no text", &[5][..]),
                ("duplicate of an earlier row", &[6][..]),
                ("label that occurs once", &[9][..]),
            ]
        );
        // The same words in another case stay together, and contradict each other.
        assert_eq!((found.contradictory.rows, found.contradictory.lines), (3, vec![2, 7, 8]));
        assert!(found.kept[0].key == found.kept[2].key && found.kept[0].key != found.kept[1].key);
    }

    #[test]
    fn labels_with_one_text_are_left_out() {
        let rows: &[&[&str]] =
            &[&["a", "p"], &["a", "q"], &["b", "r"], &["b", "r"], &["c", "s"], &["c", "t"]];
        let table = table(&["y", "text"], rows);
        let mut found = cleaned(&["y", "text"], rows, &["text"]);
        assert_eq!(without_rare_labels(&mut found, &table, 2), ["b"]);
        assert_eq!(found.kept.len(), 4);
    }

    #[test]
    fn pairs_need_both_sides_and_have_no_order() {
        let rows: &[&[&str]] = &[
            &["1", "a", "b"],
            &["1", "B", "A"],
            &["0", "c", ""],
            &["0", "d", "e"],
            &["0", "d", "f"],
        ];
        let found = cleaned(&["y", "title_1", "title_2"], rows, &["title_1", "title_2"]);
        assert_eq!(reasons(&found), [("no text", &[4][..])]);
        assert_eq!(found.kept[0].key, found.kept[1].key);
    }
}
