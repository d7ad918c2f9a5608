//! ELECTRA's discriminator (Clark et al., 2020): BERT with embeddings that may be narrower.

use super::{
    super::{Family, FamilyName, Piece, Source::Stacked},
    Architecture, BERT_LAYERS, bert_like, plain,
};

const IS_GENERATOR: &str = "it is ELECTRA's generator, which only serves to train the discriminator: \
                            take the model whose name ends in -discriminator";

pub(super) static FAMILY: Family = Family {
    name: FamilyName::Electra,
    model_types: &["electra"],
    prefix: "electra.",
    read: |config| {
        config.only("position_embedding_type", "absolute")?;
        let architecture = bert_like(config, FamilyName::Electra)?;
        let width = config.size_or("embedding_size", 128)?;
        Ok(Architecture {
            segment_types: config.size("type_vocab_size")?,
            embedding_size: (width != architecture.hidden_size).then_some(width),
            ..architecture
        })
    },
    sources: &[
        &[
            ("embeddings.word", Stacked(&[Piece::whole("embeddings.word_embeddings")])),
            ("embeddings.position", Stacked(&[Piece::whole("embeddings.position_embeddings")])),
            ("embeddings.segment", Stacked(&[Piece::whole("embeddings.token_type_embeddings")])),
            ("embeddings.norm", Stacked(&[Piece::whole("embeddings.LayerNorm")])),
            ("embeddings.projection", Stacked(&[Piece::whole("embeddings_project")])),
        ],
        BERT_LAYERS,
    ],
    language_heads: &[],
    refused: &[("generator_predictions.", IS_GENERATOR), ("generator_lm_head.", IS_GENERATOR)],
    tiny: || Architecture {
        segment_types: 2,
        embedding_size: Some(6),
        ..plain(FamilyName::Electra)
    },
};
