//! The methods that are compared.

use serde::{Deserialize, Serialize};

use crate::{
    baseline,
    prompt::{InferenceMode, Sampling, TaskFile},
    training::HeadShape,
};

/// One way to train. What differs is the input, the head and the templates; everything else is the
/// same for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// M0: the text alone, a head on the first token's vector.
    Standard,
    /// M1: the canonical template, the language-model head at the mask, cut down to label words.
    LabelWords,
    /// M2: the canonical template, a head on the mask vector.
    Static,
    /// M3: a template of the pool for each example at each visit, a head on the mask vector.
    Dynamic,
    /// A linear model on mean-pooled vectors of the encoder as it is.
    Frozen,
    /// A linear model on the words of the text, without the encoder.
    BagOfWords,
    /// The most frequent label, or the mean, whatever the text.
    Majority,
}

/// A method's answers: the dynamic one answers in two ways.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The column of the report.
    pub id: &'static str,
    /// Name for readers.
    pub name: &'static str,
    pub description: &'static str,
    pub inference: InferenceMode,
}

impl Method {
    /// All of them, in the order of the report.
    pub const ALL: [Self; 7] = [
        Self::Majority,
        Self::BagOfWords,
        Self::Frozen,
        Self::Standard,
        Self::LabelWords,
        Self::Static,
        Self::Dynamic,
    ];

    /// As written on the command line and in file names.
    pub fn name(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::LabelWords => "label-words",
            Self::Static => "static",
            Self::Dynamic => "dynamic",
            Self::Frozen => "frozen",
            Self::BagOfWords => "bag-of-words",
            Self::Majority => "majority",
        }
    }

    /// The ways in which it answers.
    pub fn answers(self) -> Vec<Answer> {
        let single = |id, name, description| {
            let inference = InferenceMode::Single;
            Answer { id, name, description, inference }
        };
        match self {
            Self::Standard => vec![single(
                "M0 standard",
                "standard fine-tuning (M0)",
                "the text alone, a head on the first token's vector",
            )],
            Self::LabelWords => vec![single(
                "M1 label words",
                "static prompt, label words (M1)",
                "the canonical template with a verbalizer: the language-model head's logits of label words \
                 at the mask",
            )],
            Self::Static => vec![single(
                "M2 static",
                "static prompt, mask head (M2)",
                "the canonical template alone, a head on the mask vector",
            )],
            Self::Dynamic => vec![
                single(
                    "M3 DynaMaR",
                    "dynamic prompts (M3, DynaMaR)",
                    "templates drawn from the pool in training, a head on the mask vector; answered \
                     by the canonical template",
                ),
                Answer {
                    id: "M3 ensemble",
                    name: "ensemble of prompts (M3)",
                    description: "the same training; answered by all templates of the pool, averaged",
                    inference: InferenceMode::Ensemble,
                },
            ],
            Self::Frozen => vec![single(
                "frozen mean",
                "frozen encoder, linear model",
                "the encoder as it is, the mean of its tokens' vectors, a linear model",
            )],
            Self::BagOfWords => vec![single(
                baseline::BAG_OF_WORDS,
                baseline::BAG_OF_WORDS,
                "TF-IDF of words and character n-grams, of pairs also how alike they are, and logistic \
                 or ridge regression; no encoder",
            )],
            Self::Majority => vec![single(
                baseline::MAJORITY,
                baseline::MAJORITY,
                "the most frequent label of the training examples, or their mean, whatever the text",
            )],
        }
    }

    /// The task as this method sees it.
    pub fn task_file(self, file: &TaskFile) -> TaskFile {
        match self {
            Self::Standard | Self::Frozen | Self::BagOfWords | Self::Majority => {
                file.without_prompt()
            }
            Self::LabelWords | Self::Static => {
                file.with_templates(Sampling::Static, InferenceMode::Single)
            }
            Self::Dynamic => {
                let sampling = match file.prompts.sampling {
                    // Equal steps: one template for each example, as with the other methods.
                    Sampling::Static | Sampling::All => Sampling::PerExample,
                    other => other,
                };
                file.with_templates(sampling, InferenceMode::Single)
            }
        }
    }

    /// Its head, where the others have `shape`.
    pub fn head(self, shape: HeadShape) -> HeadShape {
        match self {
            Self::LabelWords => HeadShape::LabelWords,
            _ => shape,
        }
    }

    /// Whether its templates can be compared with ones that it never saw.
    pub fn has_templates(self) -> bool {
        matches!(self, Self::LabelWords | Self::Static | Self::Dynamic)
    }

    /// Whether the settings of a grid make a difference to it.
    pub fn has_settings(self) -> bool {
        !matches!(self, Self::BagOfWords | Self::Majority)
    }

    /// Why the method cannot be tried on a task, if so.
    pub fn obstacle(self, file: &TaskFile, has_language_head: bool) -> Option<&'static str> {
        match self {
            Self::LabelWords if file.labels().is_empty() => Some("the task is a regression"),
            Self::LabelWords if !file.has_all_label_words() => {
                Some("the task file has no label words")
            }
            Self::LabelWords if !has_language_head => {
                Some("the encoder has no language-model head (pretrain gives it one)")
            }
            _ => None,
        }
    }
}
