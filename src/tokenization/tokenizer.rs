//! A tokenizer.json, set up so that no text whatever can make a special token.

use std::{collections::BTreeMap, path::Path};

use tokenizers::Tokenizer;

use super::demands;
use crate::{panics::catch_panic, task::Example};

/// The mask token's text in the tokenizers of the BERT and RoBERTa families.
const MASK_TOKENS: [&str; 2] = ["[MASK]", "<mask>"];

/// The text of the token for what the vocabulary lacks, in the tokenizers of both families.
const UNKNOWN_TOKENS: [&str; 2] = ["[UNK]", "<unk>"];

/// Why a tokenizer cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenizerError {
    #[error("cannot load the tokenizer {path}: {message}")]
    Load { path: String, message: String },
    #[error(
        "the tokenizer {path} has no mask token ({}): its model was not trained to fill in words",
        MASK_TOKENS.join(" or ")
    )]
    NoMask { path: String },
    #[error("the tokenizer {path} puts no recognisable special tokens round a text")]
    NoSpecialTokens { path: String },
    #[error(
        "the tokenizer {path} makes a mask of text that spells one; its mask token must be special"
    )]
    MaskFromText { path: String },
    #[error(
        "the tokenizer {path} fails at a character that it does not know, for want of an unknown \
         token: {message}"
    )]
    NoUnknown { path: String, message: String },
    #[error("cannot tokenise a text: {message}")]
    Encode { message: String },
}

/// A tokenizer with the ids that frame a prompt.
pub struct PromptTokenizer {
    tokenizer: Tokenizer,
    /// Ids before the text, such as `[CLS]`.
    pub(super) prefix: Vec<u32>,
    /// Ids between two text segments, such as `[SEP]`.
    pub(super) separator: Vec<u32>,
    /// Ids after the text, such as `[SEP]`.
    pub(super) suffix: Vec<u32>,
    pub(super) mask: u32,
    pub(super) marks: WordMarks,
    /// Special tokens that the vocabulary also has as pieces of text (Unigram models do), each with the
    /// ids of its text in two parts: a text must not make them.
    spelled: BTreeMap<u32, Vec<u32>>,
}

/// Marks by which the tokens of a vocabulary show where words begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WordMarks {
    /// They do not.
    None,
    /// `##` begins a token that continues a word (WordPiece).
    Continuation,
    /// `Ġ` begins a token that stands after a space (byte-level BPE).
    Space,
    /// `▁` begins a token that begins a word; each text that is tokenised begins one (SentencePiece).
    Word,
}

/// Stands before a text that continues a word: it is in no vocabulary, so it is a token of its own.
const BEFORE_A_WORD: char = '\u{e000}';

impl PromptTokenizer {
    /// Loads a tokenizer.json.
    pub fn load(path: &Path) -> Result<Self, TokenizerError> {
        let bytes = std::fs::read(path).map_err(|error| TokenizerError::Load {
            path: path.display().to_string(),
            message: error.to_string(),
        })?;
        Self::from_bytes(&bytes, path)
    }

    /// Takes the bytes of a tokenizer.json; `path` is for messages. Its own truncation and padding
    /// are switched off.
    pub fn from_bytes(bytes: &[u8], path: &Path) -> Result<Self, TokenizerError> {
        let name = path.display().to_string();
        let load = |message: String| TokenizerError::Load { path: name.clone(), message };
        if let Some(message) = demands::fault(bytes) {
            return Err(load(message));
        }
        let mut tokenizer = tried(|| Tokenizer::from_bytes(bytes)).map_err(load)?;
        tokenizer.with_truncation(None).map_err(|error| load(error.to_string()))?;
        tokenizer.with_padding(None);
        let mask =
            mask_token(&tokenizer).ok_or_else(|| TokenizerError::NoMask { path: name.clone() })?;
        let frame = frame(&tokenizer).map_err(load)?;
        let Some((prefix, separator, suffix)) = frame else {
            return Err(TokenizerError::NoSpecialTokens { path: name });
        };
        // From here on "[MASK]" in a text is text.
        tokenizer.set_encode_special_tokens(true);
        let marks = word_marks(&tokenizer).map_err(load)?;
        let spelled = BTreeMap::new();
        let mut loaded = Self { tokenizer, prefix, separator, suffix, mask, marks, spelled };
        loaded.spelled = loaded.spelled_specials()?;
        // A tokenizer.json may list its mask as an ordinary token, which this does not reach.
        for token in MASK_TOKENS {
            if loaded.ids(token)?.contains(&mask) {
                return Err(TokenizerError::MaskFromText { path: name });
            }
        }
        match loaded.ids(&BEFORE_A_WORD.to_string()) {
            Ok(_) => Ok(loaded),
            Err(error) => {
                let message = error.to_string();
                Err(TokenizerError::NoUnknown { path: name, message })
            }
        }
    }

    /// Token ids of plain text, without special tokens.
    pub(super) fn ids(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        let encoding = tried(|| self.tokenizer.encode_fast(text, false))
            .map_err(|message| TokenizerError::Encode { message })?;
        Ok(self.without_specials(encoding.get_ids().iter().copied()))
    }

    /// Ids of a text with those of spelled special tokens in place of the tokens.
    fn without_specials(&self, ids: impl Iterator<Item = u32>) -> Vec<u32> {
        if self.spelled.is_empty() {
            return ids.collect();
        }
        let mut all = Vec::new();
        for id in ids {
            match self.spelled.get(&id) {
                Some(spelled) => all.extend_from_slice(spelled),
                None => all.push(id),
            }
        }
        all
    }

    /// The special tokens that a text can make by spelling them, but for the unknown token.
    fn spelled_specials(&self) -> Result<BTreeMap<u32, Vec<u32>>, TokenizerError> {
        let mut spelled = BTreeMap::new();
        let unknown = self.unknown();
        let frame = [&self.prefix, &self.separator, &self.suffix].into_iter().flatten().copied();
        for id in self.special_ids().into_iter().chain(frame).chain([self.mask]) {
            let Some(text) = self.tokenizer.id_to_token(id) else { continue };
            if Some(id) == unknown || !self.ids(&text)?.contains(&id) {
                continue;
            }
            let first = text.chars().next().map_or(0, char::len_utf8);
            let mut ids = self.continuing_ids(&text[..first])?;
            ids.extend(self.continuing_ids(&text[first..])?);
            spelled.insert(id, ids);
        }
        Ok(spelled)
    }

    fn unknown(&self) -> Option<u32> {
        UNKNOWN_TOKENS.iter().find_map(|token| self.tokenizer.token_to_id(token))
    }

    /// Token ids of a text that continues the word before it: without the mark that SentencePiece puts
    /// before the first word of all that it is given.
    pub(super) fn continuing_ids(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        if self.marks != WordMarks::Word {
            return self.ids(text);
        }
        let guarded = format!("{BEFORE_A_WORD}{text}");
        let encoding = tried(|| self.tokenizer.encode(guarded.as_str(), false))
            .map_err(|message| TokenizerError::Encode { message })?;
        let ids = encoding.get_ids().iter().zip(encoding.get_offsets());
        let after = ids.filter(|(_, (_, end))| *end > BEFORE_A_WORD.len_utf8());
        Ok(self.without_specials(after.map(|(id, _)| *id)))
    }

    /// Tells whether the vocabulary lacks more than half of the tokens of an example's texts. A
    /// tokenizer of bytes lacks none.
    pub fn is_mostly_unknown(&self, example: &Example) -> Result<bool, TokenizerError> {
        let Some(token) = self.unknown() else { return Ok(false) };
        let (mut unknown, mut all) = (0, 0);
        for text in &example.values {
            let ids = self.ids(text)?;
            unknown += ids.iter().filter(|id| **id == token).count();
            all += ids.len();
        }
        Ok(2 * unknown > all)
    }

    /// The number of tokens of a text, without special tokens.
    pub fn token_count(&self, text: &str) -> Result<usize, TokenizerError> {
        self.ids(text).map(|ids| ids.len())
    }

    /// Every token with its id.
    pub(super) fn tokens(&self) -> impl Iterator<Item = (String, u32)> {
        self.tokenizer.get_vocab(true).into_iter()
    }

    /// The ids of the tokens that are declared special.
    pub(super) fn special_ids(&self) -> Vec<u32> {
        let added = self.tokenizer.get_added_tokens_decoder().into_iter();
        added.filter(|(_, token)| token.special).map(|(id, _)| id).collect()
    }

    /// The id of a word as it stands within a text, if it is one token.
    pub fn word_id(&self, word: &str) -> Result<Option<u32>, TokenizerError> {
        // To a byte-level tokenizer a word after a space is another one than at the beginning.
        match *self.ids(&format!(" {word}"))? {
            [id] => Ok(Some(id)),
            _ => Ok(None),
        }
    }

    /// One more than the largest token id, added ones included.
    pub fn vocabulary_size(&self) -> usize {
        let largest = self.tokenizer.get_vocab(true).into_values().max();
        largest.map_or(0, |id| id as usize + 1)
    }
}

/// The id of the mask token. One that is declared special comes first: MPNet's vocabulary also has the
/// `[MASK]` of the one that it was made from, as a word.
fn mask_token(tokenizer: &Tokenizer) -> Option<u32> {
    let added = tokenizer.get_added_tokens_decoder();
    let special = |text: &&str| {
        added.iter().find(|(_, token)| token.special && token.content == **text).map(|(id, _)| *id)
    };
    let declared = MASK_TOKENS.iter().find_map(special);
    declared.or_else(|| MASK_TOKENS.iter().find_map(|token| tokenizer.token_to_id(token)))
}

/// The marks of a vocabulary, by what becomes of a word after a space.
fn word_marks(tokenizer: &Tokenizer) -> Result<WordMarks, String> {
    let encoding = tried(|| tokenizer.encode_fast(" a", false))?;
    let first = encoding.get_ids().first().and_then(|id| tokenizer.id_to_token(*id));
    let vocabulary = || tokenizer.get_vocab(false).into_keys();
    Ok(match first.as_deref().and_then(|token| token.chars().next()) {
        Some('▁') => WordMarks::Word,
        Some('Ġ') => WordMarks::Space,
        _ if vocabulary().any(|token| token.len() > 2 && token.starts_with("##")) => {
            WordMarks::Continuation
        }
        _ => WordMarks::None,
    })
}

type Frame = (Vec<u32>, Vec<u32>, Vec<u32>);

/// What the library says to a tokenizer that it does not expect: an error, or a panic (a table of a
/// normaliser that is too short), after which nothing of the tokenizer is half-changed.
fn tried<T>(work: impl FnOnce() -> tokenizers::Result<T>) -> Result<T, String> {
    match catch_panic(work) {
        Ok(outcome) => outcome.map_err(|error| error.to_string()),
        Err(panic) => Err(format!("it makes the library panic: {panic}")),
    }
}

/// Reads off how the tokenizer frames one text and joins two, by letting it do both.
fn frame(tokenizer: &Tokenizer) -> Result<Option<Frame>, String> {
    let encoding = tried(|| tokenizer.encode(("a", "a"), true))?;
    let special = encoding.get_special_tokens_mask();
    let ids = encoding.get_ids();
    let texts: Vec<usize> = (0..ids.len()).filter(|at| special[*at] == 0).collect();
    let (Some(&first), Some(&last)) = (texts.first(), texts.last()) else {
        return Ok(None);
    };
    // The first gap between text tokens is where the two texts meet.
    let Some(gap) = texts.windows(2).find(|pair| pair[1] > pair[0] + 1) else {
        return Ok(None);
    };
    let separator = ids[gap[0] + 1..gap[1]].to_vec();
    Ok(Some((ids[..first].to_vec(), separator, ids[last + 1..].to_vec())))
}
