//! The families, each in one file, and the list of them.

mod albert;
mod bert;
mod deberta;
mod distilbert;
mod electra;
mod modernbert;
mod mpnet;
mod roberta;

use super::{
    Activation, Architecture, Biases, Distances, Family, FamilyName, Norms, Piece,
    Source::{self, Stacked},
    family::{Config, ConfigError},
};

/// Every family that is supported.
pub static ALL: &[&Family] = &[
    &bert::FAMILY,
    &roberta::FAMILY,
    &distilbert::FAMILY,
    &electra::FAMILY,
    &albert::FAMILY,
    &mpnet::FAMILY,
    &modernbert::FAMILY,
    &deberta::FAMILY,
];

/// Sources that several families share.
type Sources = &'static [(&'static str, Source)];

/// The layers' tensors under BERT's names.
const BERT_LAYERS: Sources = &[
    ("query", Stacked(&[Piece::whole("encoder.layer.{}.attention.self.query")])),
    (
        "key_value",
        Stacked(&[
            Piece::whole("encoder.layer.{}.attention.self.key"),
            Piece::whole("encoder.layer.{}.attention.self.value"),
        ]),
    ),
    ("attention_output", Stacked(&[Piece::whole("encoder.layer.{}.attention.output.dense")])),
    ("attention_norm", Stacked(&[Piece::whole("encoder.layer.{}.attention.output.LayerNorm")])),
    ("feed_forward", Stacked(&[Piece::whole("encoder.layer.{}.intermediate.dense")])),
    ("feed_forward_output", Stacked(&[Piece::whole("encoder.layer.{}.output.dense")])),
    ("output_norm", Stacked(&[Piece::whole("encoder.layer.{}.output.LayerNorm")])),
];

/// The encoder of a config with BERT's keys: the sizes, and BERT's variation of every axis.
fn bert_like(config: &Config, family: FamilyName) -> Result<Architecture, ConfigError> {
    Ok(Architecture {
        hidden_size: config.size("hidden_size")?,
        layers: config.size("num_hidden_layers")?,
        heads: config.size("num_attention_heads")?,
        intermediate_size: config.size("intermediate_size")?,
        vocabulary_size: config.size("vocab_size")?,
        max_positions: config.size("max_position_embeddings")?,
        segment_types: 0,
        layer_norm_eps: config.real_or("layer_norm_eps", 1e-12)?,
        family,
        activation: config.activation("hidden_act")?,
        ..plain(family)
    })
}

/// A small encoder, BERT's variation of every axis but for the segments, which it has none of.
fn plain(family: FamilyName) -> Architecture {
    Architecture {
        hidden_size: 8,
        layers: 2,
        heads: 2,
        intermediate_size: 12,
        vocabulary_size: 20,
        max_positions: 16,
        segment_types: 0,
        layer_norm_eps: 1e-12,
        family,
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

/// Positions of a table that begins after the id of the padding token.
fn positions_after_padding(config: &Config, rows: usize) -> Result<usize, ConfigError> {
    let first = config.size_or("pad_token_id", 1)? + 1;
    Ok(rows.saturating_sub(first))
}
