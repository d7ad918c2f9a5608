//! ModernBERT (Warner et al., 2024): rotary positions, gated feed-forward networks, norms before each
//! part, no biases, and a window in most layers.

use serde_json::Value;

use super::{
    super::{
        Biases, Distances, Family, FamilyName, LanguageHeadNames, Norms, Piece, Source::Stacked,
        Window, family::ConfigError,
    },
    Architecture, Config, plain,
};

pub(super) static FAMILY: Family = Family {
    name: FamilyName::Modernbert,
    model_types: &["modernbert"],
    prefix: "model.",
    read: |config| {
        check(config)?;
        let global = theta(config, "full_attention", "global_rope_theta", 160_000.0)?;
        let is_null = config.has("local_rope_theta") && config.is_absent("local_rope_theta");
        let local = if is_null { global } else { 10_000.0 };
        Ok(Architecture {
            hidden_size: config.size("hidden_size")?,
            layers: config.size("num_hidden_layers")?,
            heads: config.size("num_attention_heads")?,
            intermediate_size: config.size("intermediate_size")?,
            vocabulary_size: config.size("vocab_size")?,
            max_positions: config.size("max_position_embeddings")?,
            layer_norm_eps: config.real_or("norm_eps", 1e-5)?,
            no_learned_positions: true,
            distances: Distances::Rotary {
                theta: global,
                local_theta: theta(config, "sliding_attention", "local_rope_theta", local)?,
            },
            norms: Norms::Pre,
            activation: config.activation("hidden_activation")?,
            gated: true,
            biases: Biases {
                attention: config.flag("attention_bias", false),
                feed_forward: config.flag("mlp_bias", false),
                norm: config.flag("norm_bias", false),
            },
            window: Some(Window {
                span: config.size_or("local_attention", 128)? / 2,
                global_every: global_every(config)?,
            }),
            ..plain(FamilyName::Modernbert)
        })
    },
    sources: &[&[
        ("embeddings.word", Stacked(&[Piece::whole("embeddings.tok_embeddings")])),
        ("embeddings.norm", Stacked(&[Piece::whole("embeddings.norm")])),
        ("attention_norm", Stacked(&[Piece::whole("layers.{}.attn_norm")])),
        ("query", Stacked(&[Piece::parts("layers.{}.attn.Wqkv", 0, 1, 3)])),
        ("key_value", Stacked(&[Piece::parts("layers.{}.attn.Wqkv", 1, 3, 3)])),
        ("attention_output", Stacked(&[Piece::whole("layers.{}.attn.Wo")])),
        ("feed_forward_norm", Stacked(&[Piece::whole("layers.{}.mlp_norm")])),
        ("feed_forward", Stacked(&[Piece::whole("layers.{}.mlp.Wi")])),
        ("feed_forward_output", Stacked(&[Piece::whole("layers.{}.mlp.Wo")])),
        ("final_norm", Stacked(&[Piece::whole("final_norm")])),
    ]],
    language_heads: &[LanguageHeadNames {
        transform: "head.dense",
        norm: "head.norm",
        bias: &["decoder.bias"],
        decoder: "decoder.weight",
        may_lack_biases: true,
        is_always_gelu: false,
    }],
    refused: &[],
    tiny: || Architecture {
        layers: 4,
        no_learned_positions: true,
        layer_norm_eps: 1e-5,
        distances: Distances::Rotary { theta: 160_000.0, local_theta: 100.0 },
        norms: Norms::Pre,
        gated: true,
        biases: Biases { attention: false, feed_forward: false, norm: false },
        window: Some(Window { span: 1, global_every: 2 }),
        ..plain(FamilyName::Modernbert)
    },
};

/// Refuses scaled wavelengths, and a language head with another activation than the layers'.
fn check(config: &Config) -> Result<(), ConfigError> {
    let scaling = config.value("rope_scaling");
    let kind = scaling["rope_type"].as_str().or(scaling["type"].as_str());
    if !scaling.is_null() && kind != Some("default") {
        let (key, found) = ("rope_scaling", scaling.to_string());
        return Err(ConfigError::Value { key, found, supported: "none" });
    }
    let of_layers = config.text("hidden_activation").unwrap_or("gelu");
    let of_head = config.text("classifier_activation").unwrap_or("gelu");
    if of_layers != of_head {
        let (key, found) = ("classifier_activation", format!("{of_head:?}"));
        return Err(ConfigError::Value { key, found, supported: "the hidden_activation" });
    }
    Ok(())
}

/// The base of the wavelengths of one kind of layers, as transformers writes it since version 5
/// (`rope_parameters`) or before.
fn theta(
    config: &Config,
    kind: &str,
    before: &'static str,
    default: f64,
) -> Result<f64, ConfigError> {
    let parameters = &config.value("rope_parameters")[kind];
    let scaling = parameters["rope_type"].as_str().unwrap_or("default");
    if scaling != "default" {
        let (key, found) = ("rope_type", format!("{scaling:?}"));
        return Err(ConfigError::Value { key, found, supported: "\"default\"" });
    }
    match parameters["rope_theta"].as_f64() {
        Some(theta) => Ok(theta),
        None => config.real_or(before, default),
    }
}

/// The distance between layers that see the whole sequence. Since version 5 transformers lists each
/// layer's kind, which must be the same pattern.
fn global_every(config: &Config) -> Result<usize, ConfigError> {
    let Some(kinds) = config.value("layer_types").as_array() else {
        return config.size_or("global_attn_every_n_layers", 3);
    };
    let is_global = |kind: &Value| kind.as_str() == Some("full_attention");
    let next = kinds.iter().skip(1).position(is_global);
    let every = next.map_or(kinds.len(), |at| at + 1).max(1);
    let is_pattern =
        kinds.iter().enumerate().all(|(at, kind)| is_global(kind) == at.is_multiple_of(every));
    if is_pattern {
        return Ok(every);
    }
    let (key, found) = ("layer_types", config.value("layer_types").to_string());
    let supported = "\"full_attention\" in the first and in every n-th layer";
    Err(ConfigError::Value { key, found, supported })
}
