//! Words, codes and n-grams of texts, and how alike the two sides of a pair are by them. Pure, and
//! without anything that is learnt.

mod pairs;
mod similarity;
mod text;

pub use pairs::{MAX_PAIRS, Pair, pairs};
pub use similarity::{FEATURES, compare, cosine, weight_by_count};
pub use text::{Gram, MAX_CHARS, Unit, counts};
