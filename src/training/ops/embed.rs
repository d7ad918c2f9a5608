//! BERT's input: the sum of three embeddings.

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use super::gather::{check_ids, row, scatter_add_rows};
use super::reduce::{ROWS_PER_BLOCK, block_len};
use super::values::{matrix_dims, read, tensor, values};
use super::vectorise::vectorise;

/// What to look up for each token of a packed batch. The three are equally long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmbeddingIds {
    /// Rows of the word table: the tokenizer's input ids.
    pub words: Arc<[u32]>,
    /// Rows of the position table: the tokens' places within their sequences.
    pub positions: Arc<[u32]>,
    /// Rows of the segment table: BERT's token type ids.
    pub segments: Arc<[u32]>,
}

/// `word[words[i]] + position[positions[i]] + segment[segments[i]]` for each token `i` (Devlin et
/// al. 2018, arXiv:1810.04805, figure 2): three tables `[_, H]` give `[T, H]`.
pub fn embed(
    word: &Tensor,
    position: &Tensor,
    segment: &Tensor,
    ids: EmbeddingIds,
) -> Result<Tensor> {
    word.contiguous()?.apply_op3(&position.contiguous()?, &segment.contiguous()?, Embed { ids })
}

struct Embed {
    ids: EmbeddingIds,
}

impl CustomOp3 for Embed {
    fn name(&self) -> &'static str {
        "embed"
    }

    fn cpu_fwd(
        &self,
        word: &CpuStorage,
        word_layout: &Layout,
        position: &CpuStorage,
        position_layout: &Layout,
        segment: &CpuStorage,
        segment_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let layouts = [word_layout, position_layout, segment_layout];
        let width = self.check(layouts)?;
        let tables = [
            values(word, word_layout)?,
            values(position, position_layout)?,
            values(segment, segment_layout)?,
        ];
        let tokens = self.ids.words.len();
        let mut out = vec![0.0; tokens * width];
        let blocks = out.par_chunks_mut(block_len(width)).enumerate();
        blocks.for_each(|(i, block)| {
            vectorise!(self.sum_rows(block, i * ROWS_PER_BLOCK, tables, width));
        });
        Ok((CpuStorage::F32(out), Shape::from((tokens, width))))
    }

    fn bwd(
        &self,
        word: &Tensor,
        position: &Tensor,
        segment: &Tensor,
        _out: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let grad = grad.contiguous()?;
        let grad = read(&grad)?;
        let gradient_of = |table: &Tensor, ids: &[u32]| {
            if !table.track_op() {
                return Ok(None);
            }
            let (height, width) = table.dims2()?;
            tensor(scatter_add_rows(&grad, ids, height, width), table.shape()).map(Some)
        };
        Ok((
            gradient_of(word, &self.ids.words)?,
            gradient_of(position, &self.ids.positions)?,
            gradient_of(segment, &self.ids.segments)?,
        ))
    }
}

impl Embed {
    /// Checks the tables against each other and the ids against the tables; returns the width.
    fn check(&self, layouts: [&Layout; 3]) -> Result<usize> {
        let EmbeddingIds { words, positions, segments } = &self.ids;
        if words.len() != positions.len() || words.len() != segments.len() {
            let (words, positions) = (words.len(), positions.len());
            bail!("embed: {words} words, {positions} positions, {} segments", segments.len());
        }
        let (_, width) = matrix_dims(layouts[0])?;
        let names = ["word embeddings", "position embeddings", "segment embeddings"];
        for ((layout, ids), name) in
            layouts.into_iter().zip([words, positions, segments]).zip(names)
        {
            let (height, table_width) = matrix_dims(layout)?;
            if table_width != width {
                bail!("embed: {name} are {table_width} wide, word embeddings {width}");
            }
            check_ids(name, ids, height)?;
        }
        Ok(width)
    }

    /// Fills a block of rows, the first of which is token `first`.
    #[inline(always)]
    fn sum_rows(&self, block: &mut [f32], first: usize, tables: [&[f32]; 3], width: usize) {
        for (token, out) in (first..).zip(block.chunks_exact_mut(width)) {
            let word = row(tables[0], self.ids.words[token], width);
            let position = row(tables[1], self.ids.positions[token], width);
            let segment = row(tables[2], self.ids.segments[token], width);
            for (((out, w), p), s) in out.iter_mut().zip(word).zip(position).zip(segment) {
                *out = w + p + s;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::gradient_check::{assert_close, assert_gradients, noise_var};
    use super::*;

    fn ids() -> EmbeddingIds {
        EmbeddingIds {
            words: Arc::from([6, 2, 6, 0, 3]),
            positions: Arc::from([0, 0, 1, 2, 0]),
            segments: Arc::from([0, 0, 1, 1, 0]),
        }
    }

    #[test]
    fn adds_the_three_rows() -> Result<()> {
        let (w, p, s) = (noise_var(&[7, 8], 1)?, noise_var(&[3, 8], 2)?, noise_var(&[2, 8], 3)?);
        let picked = |table: &Tensor, rows: &[u32]| {
            table.index_select(&Tensor::new(rows, table.device())?, 0)
        };
        let expected = ((picked(&w, &ids().words)? + picked(&p, &ids().positions)?)?
            + picked(&s, &ids().segments)?)?;
        assert_close(&read(&embed(&w, &p, &s, ids())?)?, &read(&expected)?, 1e-6);
        Ok(())
    }

    #[test]
    fn gradients_are_right() -> Result<()> {
        let tables = [noise_var(&[7, 8], 1)?, noise_var(&[3, 8], 2)?, noise_var(&[2, 8], 3)?];
        assert_gradients(&tables, |t| embed(&t[0], &t[1], &t[2], ids()))
    }

    #[test]
    fn refuses_ids_out_of_range_and_shapes_that_disagree() -> Result<()> {
        let (w, p, s) = (noise_var(&[7, 8], 1)?, noise_var(&[3, 8], 2)?, noise_var(&[2, 8], 3)?);
        let too_large = EmbeddingIds { words: Arc::from([6, 2, 7, 0, 3]), ..ids() };
        let error = embed(&w, &p, &s, too_large);
        assert!(error.is_err_and(|e| e.to_string().contains("no row 7 in a table of 7")));
        let too_few = EmbeddingIds { segments: Arc::from([0]), ..ids() };
        assert!(embed(&w, &p, &s, too_few).is_err());
        let narrow = noise_var(&[3, 7], 2)?;
        assert!(embed(&w, &narrow, &s, ids()).is_err());
        Ok(())
    }
}
