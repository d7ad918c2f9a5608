//! DeBERTa-v2 and -v3 (He et al., 2021): attention in which content and distance meet separately.

use super::{
    super::{
        Activation, Convolution, Distances, Family, FamilyName, LanguageHeadNames, Piece,
        Source::{Kernel, Stacked},
        family::ConfigError,
    },
    Architecture, Config, bert_like, plain,
};

pub(super) static FAMILY: Family = Family {
    name: FamilyName::Deberta,
    model_types: &["deberta-v2"],
    prefix: "deberta.",
    read: |config| {
        check(config)?;
        let architecture = bert_like(config, FamilyName::Deberta)?;
        let buckets = positive(config, "position_buckets");
        let max_distance =
            positive(config, "max_relative_positions").unwrap_or(architecture.max_positions);
        Ok(Architecture {
            segment_types: config.size_or("type_vocab_size", 0)?,
            layer_norm_eps: config.real_or("layer_norm_eps", 1e-7)?,
            no_learned_positions: !config.flag("position_biased_input", true),
            distances: Distances::Disentangled {
                span: buckets.unwrap_or(max_distance),
                buckets: buckets.unwrap_or(0),
                max_distance,
                norm: norms(config).contains(&"layer_norm"),
            },
            convolution: convolution(config)?,
            ..architecture
        })
    },
    sources: &[&[
        ("embeddings.word", Stacked(&[Piece::whole("embeddings.word_embeddings")])),
        ("embeddings.position", Stacked(&[Piece::whole("embeddings.position_embeddings")])),
        ("embeddings.segment", Stacked(&[Piece::whole("embeddings.token_type_embeddings")])),
        ("embeddings.norm", Stacked(&[Piece::whole("embeddings.LayerNorm")])),
        ("distances.embeddings", Stacked(&[Piece::whole("encoder.rel_embeddings")])),
        ("distances.norm", Stacked(&[Piece::whole("encoder.LayerNorm")])),
        ("convolution", Kernel("encoder.conv.conv")),
        ("convolution_norm", Stacked(&[Piece::whole("encoder.conv.LayerNorm")])),
        ("query", Stacked(&[Piece::whole("encoder.layer.{}.attention.self.query_proj")])),
        (
            "key_value",
            Stacked(&[
                Piece::whole("encoder.layer.{}.attention.self.key_proj"),
                Piece::whole("encoder.layer.{}.attention.self.value_proj"),
            ]),
        ),
        ("attention_output", Stacked(&[Piece::whole("encoder.layer.{}.attention.output.dense")])),
        ("attention_norm", Stacked(&[Piece::whole("encoder.layer.{}.attention.output.LayerNorm")])),
        ("feed_forward", Stacked(&[Piece::whole("encoder.layer.{}.intermediate.dense")])),
        ("feed_forward_output", Stacked(&[Piece::whole("encoder.layer.{}.output.dense")])),
        ("output_norm", Stacked(&[Piece::whole("encoder.layer.{}.output.LayerNorm")])),
    ]],
    language_heads: &[
        LanguageHeadNames {
            transform: "cls.predictions.transform.dense",
            norm: "cls.predictions.transform.LayerNorm",
            bias: &["cls.predictions.bias", "cls.predictions.decoder.bias"],
            decoder: "cls.predictions.decoder.weight",
            may_lack_biases: false,
            is_always_gelu: false,
        },
        LanguageHeadNames {
            transform: "lm_predictions.lm_head.dense",
            norm: "lm_predictions.lm_head.LayerNorm",
            bias: &["lm_predictions.lm_head.bias"],
            decoder: "lm_predictions.lm_head.decoder.weight",
            may_lack_biases: false,
            is_always_gelu: false,
        },
    ],
    refused: &[],
    tiny: || Architecture {
        no_learned_positions: true,
        distances: Distances::Disentangled { span: 4, buckets: 4, max_distance: 16, norm: true },
        convolution: Some(Convolution { kernel: 3, activation: Activation::Gelu }),
        ..plain(FamilyName::Deberta)
    },
};

/// A number above zero; -1 stands for none.
fn positive(config: &Config, key: &str) -> Option<usize> {
    let number = config.value(key).as_u64().filter(|number| *number > 0)?;
    usize::try_from(number).ok()
}

/// The norms of the distance embeddings.
fn norms(config: &Config) -> Vec<&str> {
    config.text("norm_rel_ebd").unwrap_or("none").split('|').map(str::trim).collect()
}

/// Reads the convolution after the first layer, which deberta-v2-xlarge and -xxlarge have.
fn convolution(config: &Config) -> Result<Option<Convolution>, ConfigError> {
    let kernel = config.size_or("conv_kernel_size", 0)?;
    if kernel == 0 {
        return Ok(None);
    }
    let groups = config.size_or("conv_groups", 1)?;
    if groups != 1 {
        let (key, found) = ("conv_groups", groups.to_string());
        return Err(ConfigError::Value { key, found, supported: "1" });
    }
    // What transformers takes where the config says nothing is none of those.
    let activation = config.activation_or("conv_act", "tanh")?;
    Ok(Some(Convolution { kernel, activation }))
}

/// Refuses what no published model of the two versions combines.
fn check(config: &Config) -> Result<(), ConfigError> {
    let wrong = |key, found: String, supported| Err(ConfigError::Value { key, found, supported });
    if !config.flag("relative_attention", false) {
        return wrong("relative_attention", "false".to_owned(), "true");
    }
    if !config.flag("share_att_key", false) {
        return wrong("share_att_key", "false".to_owned(), "true");
    }
    let kinds: Vec<&str> = match config.value("pos_att_type").as_array() {
        Some(list) => list.iter().filter_map(|kind| kind.as_str()).collect(),
        None => config.text("pos_att_type").unwrap_or_default().split('|').collect(),
    };
    if kinds.len() != 2 || !kinds.contains(&"c2p") || !kinds.contains(&"p2c") {
        return wrong("pos_att_type", kinds.join("|"), "\"p2c|c2p\"");
    }
    let hidden = config.size("hidden_size")?;
    let width = config.size_or("embedding_size", hidden)?;
    if width != hidden {
        return wrong("embedding_size", width.to_string(), "the hidden size");
    }
    Ok(())
}
