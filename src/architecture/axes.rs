//! The variations between encoders. The default of each axis is BERT's, and a manifest leaves it out.

use serde::{Deserialize, Serialize};

/// The non-linear function of the feed-forward network and of the language head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// `x·Φ(x)` (Hendrycks and Gimpel, 2016).
    #[default]
    Gelu,
    /// GELU by its approximation with `tanh`, as GPT-2 and ALBERT have it.
    GeluTanh,
    Relu,
}

/// The place of the layer norms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Norms {
    /// After each residual sum (Vaswani et al., 2017).
    #[default]
    Post,
    /// Before attention and feed-forward network, and once more after the last layer. The first layer
    /// has none before its attention, as its input is the embeddings' norm (ModernBERT).
    Pre,
}

/// Knowledge of the distance between two tokens in attention, beside learned positions in its input.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Distances {
    #[default]
    None,
    /// A learned number for each head and bucket of distances is added to the scores; all layers
    /// share them (Raffel et al., 2020; MPNet).
    Buckets {
        buckets: usize,
        /// Distances from here on share the last bucket.
        max_distance: usize,
    },
    /// Queries and keys are rotated by angles that grow with their positions (Su et al., 2021).
    Rotary {
        /// Base of the wavelengths of layers that see the whole sequence.
        theta: f64,
        /// Base of the wavelengths of layers with a window.
        local_theta: f64,
    },
    /// Queries and keys also meet embeddings of their distance (He et al., 2021; DeBERTa-v2 and -v3).
    /// All layers share the embeddings, and project them with their own query and key matrices.
    Disentangled {
        /// Distances from `-span` to `span - 1` have an embedding of their own; larger ones share the
        /// outermost.
        span: usize,
        /// Distances of at least half of this many share buckets that grow with the logarithm, up to
        /// `max_distance`; 0: none do.
        buckets: usize,
        max_distance: usize,
        /// A layer norm over the embeddings.
        norm: bool,
    },
}

/// Parts that add a learned vector to what they compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Biases {
    pub attention: bool,
    pub feed_forward: bool,
    pub norm: bool,
}

impl Default for Biases {
    fn default() -> Self {
        Self { attention: true, feed_forward: true, norm: true }
    }
}

/// A convolution over neighbouring tokens of the embeddings, added to what the first layer gives and
/// normalised (DeBERTa-v2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Convolution {
    /// Tokens that one result sees, itself in the middle. Beyond a sequence's ends lie zeros.
    pub kernel: usize,
    pub activation: Activation,
}

/// Layers that see the neighbourhood of a token instead of the whole sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// Tokens to either side that a token sees.
    pub span: usize,
    /// Layers 0, `global_every`, 2·`global_every`, … see the whole sequence.
    pub global_every: usize,
}
