//! How alike the two sides of a pair are, in numbers.

use std::collections::BTreeSet;

use super::{
    pairs::Pair,
    text::{Gram, Unit, counts, normalised, words},
};
use crate::task::Example;

/// Numbers that a comparison gives. Heads keep weights for them by their order, so a change of what
/// they mean is a change of the head's format.
pub const FEATURES: usize = 12;

/// Characters of a text that are compared: an encoder reads no more of it either, and whoever calls
/// waits for this.
const MAX_COMPARED: usize = 4_000;

/// Characters of a model code at least, such as `w570`.
const MIN_CODE: usize = 3;

/// Signs that may stand round a price.
const CURRENCIES: &[char] = &['$', '€', '£', '¥', '₹'];

/// An n-gram with its count to how much it counts in a cosine.
pub type Weigh<'a> = &'a dyn Fn(&(Gram, u32)) -> f32;

/// The weight of an n-gram by its count alone, which grows with the logarithm.
pub fn weight_by_count((_, count): &(Gram, u32)) -> f32 {
    1.0 + (*count as f32).ln()
}

/// Compares the sides of each pair of an example: [`FEATURES`] numbers for each.
pub fn compare(pairs: &[Pair], example: &Example, weigh: Weigh<'_>) -> Vec<f32> {
    let side = |fields: &[usize]| -> Vec<&str> {
        let texts = fields.iter().filter_map(|at| example.values.get(*at));
        texts.map(|text| beginning(text)).collect()
    };
    let of_pair = |pair: &Pair| similarities(&side(&pair.left), &side(&pair.right), weigh);
    pairs.iter().flat_map(of_pair).collect()
}

fn beginning(text: &str) -> &str {
    text.char_indices().nth(MAX_COMPARED).map_or(text, |(end, _)| &text[..end])
}

fn similarities(left: &[&str], right: &[&str], weigh: Weigh<'_>) -> [f32; FEATURES] {
    let cosine = |unit| {
        let of = |side: &[&str]| counts(side.iter().copied(), unit);
        cosine(&of(left), &of(right), weigh)
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

/// The cosine of two texts' n-grams, each in ascending order; 0 without a common one.
pub fn cosine(left: &[(Gram, u32)], right: &[(Gram, u32)], weigh: Weigh<'_>) -> f32 {
    let squares = |side: &[(Gram, u32)]| side.iter().map(|one| weigh(one).powi(2)).sum();
    let lengths: [f32; 2] = [squares(left), squares(right)];
    let shared = left.iter().filter_map(|one| {
        let at = right.binary_search_by_key(&one.0, |(gram, _)| *gram).ok()?;
        Some(weigh(one) * weigh(&right[at]))
    });
    let product = shared.sum::<f32>();
    if product > 0.0 { product / (lengths[0] * lengths[1]).sqrt() } else { 0.0 }
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
    // Divided first: the difference of two very large numbers is none that a float can hold.
    if largest > 0.0 { (left / largest - right / largest).abs() as f32 } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(left: &str, right: &str) -> [f32; FEATURES] {
        similarities(&[left], &[right], &weight_by_count)
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
        assert_eq!(price("1e308", "-1e308"), [2.0, 1.0]);
        assert_eq!(price("12 inch", "12"), [0.0, 0.0]);
        assert_eq!(price("", "12"), [0.0, 0.0]);
        assert_eq!(price("nan", "inf"), [0.0, 0.0]);
    }

    #[test]
    fn a_long_text_is_compared_in_part() {
        let long = "é ".repeat(MAX_COMPARED / 2);
        let pair = [Pair { left: vec![0], right: vec![1] }];
        let of = |left: String, right: String| {
            compare(&pair, &Example { values: vec![left, right] }, &weight_by_count)
        };
        assert_eq!(of(long.clone(), format!("{long}other")), of(long.clone(), long));
    }

    #[test]
    fn a_side_without_words_is_marked() {
        let found = of("", "sony");
        assert_eq!((found[0], found[2], found[8], found[9]), (0.0, 0.0, 0.0, 1.0));
    }
}
