//! Picking rows, and its reverse: adding rows up where they came from.

use super::error::{ComputeError, check_len};
use super::reduce::accumulate;
use super::vectorise::vectorise;

/// Row `i` of `picked` becomes row `rows[i]` of `x`, rows being `width` wide. A row may be asked for
/// repeatedly.
pub fn gather_rows(
    picked: &mut [f32],
    x: &[f32],
    rows: &[u32],
    width: usize,
) -> Result<(), ComputeError> {
    check_len("picked rows", picked.len(), rows.len() * width)?;
    check_ids("picked rows", rows, x.len() / width.max(1))?;
    for (picked, id) in picked.chunks_exact_mut(width.max(1)).zip(rows) {
        picked.copy_from_slice(row(x, *id, width));
    }
    Ok(())
}

/// Adds row `i` of `addends` to row `rows[i]` of `x`, in this order.
pub fn add_rows_at(
    x: &mut [f32],
    rows: &[u32],
    addends: &[f32],
    width: usize,
) -> Result<(), ComputeError> {
    check_len("rows to add", addends.len(), rows.len() * width)?;
    check_ids("rows to add", rows, x.len() / width.max(1))?;
    vectorise!({
        for (id, addend) in rows.iter().zip(addends.chunks_exact(width.max(1))) {
            accumulate(&mut x[*id as usize * width..][..width], addend);
        }
    });
    Ok(())
}

/// Refuses ids that name no row of a table `height` rows high.
pub(super) fn check_ids(
    what: &'static str,
    ids: &[u32],
    height: usize,
) -> Result<(), ComputeError> {
    match ids.iter().find(|id| **id as usize >= height) {
        Some(&row) => Err(ComputeError::Row { what, row, height }),
        None => Ok(()),
    }
}

/// Row `id` of a table whose ids have been checked.
#[inline(always)]
pub(super) fn row(table: &[f32], id: u32, width: usize) -> &[f32] {
    &table[id as usize * width..][..width]
}

#[cfg(test)]
mod tests {
    use super::super::gradient_check::{assert_gradients, noise};
    use super::*;

    #[test]
    fn picks_rows_in_order() {
        let mut picked = [f32::NAN; 6];
        gather_rows(&mut picked, &[0., 1., 10., 11., 20., 21.], &[2, 0, 2], 2).unwrap();
        assert_eq!(picked, [20., 21., 0., 1., 20., 21.]);
    }

    #[test]
    fn gradient_is_right() {
        let rows = [4, 0, 4, 2];
        let forward = |t: &[Vec<f32>]| {
            let mut picked = vec![f32::NAN; 4 * 8];
            gather_rows(&mut picked, &t[0], &rows, 8).unwrap();
            picked
        };
        assert_gradients(&[noise(5 * 8, 1)], forward, |_, dy| {
            let mut dx = vec![0.0; 5 * 8];
            add_rows_at(&mut dx, &rows, dy, 8).unwrap();
            vec![dx]
        });
    }

    #[test]
    fn refuses_rows_out_of_range() {
        let mut x = noise(5 * 8, 1);
        let error = gather_rows(&mut [0.0; 16], &x, &[0, 5], 8).expect_err("refused");
        assert!(error.to_string().contains("no row 5 in a table of 5"));
        assert!(add_rows_at(&mut x, &[0, 5], &[0.0; 16], 8).is_err());
        assert!(add_rows_at(&mut x, &[0, 1], &[0.0; 15], 8).is_err());
        assert!(gather_rows(&mut [0.0; 15], &x, &[0, 1], 8).is_err());
    }
}
