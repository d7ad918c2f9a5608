//! Where each of our parameters stands in a Hugging Face BERT checkpoint.

/// How source tensors make one of our arrays.
#[derive(Debug, PartialEq, Eq)]
pub enum Source {
    /// As it is.
    Copy(String),
    /// `[out, in]` turned to `[in, out]`.
    Transpose(String),
    /// Two `[out, in]` matrices turned and put side by side: `[in, 2·out]`.
    TransposePair(String, String),
    /// Two vectors, one after the other.
    Pair(String, String),
}

/// The source of the parameter with this name, in names without the `bert.` prefix.
pub fn source(parameter: &str) -> Source {
    let Some(rest) = parameter.strip_prefix("layers.") else {
        return embedding(parameter);
    };
    let (layer, name) = rest.split_once('.').unwrap_or((rest, ""));
    let (part, kind) = name.split_once('.').unwrap_or((name, ""));
    let full = |path: &str| format!("encoder.layer.{layer}.{path}.{kind}");
    let path = match part {
        "key_value" => {
            let (key, value) = (full("attention.self.key"), full("attention.self.value"));
            return match kind {
                "weight" => Source::TransposePair(key, value),
                _ => Source::Pair(key, value),
            };
        }
        "attention_norm" => return Source::Copy(full("attention.output.LayerNorm")),
        "output_norm" => return Source::Copy(full("output.LayerNorm")),
        "query" => full("attention.self.query"),
        "attention_output" => full("attention.output.dense"),
        "feed_forward" => full("intermediate.dense"),
        _ => full("output.dense"),
    };
    if kind == "weight" { Source::Transpose(path) } else { Source::Copy(path) }
}

/// The source of the language head's parameter with this name.
pub fn language_head_source(parameter: &str) -> Source {
    let copy = |name: &str| Source::Copy(name.to_owned());
    match parameter.strip_prefix("language_head.").unwrap_or(parameter) {
        "transform.weight" => {
            Source::Transpose("cls.predictions.transform.dense.weight".to_owned())
        }
        "transform.bias" => copy("cls.predictions.transform.dense.bias"),
        "norm.weight" => copy("cls.predictions.transform.LayerNorm.weight"),
        "norm.bias" => copy("cls.predictions.transform.LayerNorm.bias"),
        _ => copy("cls.predictions.bias"),
    }
}

/// The language head's own copy of the word embeddings, which some files hold.
pub const DECODER: &str = "cls.predictions.decoder.weight";

fn embedding(parameter: &str) -> Source {
    let name = match parameter {
        "embeddings.word" => "embeddings.word_embeddings.weight",
        "embeddings.position" => "embeddings.position_embeddings.weight",
        "embeddings.segment" => "embeddings.token_type_embeddings.weight",
        "embeddings.norm.weight" => "embeddings.LayerNorm.weight",
        _ => "embeddings.LayerNorm.bias",
    };
    Source::Copy(name.to_owned())
}

/// The names that a tensor may have: with and without the prefix, norms also in the TensorFlow
/// way, the language head's bias also as its decoder's.
pub fn spellings(name: &str) -> Vec<String> {
    let mut all = vec![name.to_owned(), format!("bert.{name}")];
    for (modern, old) in [
        ("LayerNorm.weight", "LayerNorm.gamma"),
        ("LayerNorm.bias", "LayerNorm.beta"),
        ("cls.predictions.bias", "cls.predictions.decoder.bias"),
    ] {
        if let Some(stem) = name.strip_suffix(modern) {
            all.push(format!("{stem}{old}"));
            all.push(format!("bert.{stem}{old}"));
        }
    }
    all
}
