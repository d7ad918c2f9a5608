//! MPNet (Song et al., 2020): learned positions, and a bias for each bucket of distances.

use super::{
    super::{
        Distances, Family, FamilyName, LanguageHeadNames, Piece,
        Source::{Positions, Stacked},
        family::ConfigError,
    },
    Architecture, bert_like, plain,
};

/// Rows of the position table before that of position 0: the padding token has id 1, whatever the
/// config says.
const FIRST_POSITION: usize = 2;

/// Buckets of distances, and the distance from which on they share one. MPNet computes the buckets with
/// these two whatever the config says.
const BUCKETS: usize = 32;
const MAX_DISTANCE: usize = 128;

pub(super) static FAMILY: Family = Family {
    name: FamilyName::Mpnet,
    model_types: &["mpnet"],
    prefix: "mpnet.",
    read: |config| {
        let architecture = bert_like(config, FamilyName::Mpnet)?;
        let buckets = config.size_or("relative_attention_num_buckets", BUCKETS)?;
        if buckets != BUCKETS {
            let (key, found) = ("relative_attention_num_buckets", buckets.to_string());
            return Err(ConfigError::Value { key, found, supported: "32" });
        }
        Ok(Architecture {
            max_positions: architecture.max_positions.saturating_sub(FIRST_POSITION),
            distances: Distances::Buckets { buckets, max_distance: MAX_DISTANCE },
            ..architecture
        })
    },
    sources: &[&[
        ("embeddings.word", Stacked(&[Piece::whole("embeddings.word_embeddings")])),
        ("embeddings.position", Positions { table: "embeddings.position_embeddings", plus: None }),
        ("embeddings.norm", Stacked(&[Piece::whole("embeddings.LayerNorm")])),
        ("distances.bias", Stacked(&[Piece::whole("encoder.relative_attention_bias")])),
        ("query", Stacked(&[Piece::whole("encoder.layer.{}.attention.attn.q")])),
        (
            "key_value",
            Stacked(&[
                Piece::whole("encoder.layer.{}.attention.attn.k"),
                Piece::whole("encoder.layer.{}.attention.attn.v"),
            ]),
        ),
        ("attention_output", Stacked(&[Piece::whole("encoder.layer.{}.attention.attn.o")])),
        ("attention_norm", Stacked(&[Piece::whole("encoder.layer.{}.attention.LayerNorm")])),
        ("feed_forward", Stacked(&[Piece::whole("encoder.layer.{}.intermediate.dense")])),
        ("feed_forward_output", Stacked(&[Piece::whole("encoder.layer.{}.output.dense")])),
        ("output_norm", Stacked(&[Piece::whole("encoder.layer.{}.output.LayerNorm")])),
    ]],
    language_heads: &[LanguageHeadNames {
        transform: "lm_head.dense",
        norm: "lm_head.layer_norm",
        bias: &["lm_head.bias", "lm_head.decoder.bias"],
        decoder: "lm_head.decoder.weight",
        may_lack_biases: false,
        is_always_gelu: true,
    }],
    refused: &[],
    tiny: || Architecture {
        distances: Distances::Buckets { buckets: 8, max_distance: 10 },
        ..plain(FamilyName::Mpnet)
    },
};
