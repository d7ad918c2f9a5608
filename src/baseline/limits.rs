//! How much of a training set a bag of words takes, so that it fits in memory and in a minute.

use crate::{lexical::MAX_CHARS, task::Example};

/// Entries of the sparse matrix, 8 bytes each, which are held twice.
const MAX_ENTRIES: usize = 1 << 25;

/// Entries times outputs: the multiplications of a pass, of which there are up to some hundreds.
const MAX_WORK: usize = 1 << 28;

/// Columns times outputs, 4 bytes each, of which there are some twenty copies.
const MAX_WEIGHTS: usize = 1 << 22;

/// Rows times outputs, 4 bytes each.
const MAX_SCORES: usize = 1 << 24;

/// Rows; their numbers fit in 32 bits.
const MAX_ROWS: usize = 1 << 21;

/// Limits to which a training set is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// Whether n-grams of characters count beside those of words.
    pub characters: bool,
    /// Rows that are drawn; all of them, if there are no more.
    pub rows: usize,
    /// N-grams at most.
    pub columns: usize,
}

/// Lengths of the texts of a training set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Size {
    pub rows: usize,
    pub words: usize,
    pub characters: usize,
}

impl Size {
    /// Counts words and characters.
    pub fn of<'a>(examples: impl IntoIterator<Item = &'a Example>) -> Self {
        let mut size = Self::default();
        for example in examples {
            size.rows += 1;
            for text in &example.values {
                size.words += text.split_whitespace().count().min(MAX_CHARS / 2);
                size.characters += text.chars().count().min(MAX_CHARS);
            }
        }
        size
    }

    /// Chooses the cuts for a model with so many outputs: characters go first, then rows.
    pub fn plan(&self, outputs: usize) -> Plan {
        let outputs = outputs.max(1);
        // A word begins one n-gram of words and one of two words, a character four, and so does
        // the space before a word.
        let of_words = 2 * self.words;
        let of_characters = 4 * (self.words + self.characters);
        let limit = MAX_ENTRIES.min(MAX_WORK / outputs).max(1);
        let characters = of_words + of_characters <= limit;
        let entries = if characters { of_words + of_characters } else { of_words };
        let fitting = match entries > limit {
            true => (self.rows as u128 * limit as u128 / entries as u128) as usize,
            false => self.rows,
        };
        let rows = fitting.min(MAX_SCORES / outputs).clamp(1, MAX_ROWS);
        Plan { characters, rows, columns: (MAX_WEIGHTS / outputs).max(1) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(rows: usize, words: usize, outputs: usize, characters: bool, taken: usize) {
        let size = Size { rows, words: rows * words, characters: rows * words * 6 };
        let plan = size.plan(outputs);
        assert_eq!((plan.characters, plan.rows), (characters, taken), "{rows} {words} {outputs}");
    }

    #[test]
    fn small_sets_are_taken_whole() {
        check(20_000, 10, 10, true, 20_000);
        check(10, 0, 0, true, 10);
        assert_eq!(Size::default().plan(2), Plan { characters: true, rows: 1, columns: 1 << 21 });
    }

    #[test]
    fn large_sets_lose_characters_and_then_rows() {
        check(100_000, 100, 2, false, 100_000);
        check(1_000_000, 100, 2, false, 167_772);
        check(20_000, 10, 600, false, 20_000);
        check(100_000, 10, 600, false, 22_369);
        check(10_000_000, 1, 1, false, 1 << 21);
    }

    #[test]
    fn long_texts_count_in_part() {
        let example = Example { values: vec!["ab ".repeat(MAX_CHARS), "c".to_owned()] };
        let size = Size::of([&example]);
        let expected = Size { rows: 1, words: MAX_CHARS / 2 + 1, characters: MAX_CHARS + 1 };
        assert_eq!(size, expected);
    }
}
