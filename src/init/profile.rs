//! What each column holds, told from its values and its name. Pure.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt,
};

use super::{
    names,
    table::Table,
    value::{estimated_tokens, is_address, is_code, is_date, loose_number},
};

/// Share of the values that must agree on what they are.
const AGREEMENT: f64 = 0.9;

/// Rows of one value, on average, from which a column sorts rows rather than describes them.
const CATEGORY_REPEATS: usize = 50;

/// Distinct values that a column of a small file may have to be a category.
const FEW_VALUES: usize = 10;

/// Rows that a file needs before few distinct values say anything.
const MIN_ROWS_FOR_CATEGORY: usize = 40;

/// Words that a category's name has at most, on average.
const CATEGORY_WORDS: f64 = 4.0;

/// Values whose length in tokens is measured.
const MEASURED: usize = 2_000;

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Nature {
    /// Words.
    Text,
    /// One piece each, with digits: model numbers, sizes.
    Code,
    Number,
    /// Few values that come again and again.
    Category,
    /// Says which row it is, and nothing about it.
    Id,
    Date,
    Address,
    /// Names of users.
    Person,
    /// The same value everywhere, or none.
    Constant,
    /// It has no name, or another column's.
    Unnamed,
}

impl fmt::Display for Nature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "text",
            Self::Code => "codes",
            Self::Number => "numbers",
            Self::Category => "few values",
            Self::Id => "ids",
            Self::Date => "dates",
            Self::Address => "addresses",
            Self::Person => "names of people",
            Self::Constant => "one value or none",
            Self::Unnamed => "no name of its own",
        })
    }
}

/// What is known about one column.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Profile {
    pub column: String,
    pub nature: Nature,
    /// Rows that have a value.
    pub filled: usize,
    pub distinct: usize,
    /// Tokens of a value in the middle of all, and of the longest but 1 %.
    pub median_tokens: usize,
    pub long_tokens: usize,
}

/// How many tokens a text has.
pub type CountTokens<'a> = &'a dyn Fn(&str) -> usize;

/// Looks at every column.
pub fn profiles(table: &Table, count_tokens: Option<CountTokens>) -> Vec<Profile> {
    let count_tokens = count_tokens.unwrap_or(&estimated_tokens);
    (0..table.columns.len()).map(|column| profile(table, column, count_tokens)).collect()
}

fn profile(table: &Table, column: usize, count_tokens: CountTokens) -> Profile {
    let name = &table.columns[column];
    let values: Vec<&str> = (0..table.rows.len())
        .map(|row| table.value(row, column))
        .filter(|value| !value.is_empty())
        .collect();
    let distinct = values.iter().collect::<HashSet<_>>().len();
    let (median_tokens, long_tokens) = lengths(&values, count_tokens);
    let is_unnamed = name.is_empty() || table.columns[..column].contains(name);
    let nature = if is_unnamed { Nature::Unnamed } else { nature(name, &values, distinct) };
    Profile {
        column: name.clone(),
        nature,
        filled: values.len(),
        distinct,
        median_tokens,
        long_tokens,
    }
}

fn nature(name: &str, values: &[&str], distinct: usize) -> Nature {
    let share = |holds: &dyn Fn(&str) -> bool| {
        let count = values.iter().filter(|value| holds(value)).count();
        count as f64 / values.len().max(1) as f64
    };
    let words = values.iter().map(|value| value.split_whitespace().count()).sum::<usize>() as f64
        / values.len().max(1) as f64;
    let single = share(&|value| !value.contains(char::is_whitespace));
    let natures: [(Nature, &dyn Fn() -> bool); 8] = [
        (Nature::Constant, &|| distinct < 2),
        (Nature::Address, &|| share(&is_address) >= AGREEMENT),
        (Nature::Date, &|| share(&is_date) >= AGREEMENT),
        (Nature::Id, &|| names::is_id(name) && single >= AGREEMENT),
        (Nature::Number, &|| share(&|value| loose_number(value).is_some()) >= AGREEMENT),
        (Nature::Person, &|| names::is_person(name) && words < 3.0),
        (Nature::Category, &|| words <= CATEGORY_WORDS && repeats(values.len(), distinct)),
        (Nature::Code, &|| single >= AGREEMENT && share(&is_code) >= 0.5),
    ];
    let found = natures.into_iter().find(|(_, holds)| holds()).map(|(nature, _)| nature);
    match found {
        // Codes that never come twice say which row it is.
        Some(Nature::Code) if distinct * 50 >= values.len() * 49 => Nature::Id,
        found => found.unwrap_or(Nature::Text),
    }
}

fn repeats(rows: usize, distinct: usize) -> bool {
    rows >= MIN_ROWS_FOR_CATEGORY
        && (distinct <= FEW_VALUES || rows / distinct.max(1) >= CATEGORY_REPEATS)
}

/// Tokens of the value in the middle and of the longest but 1 %, of some values spread over all.
fn lengths(values: &[&str], count_tokens: CountTokens) -> (usize, usize) {
    let step = values.len().div_ceil(MEASURED).max(1);
    let mut counts: Vec<usize> =
        values.iter().step_by(step).map(|value| count_tokens(value)).collect();
    counts.sort_unstable();
    (quantile(&counts, 0.5), quantile(&counts, 0.99))
}

/// A quantile of sorted numbers, the nearest from above; 0 of none.
pub fn quantile(sorted: &[usize], share: f64) -> usize {
    let at = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(at.saturating_sub(1)).copied().unwrap_or(0)
}

/// Whether a column gives the target away: it has about as many values, which come again, and each
/// goes with one value of the target.
pub fn follows_target(table: &Table, column: usize, target: usize) -> bool {
    let mut answers: HashMap<&str, &str> = HashMap::new();
    let mut targets: BTreeMap<&str, usize> = BTreeMap::new();
    let mut rows = 0;
    for row in 0..table.rows.len() {
        let (value, answer) = (table.value(row, column), table.value(row, target));
        if value.is_empty() || answer.is_empty() {
            continue;
        }
        rows += 1;
        *targets.entry(answer).or_default() += 1;
        if *answers.entry(value).or_insert(answer) != answer {
            return false;
        }
    }
    let few = answers.len() <= 3 * targets.len() && answers.len() * 4 <= rows;
    answers.len() >= 2 && few && targets.len() >= 2
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::init::table::tests::table;

    fn check(name: &str, values: &[&str], expected: Nature) {
        // Enough rows for repetition to mean something.
        let rows: Vec<[&str; 1]> =
            values.iter().cycle().take(60.max(values.len())).map(|v| [*v]).collect();
        let rows: Vec<&[&str]> = rows.iter().map(|row| &row[..]).collect();
        let found = profiles(&table(&[name], &rows), None);
        assert_eq!(found[0].nature, expected, "{name}: {values:?}");
    }

    #[test]
    fn columns_are_recognised_by_values_and_names() {
        check("text", &["It broke after two days of use.", "Good."], Nature::Category);
        let texts: Vec<String> = (0..60).map(|at| format!("thing {at} works")).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        check("text", &texts, Nature::Text);
        check("user_name", &texts.iter().map(|t| &t[..8]).collect::<Vec<_>>(), Nature::Person);
        check("date", &["2015-01-02", "2016-03-04"], Nature::Date);
        check("image", &["https://a.b/1.jpg", "https://a.b/2.jpg"], Nature::Address);
        check("price", &["$1.99", "12"], Nature::Number);
        check("review_id", &["R1AB", "R2CD"], Nature::Id);
        check("verified", &["Y", "N"], Nature::Category);
        check("market", &["US"], Nature::Constant);
        let codes: Vec<String> = (0..60).map(|at| format!("B00X{at}")).collect();
        let codes: Vec<&str> = codes.iter().map(String::as_str).collect();
        check("asin_of", &codes, Nature::Id);
        check("model", &[&codes[..30], &codes[..30]].concat(), Nature::Code);
    }

    #[test]
    fn a_second_column_of_a_name_has_none() {
        let found = profiles(&table(&["", "a", "a"], &[&["1", "x y", "z"]]), None);
        let natures: Vec<Nature> = found.iter().map(|profile| profile.nature).collect();
        assert_eq!(natures, [Nature::Unnamed, Nature::Constant, Nature::Unnamed]);
    }

    #[test]
    fn lengths_are_quantiles_of_tokens() {
        let counts: Vec<usize> = (1..=100).collect();
        assert_eq!((quantile(&counts, 0.5), quantile(&counts, 0.99)), (50, 99));
        assert_eq!((quantile(&[7], 0.99), quantile(&[], 0.5)), (7, 0));
    }

    #[test]
    fn a_column_that_repeats_the_target_is_found() {
        let rows: Vec<[&str; 3]> = (0..20)
            .map(|at| [["1", "0"][at % 2], ["pos", "neg"][at % 2], ["a", "b", "c"][at % 3]])
            .collect();
        let rows: Vec<&[&str]> = rows.iter().map(|row| &row[..]).collect();
        let table = table(&["label", "label_text", "other"], &rows);
        assert!(follows_target(&table, 1, 0));
        assert!(!follows_target(&table, 2, 0));
    }
}
