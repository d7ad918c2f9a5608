//! Picking rows, and its reverse: adding rows up where they came from.

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use super::reduce::accumulate;
use super::values::{matrix_dims, read, tensor, values};
use super::vectorise::vectorise;

/// Rows `rows[0], rows[1], ..` of `x: [T, H]`, as `[B, H]`. A row may be asked for repeatedly.
pub fn gather_rows(x: &Tensor, rows: Arc<[u32]>) -> Result<Tensor> {
    x.contiguous()?.apply_op1(GatherRows { rows })
}

struct GatherRows {
    rows: Arc<[u32]>,
}

impl CustomOp1 for GatherRows {
    fn name(&self) -> &'static str {
        "gather-rows"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (height, width) = matrix_dims(layout)?;
        check_ids("gather-rows", &self.rows, height)?;
        let x = values(x, layout)?;
        let mut gathered = Vec::with_capacity(self.rows.len() * width);
        for id in self.rows.iter() {
            gathered.extend_from_slice(row(x, *id, width));
        }
        Ok((CpuStorage::F32(gathered), Shape::from((self.rows.len(), width))))
    }

    fn bwd(&self, x: &Tensor, _gathered: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let (height, width) = x.dims2()?;
        let grad = grad.contiguous()?;
        let dx = scatter_add_rows(&read(&grad)?, &self.rows, height, width);
        Ok(Some(tensor(dx, x.shape())?))
    }
}

/// Refuses ids that name no row of a table `height` rows high.
pub(super) fn check_ids(what: &str, ids: &[u32], height: usize) -> Result<()> {
    match ids.iter().find(|id| **id as usize >= height) {
        Some(id) => bail!("{what}: there is no row {id} in a table of {height}"),
        None => Ok(()),
    }
}

/// Row `id` of a table whose ids have been checked.
#[inline(always)]
pub(super) fn row(table: &[f32], id: u32, width: usize) -> &[f32] {
    &table[id as usize * width..][..width]
}

/// A `[height, width]` table of zeros, with row `i` of `rows` added to row `ids[i]`. Threads own
/// ranges of the table and add in the order of `ids`, so the sums are the same however many.
pub(super) fn scatter_add_rows(rows: &[f32], ids: &[u32], height: usize, width: usize) -> Vec<f32> {
    /// Each range looks at all ids: a few are enough to keep threads busy.
    const RANGES: usize = 16;
    let range_height = height.div_ceil(RANGES).max(1);
    let mut table = vec![0.0; height * width];
    let ranges = table.par_chunks_mut((range_height * width).max(1)).enumerate();
    ranges.for_each(|(i, range)| {
        let first = i * range_height;
        vectorise!({
            for (id, row) in ids.iter().zip(rows.chunks_exact(width)) {
                let offset = (*id as usize).wrapping_sub(first);
                if offset < range_height {
                    accumulate(&mut range[offset * width..][..width], row);
                }
            }
        });
    });
    table
}

#[cfg(test)]
mod tests {
    use super::super::gradient_check::{assert_gradients, noise, noise_var};
    use super::*;

    #[test]
    fn picks_rows_in_order() -> Result<()> {
        let x = tensor(vec![0., 1., 10., 11., 20., 21.], (3, 2))?;
        let picked = gather_rows(&x, Arc::from([2, 0, 2]))?;
        assert_eq!(picked.to_vec2::<f32>()?, [[20., 21.], [0., 1.], [20., 21.]]);
        Ok(())
    }

    #[test]
    fn gradient_is_right() -> Result<()> {
        let rows: Arc<[u32]> = Arc::from([4, 0, 4, 2]);
        assert_gradients(&[noise_var(&[5, 8], 1)?], |t| gather_rows(&t[0], rows.clone()))
    }

    #[test]
    fn scatters_over_ranges_like_a_plain_loop() {
        let (height, width, count) = (100, 3, 57);
        let ids: Vec<u32> = (0..count).map(|i| i * i % height).collect();
        let rows = noise(count as usize * width, 1);
        let mut expected = vec![0.0; height as usize * width];
        for (id, row) in ids.iter().zip(rows.chunks_exact(width)) {
            accumulate(&mut expected[*id as usize * width..][..width], row);
        }
        assert_eq!(scatter_add_rows(&rows, &ids, height as usize, width), expected);
    }

    #[test]
    fn refuses_rows_out_of_range() -> Result<()> {
        let error = gather_rows(noise_var(&[5, 8], 1)?.as_tensor(), Arc::from([0, 5]));
        assert!(error.is_err_and(|e| e.to_string().contains("no row 5 in a table of 5")));
        Ok(())
    }
}
