//! Text as it is, without a template: what a language model is trained on.

use super::tokenizer::{PromptTokenizer, TokenizerError, WordMarks};

/// Tokens below which the last window of a text is not worth its place.
const MIN_WINDOW: usize = 8;

/// What kind of token each id is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pieces {
    /// The mask token.
    pub mask: u32,
    /// By id: whether it is no piece of text, such as `[CLS]`, or names no token at all.
    pub special: Vec<bool>,
    /// By id: whether the piece continues a word, as `##ing` does (WordPiece), or one without a mark
    /// where words have one (SentencePiece, byte-level BPE).
    pub continuation: Vec<bool>,
}

impl PromptTokenizer {
    /// A text in windows of at most `max_length` ids, each of them framed as a text of its own
    /// (`[CLS]` … `[SEP]`); see [`windows`]. A text without tokens gives none.
    pub fn plain(&self, text: &str, max_length: usize) -> Result<Vec<Vec<u32>>, TokenizerError> {
        let ids = self.ids(text)?;
        let room = max_length.saturating_sub(self.prefix.len() + self.suffix.len());
        let framed = windows(&ids, room).into_iter();
        Ok(framed.map(|window| [&self.prefix, window, &self.suffix].concat()).collect())
    }

    /// What kind of token each id is.
    pub fn pieces(&self) -> Pieces {
        let size = self.vocabulary_size();
        let mut special = vec![true; size];
        let mut continuation = vec![false; size];
        for (token, id) in self.tokens() {
            special[id as usize] = false;
            continuation[id as usize] = match self.marks {
                WordMarks::None => false,
                WordMarks::Continuation => token.starts_with("##"),
                WordMarks::Space => !token.starts_with('Ġ'),
                WordMarks::Word => !token.starts_with('▁'),
            };
        }
        let frame = [&self.prefix, &self.separator, &self.suffix].into_iter().flatten().copied();
        for id in self.special_ids().into_iter().chain(frame).chain([self.mask]) {
            special[id as usize] = true;
        }
        Pieces { mask: self.mask, special, continuation }
    }
}

/// Cuts ids into consecutive windows of `length`. The last may be shorter; with fewer than eight
/// ids it is left out, unless it is the only one.
pub fn windows(ids: &[u32], length: usize) -> Vec<&[u32]> {
    if length == 0 {
        return Vec::new();
    }
    let mut all: Vec<&[u32]> = ids.chunks(length).collect();
    let is_scrap = |last: &&[u32]| last.len() < length.min(MIN_WINDOW);
    if all.len() > 1 && all.last().is_some_and(is_scrap) {
        all.pop();
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_consecutive_and_scraps_are_left_out() {
        let ids: Vec<u32> = (0..100).collect();
        for (count, length, expected) in [
            (0, 10, vec![]),
            (3, 10, vec![3]),
            (10, 10, vec![10]),
            (17, 10, vec![10]),
            (18, 10, vec![10, 8]),
            (40, 10, vec![10, 10, 10, 10]),
            // Whole windows are kept however short they are.
            (8, 4, vec![4, 4]),
            (9, 4, vec![4, 4]),
            (9, 0, vec![]),
        ] {
            let found = windows(&ids[..count], length);
            let lengths: Vec<usize> = found.iter().map(|window| window.len()).collect();
            assert_eq!(lengths, expected, "{count} in {length}");
            let joined = found.concat();
            assert_eq!(joined, ids[..joined.len()], "{count} in {length}");
        }
    }
}
