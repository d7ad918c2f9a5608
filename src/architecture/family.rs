//! A family of encoders: which `config.json` is one of it, and what its files call the parameters.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    Activation, Architecture, ArchitectureError, LanguageHeadNames, Source, families::ALL,
};

/// The families by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FamilyName {
    #[default]
    Bert,
    Roberta,
    Distilbert,
    Electra,
    Albert,
    Mpnet,
    Modernbert,
    Deberta,
    /// Known by its graph alone, which another program exported. Not among [`ALL`]: nothing can be
    /// derived from it.
    Foreign,
}

impl FamilyName {
    /// The name that people use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bert => "BERT",
            Self::Roberta => "RoBERTa",
            Self::Distilbert => "DistilBERT",
            Self::Electra => "ELECTRA",
            Self::Albert => "ALBERT",
            Self::Mpnet => "MPNet",
            Self::Modernbert => "ModernBERT",
            Self::Deberta => "DeBERTa",
            Self::Foreign => "a graph of another exporter",
        }
    }
}

/// A family of encoders in Hugging Face directories.
pub struct Family {
    pub name: FamilyName,
    /// The values of `model_type` in config.json.
    pub model_types: &'static [&'static str],
    /// Begins the names of the encoder's tensors; files without a head leave it out.
    pub prefix: &'static str,
    /// Describes the encoder of a config.
    pub read: fn(&Config) -> Result<Architecture, ConfigError>,
    /// The source of each parameter without `.weight` and `.bias`, and of a layer's without
    /// `layers.N.`.
    pub sources: &'static [&'static [(&'static str, Source)]],
    /// The heads that the family's files may hold.
    pub language_heads: &'static [LanguageHeadNames],
    /// Beginnings of tensor names that say that a file is not meant to be imported, and why.
    pub refused: &'static [(&'static str, &'static str)],
    /// A small encoder with every variation of the family, for tests.
    pub tiny: fn() -> Architecture,
}

impl Family {
    /// The family's description of an encoder.
    pub fn of(architecture: &Architecture) -> Option<&'static Self> {
        ALL.iter().copied().find(|family| family.name == architecture.family)
    }

    /// Source of the parameter with this name in the family's files. `None` for a parameter that the
    /// family does not know.
    pub fn source(&self, parameter: &str) -> Option<Source> {
        let name = match parameter.strip_prefix("layers.") {
            Some(rest) => rest.split_once('.').map_or(rest, |(_, name)| name),
            None => parameter,
        };
        let stem = name.strip_suffix(".weight").or_else(|| name.strip_suffix(".bias"));
        // `distances.bias` is a table with no suffix.
        let found =
            |name: &str| self.sources.iter().copied().flatten().find(|(known, _)| *known == name);
        found(name).or_else(|| found(stem?)).map(|(_, source)| *source)
    }
}

/// Reason why a config.json does not describe an encoder that is supported.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error(
        "model_type is missing: add it, such as \"model_type\": \"bert\"; supported are: {}",
        supported().join(", ")
    )]
    NoFamily,
    #[error(
        "model_type {found:?} is not supported; {reason}supported are: {}{otherwise}",
        supported().join(", ")
    )]
    Family { found: String, reason: &'static str, otherwise: &'static str },
    #[error("{key} is missing, or is not {what}")]
    Key { key: &'static str, what: &'static str },
    #[error("{key} {found} is not supported; supported is {supported}")]
    Value { key: &'static str, found: String, supported: &'static str },
    #[error(transparent)]
    Architecture(#[from] ArchitectureError),
}

/// Lists the values of `model_type` that are supported.
fn supported() -> Vec<&'static str> {
    ALL.iter().flat_map(|family| family.model_types).copied().collect()
}

/// Reads the description of the encoder in a config.json, and its family.
///
/// # Errors
///
/// If the family is not supported, or the config asks for what no encoder of it has here.
pub fn family_of(config: Value) -> Result<(&'static Family, Architecture), ConfigError> {
    let config = Config::new(config);
    let Some(model_type) = config.text("model_type") else { return Err(ConfigError::NoFamily) };
    let family = ALL.iter().copied().find(|family| family.model_types.contains(&model_type));
    let Some(family) = family else {
        let (reason, otherwise) = match config.is_decoder() {
            true => ("it is a decoder, which writes text and has no mask token; ", ""),
            false => ("", "; another encoder is taken as an ONNX graph, with --graph FILE"),
        };
        return Err(ConfigError::Family { found: model_type.to_owned(), reason, otherwise });
    };
    if config.flag("is_decoder", false) {
        let (key, found) = ("is_decoder", "true".to_owned());
        return Err(ConfigError::Value { key, found, supported: "false: an encoder" });
    }
    let architecture = (family.read)(&config)?;
    architecture.check()?;
    Ok((family, architecture))
}

/// A config.json, read key by key.
pub struct Config(Value);

impl Config {
    /// A config.json, decoded.
    pub fn new(config: Value) -> Self {
        Self(config)
    }

    /// A number that must be there.
    pub fn size(&self, key: &'static str) -> Result<usize, ConfigError> {
        let number = self.0.get(key).and_then(Value::as_u64);
        let number = number.and_then(|number| usize::try_from(number).ok());
        number.ok_or(ConfigError::Key { key, what: "a whole number" })
    }

    /// A number, or this one where there is none.
    pub fn size_or(&self, key: &'static str, default: usize) -> Result<usize, ConfigError> {
        if self.is_absent(key) { Ok(default) } else { self.size(key) }
    }

    /// A real number, or this one where there is none.
    pub fn real_or(&self, key: &'static str, default: f64) -> Result<f64, ConfigError> {
        if self.is_absent(key) {
            return Ok(default);
        }
        let number = self.0.get(key).and_then(Value::as_f64);
        number.ok_or(ConfigError::Key { key, what: "a number" })
    }

    /// A text, if there is one.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(Value::as_str)
    }

    /// A truth value, or this one where there is none.
    pub fn flag(&self, key: &str, default: bool) -> bool {
        self.0.get(key).and_then(Value::as_bool).unwrap_or(default)
    }

    /// The value as it stands, `null` where there is none.
    pub fn value(&self, key: &str) -> &Value {
        self.0.get(key).unwrap_or(&Value::Null)
    }

    /// Tells whether the key is there, were it with `null`.
    pub fn has(&self, key: &str) -> bool {
        self.0.get(key).is_some()
    }

    /// Tells whether nothing, or `null`, stands under this key.
    pub fn is_absent(&self, key: &str) -> bool {
        self.value(key).is_null()
    }

    /// The activation under this key.
    pub fn activation(&self, key: &'static str) -> Result<Activation, ConfigError> {
        self.activation_or(key, "gelu")
    }

    /// The activation under this key, or the one of this name.
    pub fn activation_or(
        &self,
        key: &'static str,
        default: &str,
    ) -> Result<Activation, ConfigError> {
        match self.text(key).unwrap_or(default) {
            "gelu" => Ok(Activation::Gelu),
            "gelu_new" | "gelu_fast" | "gelu_pytorch_tanh" => Ok(Activation::GeluTanh),
            "relu" => Ok(Activation::Relu),
            found => Err(ConfigError::Value {
                key,
                found: format!("{found:?}"),
                supported: "\"gelu\", \"gelu_new\", \"gelu_pytorch_tanh\" or \"relu\"",
            }),
        }
    }

    /// Refuses another value than this one, where a value is given.
    pub fn only(&self, key: &'static str, supported: &'static str) -> Result<(), ConfigError> {
        match self.text(key) {
            Some(found) if found != supported => {
                Err(ConfigError::Value { key, found: format!("{found:?}"), supported })
            }
            _ => Ok(()),
        }
    }

    fn is_decoder(&self) -> bool {
        let architectures = self.0.get("architectures").and_then(Value::as_array);
        let mut names = architectures.into_iter().flatten().filter_map(Value::as_str);
        names.any(|name| name.ends_with("ForCausalLM") || name.ends_with("LMHeadModel"))
    }
}
