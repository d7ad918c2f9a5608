//! DistilBERT (Sanh et al., 2019): BERT without segments.

use super::{
    super::{Family, FamilyName, LanguageHeadNames, Piece, Source::Stacked},
    Architecture, plain,
};

pub(super) static FAMILY: Family = Family {
    name: FamilyName::Distilbert,
    model_types: &["distilbert"],
    prefix: "distilbert.",
    read: |config| {
        Ok(Architecture {
            hidden_size: config.size("dim")?,
            layers: config.size("n_layers")?,
            heads: config.size("n_heads")?,
            intermediate_size: config.size("hidden_dim")?,
            vocabulary_size: config.size("vocab_size")?,
            max_positions: config.size("max_position_embeddings")?,
            activation: config.activation("activation")?,
            ..plain(FamilyName::Distilbert)
        })
    },
    sources: &[&[
        ("embeddings.word", Stacked(&[Piece::whole("embeddings.word_embeddings")])),
        ("embeddings.position", Stacked(&[Piece::whole("embeddings.position_embeddings")])),
        ("embeddings.norm", Stacked(&[Piece::whole("embeddings.LayerNorm")])),
        ("query", Stacked(&[Piece::whole("transformer.layer.{}.attention.q_lin")])),
        (
            "key_value",
            Stacked(&[
                Piece::whole("transformer.layer.{}.attention.k_lin"),
                Piece::whole("transformer.layer.{}.attention.v_lin"),
            ]),
        ),
        ("attention_output", Stacked(&[Piece::whole("transformer.layer.{}.attention.out_lin")])),
        ("attention_norm", Stacked(&[Piece::whole("transformer.layer.{}.sa_layer_norm")])),
        ("feed_forward", Stacked(&[Piece::whole("transformer.layer.{}.ffn.lin1")])),
        ("feed_forward_output", Stacked(&[Piece::whole("transformer.layer.{}.ffn.lin2")])),
        ("output_norm", Stacked(&[Piece::whole("transformer.layer.{}.output_layer_norm")])),
    ]],
    language_heads: &[LanguageHeadNames {
        transform: "vocab_transform",
        norm: "vocab_layer_norm",
        bias: &["vocab_projector.bias"],
        decoder: "vocab_projector.weight",
        may_lack_biases: false,
        is_always_gelu: false,
    }],
    refused: &[],
    tiny: || plain(FamilyName::Distilbert),
};
