//! The sizes and axes of an encoder, and what makes no encoder.

use serde::{Deserialize, Serialize};

use super::{Activation, Biases, Convolution, Distances, FamilyName, Norms, Window};

/// The description of an encoder. In a manifest the first eight fields are BERT's, and each further one
/// appears where it differs from BERT.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Architecture {
    pub hidden_size: usize,
    pub layers: usize,
    pub heads: usize,
    pub intermediate_size: usize,
    pub vocabulary_size: usize,
    /// Tokens of the longest prompt; also the rows of the learned positions, where there are any.
    pub max_positions: usize,
    /// Rows of the segment embeddings; 0: there are none.
    pub segment_types: usize,
    pub layer_norm_eps: f64,
    #[serde(default, skip_serializing_if = "is_default")]
    pub family: FamilyName,
    /// Width of the embeddings where a projection to the hidden size follows them.
    #[serde(default, skip_serializing_if = "is_default")]
    pub embedding_size: Option<usize>,
    /// No learned positions are added to the embeddings.
    #[serde(default, skip_serializing_if = "is_default")]
    pub no_learned_positions: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    pub distances: Distances,
    #[serde(default, skip_serializing_if = "is_default")]
    pub norms: Norms,
    #[serde(default, skip_serializing_if = "is_default")]
    pub activation: Activation,
    /// The activation of one half of the feed-forward network's inner values multiplies the other half
    /// (Shazeer, 2020).
    #[serde(default, skip_serializing_if = "is_default")]
    pub gated: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    pub biases: Biases,
    #[serde(default, skip_serializing_if = "is_default")]
    pub window: Option<Window>,
    /// Sets of parameters that the layers share, in runs of equal length (ALBERT); none where each layer
    /// has its own.
    #[serde(default, skip_serializing_if = "is_default")]
    pub layer_groups: Option<usize>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub convolution: Option<Convolution>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Reason why numbers do not describe an encoder.
#[derive(Debug, thiserror::Error)]
pub enum ArchitectureError {
    #[error("{what} = {found}, but it must lie between {low} and {high}")]
    OutOfRange { what: &'static str, found: usize, low: usize, high: usize },
    #[error("hidden_size {hidden_size} is not a multiple of the {heads} attention heads")]
    Heads { hidden_size: usize, heads: usize },
    #[error("{what} = {found}, but it must lie between 0 and {high}")]
    Real { what: &'static str, found: f64, high: f64 },
    #[error("{layers} layers cannot share {groups} sets of parameters evenly")]
    Groups { layers: usize, groups: usize },
    #[error(
        "a convolution over {kernel} tokens after the first of {layers} layers: supported are odd numbers \
         of tokens, from 3 to 9, two layers or more, and norms after the sums"
    )]
    Convolution { kernel: usize, layers: usize },
    #[error("a graph of another exporter has no more than widths, vocabulary and positions")]
    Foreign,
    #[error("rotary positions need an even number of values for each head, but {width} were given")]
    OddHead { width: usize },
}

impl Architecture {
    /// Describes an encoder of which only the graph is known, which another program exported. Layers,
    /// heads and widths within the layers are 0, as nobody knows them. `hidden_size` are the numbers of a
    /// mask vector; `segment_types` is 0 where all tokens have segment 0.
    pub fn foreign(
        hidden_size: usize,
        vocabulary_size: usize,
        max_positions: usize,
        segment_types: usize,
    ) -> Self {
        Self {
            hidden_size,
            layers: 0,
            heads: 0,
            intermediate_size: 0,
            vocabulary_size,
            max_positions,
            segment_types,
            layer_norm_eps: 0.0,
            family: FamilyName::Foreign,
            embedding_size: None,
            no_learned_positions: false,
            distances: Distances::None,
            norms: Norms::Post,
            activation: Activation::Gelu,
            gated: false,
            biases: Biases::default(),
            window: None,
            layer_groups: None,
            convolution: None,
        }
    }

    /// Tells whether only the graph is known.
    pub fn is_foreign(&self) -> bool {
        self.family == FamilyName::Foreign
    }

    /// Refuses numbers that make no encoder, or one too large to be meant.
    pub fn check(&self) -> Result<(), ArchitectureError> {
        if self.is_foreign() {
            return self.check_foreign();
        }
        for (what, found, low, high) in [
            ("hidden_size", self.hidden_size, 1, 16_384),
            ("layers", self.layers, 1, 128),
            ("heads", self.heads, 1, 256),
            ("intermediate_size", self.intermediate_size, 1, 65_536),
            ("vocabulary_size", self.vocabulary_size, 1, 2_000_000),
            ("max_positions", self.max_positions, 1, 65_536),
            ("segment_types", self.segment_types, 0, 64),
            ("embedding_size", self.embedding_size(), 1, 16_384),
            ("window.span", self.window.map_or(1, |window| window.span), 1, 65_536),
            ("window.global_every", self.window.map_or(1, |w| w.global_every), 1, 128),
        ] {
            within(what, found, low, high)?;
        }
        // A prompt with a separator has two segments, where segments are told apart.
        if self.segment_types == 1 {
            within("segment_types", 1, 2, 64)?;
        }
        if !self.hidden_size.is_multiple_of(self.heads) {
            let (hidden_size, heads) = (self.hidden_size, self.heads);
            return Err(ArchitectureError::Heads { hidden_size, heads });
        }
        real("layer_norm_eps", self.layer_norm_eps, 0.1)?;
        if let Some(groups) = self.layer_groups
            && (groups == 0 || !self.layers.is_multiple_of(groups))
        {
            return Err(ArchitectureError::Groups { layers: self.layers, groups });
        }
        // The last layer computes the mask rows alone, and a convolution needs their neighbours.
        if let Some(Convolution { kernel, .. }) = self.convolution
            && (!matches!(kernel, 3 | 5 | 7 | 9) || self.layers < 2 || self.norms != Norms::Post)
        {
            return Err(ArchitectureError::Convolution { kernel, layers: self.layers });
        }
        self.check_distances()
    }

    fn check_foreign(&self) -> Result<(), ArchitectureError> {
        for (what, found, low, high) in [
            ("hidden_size", self.hidden_size, 1, 16_384),
            ("vocabulary_size", self.vocabulary_size, 1, 2_000_000),
            ("max_positions", self.max_positions, 1, 65_536),
            ("segment_types", self.segment_types, 0, 64),
        ] {
            within(what, found, low, high)?;
        }
        let Self { hidden_size, vocabulary_size, max_positions, segment_types, .. } = *self;
        let known = Self::foreign(hidden_size, vocabulary_size, max_positions, segment_types);
        if *self == known { Ok(()) } else { Err(ArchitectureError::Foreign) }
    }

    fn check_distances(&self) -> Result<(), ArchitectureError> {
        match self.distances {
            Distances::None => Ok(()),
            Distances::Buckets { buckets, max_distance } => {
                within("distances.buckets", buckets, 4, 4096)?;
                within("distances.max_distance", max_distance, buckets / 2, 65_536)
            }
            Distances::Rotary { theta, local_theta } => {
                let width = self.head_size();
                if !width.is_multiple_of(2) {
                    return Err(ArchitectureError::OddHead { width });
                }
                real("distances.theta", theta, 1e12)?;
                real("distances.local_theta", local_theta, 1e12)
            }
            Distances::Disentangled { span, buckets, max_distance, .. } => {
                within("distances.span", span, 1, 65_536)?;
                within("distances.buckets", buckets, 0, span)?;
                within("distances.max_distance", max_distance, buckets.max(1), 65_536)
            }
        }
    }

    /// Width of the embeddings before their projection, if any.
    pub fn embedding_size(&self) -> usize {
        self.embedding_size.unwrap_or(self.hidden_size)
    }

    /// Width of an attention head.
    pub fn head_size(&self) -> usize {
        self.hidden_size / self.heads
    }

    /// Width of the feed-forward network's first product: twice the intermediate size with a gate.
    pub fn inner_size(&self) -> usize {
        self.intermediate_size * if self.gated { 2 } else { 1 }
    }

    /// The number of sets of layer parameters.
    pub fn groups(&self) -> usize {
        self.layer_groups.unwrap_or(self.layers)
    }

    /// The set of parameters of this layer.
    pub fn group_of(&self, layer: usize) -> usize {
        layer / (self.layers / self.groups().max(1)).max(1)
    }

    /// Tells whether a norm stands before this layer's attention.
    pub fn normalises_before_attention(&self, layer: usize) -> bool {
        self.norms == Norms::Pre && self.group_of(layer) > 0
    }

    /// Tokens to either side that this layer sees; none where it sees the whole sequence.
    pub fn span_of(&self, layer: usize) -> Option<usize> {
        let window = self.window?;
        (!layer.is_multiple_of(window.global_every)).then_some(window.span)
    }

    /// The base of the rotary wavelengths in this layer, where there are any.
    pub fn theta_of(&self, layer: usize) -> Option<f64> {
        match self.distances {
            Distances::Rotary { theta, local_theta } => {
                Some(if self.span_of(layer).is_some() { local_theta } else { theta })
            }
            _ => None,
        }
    }

    /// The angle by which the `pair`-th pair of a head's values is rotated at this position, in
    /// radians: position times `theta^(-2·pair / head size)` (Su et al., 2021). The frequency is
    /// rounded to 32 bits, as PyTorch keeps it.
    pub fn rotary_angle(&self, theta: f64, position: usize, pair: usize) -> f64 {
        let exponent = -2.0 * pair as f64 / self.head_size() as f64;
        let frequency = theta.powf(exponent) as f32;
        f64::from(position as f32 * frequency)
    }

    /// Tells whether every axis is BERT's, which formats before 4 take for granted.
    pub fn is_bert_shaped(&self) -> bool {
        let Self { segment_types, family, .. } = self;
        let plain = Self {
            embedding_size: None,
            no_learned_positions: false,
            distances: Distances::None,
            norms: Norms::Post,
            activation: Activation::Gelu,
            gated: false,
            biases: Biases::default(),
            window: None,
            layer_groups: None,
            convolution: None,
            ..self.clone()
        };
        *segment_types >= 2 && *family == FamilyName::default() && *self == plain
    }
}

fn within(
    what: &'static str,
    found: usize,
    low: usize,
    high: usize,
) -> Result<(), ArchitectureError> {
    if (low..=high).contains(&found) {
        return Ok(());
    }
    Err(ArchitectureError::OutOfRange { what, found, low, high })
}

fn real(what: &'static str, found: f64, high: f64) -> Result<(), ArchitectureError> {
    if found > 0.0 && found < high {
        return Ok(());
    }
    Err(ArchitectureError::Real { what, found, high })
}
