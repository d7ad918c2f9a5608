//! How a packed batch falls into sequences, as attention needs to know it.

use std::ops::Range;

use super::error::{ComputeError, check_len};

/// Which rows of a packed batch belong together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttentionLayout {
    heads: usize,
    q_offsets: Vec<usize>,
    kv_offsets: Vec<usize>,
    /// The place of each query among its sequence's keys; empty where the queries are the keys.
    positions: Vec<u32>,
}

impl AttentionLayout {
    /// The queries of sequence `i` are rows `q_offsets[i]..q_offsets[i + 1]`; they see the keys and
    /// values `kv_offsets[i]..kv_offsets[i + 1]`. Both lists start at zero and never fall, and a
    /// sequence with queries has keys.
    pub fn new(
        heads: usize,
        q_offsets: Vec<usize>,
        kv_offsets: Vec<usize>,
    ) -> Result<Self, ComputeError> {
        let partitions = |offsets: &[usize]| offsets.first() == Some(&0) && offsets.is_sorted();
        if heads == 0 || !partitions(&q_offsets) || !partitions(&kv_offsets) {
            return Err(ComputeError::Layout("offsets must start at zero and never fall"));
        }
        check_len("attention's offsets", q_offsets.len(), kv_offsets.len())?;
        let mut pairs = q_offsets.windows(2).zip(kv_offsets.windows(2));
        if pairs.any(|(q, kv)| q[0] < q[1] && kv[0] == kv[1]) {
            return Err(ComputeError::Layout("a sequence has queries but no keys"));
        }
        Ok(Self { heads, q_offsets, kv_offsets, positions: Vec::new() })
    }

    /// Gives each query its place among its sequence's keys. Without, query `n` of a sequence stands
    /// at key `n`.
    pub fn at(self, positions: Vec<u32>) -> Result<Self, ComputeError> {
        let queries = self.q_offsets.last().copied().unwrap_or(0);
        check_len("the queries' positions", positions.len(), queries)?;
        for (queries, keys) in self.q_offsets.windows(2).zip(self.kv_offsets.windows(2)) {
            let inside = |at: &u32| (*at as usize) < keys[1] - keys[0];
            if !positions[queries[0]..queries[1]].iter().all(inside) {
                return Err(ComputeError::Layout("a query stands outside its sequence"));
            }
        }
        Ok(Self { positions, ..self })
    }

    /// The place of query `n` of sequence `i` among the sequence's keys.
    pub(super) fn position(&self, i: usize, n: usize) -> usize {
        match self.positions.get(self.q_offsets[i] + n) {
            Some(position) => *position as usize,
            None => n,
        }
    }

    /// Keys of the longest sequence.
    pub fn longest(&self) -> usize {
        self.kv_offsets.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(0)
    }

    /// Checks the lengths of `[R, H]` and `[T, 2H]`.
    pub(super) fn check(&self, q: &[f32], kv: &[f32], width: usize) -> Result<(), ComputeError> {
        if width == 0 || !width.is_multiple_of(self.heads) {
            return Err(ComputeError::Layout("the width is no multiple of the heads"));
        }
        let last = |offsets: &[usize]| offsets.last().copied().unwrap_or(0);
        check_len("attention's queries", q.len(), last(&self.q_offsets) * width)?;
        check_len("attention's keys and values", kv.len(), last(&self.kv_offsets) * 2 * width)
    }

    /// The number of heads.
    pub(super) fn heads(&self) -> usize {
        self.heads
    }

    /// The rows of sequence `i`'s queries.
    pub(super) fn queries(&self, i: usize) -> Range<usize> {
        self.q_offsets[i]..self.q_offsets[i + 1]
    }

    /// The rows of sequence `i`'s keys and values.
    pub(super) fn keys(&self, i: usize) -> Range<usize> {
        self.kv_offsets[i]..self.kv_offsets[i + 1]
    }

    /// Cuts a matrix like the queries into the sequences' parts, for threads to write.
    pub(super) fn split_queries<'a>(
        &self,
        rows: &'a mut [f32],
        width: usize,
    ) -> Vec<&'a mut [f32]> {
        split_rows(rows, &self.q_offsets, width)
    }

    /// Cuts a matrix like the keys and values into the sequences' parts.
    pub(super) fn split_keys<'a>(&self, rows: &'a mut [f32], width: usize) -> Vec<&'a mut [f32]> {
        split_rows(rows, &self.kv_offsets, width)
    }
}

/// Cuts rows of `width` values at `offsets`, which start at zero and end with the last row.
fn split_rows<'a>(rows: &'a mut [f32], offsets: &[usize], width: usize) -> Vec<&'a mut [f32]> {
    let mut rest = rows;
    let lengths = offsets.windows(2).map(|pair| (pair[1] - pair[0]) * width);
    lengths.map(|length| rest.split_off_mut(..length).unwrap_or_default()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_impossible_layouts() {
        assert!(AttentionLayout::new(0, vec![0], vec![0]).is_err());
        assert!(AttentionLayout::new(1, vec![], vec![]).is_err());
        assert!(AttentionLayout::new(1, vec![0, 2, 1], vec![0, 2, 3]).is_err());
        assert!(AttentionLayout::new(1, vec![0, 1], vec![0, 1, 2]).is_err());
        assert!(AttentionLayout::new(1, vec![0, 1], vec![0, 0]).is_err());
    }

    #[test]
    fn refuses_shapes_it_does_not_cover() {
        let layout = AttentionLayout::new(2, vec![0, 1, 2], vec![0, 3, 5]).unwrap();
        let check =
            |q: usize, kv: usize, width| layout.check(&vec![0.0; q], &vec![0.0; kv], width).is_ok();
        assert!(check(2 * 8, 5 * 16, 8));
        assert!(!check(3 * 8, 5 * 16, 8));
        assert!(!check(2 * 8, 4 * 16, 8));
        assert!(!check(2 * 8, 5 * 8, 8));
        assert!(!check(2 * 7, 5 * 14, 7));
        assert!(!check(0, 0, 0));
    }

    #[test]
    fn cuts_rows_at_the_borders() {
        let layout = AttentionLayout::new(1, vec![0, 1, 1, 3], vec![0, 2, 3, 4]).unwrap();
        let mut rows = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        assert_eq!(
            layout.split_queries(&mut rows, 2),
            [&[1.0, 2.0][..], &[], &[3.0, 4.0, 5.0, 6.0]]
        );
        assert_eq!((layout.queries(2), layout.keys(2)), (1..3, 3..4));
    }
}
