//! The parameters that follow from a description.
//!
//! Products are written `x·W`, so a linear layer's weight is `[in, out]`. Keys and values of a layer are
//! one matrix, `[hidden, 2·hidden]`, keys first; the query stays apart because the last layer needs it for
//! the mask row alone.

use super::{Architecture, Convolution, Distances, Norms};

/// Use of a parameter. Import transposes linear layers, the graph must have every table in its full
/// size, the optimiser decays tables and linear layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Rows that are looked up.
    Table,
    /// `[in, out]` of a linear layer.
    Linear,
    /// The scale of a layer norm.
    Scale,
    /// Added to what a linear layer or a norm computes.
    Bias,
}

/// One parameter of an encoder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParameterSpec {
    pub name: String,
    pub shape: Vec<usize>,
    pub role: Role,
    /// The set of layer parameters that it belongs to: layers, unless they share. None for the
    /// embeddings and what lies beside the layers.
    pub layer: Option<usize>,
}

/// Parameters in the making.
struct List<'a> {
    architecture: &'a Architecture,
    layer: Option<usize>,
    all: Vec<ParameterSpec>,
}

impl List<'_> {
    fn add(&mut self, name: &str, shape: Vec<usize>, role: Role) {
        let name = match self.layer {
            Some(layer) => format!("layers.{layer}.{name}"),
            None => name.to_owned(),
        };
        self.all.push(ParameterSpec { name, shape, role, layer: self.layer });
    }

    fn linear(&mut self, name: &str, inputs: usize, outputs: usize, bias: bool) {
        self.add(&format!("{name}.weight"), vec![inputs, outputs], Role::Linear);
        if bias {
            self.add(&format!("{name}.bias"), vec![outputs], Role::Bias);
        }
    }

    fn norm(&mut self, name: &str, width: usize) {
        self.add(&format!("{name}.weight"), vec![width], Role::Scale);
        if self.architecture.biases.norm {
            self.add(&format!("{name}.bias"), vec![width], Role::Bias);
        }
    }

    fn embeddings(&mut self) {
        let architecture = self.architecture;
        let (hidden, width) = (architecture.hidden_size, architecture.embedding_size());
        self.add("embeddings.word", vec![architecture.vocabulary_size, width], Role::Table);
        if !architecture.no_learned_positions {
            self.add("embeddings.position", vec![architecture.max_positions, width], Role::Table);
        }
        if architecture.segment_types > 0 {
            self.add("embeddings.segment", vec![architecture.segment_types, width], Role::Table);
        }
        self.norm("embeddings.norm", width);
        if architecture.embedding_size.is_some() {
            self.linear("embeddings.projection", width, hidden, true);
        }
    }

    fn distances(&mut self) {
        let (hidden, heads) = (self.architecture.hidden_size, self.architecture.heads);
        match self.architecture.distances {
            Distances::None | Distances::Rotary { .. } => {}
            Distances::Buckets { buckets, .. } => {
                self.add("distances.bias", vec![buckets, heads], Role::Table);
            }
            Distances::Disentangled { span, norm, .. } => {
                self.add("distances.embeddings", vec![2 * span, hidden], Role::Table);
                if norm {
                    self.norm("distances.norm", hidden);
                }
            }
        }
    }

    fn convolution(&mut self) {
        let hidden = self.architecture.hidden_size;
        if let Some(Convolution { kernel, .. }) = self.architecture.convolution {
            // The inputs are the tokens of the kernel one after the other.
            self.linear("convolution", kernel * hidden, hidden, true);
            self.norm("convolution_norm", hidden);
        }
    }

    fn layer(&mut self, layer: usize) {
        self.layer = Some(layer);
        let architecture = self.architecture;
        let (hidden, biases) = (architecture.hidden_size, architecture.biases);
        let is_pre = architecture.norms == Norms::Pre;
        if architecture.norms == Norms::Pre && layer > 0 {
            self.norm("attention_norm", hidden);
        }
        self.linear("query", hidden, hidden, biases.attention);
        self.linear("key_value", hidden, 2 * hidden, biases.attention);
        self.linear("attention_output", hidden, hidden, biases.attention);
        self.norm(if is_pre { "feed_forward_norm" } else { "attention_norm" }, hidden);
        self.linear("feed_forward", hidden, architecture.inner_size(), biases.feed_forward);
        let inner = architecture.intermediate_size;
        self.linear("feed_forward_output", inner, hidden, biases.feed_forward);
        if !is_pre {
            self.norm("output_norm", hidden);
        }
        self.layer = None;
    }
}

impl Architecture {
    /// The token embeddings' name, which the language head shares.
    pub const WORD_EMBEDDINGS: &str = "embeddings.word";

    /// Every parameter, in the order of a forward pass; none of a graph from elsewhere, which has its own.
    pub fn parameters(&self) -> Vec<ParameterSpec> {
        if self.is_foreign() {
            return Vec::new();
        }
        let mut list = List { architecture: self, layer: None, all: Vec::new() };
        list.embeddings();
        list.distances();
        list.convolution();
        (0..self.groups()).for_each(|layer| list.layer(layer));
        if self.norms == Norms::Pre {
            list.norm("final_norm", self.hidden_size);
        }
        list.all
    }

    /// The name of a parameter of this layer, such as `query.weight`.
    pub fn layer_parameter(&self, layer: usize, name: &str) -> String {
        format!("layers.{}.{name}", self.group_of(layer))
    }

    /// Name and shape of every number array that the exporter derives from the parameters and stores
    /// beside them.
    pub fn derived(&self) -> Vec<(String, Vec<usize>)> {
        match self.distances {
            Distances::None | Distances::Buckets { .. } => Vec::new(),
            Distances::Rotary { .. } => {
                let shape = vec![self.max_positions, self.head_size() / 2];
                let tables = ["rotary.cos", "rotary.sin", "rotary.local.cos", "rotary.local.sin"];
                tables.map(|name| (name.to_owned(), shape.clone())).to_vec()
            }
            Distances::Disentangled { span, .. } => {
                let shape = vec![2 * span, self.hidden_size];
                let of = |layer| {
                    ["distance_query", "distance_key"]
                        .map(|name| (self.layer_parameter(layer, name), shape.clone()))
                };
                (0..self.groups()).flat_map(of).collect()
            }
        }
    }
}
