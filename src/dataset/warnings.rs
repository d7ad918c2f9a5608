//! What a user should know of data and results before trusting them, in plain sentences.

use std::fmt;

use serde::Serialize;

use super::Spot;

/// Something that is allowed and most likely a mistake, or a result that is not worth its cost.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "warning", rename_all = "snake_case")]
pub enum Warning {
    /// Examples with the same text and different answers.
    Contradictions {
        path: String,
        /// Texts that have more than one answer.
        texts: usize,
        /// Their examples.
        examples: usize,
        first: Contradiction,
    },
    /// Examples that repeat the text and the answer of an earlier one.
    Duplicates { path: String, examples: usize, example: Spot, of: Spot },
    /// A development set that is too small to fit anything on.
    SmallDev { path: String, examples: usize, needed: usize },
    /// A development set in which all examples have the same answer.
    OneAnswerDev { path: String, answer: String },
    /// Texts that the encoder's tokenizer knows less than half of.
    UnknownTokens { path: String, examples: usize, checked: usize, first: Spot },
    /// Texts that are cut to the task's maximum length.
    Truncated { path: String, examples: usize, checked: usize },
    /// Labels that occur and are never the answer.
    NeverAnswered { labels: Vec<(String, usize)> },
    /// A baseline is as good by the figure that matters.
    NoBetterThan { baseline: String, figure: String, value: f64, of_baseline: f64 },
}

/// Two examples with the same text, and their answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Contradiction {
    pub spots: [Spot; 2],
    pub answers: [String; 2],
}

/// Labels that a sentence names; the rest is counted.
const NAMED: usize = 5;

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Contradictions { path, texts, examples, first } => {
                let [one, other] = first.spots;
                let [answer, other_answer] = &first.answers;
                let texts = counted(*texts, "text has", "texts have");
                write!(
                    f,
                    "{path}: {texts} more than one answer ({examples} examples): {one} is {answer}, \
                     {other} is {other_answer}; decide which is right, or remove them"
                )
            }
            Self::Duplicates { path, examples, example, of } => {
                let examples = counted(*examples, "example repeats", "examples repeat");
                write!(
                    f,
                    "{path}: {examples} an earlier one ({example} is {of}), which \
                     then counts more than once"
                )
            }
            Self::SmallDev { path, examples, needed } => write!(
                f,
                "{path} has {}; with fewer than {needed}, neither calibration nor a threshold is \
                 fitted on it, and its figures are little more than chance",
                counted(*examples, "example", "examples")
            ),
            Self::OneAnswerDev { path, answer } => write!(
                f,
                "{path}: every example is {answer}; neither calibration nor a threshold can be \
                 fitted on it, and its figures say nothing"
            ),
            Self::UnknownTokens { path, examples, checked, first } => write!(
                f,
                "{path}: in {}, more than half of the tokens are unknown to the encoder's \
                 tokenizer, {first} first; take an encoder for their language",
                share(*examples, *checked)
            ),
            Self::Truncated { path, examples, checked } => write!(
                f,
                "{path}: {} are cut to the task's max_length; a larger one reads more of them and \
                 is slower",
                share(*examples, *checked)
            ),
            Self::NeverAnswered { labels } => {
                let named = labels.iter().take(NAMED);
                let named: Vec<String> =
                    named.map(|(label, count)| format!("{label:?} ({count})")).collect();
                let more = match labels.len().saturating_sub(NAMED) {
                    0 => String::new(),
                    more => format!(" and {more} more"),
                };
                write!(f, "never answered although there are examples: {}{more}", named.join(", "))
            }
            Self::NoBetterThan { baseline, figure, value, of_baseline } => write!(
                f,
                "{figure} {value:.4} is no better than that of the {baseline} ({of_baseline:.4}), \
                 which needs no encoder"
            ),
        }
    }
}

fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

fn share(examples: usize, checked: usize) -> String {
    let percent = examples as f64 / checked.max(1) as f64 * 100.0;
    format!("{examples} of {checked} examples ({percent:.1} %)")
}
