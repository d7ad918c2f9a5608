//! Sizes of an encoder of which a graph is given, from a config.json of any family.

use serde_json::Value;

use crate::architecture::{Config, ConfigError, FamilyName, family_of};

/// Keys under which configs tell the positions of the longest prompt.
const POSITIONS: [&str; 4] =
    ["max_position_embeddings", "n_positions", "max_sequence_length", "max_seq_len"];

/// Keys under which they tell the tokens of the vocabulary.
const VOCABULARY: [&str; 2] = ["vocab_size", "vocabulary_size"];

/// Sizes that a graph does not tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sizes {
    pub vocabulary_size: usize,
    /// Tokens of the longest prompt.
    pub max_positions: usize,
    /// Segments that are told apart; 0 where all tokens have segment 0.
    pub segment_types: usize,
    pub padding_id: u32,
    /// Position of the first token, where the graph is told positions.
    pub first_position: u32,
    /// The family is none that is known here, so that positions may begin after the padding's id.
    pub is_guess: bool,
}

/// Reads the sizes: those of a family that is known, or else what the usual keys say.
pub fn read(json: Value) -> Result<Sizes, ConfigError> {
    let config = Config::new(json.clone());
    let padding_id = |default| {
        let id = config.size_or("pad_token_id", default)?;
        u32::try_from(id).map_err(|_| ConfigError::Key { key: "pad_token_id", what: "a token id" })
    };
    if let Ok((family, architecture)) = family_of(json) {
        let (padding_id, first_position) = match family.name {
            FamilyName::Roberta => {
                let id = padding_id(1)?;
                (id, id.saturating_add(1))
            }
            // Whatever its padding is, it counts from 2.
            FamilyName::Mpnet => (padding_id(1)?, 2),
            _ => (padding_id(0)?, 0),
        };
        return Ok(Sizes {
            vocabulary_size: architecture.vocabulary_size,
            max_positions: architecture.max_positions,
            segment_types: architecture.segment_types,
            padding_id,
            first_position,
            is_guess: false,
        });
    }
    let segments = config.size_or("type_vocab_size", 0)?;
    Ok(Sizes {
        vocabulary_size: first(&config, VOCABULARY[0], &VOCABULARY)?,
        max_positions: first(&config, POSITIONS[0], &POSITIONS)?,
        segment_types: if segments > 1 { segments } else { 0 },
        padding_id: padding_id(0)?,
        first_position: 0,
        is_guess: true,
    })
}

/// The first of these keys that is there.
fn first(config: &Config, key: &'static str, keys: &[&'static str]) -> Result<usize, ConfigError> {
    let there = keys.iter().find(|key| !config.is_absent(key));
    config.size(there.copied().unwrap_or(key))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn any_family_tells_its_sizes() {
        let known = read(json!({
            "model_type": "roberta", "hidden_size": 20, "num_hidden_layers": 2,
            "num_attention_heads": 2, "intermediate_size": 36, "vocab_size": 401,
            "max_position_embeddings": 50, "pad_token_id": 1
        }));
        let sizes = Sizes {
            vocabulary_size: 401,
            max_positions: 48,
            segment_types: 0,
            padding_id: 1,
            first_position: 2,
            is_guess: false,
        };
        assert_eq!(known.expect("sizes"), sizes);
        let mpnet = read(json!({
            "model_type": "mpnet", "hidden_size": 20, "num_hidden_layers": 2,
            "num_attention_heads": 2, "intermediate_size": 36, "vocab_size": 401,
            "max_position_embeddings": 50
        }));
        assert_eq!(mpnet.expect("sizes"), sizes);
        let other = read(json!({
            "model_type": "nomic_bert", "vocab_size": 30, "n_positions": 64, "type_vocab_size": 2
        }));
        let sizes = Sizes {
            vocabulary_size: 30,
            max_positions: 64,
            segment_types: 2,
            padding_id: 0,
            first_position: 0,
            is_guess: true,
        };
        assert_eq!(other.expect("sizes"), sizes);
        let error = read(json!({"model_type": "new", "vocab_size": 30})).expect_err("refused");
        assert!(error.to_string().contains("max_position_embeddings is missing"), "{error}");
    }
}
