//! The encoder's differentiable kernels for the CPU, as candle custom operations.
//!
//! The tokens of a batch are packed: activations are `[tokens, features]` without padding, weights
//! are `[in, out]` (`y = x·W + b`). Everything is `f32`. Products go through `gemm`, the row-wise
//! rest through `rayon`, with loops the compiler vectorises for the machine at hand.
//!
//! Invariants:
//! - an operation returns a gradient for every input that is tracked. A missing one would be
//!   dropped in silence by candle, or make its backward pass panic;
//! - reductions run in a fixed order over blocks of a fixed size, so that results do not depend on
//!   how the work falls on threads;
//! - inputs may be strided or offset views: they are made contiguous at the entrance.

mod adamw;
mod attention;
mod attention_layout;
mod dropout;
mod embed;
mod gather;
mod gelu;
#[cfg(test)]
mod gradient_check;
mod gradient_norm;
mod layer_norm;
mod linear;
mod matmul;
mod reduce;
mod transcendental;
mod values;
mod vectorise;

pub use adamw::{AdamWStep, Moments, adamw_step};
pub use attention::attention;
pub use attention_layout::AttentionLayout;
pub use dropout::{dropout, dropout_add};
pub use embed::{EmbeddingIds, embed};
pub use gather::gather_rows;
pub use gradient_norm::squared_norm;
pub use layer_norm::layer_norm;
pub use linear::{gelu_linear, linear};
