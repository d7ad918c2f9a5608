//! Which hidden states of a batch are wanted.

use crate::tokenization::PackedBatch;

/// Which rows of the last layer are computed: for each sequence any number of its tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadOut {
    /// Indices into the batch's token arrays, sequence by sequence.
    pub(super) rows: Vec<u32>,
    /// The rows of sequence `i` are `rows[offsets[i]..offsets[i + 1]]`.
    pub(super) offsets: Vec<usize>,
}

impl ReadOut {
    /// The mask of each prompt.
    pub fn masks(batch: &PackedBatch) -> Self {
        let rows = batch.mask_tokens.iter().map(|token| *token as u32).collect();
        Self { rows, offsets: (0..=batch.len()).collect() }
    }

    /// Every token.
    pub fn all(batch: &PackedBatch) -> Self {
        // Token counts are far below 2^32: they are counts of u32 arrays in memory.
        let rows = (0..batch.input_ids.len() as u32).collect();
        Self { rows, offsets: batch.offsets.clone() }
    }

    /// Some tokens of each prompt, given as positions within it, ascending. Positions beyond a
    /// prompt's end, and lists beyond the last prompt, are left out.
    pub fn tokens(batch: &PackedBatch, positions: &[Vec<usize>]) -> Self {
        let (mut rows, mut offsets) = (Vec::new(), vec![0]);
        for (at, range) in batch.ranges().enumerate() {
            let inside = positions.get(at).into_iter().flatten().filter(|at| **at < range.len());
            rows.extend(inside.map(|position| (range.start + position) as u32));
            offsets.push(rows.len());
        }
        Self { rows, offsets }
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokenization::Prompt;

    #[test]
    fn rows_are_counted_over_the_batch() {
        let prompt = |length, mask_position| Prompt {
            input_ids: vec![7; length],
            segment_ids: vec![0; length],
            mask_position,
            truncated: false,
        };
        let batch = PackedBatch::new(&[prompt(3, 1), prompt(1, 0), prompt(2, 1)]);
        let read_out = |rows: &[u32], offsets: &[usize]| ReadOut {
            rows: rows.to_vec(),
            offsets: offsets.to_vec(),
        };
        assert_eq!(ReadOut::masks(&batch), read_out(&[1, 3, 5], &[0, 1, 2, 3]));
        assert_eq!(ReadOut::all(&batch), read_out(&[0, 1, 2, 3, 4, 5], &[0, 3, 4, 6]));
        let some = ReadOut::tokens(&batch, &[vec![0, 2], vec![], vec![1, 2]]);
        assert_eq!(some, read_out(&[0, 2, 5], &[0, 2, 2, 3]));
        assert_eq!(ReadOut::tokens(&batch, &[]), read_out(&[], &[0, 0, 0, 0]));
        assert_eq!((some.len(), some.is_empty()), (3, false));
    }
}
