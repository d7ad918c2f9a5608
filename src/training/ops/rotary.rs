//! Rotary positions: each head's pairs of values rotated by angles that grow with the position (Su et
//! al., 2021, arXiv:2104.09864). Value `i` of a head's first half makes a pair with value `i` of its
//! second half.

use rayon::prelude::*;

use super::error::{ComputeError, check_len};
use super::reduce::{ROWS_PER_BLOCK, block_len};
use super::vectorise::vectorise;

/// Cosines and sines of positions, `[positions, head / 2]` each.
#[derive(Clone, Debug, Default)]
pub struct Angles {
    pub cos: Vec<f32>,
    pub sin: Vec<f32>,
    /// Half the width of a head.
    pub half: usize,
}

/// The way in which values are rotated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    Forward,
    /// The reverse, which is what the gradient needs.
    Back,
}

impl Angles {
    /// Rotates the first `width` columns of each row of `x`, rows being `stride` wide, by the angles of
    /// the row's position.
    pub fn rotate(
        &self,
        x: &mut [f32],
        width: usize,
        stride: usize,
        positions: &[u32],
        turn: Turn,
    ) -> Result<(), ComputeError> {
        let half = self.half;
        check_len("rotated rows", x.len(), positions.len() * stride)?;
        if half == 0 || width > stride || !width.is_multiple_of(2 * half) {
            return Err(ComputeError::Layout("rows to rotate are no multiple of a head"));
        }
        super::gather::check_ids("rotary positions", positions, self.cos.len() / half)?;
        let sign = if turn == Turn::Forward { 1.0 } else { -1.0 };
        let blocks = x.par_chunks_mut(block_len(stride)).zip(positions.par_chunks(ROWS_PER_BLOCK));
        blocks.for_each(|(rows, positions)| {
            vectorise!({
                for (row, position) in rows.chunks_exact_mut(stride).zip(positions) {
                    let at = *position as usize * half;
                    let (cos, sin) = (&self.cos[at..at + half], &self.sin[at..at + half]);
                    for head in row[..width].chunks_exact_mut(2 * half) {
                        let (first, second) = head.split_at_mut(half);
                        for (((x, y), cos), sin) in first.iter_mut().zip(second).zip(cos).zip(sin) {
                            let (a, b, sin) = (*x, *y, sign * sin);
                            *x = a * cos - b * sin;
                            *y = b * cos + a * sin;
                        }
                    }
                }
            });
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::gradient_check::{assert_close, assert_gradients, noise};
    use super::*;

    /// Angles 0, 0.3, 0.6 for the first pair and a tenth of them for the second.
    fn angles() -> Angles {
        let all: Vec<f32> = (0..3).flat_map(|p| [p as f32 * 0.3, p as f32 * 0.03]).collect();
        Angles {
            cos: all.iter().map(|angle| angle.cos()).collect(),
            sin: all.iter().map(|angle| angle.sin()).collect(),
            half: 2,
        }
    }

    const POSITIONS: [u32; 3] = [2, 0, 1];

    #[test]
    fn pairs_are_rotated_by_the_angles_of_their_position() {
        // A row of two heads, then two columns that are left alone.
        let mut x = [1.0, 0.0, 0.0, 1.0, 0.0, 2.0, 3.0, 0.0, 7.0, 8.0];
        angles().rotate(&mut x, 8, 10, &[2], Turn::Forward).unwrap();
        let (c, s) = (0.6f32.cos(), 0.6f32.sin());
        let (c2, s2) = (0.06f32.cos(), 0.06f32.sin());
        let expected = [c, -s2, s, c2, -3.0 * s, 2.0 * c2, 3.0 * c, 2.0 * s2, 7.0, 8.0];
        assert_close(&x, &expected, 1e-6);
        angles().rotate(&mut x, 8, 10, &[2], Turn::Back).unwrap();
        assert_close(&x, &[1.0, 0.0, 0.0, 1.0, 0.0, 2.0, 3.0, 0.0, 7.0, 8.0], 1e-6);
    }

    #[test]
    fn gradients_are_right() {
        let forward = |t: &[Vec<f32>]| {
            let mut x = t[0].clone();
            angles().rotate(&mut x, 8, 8, &POSITIONS, Turn::Forward).unwrap();
            x
        };
        assert_gradients(&[noise(24, 1)], forward, |_, dy| {
            let mut dx = dy.to_vec();
            angles().rotate(&mut dx, 8, 8, &POSITIONS, Turn::Back).unwrap();
            vec![dx]
        });
    }

    #[test]
    fn refuses_positions_and_widths_that_do_not_fit() {
        let rotate = |width, stride, position| {
            angles().rotate(&mut [0.0; 10], width, stride, &[position], Turn::Forward)
        };
        assert!(rotate(8, 10, 2).is_ok());
        assert!(rotate(8, 10, 3).is_err());
        assert!(rotate(6, 10, 0).is_err());
        assert!(rotate(12, 10, 0).is_err());
        assert!(rotate(8, 9, 0).is_err());
    }
}
