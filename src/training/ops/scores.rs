//! Terms that the distance between a query and a key adds to their score.

use super::attention::Sequence;
use super::attention_layout::AttentionLayout;
use super::error::{ComputeError, check_len};
use super::matmul::{Matrix, MatrixMut, Threads, multiply};
use crate::architecture::DistanceRows;

/// The terms of attention's scores beside the product of query and key.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scores<'a> {
    pub by_distance: ByDistance<'a>,
    /// Keys further away than this are not seen.
    pub span: Option<usize>,
}

/// A learned term for the distance.
#[derive(Clone, Copy, Debug, Default)]
pub enum ByDistance<'a> {
    #[default]
    None,
    /// A number for each row and head.
    Buckets {
        /// `[rows, heads]`
        table: &'a [f32],
        rows: &'a DistanceRows,
    },
    /// The query times a key of the distance, and the key times a query of the distance, scaled as the
    /// product of query and key is, for three terms (He et al., 2021).
    Disentangled {
        /// `[count, width]`: queries of distances, from row `first` on.
        queries: &'a [f32],
        /// `[count, 2·width]`: keys of distances, and beside them values that nothing uses.
        keys: &'a [f32],
        first: usize,
        rows: &'a DistanceRows,
    },
}

impl Scores<'_> {
    /// Checks that the tables are as wide as the layout asks for.
    pub(super) fn check(&self, width: usize, layout: &AttentionLayout) -> Result<(), ComputeError> {
        match self.by_distance {
            ByDistance::None => Ok(()),
            ByDistance::Buckets { table, rows } => {
                let heads = layout.heads();
                check_len("score biases", table.len() / heads * heads, table.len())?;
                check_rows(rows, 0, table.len() / heads, layout)
            }
            ByDistance::Disentangled { queries, keys, first, rows } => {
                check_len("keys of distances", keys.len(), 2 * queries.len())?;
                check_rows(rows, first, queries.len() / width.max(1), layout)
            }
        }
    }

    /// The factor of the product of query and key.
    pub(super) fn scale(&self, head_width: usize) -> f32 {
        match self.by_distance {
            ByDistance::Disentangled { .. } => 1.0 / (3.0 * head_width as f32).sqrt(),
            _ => 1.0 / (head_width as f32).sqrt(),
        }
    }

    /// Number of the tables' values, all together.
    pub(super) fn table_values(&self) -> usize {
        match self.by_distance {
            ByDistance::None => 0,
            ByDistance::Buckets { table, .. } => table.len(),
            ByDistance::Disentangled { queries, keys, .. } => queries.len() + keys.len(),
        }
    }

    /// Adds a head's terms to the scores `p`, `[queries, keys]`.
    pub(super) fn add(
        &self,
        sequence: &Sequence,
        head: usize,
        p: &mut [f32],
    ) -> Result<(), ComputeError> {
        let keys = sequence.keys;
        match self.by_distance {
            ByDistance::None => {}
            ByDistance::Buckets { table, rows } => {
                let (heads, head) =
                    (sequence.width / sequence.head_width, head / sequence.head_width);
                for (query, p) in p.chunks_exact_mut(keys).enumerate() {
                    for (score, row) in p.iter_mut().zip(of_query(rows, sequence, query)) {
                        *score += table[*row as usize * heads + head];
                    }
                }
            }
            ByDistance::Disentangled { first, rows, .. } => {
                let [to_distance, from_distance] = self.products(sequence, head)?;
                let count = to_distance.len() / sequence.queries;
                for (query, p) in p.chunks_exact_mut(keys).enumerate() {
                    let of_query = of_query(rows, sequence, query);
                    for (key, (score, row)) in p.iter_mut().zip(of_query).enumerate() {
                        let row = *row as usize - first;
                        *score += to_distance[query * count + row];
                        *score += from_distance[key * count + row];
                    }
                }
            }
        }
        if let Some(span) = self.span {
            for (query, p) in p.chunks_exact_mut(keys).enumerate() {
                let at = sequence.position(query);
                let hidden = p.iter_mut().enumerate().filter(|(key, _)| key.abs_diff(at) > span);
                hidden.for_each(|(_, score)| *score = f32::NEG_INFINITY);
            }
        }
        Ok(())
    }

    /// Adds to the gradients of queries, keys and tables, given that of a head's scores, `ds`.
    pub(super) fn differentiate(
        &self,
        sequence: &Sequence,
        head: usize,
        ds: &[f32],
        dq: &mut [f32],
        dkv: &mut [f32],
        tables: &mut [f32],
    ) -> Result<(), ComputeError> {
        match self.by_distance {
            ByDistance::None => Ok(()),
            ByDistance::Buckets { rows, .. } => {
                let (heads, head) =
                    (sequence.width / sequence.head_width, head / sequence.head_width);
                for (query, ds) in ds.chunks_exact(sequence.keys).enumerate() {
                    for (slope, row) in ds.iter().zip(of_query(rows, sequence, query)) {
                        tables[*row as usize * heads + head] += slope;
                    }
                }
                Ok(())
            }
            ByDistance::Disentangled { queries, keys, first, rows } => {
                let width = sequence.width;
                let count = queries.len() / width;
                let (by_query, by_key) = by_row(sequence, ds, rows, first, count);
                let (queries_of, keys_of) = (sequence.queries, sequence.keys);
                let (scale, d) = (sequence.scale(), sequence.head_width);
                let (d_queries, d_keys) = tables.split_at_mut(queries.len());

                let slopes = Matrix::new(&by_query, queries_of, count, count)?;
                let key = Matrix::new(&keys[head..], count, d, 2 * width)?;
                let dq = MatrixMut::new(&mut dq[head..], queries_of, d, width)?;
                multiply(dq, 1.0, slopes, key, scale, Threads::One)?;
                let d_key = MatrixMut::new(&mut d_keys[head..], count, d, 2 * width)?;
                let slopes = slopes.transposed();
                multiply(d_key, 1.0, slopes, sequence.q(head)?, scale, Threads::One)?;

                let slopes = Matrix::new(&by_key, keys_of, count, count)?;
                let query = Matrix::new(&queries[head..], count, d, width)?;
                let dk = MatrixMut::new(&mut dkv[head..], keys_of, d, 2 * width)?;
                multiply(dk, 1.0, slopes, query, scale, Threads::One)?;
                let d_query = MatrixMut::new(&mut d_queries[head..], count, d, width)?;
                let slopes = slopes.transposed();
                multiply(d_query, 1.0, slopes, sequence.k(head)?, scale, Threads::One)
            }
        }
    }

    /// A head's scaled products of each query with every distance's key, and of each key with every
    /// distance's query.
    fn products(&self, sequence: &Sequence, head: usize) -> Result<[Vec<f32>; 2], ComputeError> {
        let ByDistance::Disentangled { queries, keys, .. } = self.by_distance else {
            return Ok([Vec::new(), Vec::new()]);
        };
        let (width, d, scale) = (sequence.width, sequence.head_width, sequence.scale());
        let count = queries.len() / width;
        let key = Matrix::new(&keys[head..], count, d, 2 * width)?.transposed();
        let query = Matrix::new(&queries[head..], count, d, width)?.transposed();
        let mut to_distance = vec![0.0; sequence.queries * count];
        let out = MatrixMut::new(&mut to_distance, sequence.queries, count, count)?;
        multiply(out, 0.0, sequence.q(head)?, key, scale, Threads::One)?;
        let mut from_distance = vec![0.0; sequence.keys * count];
        let out = MatrixMut::new(&mut from_distance, sequence.keys, count, count)?;
        multiply(out, 0.0, sequence.k(head)?, query, scale, Threads::One)?;
        Ok([to_distance, from_distance])
    }
}

/// The rows of a query's distances to all keys.
fn of_query<'r>(rows: &'r DistanceRows, sequence: &Sequence, query: usize) -> &'r [u32] {
    let at = sequence.position(query);
    rows.between(at, sequence.keys - 1 - at)
}

/// The slopes of the scores summed by row of the distance: for each query, `[queries, count]`, and for
/// each key, `[keys, count]`.
fn by_row(
    sequence: &Sequence,
    ds: &[f32],
    rows: &DistanceRows,
    first: usize,
    count: usize,
) -> (Vec<f32>, Vec<f32>) {
    let mut by_query = vec![0.0; sequence.queries * count];
    let mut by_key = vec![0.0; sequence.keys * count];
    for (query, ds) in ds.chunks_exact(sequence.keys).enumerate() {
        for (key, (slope, row)) in ds.iter().zip(of_query(rows, sequence, query)).enumerate() {
            let row = *row as usize - first;
            by_query[query * count + row] += slope;
            by_key[key * count + row] += slope;
        }
    }
    (by_query, by_key)
}

/// Checks that every distance of the longest sequence has a row among `first..first + count`.
fn check_rows(
    rows: &DistanceRows,
    first: usize,
    count: usize,
    layout: &AttentionLayout,
) -> Result<(), ComputeError> {
    let Some(last) = layout.longest().checked_sub(1) else { return Ok(()) };
    let is_there = |row: &u32| (first..first + count).contains(&(*row as usize));
    match rows.covers(last) && rows.between(last, last).iter().all(is_there) {
        true => Ok(()),
        false => Err(ComputeError::Layout("a distance has no row in its table")),
    }
}
