//! Memory that passes use again and again.
//!
//! A step asks for hundreds of megabytes; the system would have to clear and map them anew each time.
//! So buffers keep what they have grown to. None is cleared between uses: kernels write all of their
//! output.

use super::{
    Dropout, ReadOut, convolution::ConvolutionSpace, distances::DistanceSpace,
    embeddings::EmbeddingSpace,
};
use crate::tokenization::PackedBatch;

/// What a pass is about.
pub(super) struct Batch {
    pub(super) tokens: PackedBatch,
    pub(super) read_out: ReadOut,
    pub(super) dropout: Dropout,
}

impl Batch {
    pub(super) fn new(tokens: &PackedBatch, read_out: &ReadOut, dropout: Dropout) -> Self {
        Self { tokens: tokens.clone(), read_out: read_out.clone(), dropout }
    }
}

/// The memory of one forward pass and of the backward pass that follows.
#[derive(Default)]
pub(super) struct Workspace {
    /// Of the pass that lies here; taken by its backward pass.
    pub(super) batch: Option<Batch>,
    pub(super) embeddings: EmbeddingSpace,
    /// `[tokens, hidden]` before each layer, and what comes after the last. Without a backward pass,
    /// that before the present layer and that after it.
    pub(super) inputs: Vec<Vec<f32>>,
    /// One for each layer; without a backward pass, one for all.
    pub(super) layers: Vec<LayerSpace>,
    /// `[read out, hidden]`: the rows of the last layer's input that are queries.
    pub(super) rows: Vec<f32>,
    /// `[rows, hidden]`: a product on its way to a norm.
    pub(super) scratch: Vec<f32>,
    /// Memory of the norm after the last layer, where there is one.
    pub(super) final_norm: NormSpace,
    pub(super) distances: DistanceSpace,
    pub(super) convolution: ConvolutionSpace,
    pub(super) gradients: GradientSpace,
}

impl Workspace {
    /// Makes room for a pass with so many layers to keep.
    pub(super) fn begin(&mut self, batch: Batch, layers: usize) {
        self.batch = Some(batch);
        self.layers.resize_with(layers, LayerSpace::default);
        self.inputs.resize_with(layers + 1, Vec::new);
    }
}

/// What a layer's forward pass leaves for its backward pass. `R` are the rows that ask, `T` the
/// tokens, `H` the hidden and `I` the inner size.
#[derive(Default)]
pub(super) struct LayerSpace {
    /// Memory of the norm before the attention, where there is one.
    pub(super) before: NormSpace,
    /// `[T, H]`: what that norm gives.
    pub(super) before_output: Vec<f32>,
    /// `[R, H]`: its rows that ask, where those are picked.
    pub(super) asking: Vec<f32>,
    /// `[R, H]`
    pub(super) query: Vec<f32>,
    /// `[T, 2H]`
    pub(super) key_value: Vec<f32>,
    /// `[count, H]` and `[count, 2H]`: queries, keys and values of distances, where they have any.
    pub(super) distance_query: Vec<f32>,
    pub(super) distance_key_value: Vec<f32>,
    /// `[R, H]`
    pub(super) context: Vec<f32>,
    pub(super) attended: NormSpace,
    /// `[R, H]`: what goes into the feed-forward network.
    pub(super) attended_output: Vec<f32>,
    /// `[R, H]`: the residual sum before the norm that gives it, where norms come first.
    pub(super) attended_sum: Vec<f32>,
    /// `[R, I]`: the activation's slope, or without a backward pass the activation itself; with a gate,
    /// `[R, 2I]`, the values before activation and gate.
    pub(super) slope: Vec<f32>,
    /// `[R, I]`
    pub(super) activation: Vec<f32>,
    pub(super) output: NormSpace,
}

/// What a norm leaves.
#[derive(Default)]
pub(super) struct NormSpace {
    /// `[R, H]`
    pub(super) normalised: Vec<f32>,
    /// `[R]`
    pub(super) scales: Vec<f32>,
}

/// Gradients on their way down.
#[derive(Default)]
pub(super) struct GradientSpace {
    /// `[R, H]`: of the layer's output, then of its queries' rows by way of residuals.
    pub(super) hidden: Vec<f32>,
    /// `[T, H]`: of the last layer's input by way of keys and values.
    pub(super) input: Vec<f32>,
    /// `[R, H]`: of what goes into a residual branch's end.
    pub(super) branch: Vec<f32>,
    /// `[R, I]`
    pub(super) inner: Vec<f32>,
    /// `[R, 2I]`: of the values before a gate.
    pub(super) gate: Vec<f32>,
    /// `[R, H]`
    pub(super) context: Vec<f32>,
    /// `[R, H]`
    pub(super) query: Vec<f32>,
    /// `[T, 2H]`
    pub(super) key_value: Vec<f32>,
}
