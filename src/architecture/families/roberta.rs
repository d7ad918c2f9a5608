//! RoBERTa (Liu et al., 2019), XLM-RoBERTa and CamemBERT.
//!
//! Position 0 has the row after the padding token's id, and every token has segment 0, whose row is added
//! to the positions' once.

use super::{
    super::{
        Family, FamilyName, LanguageHeadNames, Piece,
        Source::{Positions, Stacked},
    },
    Architecture, BERT_LAYERS, bert_like, plain, positions_after_padding,
};

pub(super) static FAMILY: Family = Family {
    name: FamilyName::Roberta,
    model_types: &["roberta", "xlm-roberta", "camembert"],
    prefix: "roberta.",
    read: |config| {
        config.only("position_embedding_type", "absolute")?;
        let architecture = bert_like(config, FamilyName::Roberta)?;
        let max_positions = positions_after_padding(config, architecture.max_positions)?;
        Ok(Architecture { max_positions, ..architecture })
    },
    sources: &[
        &[
            ("embeddings.word", Stacked(&[Piece::whole("embeddings.word_embeddings")])),
            (
                "embeddings.position",
                Positions {
                    table: "embeddings.position_embeddings",
                    plus: Some("embeddings.token_type_embeddings"),
                },
            ),
            ("embeddings.norm", Stacked(&[Piece::whole("embeddings.LayerNorm")])),
        ],
        BERT_LAYERS,
    ],
    language_heads: &[LanguageHeadNames {
        transform: "lm_head.dense",
        norm: "lm_head.layer_norm",
        bias: &["lm_head.bias", "lm_head.decoder.bias"],
        decoder: "lm_head.decoder.weight",
        may_lack_biases: false,
        is_always_gelu: true,
    }],
    refused: &[],
    tiny: || plain(FamilyName::Roberta),
};
