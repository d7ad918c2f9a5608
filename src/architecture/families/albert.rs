//! ALBERT (Lan et al., 2020): narrow embeddings, and layers that share their parameters.

use super::{
    super::{
        Activation, Family, FamilyName, LanguageHeadNames, Piece, Source::Stacked,
        family::ConfigError,
    },
    Architecture, bert_like, plain,
};

/// The full name of a tensor in a group's one inner layer.
macro_rules! layer {
    ($name:literal) => {
        concat!("encoder.albert_layer_groups.{}.albert_layers.0.", $name)
    };
}

pub(super) static FAMILY: Family = Family {
    name: FamilyName::Albert,
    model_types: &["albert"],
    prefix: "albert.",
    read: |config| {
        config.only("position_embedding_type", "absolute")?;
        let inner = config.size_or("inner_group_num", 1)?;
        if inner != 1 {
            let (key, found) = ("inner_group_num", inner.to_string());
            return Err(ConfigError::Value { key, found, supported: "1" });
        }
        let architecture = bert_like(config, FamilyName::Albert)?;
        let activation = if config.is_absent("hidden_act") {
            Activation::GeluTanh
        } else {
            architecture.activation
        };
        Ok(Architecture {
            segment_types: config.size("type_vocab_size")?,
            embedding_size: Some(config.size_or("embedding_size", 128)?),
            layer_groups: Some(config.size_or("num_hidden_groups", 1)?),
            activation,
            ..architecture
        })
    },
    sources: &[&[
        ("embeddings.word", Stacked(&[Piece::whole("embeddings.word_embeddings")])),
        ("embeddings.position", Stacked(&[Piece::whole("embeddings.position_embeddings")])),
        ("embeddings.segment", Stacked(&[Piece::whole("embeddings.token_type_embeddings")])),
        ("embeddings.norm", Stacked(&[Piece::whole("embeddings.LayerNorm")])),
        ("embeddings.projection", Stacked(&[Piece::whole("encoder.embedding_hidden_mapping_in")])),
        ("query", Stacked(&[Piece::whole(layer!("attention.query"))])),
        (
            "key_value",
            Stacked(&[
                Piece::whole(layer!("attention.key")),
                Piece::whole(layer!("attention.value")),
            ]),
        ),
        ("attention_output", Stacked(&[Piece::whole(layer!("attention.dense"))])),
        ("attention_norm", Stacked(&[Piece::whole(layer!("attention.LayerNorm"))])),
        ("feed_forward", Stacked(&[Piece::whole(layer!("ffn"))])),
        ("feed_forward_output", Stacked(&[Piece::whole(layer!("ffn_output"))])),
        ("output_norm", Stacked(&[Piece::whole(layer!("full_layer_layer_norm"))])),
    ]],
    language_heads: &[LanguageHeadNames {
        transform: "predictions.dense",
        norm: "predictions.LayerNorm",
        bias: &["predictions.bias", "predictions.decoder.bias"],
        decoder: "predictions.decoder.weight",
        may_lack_biases: false,
        is_always_gelu: false,
    }],
    refused: &[],
    tiny: || Architecture {
        segment_types: 2,
        layers: 4,
        embedding_size: Some(6),
        layer_groups: Some(2),
        activation: Activation::GeluTanh,
        ..plain(FamilyName::Albert)
    },
};
