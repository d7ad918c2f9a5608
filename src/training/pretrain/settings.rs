//! The knobs of continued pretraining.

use serde::Serialize;

use super::super::{
    DEFAULT_SHARE, Length, TrainingError,
    settings::{MAX_LENGTH, decimal},
};

/// Tokens of a window at least.
const MIN_WINDOW: usize = 8;

/// The settings of a pretraining run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Settings {
    /// An epoch visits every window of the texts.
    pub length: Length,
    /// Windows of a step.
    pub batch_size: usize,
    /// Tokens of a window or prompt at most, special ones included.
    pub max_length: usize,
    /// Peak rate of the encoder's parameters, and of a language head that it has already.
    pub learning_rate: f64,
    /// Peak rate of a language head that begins afresh.
    pub head_learning_rate: f64,
    /// Share of the steps over which the rates rise.
    pub warm_up: f64,
    pub weight_decay: f64,
    /// Gradients longer than this are scaled down to it.
    pub max_gradient_norm: f64,
    /// Chance of a hidden value being dropped.
    #[serde(serialize_with = "decimal")]
    pub dropout: f32,
    /// Share of the tokens that are to be guessed.
    pub mask_share: f64,
    /// Whether the pieces of a word are chosen together.
    pub whole_words: bool,
    /// Weight of the masked-language-model loss; 0 for none.
    pub masking_weight: f64,
    /// Weight of the similarity loss; 0 for none.
    pub similarity: f64,
    /// Share of the texts that is kept for measuring.
    pub held_back: f64,
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        let learning_rate = 5e-5;
        Self {
            length: Length::Steps(2000),
            batch_size: 32,
            max_length: 128,
            learning_rate,
            head_learning_rate: 10.0 * learning_rate,
            warm_up: 0.1,
            weight_decay: 0.01,
            max_gradient_norm: 1.0,
            dropout: 0.1,
            mask_share: DEFAULT_SHARE,
            whole_words: false,
            masking_weight: 1.0,
            similarity: 0.0,
            held_back: 0.05,
            seed: 0,
        }
    }
}

impl Settings {
    /// Whether a language head is trained.
    pub fn masks(&self) -> bool {
        self.masking_weight > 0.0
    }

    /// Whether mask vectors are pulled to the meaning of their text.
    pub fn pulls(&self) -> bool {
        self.similarity > 0.0
    }

    /// Refuses values that cannot be meant.
    pub fn check(&self) -> Result<(), TrainingError> {
        let rate = |value: f64| value.is_finite() && value > 0.0 && value <= 1.0;
        let weight = |value: f64| (0.0..=1000.0).contains(&value);
        let length = match self.length {
            Length::Epochs(count) | Length::Steps(count) => count,
        };
        let fault = if !rate(self.learning_rate) || !rate(self.head_learning_rate) {
            "learning rates must lie above 0 and not above 1"
        } else if !(0.0..1.0).contains(&self.dropout) {
            "dropout must lie between 0 and 1"
        } else if !(0.0..=1.0).contains(&self.warm_up) {
            "warm-up is a share of the steps, from 0 to 1"
        } else if !(0.0..=1.0).contains(&self.weight_decay) {
            "weight decay must lie between 0 and 1"
        } else if self.max_gradient_norm.is_nan() || self.max_gradient_norm <= 0.0 {
            "the largest gradient norm must be above 0"
        } else if !(self.mask_share > 0.0 && self.mask_share < 1.0) {
            "the share of masked tokens must lie between 0 and 1"
        } else if !weight(self.masking_weight) || !weight(self.similarity) {
            "weights of losses must lie between 0 and 1000"
        } else if !self.masks() && !self.pulls() {
            "with no weight on masking there must be one on similarity"
        } else if !(0.0..1.0).contains(&self.held_back) {
            "the share of texts held back must be at least 0 and below 1"
        } else if self.max_length < MIN_WINDOW {
            "the length of a window must be at least 8 tokens"
        } else if !(1..=4096).contains(&self.batch_size) {
            "the batch size must lie between 1 and 4096"
        } else if !(1..=MAX_LENGTH).contains(&length) {
            "epochs or steps must lie between 1 and 100 million"
        } else {
            return Ok(());
        };
        Err(TrainingError::Settings(fault.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_cannot_be_meant_are_refused() {
        let check = |change: fn(&mut Settings), words: &str| {
            let mut settings = Settings::default();
            assert!(settings.check().is_ok());
            change(&mut settings);
            let error = settings.check().expect_err(words).to_string();
            assert!(error.contains(words), "{error}");
        };
        check(|s| s.learning_rate = 0.0, "learning rates");
        check(|s| s.head_learning_rate = f64::NAN, "learning rates");
        check(|s| s.mask_share = 1.0, "masked tokens");
        check(|s| s.masking_weight = -1.0, "weights");
        check(|s| s.masking_weight = 0.0, "similarity");
        check(|s| s.held_back = 1.0, "held back");
        check(|s| s.max_length = 7, "at least 8");
        check(|s| s.batch_size = 0, "batch size");
        check(|s| s.length = Length::Steps(0), "between 1 and");
    }
}
