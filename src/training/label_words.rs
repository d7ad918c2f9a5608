//! The label-word baseline: the encoder's language-model head as a task's head, its decoder cut down
//! to the words that stand for the labels (Schick and Schütze, 2021).

use super::{TrainingError, head::TrainableHead, transform::Transform};
use crate::{
    architecture::Activation,
    prompt::TaskFile,
    tokenization::PromptTokenizer,
    weights::{Array, EncoderWeights, LanguageHead},
};

/// The head whose logits are those of the language model for each label's words, on average over a
/// label's words. The decoder begins as the word embeddings, and then goes its own way.
pub fn label_word_head(
    file: &TaskFile,
    tokenizer: &PromptTokenizer,
    weights: &EncoderWeights,
    language: &LanguageHead,
) -> Result<TrainableHead, TrainingError> {
    let architecture = &weights.architecture;
    if architecture.embedding_size.is_some() || language.activation != Activation::Gelu {
        return Err(TrainingError::Settings(
            "label words need an encoder whose language head is as wide as itself and uses GELU; \
             leave this method out for this encoder"
                .to_owned(),
        ));
    }
    let ids = word_ids(file, tokenizer)?;
    let embeddings = weights.word_embeddings();
    let (hidden, labels) = (weights.architecture.hidden_size, ids.len());
    let mut weight = vec![0.0; hidden * labels];
    let mut bias = vec![0.0; labels];
    for (label, ids) in ids.iter().enumerate() {
        for &id in ids {
            let row = &embeddings.data[id as usize * hidden..][..hidden];
            let share = 1.0 / ids.len() as f32;
            for (at, value) in row.iter().enumerate() {
                weight[at * labels + label] += value * share;
            }
            bias[label] += language.bias.data[id as usize] * share;
        }
    }
    let output = [
        Array { shape: vec![hidden, labels], data: weight },
        Array { shape: vec![labels], data: bias },
    ];
    let LanguageHead { transform, norm, .. } = language;
    let transform = Transform::new(
        "head.dense",
        [&transform.weight, &transform.bias],
        [&norm.weight, &norm.bias],
        language.layer_norm_eps as f32,
        language.activation,
    );
    Ok(TrainableHead::of_label_words(transform, output))
}

/// For each label the ids of its words, each of which must be one token.
fn word_ids(file: &TaskFile, tokenizer: &PromptTokenizer) -> Result<Vec<Vec<u32>>, TrainingError> {
    let fault =
        |message: String| TrainingError::Settings(format!("task {:?}: {message}", file.task.name));
    if file.labels().is_empty() {
        return Err(fault("label words are for classification".to_owned()));
    }
    let of_label = |label: &String| {
        let words = file.label_words.get(label).filter(|words| !words.is_empty());
        let words = words.ok_or_else(|| {
            fault(format!("label {label:?} has no words; give some under [labels.words]"))
        })?;
        let id = |word: &String| {
            tokenizer.word_id(word)?.ok_or_else(|| {
                fault(format!(
                    "the label word {word:?} is not one token of the encoder's vocabulary"
                ))
            })
        };
        words.iter().map(id).collect()
    };
    file.labels().iter().map(of_label).collect()
}
