//! The rows round each row side by side, as a convolution sees them, and its reverse.

use super::error::{ComputeError, check_len};
use super::reduce::accumulate;
use super::vectorise::vectorise;

/// Lays neighbours side by side: `side_by_side` has one place of `width` values for each of `neighbours`,
/// which holds that row of `x`, or zeros where there is none.
pub fn lay_side_by_side(
    side_by_side: &mut [f32],
    x: &[f32],
    neighbours: &[Option<u32>],
    width: usize,
) -> Result<(), ComputeError> {
    check(side_by_side, x, neighbours, width)?;
    let places = side_by_side.chunks_exact_mut(width.max(1));
    for (place, neighbour) in places.zip(neighbours) {
        match neighbour {
            Some(row) => place.copy_from_slice(&x[*row as usize * width..][..width]),
            None => place.fill(0.0),
        }
    }
    Ok(())
}

/// Adds each place of `side_by_side` to the row of `x` that it came from, in this order.
pub fn add_neighbours(
    x: &mut [f32],
    side_by_side: &[f32],
    neighbours: &[Option<u32>],
    width: usize,
) -> Result<(), ComputeError> {
    check(side_by_side, x, neighbours, width)?;
    vectorise!({
        let places = side_by_side.chunks_exact(width.max(1));
        for (place, neighbour) in places.zip(neighbours) {
            if let Some(row) = neighbour {
                accumulate(&mut x[*row as usize * width..][..width], place);
            }
        }
    });
    Ok(())
}

fn check(
    side_by_side: &[f32],
    x: &[f32],
    neighbours: &[Option<u32>],
    width: usize,
) -> Result<(), ComputeError> {
    check_len("rows side by side", side_by_side.len(), neighbours.len() * width)?;
    let height = x.len() / width.max(1);
    match neighbours.iter().flatten().find(|row| **row as usize >= height) {
        Some(&row) => Err(ComputeError::Row { what: "rows side by side", row, height }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::gradient_check::{assert_gradients, noise};
    use super::*;

    const NEIGHBOURS: [Option<u32>; 6] = [None, Some(0), Some(1), Some(0), Some(1), None];

    #[test]
    fn rows_lie_side_by_side_with_zeros_beyond_the_ends() {
        let mut found = [f32::NAN; 12];
        lay_side_by_side(&mut found, &[1., 2., 3., 4.], &NEIGHBOURS, 2).unwrap();
        assert_eq!(found, [0., 0., 1., 2., 3., 4., 1., 2., 3., 4., 0., 0.]);
    }

    #[test]
    fn gradient_is_right() {
        let forward = |t: &[Vec<f32>]| {
            let mut found = vec![f32::NAN; 6 * 4];
            lay_side_by_side(&mut found, &t[0], &NEIGHBOURS, 4).unwrap();
            found
        };
        assert_gradients(&[noise(2 * 4, 1)], forward, |_, dy| {
            let mut dx = vec![0.0; 2 * 4];
            add_neighbours(&mut dx, dy, &NEIGHBOURS, 4).unwrap();
            vec![dx]
        });
    }

    #[test]
    fn refuses_rows_out_of_range() {
        let mut x = [0.0; 2];
        let error = lay_side_by_side(&mut [0.0; 12], &x, &NEIGHBOURS, 2).expect_err("refused");
        assert!(error.to_string().contains("no row 1 in a table of 1"), "{error}");
        assert!(add_neighbours(&mut x, &[0.0; 12], &NEIGHBOURS, 2).is_err());
        assert!(lay_side_by_side(&mut [0.0; 11], &[0.0; 4], &NEIGHBOURS, 2).is_err());
    }
}
