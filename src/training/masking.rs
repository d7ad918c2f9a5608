//! Which tokens of a text are hidden, for a language model to guess. Pure and stateless.

use super::random::{hash, uniform};
use crate::tokenization::Pieces;

/// Keeps the purposes of random numbers apart.
const CHOICE: u64 = 31;
const FATE: u64 = 32;
const TOKEN: u64 = 33;

/// Shares of the chosen tokens that become the mask, or any other token; the rest stays.
const MASKED: f64 = 0.8;
const RANDOM: f64 = 0.1;

/// The share that BERT chooses.
pub const DEFAULT_SHARE: f64 = 0.15;

/// Hides tokens as BERT does (Devlin et al., 2019, section 3.1), anew at each visit of a text as
/// RoBERTa does (Liu et al., 2019, section 4.1).
#[derive(Debug, Clone)]
pub struct Masking {
    share: f64,
    whole_words: bool,
    seed: u64,
    pieces: Pieces,
    /// The ids that are not special.
    ordinary: Vec<u32>,
}

/// A text with some of its tokens hidden.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Masked {
    /// What the encoder sees, as long as the text.
    pub ids: Vec<u32>,
    /// The chosen places, ascending; some of them look as before.
    pub positions: Vec<usize>,
    /// What stands there, `[positions]`.
    pub originals: Vec<u32>,
}

impl Masking {
    /// Chooses this share of the tokens that are not special. With `whole_words` the pieces of a
    /// word are chosen together, and the share is that of words.
    pub fn new(pieces: Pieces, share: f64, whole_words: bool, seed: u64) -> Self {
        let ordinary =
            (0u32..).zip(&pieces.special).filter(|(_, special)| !**special).map(|(id, _)| id);
        let ordinary = ordinary.collect();
        Self { share, whole_words, seed, pieces, ordinary }
    }

    /// The text with this number at this visit. Special tokens stay what they are. Of any other at
    /// least one is chosen; a text of special tokens alone has none to choose.
    pub fn apply(&self, ids: &[u32], visit: u64, text: u64) -> Masked {
        let positions = self.choose(ids, visit, text);
        let originals = positions.iter().map(|at| ids[*at]).collect();
        let mut hidden = ids.to_vec();
        for at in &positions {
            hidden[*at] = self.replacement(ids[*at], &[visit, text, *at as u64]);
        }
        Masked { ids: hidden, positions, originals }
    }

    fn choose(&self, ids: &[u32], visit: u64, text: u64) -> Vec<usize> {
        let units = self.units(ids);
        let draws: Vec<f64> = units
            .iter()
            .map(|unit| uniform(&[self.seed, CHOICE, visit, text, unit[0] as u64]))
            .collect();
        let lowest = draws.iter().copied().fold(f64::INFINITY, f64::min);
        let chosen = units.into_iter().zip(draws);
        chosen
            .filter(|(_, draw)| *draw < self.share || *draw == lowest)
            .flat_map(|(unit, _)| unit)
            .collect()
    }

    /// The places that are chosen together: single tokens or the pieces of a word. None is empty.
    fn units(&self, ids: &[u32]) -> Vec<Vec<usize>> {
        let mut units: Vec<Vec<usize>> = Vec::new();
        for (at, id) in ids.iter().enumerate() {
            if is(&self.pieces.special, *id) {
                continue;
            }
            let continues = self.whole_words && is(&self.pieces.continuation, *id);
            match units.last_mut() {
                // Not across a special token.
                Some(word) if continues && word.last() == Some(&(at.wrapping_sub(1))) => {
                    word.push(at);
                }
                _ => units.push(vec![at]),
            }
        }
        units
    }

    fn replacement(&self, id: u32, place: &[u64; 3]) -> u32 {
        let purpose = |purpose| [self.seed, purpose, place[0], place[1], place[2]];
        let fate = uniform(&purpose(FATE));
        if fate < MASKED {
            self.pieces.mask
        } else if fate < MASKED + RANDOM && !self.ordinary.is_empty() {
            // A vocabulary is so small beside 64 bits that the remainder is as good as uniform.
            let at = hash(&purpose(TOKEN)) % self.ordinary.len() as u64;
            self.ordinary[at as usize]
        } else {
            id
        }
    }
}

/// Ids beyond the list are special in no way.
fn is(flags: &[bool], id: u32) -> bool {
    flags.get(id as usize).copied().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MASK: u32 = 4;

    /// Special tokens up to 4, words from 5 to 59, continuations from 60 to 99.
    fn pieces() -> Pieces {
        let special = (0..100).map(|id| id < 5).collect();
        let continuation = (0..100).map(|id| id >= 60).collect();
        Pieces { mask: MASK, special, continuation }
    }

    fn masking(whole_words: bool, seed: u64) -> Masking {
        Masking::new(pieces(), DEFAULT_SHARE, whole_words, seed)
    }

    /// A text of 500 tokens, framed; words of one to three pieces.
    fn text() -> Vec<u32> {
        let word = |at: u32| [vec![5 + at % 55], vec![60 + at % 40; (at % 3) as usize]].concat();
        [vec![1], (0..250).flat_map(word).take(498).collect(), vec![2]].concat()
    }

    /// Chosen of all, and of the chosen: masked, changed, as before.
    fn shares(masking: &Masking) -> [f64; 4] {
        let ids = text();
        let mut counts = [0usize; 4];
        for visit in 0..100 {
            let masked = masking.apply(&ids, visit, 3);
            counts[0] += masked.positions.len();
            for at in masked.positions {
                match masked.ids[at] {
                    MASK => counts[1] += 1,
                    id if id == ids[at] => counts[3] += 1,
                    _ => counts[2] += 1,
                }
            }
        }
        let chosen = counts[0] as f64;
        let [_, masked, changed, same] = counts.map(|count| count as f64 / chosen);
        [chosen / (498.0 * 100.0), masked, changed, same]
    }

    #[test]
    fn shares_are_those_of_bert() {
        for whole_words in [false, true] {
            let found = shares(&masking(whole_words, 1));
            // One in 95 random tokens is the token itself.
            for (found, expected) in found.iter().zip([0.15, 0.8, 0.0989, 0.1011]) {
                assert!((found - expected).abs() < 0.02, "{found} {expected} {whole_words}");
            }
        }
    }

    #[test]
    fn draws_depend_on_seed_visit_and_text_alone() {
        let (ids, masking_1) = (text(), masking(false, 1));
        let first = masking_1.apply(&ids, 0, 0);
        assert_eq!(masking(false, 1).apply(&ids, 0, 0), first);
        for other in [
            masking_1.apply(&ids, 1, 0),
            masking_1.apply(&ids, 0, 1),
            masking(false, 2).apply(&ids, 0, 0),
        ] {
            assert_ne!(other.positions, first.positions);
        }
    }

    #[test]
    fn what_is_not_chosen_and_what_is_special_stays() {
        let ids = text();
        for whole_words in [false, true] {
            for visit in 0..50 {
                let masked = masking(whole_words, 1).apply(&ids, visit, 0);
                assert!(masked.positions.is_sorted_by(|a, b| a < b));
                let mut restored = masked.ids.clone();
                for (at, original) in masked.positions.iter().zip(&masked.originals) {
                    assert!(!is(&pieces().special, ids[*at]), "special tokens are not chosen");
                    let drawn = masked.ids[*at];
                    assert!(drawn == MASK || !is(&pieces().special, drawn), "nor drawn");
                    restored[*at] = *original;
                }
                assert_eq!(restored, ids);
            }
        }
    }

    #[test]
    fn words_are_chosen_whole() {
        let (ids, pieces) = (text(), pieces());
        for visit in 0..50 {
            let masked = masking(true, 1).apply(&ids, visit, 0);
            for (at, id) in ids.iter().enumerate() {
                if is(&pieces.continuation, *id) {
                    let chosen = |at| masked.positions.contains(&at);
                    assert_eq!(chosen(at), chosen(at - 1), "place {at}");
                }
            }
        }
        // A continuation with no word before it stands for itself.
        assert_eq!(masking(true, 1).apply(&[1, 60, 2], 0, 0).positions, [1]);
    }

    #[test]
    fn at_least_one_token_is_chosen() {
        for visit in 0..100 {
            let masked = masking(false, 1).apply(&[1, 10, 11, 12, 2], visit, 0);
            assert!(!masked.positions.is_empty());
        }
        let none = Masking::new(pieces(), 0.0, false, 1).apply(&[1, 10, 11, 2], 0, 0);
        assert_eq!(none.positions.len(), 1);
        let empty = masking(false, 1).apply(&[1, 2], 0, 0);
        assert_eq!((empty.ids, empty.positions, empty.originals), (vec![1, 2], vec![], vec![]));
    }
}
