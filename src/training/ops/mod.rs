//! The encoder's kernels for the CPU, forward and backward, on slices of `f32`.
//!
//! The tokens of a batch are packed: activations are `[tokens, features]` without padding, weights
//! are `[in, out]` (`y = x·W + b`). Products go through `gemm`, the row-wise rest through `rayon`,
//! with loops the compiler vectorises for the machine at hand. Who calls owns the memory.
//!
//! Invariants:
//! - a kernel writes every value of its output, unless it says that it adds; buffers come with the
//!   contents of the step before;
//! - reductions run in a fixed order over blocks of a fixed size, so that they do not depend on how
//!   the work falls on threads.

mod activation;
mod adamw;
mod attention;
mod attention_layout;
mod dropout;
mod embed;
mod error;
mod gate;
mod gather;
#[cfg(test)]
mod gradient_check;
mod gradient_norm;
mod layer_norm;
mod linear;
mod matmul;
mod neighbours;
mod reduce;
mod residual;
mod rotary;
mod scores;
mod transcendental;
mod vectorise;

pub use activation::{activate_and_slope, activate_in_place, multiply_by_slope};
pub use adamw::{AdamWFactors, AdamWStep, Moments};
pub use attention::{AttentionPass, attention, attention_gradient};
pub use attention_layout::AttentionLayout;
pub use dropout::Mask;
pub use embed::{EmbeddingIds, EmbeddingTable, embed};
pub use error::ComputeError;
pub(in crate::training) use error::check_len;
pub use gate::{gate, gate_gradient};
pub use gather::{add_rows_at, gather_rows};
#[cfg(test)]
pub(in crate::training) use gradient_check::{assert_close, noise};
pub use gradient_norm::squared_norm;
pub use layer_norm::{Branch, Norm, NormGradients, NormPass, Normalised};
pub use linear::Dense;
pub use neighbours::{add_neighbours, lay_side_by_side};
pub use reduce::{accumulate_all, column_sums};
pub use residual::{add_branch, branch_gradient};
pub use rotary::{Angles, Turn};
pub use scores::{ByDistance, Scores};
