//! Places of an encoder's parameters among all of them.

use std::collections::BTreeMap;

use super::{
    super::{ops::Norm, parameter::Parameter},
    convolution::ConvolutionPlaces,
};
use crate::architecture::Architecture;

/// The places of a linear layer's or a norm's parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Affine {
    pub(super) weight: usize,
    /// None where the encoder has no such bias: zeros are added then, and nothing is learnt.
    pub(super) bias: Option<usize>,
}

/// The places of a layer's parameters. Layers that share parameters have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LayerPlaces {
    /// The norm before the attention, where there is one.
    pub(super) before_attention: Option<Affine>,
    pub(super) query: Affine,
    pub(super) key_value: Affine,
    pub(super) attention_output: Affine,
    /// The norm between attention and feed-forward network.
    pub(super) between: Affine,
    pub(super) feed_forward: Affine,
    pub(super) feed_forward_output: Affine,
    /// The norm after the feed-forward network, where there is one.
    pub(super) after: Option<Affine>,
}

/// The places of all parameters.
#[derive(Debug)]
pub(super) struct Places {
    pub(super) word: usize,
    pub(super) position: Option<usize>,
    pub(super) segment: Option<usize>,
    pub(super) embedding_norm: Affine,
    pub(super) projection: Option<Affine>,
    pub(super) distance_table: Option<usize>,
    pub(super) distance_norm: Option<Affine>,
    pub(super) convolution: Option<ConvolutionPlaces>,
    pub(super) layers: Vec<LayerPlaces>,
    pub(super) final_norm: Option<Affine>,
    /// As long as the longest bias.
    zeros: Vec<f32>,
}

impl Places {
    /// The places in the order of [`Architecture::parameters`].
    pub(super) fn new(architecture: &Architecture) -> Self {
        let parameters = architecture.parameters();
        let names = parameters.iter().enumerate().map(|(at, p)| (p.name.as_str(), at));
        let names = Names(names.collect());
        let width = architecture.inner_size().max(2 * architecture.hidden_size);
        Self {
            word: names.place(Architecture::WORD_EMBEDDINGS),
            position: names.find("embeddings.position"),
            segment: names.find("embeddings.segment"),
            embedding_norm: names.affine("embeddings.norm"),
            projection: names.find_affine("embeddings.projection"),
            distance_table: names.find("distances.bias").or(names.find("distances.embeddings")),
            distance_norm: names.find_affine("distances.norm"),
            convolution: names.convolution(),
            layers: (0..architecture.layers).map(|at| names.layer(architecture, at)).collect(),
            final_norm: names.find_affine("final_norm"),
            zeros: vec![0.0; width.max(architecture.embedding_size())],
        }
    }

    /// The values of a bias of so many values, or zeros.
    pub(super) fn bias<'a>(
        &'a self,
        parameters: &'a [Parameter],
        place: Affine,
        width: usize,
    ) -> &'a [f32] {
        place.bias.map_or(self.zeros(width), |bias| parameters[bias].values.as_slice())
    }

    /// Zeros, so many, for what has no bias.
    pub(super) fn zeros(&self, width: usize) -> &[f32] {
        &self.zeros[..width]
    }

    /// The norm at this place.
    pub(super) fn norm<'a>(
        &'a self,
        parameters: &'a [Parameter],
        place: Affine,
        epsilon: f32,
    ) -> Norm<'a> {
        let weight = &parameters[place.weight].values;
        Norm { weight, bias: self.bias(parameters, place, weight.len()), epsilon }
    }
}

struct Names<'a>(BTreeMap<&'a str, usize>);

impl Names<'_> {
    fn find(&self, name: &str) -> Option<usize> {
        self.0.get(name).copied()
    }

    /// The place of a parameter that every encoder has.
    fn place(&self, name: &str) -> usize {
        self.find(name).unwrap_or(0)
    }

    fn find_affine(&self, name: &str) -> Option<Affine> {
        let weight = self.find(&format!("{name}.weight"))?;
        Some(Affine { weight, bias: self.find(&format!("{name}.bias")) })
    }

    fn affine(&self, name: &str) -> Affine {
        self.find_affine(name).unwrap_or(Affine { weight: 0, bias: None })
    }

    fn convolution(&self) -> Option<ConvolutionPlaces> {
        let kernel = self.find_affine("convolution")?;
        Some(ConvolutionPlaces { kernel, norm: self.affine("convolution_norm") })
    }

    fn layer(&self, architecture: &Architecture, layer: usize) -> LayerPlaces {
        let name = |name: &str| architecture.layer_parameter(layer, name);
        let is_pre = self.find_affine(&name("feed_forward_norm"));
        let attention_norm = self.find_affine(&name("attention_norm"));
        LayerPlaces {
            before_attention: is_pre.and(attention_norm),
            query: self.affine(&name("query")),
            key_value: self.affine(&name("key_value")),
            attention_output: self.affine(&name("attention_output")),
            between: is_pre.or(attention_norm).unwrap_or(self.affine("embeddings.norm")),
            feed_forward: self.affine(&name("feed_forward")),
            feed_forward_output: self.affine(&name("feed_forward_output")),
            after: self.find_affine(&name("output_norm")),
        }
    }
}
