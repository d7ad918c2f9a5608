//! Texts as token ids, cut into windows, and the batches that training makes of them.

use rayon::prelude::*;

use super::super::{Masking, TrainingError, encoder::ReadOut, sampling::shuffled};
use crate::tokenization::{PackedBatch, Pieces, Prompt, PromptTokenizer, TokenizerError};

/// Token ids of a corpus at most: 2 GiB of them.
const MAX_TOKENS: usize = 1 << 29;

/// Texts that are tokenised at a time.
const TEXTS_PER_PIECE: usize = 4096;

/// Texts with at least one window each.
#[derive(Debug, Default)]
pub struct Corpus<'a> {
    pub texts: Vec<&'a str>,
    /// Of all windows, one after the other.
    ids: Vec<u32>,
    /// Window `i` has the ids from `ends[i - 1]` to `ends[i]`.
    ends: Vec<usize>,
    /// The text of each window.
    of_text: Vec<usize>,
    /// Each text's first window.
    firsts: Vec<usize>,
}

impl<'a> Corpus<'a> {
    /// Tokenises texts. Windows of special tokens alone have nothing to guess, and texts with
    /// nothing else are left out.
    pub fn new(
        texts: Vec<&'a str>,
        tokenizer: &PromptTokenizer,
        pieces: &Pieces,
        max_length: usize,
    ) -> Result<Self, TrainingError> {
        let ordinary = |id: &u32| !pieces.special.get(*id as usize).copied().unwrap_or(true);
        let windows = |text: &&str| -> Result<Vec<Vec<u32>>, TokenizerError> {
            let mut windows = tokenizer.plain(text, max_length)?;
            windows.retain(|window| window.iter().any(ordinary));
            Ok(windows)
        };
        let mut corpus = Self::default();
        for piece in texts.chunks(TEXTS_PER_PIECE) {
            let tokenised: Vec<_> = piece.par_iter().map(windows).collect::<Result<_, _>>()?;
            for (text, windows) in piece.iter().zip(tokenised) {
                corpus.push(text, &windows);
            }
            if corpus.ids.len() > MAX_TOKENS {
                let message = format!("the texts have more than {MAX_TOKENS} tokens");
                return Err(TrainingError::Settings(message));
            }
        }
        Ok(corpus)
    }

    /// Adds a text with its windows; one without any is left out.
    pub fn push(&mut self, text: &'a str, windows: &[Vec<u32>]) {
        if windows.is_empty() {
            return;
        }
        self.firsts.push(self.ends.len());
        for window in windows {
            self.ids.extend_from_slice(window);
            self.ends.push(self.ids.len());
            self.of_text.push(self.texts.len());
        }
        self.texts.push(text);
    }

    /// The number of windows.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is no window.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The ids of a window.
    pub fn window(&self, at: usize) -> &[u32] {
        let start = at.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.ids[start..self.ends[at]]
    }

    /// The first window of a text.
    pub fn first_window(&self, text: usize) -> &[u32] {
        self.window(self.firsts[text])
    }

    /// The texts of some windows, each once, in the windows' order.
    pub fn texts_of(&self, windows: &[usize]) -> Vec<usize> {
        let mut texts: Vec<usize> = Vec::with_capacity(windows.len());
        for window in windows {
            let text = self.of_text[*window];
            if !texts.contains(&text) {
                texts.push(text);
            }
        }
        texts
    }

    /// Hides tokens of some windows at this visit.
    pub fn masked(&self, windows: &[usize], visit: u64, masking: &Masking) -> MaskedBatch {
        let (mut prompts, mut positions, mut targets) = (Vec::new(), Vec::new(), Vec::new());
        for &window in windows {
            let masked = masking.apply(self.window(window), visit, window as u64);
            let mask_position = masked.positions.first().copied().unwrap_or_default();
            prompts.push(prompt(masked.ids, mask_position));
            positions.push(masked.positions);
            targets.extend(masked.originals);
        }
        let tokens = PackedBatch::new(&prompts);
        MaskedBatch { read_out: ReadOut::tokens(&tokens, &positions), tokens, targets }
    }
}

/// A window as the encoder takes it.
pub fn prompt(ids: Vec<u32>, mask_position: usize) -> Prompt {
    let segment_ids = vec![0; ids.len()];
    Prompt { input_ids: ids, segment_ids, mask_position, truncated: false }
}

/// Windows with some of their tokens hidden.
#[derive(Debug, PartialEq, Eq)]
pub struct MaskedBatch {
    pub tokens: PackedBatch,
    /// The chosen places.
    pub read_out: ReadOut,
    /// What stood there, `[read_out.len()]`.
    pub targets: Vec<u32>,
}

/// Which windows a step takes: every one once at each visit, in an order that a hash gives.
#[derive(Debug)]
pub struct Order {
    windows: usize,
    batch_size: usize,
    seed: u64,
    /// The visit whose order is at hand, and that order.
    at_hand: (u64, Vec<usize>),
}

impl Order {
    pub fn new(windows: usize, batch_size: usize, seed: u64) -> Self {
        Self { windows, batch_size, seed, at_hand: (0, shuffled(windows, seed, 0)) }
    }

    /// Steps that visit every window once.
    pub fn steps_per_visit(&self) -> usize {
        self.windows.div_ceil(self.batch_size)
    }

    /// The visit and the windows of a step, counted from 0. The last batch of a visit may be
    /// smaller.
    pub fn batch(&mut self, step: usize) -> (u64, &[usize]) {
        let per_visit = self.steps_per_visit().max(1);
        let (visit, within) = ((step / per_visit) as u64, step % per_visit);
        if self.at_hand.0 != visit {
            self.at_hand = (visit, shuffled(self.windows, self.seed, visit));
        }
        let start = within * self.batch_size;
        let end = (start + self.batch_size).min(self.windows);
        (visit, &self.at_hand.1[start..end])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn corpus() -> Corpus<'static> {
        let mut corpus = Corpus::default();
        corpus.push("a", &[vec![1, 10, 11, 2], vec![1, 12, 2]]);
        corpus.push("nothing", &[]);
        corpus.push("b", &[vec![1, 13, 14, 15, 2]]);
        corpus
    }

    #[test]
    fn windows_know_their_text() {
        let corpus = corpus();
        assert_eq!((corpus.len(), corpus.texts.as_slice()), (3, ["a", "b"].as_slice()));
        assert_eq!(corpus.window(1), [1, 12, 2]);
        assert_eq!(corpus.first_window(0), [1, 10, 11, 2]);
        assert_eq!(corpus.first_window(1), [1, 13, 14, 15, 2]);
        assert_eq!(corpus.texts_of(&[2, 1, 0]), [1, 0]);
    }

    #[test]
    fn a_batch_reads_out_what_it_hides() {
        let pieces = Pieces {
            mask: 4,
            special: (0..20).map(|id| id < 5).collect(),
            continuation: vec![false; 20],
        };
        let masking = Masking::new(pieces, 0.5, false, 1);
        let corpus = corpus();
        let batch = corpus.masked(&[2, 1], 0, &masking);
        assert_eq!(batch, corpus.masked(&[2, 1], 0, &masking));
        assert_eq!(batch.read_out.len(), batch.targets.len());
        assert_eq!(batch.tokens.offsets, [0, 5, 8]);
        assert_eq!(batch.targets.last(), Some(&12), "a window with one token hides that");
        // Not what is beside it decides what is hidden of a window.
        let alone = corpus.masked(&[1], 0, &masking);
        assert_eq!(alone.tokens.input_ids, batch.tokens.input_ids[5..]);
    }

    #[test]
    fn a_visit_takes_every_window_once() {
        let mut order = Order::new(10, 4, 7);
        let mut visit = |first: usize| {
            let steps = (first..first + 3).map(|step| order.batch(step).1.to_vec());
            steps.collect::<Vec<_>>().concat()
        };
        let (first, second, again) = (visit(0), visit(3), visit(0));
        assert_ne!(first, second);
        assert_eq!(first, again);
        for mut all in [first, second] {
            all.sort_unstable();
            assert_eq!(all, (0..10).collect::<Vec<_>>());
        }
        assert_eq!(order.batch(5).0, 1);
    }
}
