//! Why a computation was refused.

/// Inputs that do not fit each other. None of them comes from a user's data directly.
#[derive(Debug, thiserror::Error)]
pub enum ComputeError {
    #[error("no [{rows}, {columns}] matrix with rows {row_stride} apart in {len} values")]
    View { rows: usize, columns: usize, row_stride: usize, len: usize },
    #[error("cannot multiply {a:?} by {b:?} into {into:?}")]
    Product { a: [usize; 2], b: [usize; 2], into: [usize; 2] },
    #[error("{what}: there is no row {row} in a table of {height}")]
    Row { what: &'static str, row: u32, height: usize },
    #[error("{what}: {found} values instead of {expected}")]
    Length { what: &'static str, found: usize, expected: usize },
    #[error("dropout: the probability {0} is not within 0..1")]
    Probability(f32),
    #[error("attention: {0}")]
    Layout(&'static str),
    #[error("there is no forward pass to differentiate")]
    NoForward,
}

/// Refuses a list that is not as long as the others make it.
pub(in crate::training) fn check_len(
    what: &'static str,
    found: usize,
    expected: usize,
) -> Result<(), ComputeError> {
    if found == expected { Ok(()) } else { Err(ComputeError::Length { what, found, expected }) }
}
