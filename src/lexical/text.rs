//! Text to counted n-grams of words and of characters, each named by a 64-bit hash.

use std::ops::RangeInclusive;

/// Characters of a field that count; the rest of a longer text is left out.
pub const MAX_CHARS: usize = 20_000;

/// Lengths of character n-grams.
const CHARACTERS: RangeInclusive<usize> = 2..=5;

/// An n-gram: the hash of its kind and its text.
pub type Gram = u64;

/// Units that n-grams are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// One word, or two words that follow each other.
    Words,
    /// Two to five characters of one word, whose borders count as a space (scikit-learn's
    /// `char_wb`).
    Characters,
}

/// The n-grams of some texts with their counts, in ascending order. N-grams do not cross from one
/// text to the next.
pub fn counts<'a>(texts: impl IntoIterator<Item = &'a str>, unit: Unit) -> Vec<(Gram, u32)> {
    let mut grams = Vec::new();
    for text in texts {
        let text = normalised(text);
        match unit {
            Unit::Words => word_grams(&text, &mut grams),
            Unit::Characters => character_grams(&text, &mut grams),
        }
    }
    grams.sort_unstable();
    let groups = grams.chunk_by(|a, b| a == b);
    groups.map(|group| (group[0], u32::try_from(group.len()).unwrap_or(u32::MAX))).collect()
}

/// Lower case, at most [`MAX_CHARS`] characters.
pub fn normalised(text: &str) -> String {
    match text.char_indices().nth(MAX_CHARS) {
        Some((end, _)) => text[..end].to_lowercase(),
        None => text.to_lowercase(),
    }
}

/// Runs of letters, digits and underscores.
pub fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

fn word_grams(text: &str, grams: &mut Vec<Gram>) {
    let mut before: Option<&str> = None;
    for word in words(text) {
        grams.push(hash(1, [word]));
        if let Some(before) = before {
            grams.push(hash(2, [before, " ", word]));
        }
        before = Some(word);
    }
}

fn character_grams(text: &str, grams: &mut Vec<Gram>) {
    for word in text.split_whitespace() {
        // Byte offsets of the characters of the word with a space on either side.
        let padded = format!(" {word} ");
        let mut at: Vec<usize> = padded.char_indices().map(|(at, _)| at).collect();
        at.push(padded.len());
        let length = at.len() - 1;
        for size in CHARACTERS {
            let ends = (size..=length).map(|end| (end - size, end));
            grams.extend(ends.map(|(start, end)| hash(3, [&padded[at[start]..at[end]]])));
            // A word that is as short is one n-gram, not one for each longer size.
            if size >= length {
                break;
            }
        }
    }
}

/// FNV-1a, mixed at the end. The same on every machine and in every release, as the order of
/// columns and so the last bits of a fit depend on it.
fn hash<const PARTS: usize>(kind: u8, parts: [&str; PARTS]) -> Gram {
    let mut hash = 0xcbf2_9ce4_8422_2325 ^ u64::from(kind);
    for byte in parts.iter().flat_map(|part| part.bytes()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash ^= hash >> 32;
    hash = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    hash ^ (hash >> 29)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, unit: Unit, expected: usize, occurrences: u32) {
        let found = counts([text], unit);
        let all: u32 = found.iter().map(|(_, count)| count).sum();
        assert_eq!((found.len(), all), (expected, occurrences), "{text:?}");
        assert!(found.is_sorted());
    }

    #[test]
    fn n_grams_are_those_of_scikit_learn() {
        // CountVectorizer(ngram_range=(1, 2)) and (analyzer="char_wb", ngram_range=(2, 5)).
        check("Good phone, good phone", Unit::Words, 4, 7);
        check("ab", Unit::Characters, 6, 6);
        check("a a", Unit::Characters, 3, 6);
        check("", Unit::Words, 0, 0);
        check(" \n", Unit::Characters, 0, 0);
        check("Größe größe", Unit::Words, 2, 3);
        check("中文", Unit::Characters, 6, 6);
    }

    #[test]
    fn n_grams_end_with_their_text() {
        assert_eq!(counts(["a b", "c"], Unit::Words).len(), 4);
        assert_eq!(counts(["a b c"], Unit::Words).len(), 5);
        assert_ne!(hash(1, ["ab"]), hash(3, ["ab"]));
    }

    #[test]
    fn a_long_text_counts_in_part() {
        let long = "é ".repeat(MAX_CHARS);
        assert_eq!(counts([long.as_str()], Unit::Words)[0].1 as usize % 1000, 0);
        assert_eq!(normalised(&long).chars().count(), MAX_CHARS);
    }
}
