//! Texts that are kept from training, to see on them how far it has come.

use super::{
    super::fingerprint::{leading, of},
    Texts,
};

/// The two sides, each in its order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split<'a> {
    pub train: Vec<&'a str>,
    pub held_back: Vec<&'a str>,
}

/// Holds back about this share of the texts, from 0 to 1. The side follows from a text's hash
/// alone, so a text is on the same side in every run, whatever other texts there are; with a
/// larger share, those that were held back still are. Of few texts it may be none.
pub fn split_held_back(texts: &Texts, share: f64) -> Split<'_> {
    // The upper 53 bits fill a double's significand.
    let place = |text: &str| (leading(&of([text])) >> 11) as f64 / (1u64 << 53) as f64;
    let (held_back, train) =
        texts.texts.iter().map(String::as_str).partition(|text| place(text) < share);
    Split { train, held_back }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(count: usize) -> Texts {
        let texts = (0..count).map(|at| format!("text {at}")).collect();
        Texts { texts, ..Texts::default() }
    }

    #[test]
    fn a_share_is_held_back_and_nothing_is_lost() {
        let all = texts(2000);
        let split = split_held_back(&all, 0.1);
        assert!((150..250).contains(&split.held_back.len()), "{}", split.held_back.len());
        let mut both: Vec<&str> = split.train.iter().chain(&split.held_back).copied().collect();
        both.sort_unstable();
        let mut expected: Vec<&str> = all.texts.iter().map(String::as_str).collect();
        expected.sort_unstable();
        assert_eq!(both, expected);
        assert!(split_held_back(&all, 0.0).held_back.is_empty());
        assert!(split_held_back(&all, 1.0).train.is_empty());
    }

    #[test]
    fn a_text_is_on_the_same_side_whatever_else_there_is() {
        let (few, many) = (texts(300), texts(2000));
        let (small, large) = (split_held_back(&few, 0.1), split_held_back(&many, 0.2));
        assert!(!small.held_back.is_empty());
        assert!(small.held_back.iter().all(|text| large.held_back.contains(text)));
        let again = split_held_back(&many, 0.1);
        assert!(small.train.iter().all(|text| again.train.contains(text)));
    }
}
