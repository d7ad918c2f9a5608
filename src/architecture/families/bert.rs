//! BERT (Devlin et al., 2019).

use super::{
    super::{Family, FamilyName, LanguageHeadNames, Piece, Source::Stacked},
    Architecture, BERT_LAYERS, bert_like, plain,
};

pub(super) static FAMILY: Family = Family {
    name: FamilyName::Bert,
    model_types: &["bert"],
    prefix: "bert.",
    read: |config| {
        config.only("position_embedding_type", "absolute")?;
        let segment_types = config.size("type_vocab_size")?;
        Ok(Architecture { segment_types, ..bert_like(config, FamilyName::Bert)? })
    },
    sources: &[
        &[
            ("embeddings.word", Stacked(&[Piece::whole("embeddings.word_embeddings")])),
            ("embeddings.position", Stacked(&[Piece::whole("embeddings.position_embeddings")])),
            ("embeddings.segment", Stacked(&[Piece::whole("embeddings.token_type_embeddings")])),
            ("embeddings.norm", Stacked(&[Piece::whole("embeddings.LayerNorm")])),
        ],
        BERT_LAYERS,
    ],
    language_heads: &[LanguageHeadNames {
        transform: "cls.predictions.transform.dense",
        norm: "cls.predictions.transform.LayerNorm",
        bias: &["cls.predictions.bias", "cls.predictions.decoder.bias"],
        decoder: "cls.predictions.decoder.weight",
        may_lack_biases: false,
        is_always_gelu: false,
    }],
    refused: &[],
    tiny: || Architecture { segment_types: 2, ..plain(FamilyName::Bert) },
};
