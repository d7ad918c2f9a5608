//! How alike the two sides of a pair are, in numbers.

use std::collections::BTreeSet;

use super::{
    text::{Unit, counts, normalised, words},
    vocabulary::Vocabulary,
};

/// Numbers that a comparison gives.
pub const FEATURES: usize = 12;

/// Characters of a model code at least, such as `w570`.
const MIN_CODE: usize = 3;

/// Signs that may stand round a price.
const CURRENCIES: &[char] = &['$', '€', '£', '¥', '₹'];

/// Compares the texts of two sides.
pub fn features(left: &[&str], right: &[&str], vocabulary: &Vocabulary) -> [f32; FEATURES] {
    let cosine = |unit| {
        let of = |side: &[&str]| counts(side.iter().copied(), unit);
        vocabulary.cosine(&of(left), &of(right))
    };
    let [left_text, right_text] = [left, right].map(|side| normalised(&side.join(" ")));
    let [left_words, right_words]: [BTreeSet<&str>; 2] =
        [&left_text, &right_text].map(|text| words(text).collect());
    let overlap = Overlap::new(&left_words, &right_words);
    let [left_codes, right_codes] = [&left_text, &right_text].map(|text| codes(text));
    let codes = Overlap::new(&left_codes, &right_codes);
    let [left_numbers, right_numbers] = [&left_words, &right_words].map(numbers);
    let numbers = Overlap::new(&left_numbers, &right_numbers);
    let difference = match (number(&left_text), number(&right_text)) {
        (Some(left), Some(right)) => Some(relative_difference(left, right)),
        _ => None,
    };
    let is = f32::from;
    [
        cosine(Unit::Words),
        cosine(Unit::Characters),
        overlap.jaccard(),
        overlap.of_smaller(),
        codes.of_smaller(),
        is(codes.both && codes.shared == 0.0),
        numbers.of_smaller(),
        is(numbers.both && numbers.shared == 0.0),
        is(left_words == right_words),
        is(!overlap.both),
        difference.unwrap_or(0.0),
        is(difference.is_some()),
    ]
}

/// Sizes of two sets and of what they share.
struct Overlap {
    shared: f32,
    sizes: [f32; 2],
    /// Whether neither is empty.
    both: bool,
}

impl Overlap {
    fn new<T: Ord>(left: &BTreeSet<T>, right: &BTreeSet<T>) -> Self {
        let sizes = [left.len() as f32, right.len() as f32];
        let both = !left.is_empty() && !right.is_empty();
        Self { shared: left.intersection(right).count() as f32, sizes, both }
    }

    /// Shared of all; 0 without any.
    fn jaccard(&self) -> f32 {
        self.shared / (self.sizes[0] + self.sizes[1] - self.shared).max(1.0)
    }

    /// Shared of the smaller set; 0 if that is empty.
    fn of_smaller(&self) -> f32 {
        self.shared / self.sizes[0].min(self.sizes[1]).max(1.0)
    }
}

/// Words with a digit as they stand between spaces, without hyphens and the like: `DSC-W570`
/// is `dscw570`.
fn codes(text: &str) -> BTreeSet<String> {
    let joined = text
        .split_whitespace()
        .map(|word| word.chars().filter(|c| c.is_alphanumeric()).collect::<String>());
    let is_code = |word: &String| {
        word.chars().any(|c| c.is_ascii_digit()) && word.chars().count() >= MIN_CODE
    };
    joined.filter(is_code).collect()
}

fn numbers<'a>(words: &BTreeSet<&'a str>) -> BTreeSet<&'a str> {
    words.iter().copied().filter(|word| word.chars().all(|c| c.is_ascii_digit())).collect()
}

/// The number that a text consists of, such as a price.
fn number(text: &str) -> Option<f64> {
    let text = text.trim().trim_matches(CURRENCIES).trim();
    let number: f64 = text.replace(',', "").parse().ok()?;
    number.is_finite().then_some(number)
}

/// Relative difference: 0 for equal numbers, 1 where one is 0, more with different signs.
fn relative_difference(left: f64, right: f64) -> f32 {
    let largest = left.abs().max(right.abs());
    if largest > 0.0 { ((left - right).abs() / largest) as f32 } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(left: &str, right: &str) -> [f32; FEATURES] {
        let nothing = Vocabulary::new(0, 9, |_| []);
        features(&[left], &[right], &nothing)
    }

    #[test]
    fn equal_sides_are_alike_in_everything() {
        let found = of("Sony DSC-W570 14 MP", "sony dscw570 14 mp");
        assert_eq!(found[4], 1.0, "one code is the other");
        let found = of("Sony W570 14", "sony w570 14");
        for feature in [0, 1, 2, 3, 4, 6, 8] {
            assert!((found[feature] - 1.0).abs() < 1e-6, "{feature} {found:?}");
        }
    }

    #[test]
    fn other_codes_and_numbers_are_seen() {
        let found = of("canon 70d 18 mp", "canon 80d 24 mp");
        assert_eq!([found[4], found[5], found[6], found[7]], [0.0, 1.0, 0.0, 1.0]);
        assert_eq!(found[2], 2.0 / 6.0);
        assert_eq!(found[3], 0.5);
    }

    #[test]
    fn prices_differ_by_their_share() {
        let price = |left: &str, right: &str| of(left, right)[10..].to_vec();
        assert_eq!(price("$1,000.00", "750 €"), [0.25, 1.0]);
        assert_eq!(price("0", "0.0"), [0.0, 1.0]);
        assert_eq!(price("12 inch", "12"), [0.0, 0.0]);
        assert_eq!(price("", "12"), [0.0, 0.0]);
        assert_eq!(price("nan", "inf"), [0.0, 0.0]);
    }

    #[test]
    fn a_side_without_words_is_marked() {
        let found = of("", "sony");
        assert_eq!((found[0], found[2], found[8], found[9]), (0.0, 0.0, 0.0, 1.0));
    }
}
