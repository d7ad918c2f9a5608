//! Multi-head attention within the sequences of a packed batch.

use std::ops::Range;

use rayon::prelude::*;

use super::attention_layout::AttentionLayout;
use super::error::{ComputeError, check_len};
use super::matmul::{Matrix, MatrixMut, Threads, multiply};
use super::reduce::{accumulate_all, dot, max, sum};
use super::scores::Scores;
use super::transcendental::exp;
use super::vectorise::vectorise;

/// Scaled dot-product attention with several heads (Vaswani et al. 2017, arXiv:1706.03762):
/// `softmax(q·kᵀ/√d)·v` for each sequence of `layout` and each range of `d` columns.
///
/// `q` is `[R, width]`; `kv` is `[T, 2·width]`, keys in the first half of the columns and values in
/// the second; `out` is like `q`. A query sees keys of its own sequence and no others; `scores` says
/// what its distance to them does.
pub fn attention(
    out: &mut [f32],
    q: &[f32],
    kv: &[f32],
    width: usize,
    layout: &AttentionLayout,
    scores: &Scores,
) -> Result<(), ComputeError> {
    layout.check(q, kv, width)?;
    scores.check(width, layout)?;
    check_len("attention's output", out.len(), q.len())?;
    let outs = layout.split_queries(out, width);
    outs.into_par_iter().enumerate().try_for_each_init(Vec::new, |scratch, (i, out)| {
        Sequence::new(layout, i, width, q, kv, scores).attend(out, scratch)
    })
}

/// What [`attention`]'s backward pass reads: its inputs, and the gradient of its output.
#[derive(Clone, Copy, Debug)]
pub struct AttentionPass<'a> {
    pub q: &'a [f32],
    pub kv: &'a [f32],
    pub dout: &'a [f32],
}

/// Writes the gradients of `q` and `kv`, and returns those of the tables in `scores`, one after the
/// other. The probabilities are computed again: they are as many as a sequence's tokens squared.
pub fn attention_gradient(
    dq: &mut [f32],
    dkv: &mut [f32],
    pass: AttentionPass,
    width: usize,
    layout: &AttentionLayout,
    scores: &Scores,
) -> Result<Vec<f32>, ComputeError> {
    let AttentionPass { q, kv, dout } = pass;
    layout.check(q, kv, width)?;
    layout.check(dq, dkv, width)?;
    scores.check(width, layout)?;
    check_len("attention's gradient", dout.len(), q.len())?;
    let dqs = layout.split_queries(dq, width);
    let dkvs = layout.split_keys(dkv, 2 * width);
    let sequences = dqs.into_par_iter().zip(dkvs).enumerate();
    let values = scores.table_values();
    let partials = sequences.map_init(Vec::new, |scratch, (i, (dq, dkv))| {
        let dout = rows(dout, layout.queries(i), width);
        let mut tables = vec![0.0; values];
        let sequence = Sequence::new(layout, i, width, q, kv, scores);
        sequence.differentiate(dq, dkv, dout, scratch, &mut tables)?;
        Ok(tables)
    });
    let partials: Vec<Vec<f32>> = partials.collect::<Result<_, ComputeError>>()?;
    let mut tables = vec![0.0; values];
    partials.iter().for_each(|partial| accumulate_all(&mut tables, partial));
    Ok(tables)
}

/// One sequence's share of the batch.
pub(super) struct Sequence<'a> {
    pub(super) q: &'a [f32],
    pub(super) kv: &'a [f32],
    pub(super) queries: usize,
    pub(super) keys: usize,
    pub(super) width: usize,
    pub(super) head_width: usize,
    scores: &'a Scores<'a>,
    layout: &'a AttentionLayout,
    number: usize,
}

impl<'a> Sequence<'a> {
    /// Number `i` of the batch.
    fn new(
        layout: &'a AttentionLayout,
        i: usize,
        width: usize,
        q: &'a [f32],
        kv: &'a [f32],
        scores: &'a Scores<'a>,
    ) -> Self {
        let (queries, keys) = (layout.queries(i), layout.keys(i));
        Self {
            queries: queries.len(),
            keys: keys.len(),
            q: rows(q, queries, width),
            kv: rows(kv, keys, 2 * width),
            width,
            head_width: width / layout.heads(),
            scores,
            layout,
            number: i,
        }
    }

    /// The place of a query among the keys.
    pub(super) fn position(&self, query: usize) -> usize {
        self.layout.position(self.number, query)
    }

    /// The first columns of the heads.
    fn heads(&self) -> impl Iterator<Item = usize> + use<> {
        (0..self.width).step_by(self.head_width)
    }

    /// Writes `P·v` for each head, `P` being its probabilities.
    fn attend(&self, out: &mut [f32], scratch: &mut Vec<f32>) -> Result<(), ComputeError> {
        if self.queries == 0 {
            return Ok(());
        }
        scratch.resize(self.queries * self.keys, 0.0);
        for head in self.heads() {
            self.probabilities(head, scratch)?;
            let out = MatrixMut::new(&mut out[head..], self.queries, self.head_width, self.width)?;
            let p = Matrix::new(scratch, self.queries, self.keys, self.keys)?;
            multiply(out, 0.0, p, self.v(head)?, 1.0, Threads::One)?;
        }
        Ok(())
    }

    /// With `s` the scores, `o` the outputs and `P = softmax(s)`: `dv = Pᵀ·do`, `dP = do·vᵀ`,
    /// `ds = P∘(dP - Σ dP∘P)` with the sum over a row, `dq = ds·k/√d` and `dk = dsᵀ·q/√d`.
    fn differentiate(
        &self,
        dq: &mut [f32],
        dkv: &mut [f32],
        dout: &[f32],
        scratch: &mut Vec<f32>,
        tables: &mut [f32],
    ) -> Result<(), ComputeError> {
        if self.queries == 0 {
            dkv.fill(0.0);
            return Ok(());
        }
        let Self { queries, keys, width, head_width, .. } = *self;
        scratch.resize(2 * queries * keys, 0.0);
        for head in self.heads() {
            let (p, ds) = scratch.split_at_mut(queries * keys);
            self.probabilities(head, p)?;
            let dout = Matrix::new(&dout[head..], queries, head_width, width)?;

            let dp = MatrixMut::new(ds, queries, keys, keys)?;
            multiply(dp, 0.0, dout, self.v(head)?.transposed(), 1.0, Threads::One)?;
            softmax_gradient(ds, p, keys);

            let p = Matrix::new(p, queries, keys, keys)?;
            let dv = MatrixMut::new(&mut dkv[width + head..], keys, head_width, 2 * width)?;
            multiply(dv, 0.0, p.transposed(), dout, 1.0, Threads::One)?;

            let ds = Matrix::new(ds, queries, keys, keys)?;
            let out = MatrixMut::new(&mut dq[head..], queries, head_width, width)?;
            multiply(out, 0.0, ds, self.k(head)?, self.scale(), Threads::One)?;
            let out = MatrixMut::new(&mut dkv[head..], keys, head_width, 2 * width)?;
            multiply(out, 0.0, ds.transposed(), self.q(head)?, self.scale(), Threads::One)?;
            self.scores.differentiate(self, head, &scratch[queries * keys..], dq, dkv, tables)?;
        }
        Ok(())
    }

    /// Writes `softmax(q·kᵀ/√d)`, a row per query.
    fn probabilities(&self, head: usize, p: &mut [f32]) -> Result<(), ComputeError> {
        let scores = MatrixMut::new(p, self.queries, self.keys, self.keys)?;
        let k = self.k(head)?.transposed();
        multiply(scores, 0.0, self.q(head)?, k, self.scale(), Threads::One)?;
        self.scores.add(self, head, p)?;
        softmax(p, self.keys);
        Ok(())
    }

    pub(super) fn scale(&self) -> f32 {
        self.scores.scale(self.head_width)
    }

    pub(super) fn q(&self, head: usize) -> Result<Matrix<'_>, ComputeError> {
        Matrix::new(&self.q[head..], self.queries, self.head_width, self.width)
    }

    pub(super) fn k(&self, head: usize) -> Result<Matrix<'_>, ComputeError> {
        Matrix::new(&self.kv[head..], self.keys, self.head_width, 2 * self.width)
    }

    fn v(&self, head: usize) -> Result<Matrix<'_>, ComputeError> {
        Matrix::new(&self.kv[self.width + head..], self.keys, self.head_width, 2 * self.width)
    }
}

/// A range of a matrix's rows.
fn rows(matrix: &[f32], range: Range<usize>, width: usize) -> &[f32] {
    &matrix[range.start * width..range.end * width]
}

/// Softmax of each row, in place; the row's maximum is taken off first, so that nothing overflows.
fn softmax(scores: &mut [f32], row_len: usize) {
    vectorise!({
        for row in scores.chunks_exact_mut(row_len) {
            let largest = max(row);
            for score in row.iter_mut() {
                *score = exp(*score - largest);
            }
            let factor = 1.0 / sum(row);
            for score in row {
                *score *= factor;
            }
        }
    });
}

/// Turns the gradients of probabilities `p` into those of the scores, in place.
fn softmax_gradient(dp: &mut [f32], p: &[f32], row_len: usize) {
    vectorise!({
        for (dp, p) in dp.chunks_exact_mut(row_len).zip(p.chunks_exact(row_len)) {
            let mean = dot(dp, p);
            for (dp, p) in dp.iter_mut().zip(p) {
                *dp = (*dp - mean) * p;
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::super::gradient_check::{assert_close, assert_gradients, noise};
    use super::*;

    const H: usize = 8;
    const HEADS: usize = 2;

    /// Sequences of lengths 1, 3 and 1; every token asks.
    fn full() -> AttentionLayout {
        let offsets = vec![0, 1, 4, 5];
        AttentionLayout::new(HEADS, offsets.clone(), offsets).unwrap()
    }

    /// The same sequences, one query each.
    fn single() -> AttentionLayout {
        AttentionLayout::new(HEADS, vec![0, 1, 2, 3], vec![0, 1, 4, 5]).unwrap()
    }

    /// The same sequences, with no query, two and one.
    fn some() -> AttentionLayout {
        AttentionLayout::new(HEADS, vec![0, 0, 2, 3], vec![0, 1, 4, 5]).unwrap()
    }

    fn inputs(queries: usize) -> [Vec<f32>; 2] {
        [noise(queries * H, 1), noise(5 * 2 * H, 2)]
    }

    fn forward(t: &[Vec<f32>], layout: &AttentionLayout) -> Vec<f32> {
        let mut out = vec![f32::NAN; t[0].len()];
        attention(&mut out, &t[0], &t[1], H, layout, &Scores::default()).unwrap();
        out
    }

    /// Attention by the definition, one query, head and column at a time.
    fn naive(layout: &AttentionLayout, q: &[f32], kv: &[f32]) -> Vec<f32> {
        let mut out = vec![0.0; q.len()];
        let d = H / HEADS;
        for i in 0..3 {
            let (qs, kvs) = (layout.queries(i), layout.keys(i));
            for (row, column) in qs.flat_map(|row| (0..H).map(move |c| (row, c))) {
                let head = column / d * d;
                let weight = |key: usize| {
                    let products = (head..head + d).map(|c| q[row * H + c] * kv[key * 2 * H + c]);
                    (products.sum::<f32>() / (d as f32).sqrt()).exp()
                };
                let total: f32 = kvs.clone().map(weight).sum();
                let value = |key: usize| weight(key) / total * kv[key * 2 * H + H + column];
                out[row * H + column] = kvs.clone().map(value).sum();
            }
        }
        out
    }

    #[test]
    fn agrees_with_the_definition() {
        for (layout, queries) in [(full(), 5), (single(), 3), (some(), 3)] {
            let t = inputs(queries);
            assert_close(&forward(&t, &layout), &naive(&layout, &t[0], &t[1]), 1e-5);
        }
    }

    #[test]
    fn gradients_are_right() {
        for (layout, queries) in [(full(), 5), (single(), 3), (some(), 3)] {
            assert_gradients(
                &inputs(queries),
                |t| forward(t, &layout),
                |t, dout| {
                    let mut dq = vec![f32::NAN; t[0].len()];
                    let mut dkv = vec![f32::NAN; t[1].len()];
                    let pass = AttentionPass { q: &t[0], kv: &t[1], dout };
                    let scores = Scores::default();
                    attention_gradient(&mut dq, &mut dkv, pass, H, &layout, &scores).unwrap();
                    vec![dq, dkv]
                },
            );
        }
    }

    #[test]
    fn sequences_do_not_see_each_other() {
        let mut t = inputs(5);
        let before = forward(&t, &full());
        t[1][..2 * H].fill(7.0);
        let after = forward(&t, &full());
        assert_ne!(before[..H], after[..H]);
        assert_eq!(before[H..], after[H..]);
    }

    #[test]
    fn large_scores_do_not_overflow() {
        let mut scores = [1e4, 0.0, -1e4, 500.0, 500.0, 500.0];
        softmax(&mut scores, 3);
        assert_close(&scores, &[1.0, 0.0, 0.0, 1.0 / 3.0, 1.0 / 3.0, 1.0 / 3.0], 1e-6);
    }

    #[test]
    fn refuses_inputs_the_layout_does_not_cover() {
        let [q, kv] = inputs(5);
        let mut out = vec![0.0; 5 * H];
        assert!(attention(&mut out, &q, &kv, H, &full(), &Scores::default()).is_ok());
        assert!(attention(&mut out, &q[H..], &kv, H, &full(), &Scores::default()).is_err());
        assert!(attention(&mut out, &q, &kv[H..], H, &full(), &Scores::default()).is_err());
        assert!(attention(&mut out[H..], &q, &kv, H, &full(), &Scores::default()).is_err());
    }
}
