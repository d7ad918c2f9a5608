//! BERT's input: the sum of three embeddings.

use rayon::prelude::*;

use super::error::{ComputeError, check_len};
use super::gather::{check_ids, row};
use super::reduce::{ROWS_PER_BLOCK, block_len};
use super::vectorise::vectorise;

/// What to look up for each token of a packed batch. The three are equally long.
#[derive(Clone, Copy, Debug)]
pub struct EmbeddingIds<'a> {
    /// Rows of the word table: the tokenizer's input ids.
    pub words: &'a [u32],
    /// Rows of the position table: the tokens' places within their sequences.
    pub positions: &'a [u32],
    /// Rows of the segment table: BERT's token type ids.
    pub segments: &'a [u32],
}

/// Where to look it up: three tables `[_, width]`.
#[derive(Clone, Copy, Debug)]
pub struct EmbeddingTables<'a> {
    pub words: &'a [f32],
    pub positions: &'a [f32],
    pub segments: &'a [f32],
    pub width: usize,
}

/// Row `i` of `sums` becomes `words[ids.words[i]] + positions[ids.positions[i]] +
/// segments[ids.segments[i]]` (Devlin et al. 2018, arXiv:1810.04805, figure 2).
pub fn embed(
    sums: &mut [f32],
    tables: EmbeddingTables,
    ids: EmbeddingIds,
) -> Result<(), ComputeError> {
    check(sums, tables, ids)?;
    let blocks = sums.par_chunks_mut(block_len(tables.width)).enumerate();
    blocks.for_each(|(i, block)| {
        vectorise!(sum_rows(block, i * ROWS_PER_BLOCK, tables, ids));
    });
    Ok(())
}

/// Checks the ids against the tables.
fn check(sums: &[f32], tables: EmbeddingTables, ids: EmbeddingIds) -> Result<(), ComputeError> {
    let width = tables.width.max(1);
    check_len("embedded tokens", sums.len(), ids.words.len() * width)?;
    check_len("positions", ids.positions.len(), ids.words.len())?;
    check_len("segments", ids.segments.len(), ids.words.len())?;
    check_ids("word embeddings", ids.words, tables.words.len() / width)?;
    check_ids("position embeddings", ids.positions, tables.positions.len() / width)?;
    check_ids("segment embeddings", ids.segments, tables.segments.len() / width)
}

/// Fills a block of rows, the first of which is token `first`.
#[inline(always)]
fn sum_rows(block: &mut [f32], first: usize, tables: EmbeddingTables, ids: EmbeddingIds) {
    let width = tables.width;
    for (token, out) in (first..).zip(block.chunks_exact_mut(width)) {
        let word = row(tables.words, ids.words[token], width);
        let position = row(tables.positions, ids.positions[token], width);
        let segment = row(tables.segments, ids.segments[token], width);
        for (((out, w), p), s) in out.iter_mut().zip(word).zip(position).zip(segment) {
            *out = w + p + s;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::gather::add_rows_at;
    use super::super::gradient_check::{assert_gradients, noise};
    use super::*;

    const IDS: EmbeddingIds<'static> = EmbeddingIds {
        words: &[6, 2, 6, 0, 3],
        positions: &[0, 0, 1, 2, 0],
        segments: &[0, 0, 1, 1, 0],
    };

    fn tables(t: &[Vec<f32>]) -> EmbeddingTables<'_> {
        EmbeddingTables { words: &t[0], positions: &t[1], segments: &t[2], width: 8 }
    }

    fn inputs() -> [Vec<f32>; 3] {
        [noise(7 * 8, 1), noise(3 * 8, 2), noise(2 * 8, 3)]
    }

    fn forward(t: &[Vec<f32>]) -> Vec<f32> {
        let mut sums = vec![f32::NAN; 5 * 8];
        embed(&mut sums, tables(t), IDS).unwrap();
        sums
    }

    #[test]
    fn adds_the_three_rows() {
        let t = inputs();
        let sums = forward(&t);
        for (token, row) in sums.chunks(8).enumerate() {
            for (column, sum) in row.iter().enumerate() {
                let at = |table: usize, id: u32| t[table][id as usize * 8 + column];
                let expected = at(0, IDS.words[token])
                    + at(1, IDS.positions[token])
                    + at(2, IDS.segments[token]);
                assert_eq!(*sum, expected);
            }
        }
    }

    #[test]
    fn gradients_are_right() {
        assert_gradients(&inputs(), forward, |t, dy| {
            let of = |table: usize, ids: &[u32]| {
                let mut gradient = vec![0.0; t[table].len()];
                add_rows_at(&mut gradient, ids, dy, 8).unwrap();
                gradient
            };
            vec![of(0, IDS.words), of(1, IDS.positions), of(2, IDS.segments)]
        });
    }

    #[test]
    fn refuses_ids_out_of_range_and_lengths_that_disagree() {
        let t = inputs();
        let mut sums = vec![0.0; 5 * 8];
        let too_large = EmbeddingIds { words: &[6, 2, 7, 0, 3], ..IDS };
        let error = embed(&mut sums, tables(&t), too_large).expect_err("refused");
        assert!(error.to_string().contains("no row 7 in a table of 7"));
        assert!(embed(&mut sums, tables(&t), EmbeddingIds { segments: &[0], ..IDS }).is_err());
        assert!(embed(&mut sums[1..], tables(&t), IDS).is_err());
    }
}
