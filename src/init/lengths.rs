//! How long prompts may be, and which fields are cut when they are longer. Pure.

use super::{
    fields::{FieldPlan, Fields},
    profile::{CountTokens, Profile, quantile},
    table::Table,
    value::estimated_tokens,
};
use crate::task::Truncate;

/// Tokens of a prompt at least and at most.
const SHORTEST: usize = 64;
const LONGEST: usize = 256;

/// Lengths are multiples of this.
const STEP: usize = 16;

/// Special tokens round a prompt, and its mask.
const SPECIAL: usize = 4;

/// Rows whose length is measured.
const MEASURED: usize = 2_000;

/// Tokens of a field that is never cut before others are.
const SHORT_FIELD: usize = 24;

/// Tokens that a field keeps: alone, and beside others.
const KEPT_ALONE: usize = 8;
const KEPT_BESIDE: usize = 16;

/// How a field is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Cut {
    pub min_tokens: usize,
    /// 2 for fields that are cut last, where some are; 1 for the others.
    pub priority: i32,
    #[serde(skip)]
    pub truncate: Truncate,
}

/// The length of prompts.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Lengths {
    pub max_length: usize,
    /// Tokens of a row in the middle of all and of the longest but 1 %, all fields together.
    pub median_tokens: usize,
    pub long_tokens: usize,
    /// The share of the rows that have to be cut.
    pub cut_share: f64,
    /// Of the fields, in their order.
    pub cuts: Vec<Cut>,
}

/// Tokens that templates add to the fields' at most, with the special ones.
pub fn overhead(templates: &[String], count_tokens: Option<CountTokens>) -> usize {
    let count_tokens = count_tokens.unwrap_or(&estimated_tokens);
    let longest = templates.iter().map(|text| {
        let literals =
            text.split('{').map(|part| part.split_once('}').map_or(part, |(_, rest)| rest));
        let separators = text.matches("{sep}").count() * 2;
        literals.map(count_tokens).sum::<usize>() + separators
    });
    longest.max().unwrap_or(0) + SPECIAL
}

/// Chooses the length of prompts such that nearly all rows fit, and what each field keeps where one
/// does not. `overhead` is what templates add.
pub fn plan(
    table: &Table,
    profiles: &[Profile],
    fields: &Fields,
    overhead: usize,
    count_tokens: Option<CountTokens>,
    keep_both_ends: bool,
) -> Lengths {
    let count_tokens = count_tokens.unwrap_or(&estimated_tokens);
    let step = table.rows.len().div_ceil(MEASURED).max(1);
    let of_row = |row| -> usize {
        fields.fields.iter().map(|field| count_tokens(table.value(row, field.at))).sum()
    };
    let mut counts: Vec<usize> = (0..table.rows.len()).step_by(step).map(of_row).collect();
    counts.sort_unstable();
    let long_tokens = quantile(&counts, 0.99);
    let needed = (long_tokens + overhead).next_multiple_of(STEP);
    // The words of the templates are never cut.
    let room_for_words = (overhead * 2).next_multiple_of(STEP);
    let max_length = needed.clamp(SHORTEST.max(room_for_words), LONGEST.max(room_for_words));
    let room = max_length - overhead;
    let cut = counts.iter().filter(|tokens| **tokens > room).count();
    Lengths {
        max_length,
        median_tokens: quantile(&counts, 0.5),
        long_tokens,
        cut_share: cut as f64 / counts.len().max(1) as f64,
        cuts: cuts(&fields.fields, profiles, room, keep_both_ends),
    }
}

fn cuts(fields: &[FieldPlan], profiles: &[Profile], room: usize, both_ends: bool) -> Vec<Cut> {
    let profile = |field: &FieldPlan| &profiles[field.at];
    let is_short = |field: &FieldPlan| profile(field).long_tokens <= SHORT_FIELD;
    let mixed = fields.iter().any(is_short) && !fields.iter().all(is_short);
    let kept = if fields.len() > 1 { KEPT_BESIDE } else { KEPT_ALONE };
    let wanted: Vec<usize> =
        fields.iter().map(|field| profile(field).median_tokens.clamp(1, kept)).collect();
    let sum: usize = wanted.iter().sum();
    // What must be kept leaves as much room again for what may be.
    let scaled = |wanted: usize| if sum * 2 > room { wanted * room / (sum * 2) } else { wanted };
    let cut = |(field, wanted): (&FieldPlan, usize)| Cut {
        min_tokens: scaled(wanted).max(1),
        priority: if mixed && is_short(field) { 2 } else { 1 },
        truncate: match both_ends && profile(field).long_tokens > room {
            true => Truncate::Middle,
            false => Truncate::Tail,
        },
    };
    fields.iter().zip(wanted).map(cut).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::init::{fields, profile::profiles, table::tests::table};

    fn lengths(columns: &[&str], rows: &[Vec<String>], both_ends: bool) -> Lengths {
        let rows: Vec<Vec<&str>> =
            rows.iter().map(|row| row.iter().map(String::as_str).collect()).collect();
        let rows: Vec<&[&str]> = rows.iter().map(Vec::as_slice).collect();
        let table = table(columns, &rows);
        let profiles = profiles(&table, None);
        let fields = fields::choose(&table, &profiles, 0, &[]).expect("fields");
        plan(&table, &profiles, &fields, 20, None, both_ends)
    }

    fn texts(lengths: &[usize]) -> Vec<Vec<String>> {
        let row = |at: usize| {
            let texts = lengths.iter().map(|words| format!("w {at} {}", "word ".repeat(words - 2)));
            [at.to_string()].into_iter().chain(texts).collect()
        };
        (0..50).map(row).collect()
    }

    #[test]
    fn nearly_all_rows_fit_up_to_a_limit() {
        let short = lengths(&["y", "text"], &texts(&[10]), true);
        assert_eq!((short.max_length, short.cut_share), (64, 0.0));
        assert_eq!(short.cuts, [Cut { min_tokens: 8, priority: 1, truncate: Truncate::Tail }]);
        let long = lengths(&["y", "text"], &texts(&[600]), true);
        assert_eq!((long.max_length, long.cut_share, long.long_tokens), (256, 1.0, 600));
        assert_eq!(long.cuts[0].truncate, Truncate::Middle);
        assert_eq!(lengths(&["y", "text"], &texts(&[600]), false).cuts[0].truncate, Truncate::Tail);
    }

    #[test]
    fn long_fields_are_cut_before_short_ones_and_alike_on_both_sides() {
        let columns = ["y", "title_1", "title_2", "text_1", "text_2"];
        let found = lengths(&columns, &texts(&[8, 9, 300, 20]), false);
        let cuts: Vec<(usize, i32)> =
            found.cuts.iter().map(|c| (c.min_tokens, c.priority)).collect();
        // title_1, text_1, title_2, text_2
        assert_eq!(cuts, [(8, 2), (16, 1), (9, 2), (16, 2)]);
    }

    #[test]
    fn the_words_of_templates_are_counted() {
        let templates =
            ["{text} It was {mask}.", "One: {a} {sep} Two: {b} {mask}"].map(str::to_owned);
        assert_eq!(overhead(&templates, None), 4 + 2 + 4);
    }
}
