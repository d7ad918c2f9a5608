//! An encoder's input: the sum of its embeddings.

use rayon::prelude::*;

use super::error::{ComputeError, check_len};
use super::gather::{check_ids, row};
use super::reduce::{ROWS_PER_BLOCK, accumulate, block_len};
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

/// Table of embeddings, `[_, width]`.
#[derive(Clone, Copy, Debug)]
pub struct EmbeddingTable<'a> {
    pub values: &'a [f32],
    pub width: usize,
}

/// Row `i` of `sums` becomes `words[ids.words[i]] + positions[ids.positions[i]] +
/// segments[ids.segments[i]]` (Devlin et al. 2018, arXiv:1810.04805, figure 2), without the tables that
/// the encoder has not. All tables have the width of `words`.
pub fn embed(
    sums: &mut [f32],
    words: EmbeddingTable,
    positions: Option<EmbeddingTable>,
    segments: Option<EmbeddingTable>,
    ids: EmbeddingIds,
) -> Result<(), ComputeError> {
    let width = words.width.max(1);
    check_len("embedded tokens", sums.len(), ids.words.len() * width)?;
    check_len("positions", ids.positions.len(), ids.words.len())?;
    check_len("segments", ids.segments.len(), ids.words.len())?;
    check_ids("word embeddings", ids.words, words.values.len() / width)?;
    let tables = [
        ("position embeddings", positions, ids.positions),
        ("segment embeddings", segments, ids.segments),
    ];
    for (name, table, ids) in tables {
        if let Some(table) = table {
            check_len(name, table.width, words.width)?;
            check_ids(name, ids, table.values.len() / width)?;
        }
    }
    let addends: Vec<(EmbeddingTable, &[u32])> =
        tables.into_iter().filter_map(|(_, table, ids)| Some((table?, ids))).collect();
    let blocks = sums.par_chunks_mut(block_len(width)).enumerate();
    blocks.for_each(|(i, block)| {
        vectorise!(sum_rows(block, i * ROWS_PER_BLOCK, words, ids.words, &addends));
    });
    Ok(())
}

/// Fills a block of rows, the first of which is token `first`.
#[inline(always)]
fn sum_rows(
    block: &mut [f32],
    first: usize,
    words: EmbeddingTable,
    ids: &[u32],
    addends: &[(EmbeddingTable, &[u32])],
) {
    let width = words.width;
    for (token, out) in (first..).zip(block.chunks_exact_mut(width)) {
        out.copy_from_slice(row(words.values, ids[token], width));
        for (table, ids) in addends {
            accumulate(out, row(table.values, ids[token], width));
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

    fn table(values: &[f32]) -> EmbeddingTable<'_> {
        EmbeddingTable { values, width: 8 }
    }

    fn try_embed(sums: &mut [f32], t: &[Vec<f32>], ids: EmbeddingIds) -> Result<(), ComputeError> {
        embed(sums, table(&t[0]), Some(table(&t[1])), Some(table(&t[2])), ids)
    }

    fn inputs() -> [Vec<f32>; 3] {
        [noise(7 * 8, 1), noise(3 * 8, 2), noise(2 * 8, 3)]
    }

    fn forward(t: &[Vec<f32>]) -> Vec<f32> {
        let mut sums = vec![f32::NAN; 5 * 8];
        try_embed(&mut sums, t, IDS).unwrap();
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
    fn tables_may_be_missing() {
        let t = inputs();
        let mut sums = vec![f32::NAN; 5 * 8];
        embed(&mut sums, table(&t[0]), None, Some(table(&t[2])), IDS).unwrap();
        assert_eq!(sums[9], t[0][2 * 8 + 1] + t[2][1]);
        // Ids of a table that is not there are not looked up.
        let far = EmbeddingIds { positions: &[99; 5], ..IDS };
        embed(&mut sums, table(&t[0]), None, None, far).unwrap();
        assert_eq!(sums[..8], t[0][6 * 8..7 * 8]);
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
        let error = try_embed(&mut sums, &t, too_large).expect_err("refused");
        assert!(error.to_string().contains("no row 7 in a table of 7"));
        assert!(try_embed(&mut sums, &t, EmbeddingIds { segments: &[0], ..IDS }).is_err());
        assert!(try_embed(&mut sums[1..], &t, IDS).is_err());
    }
}
