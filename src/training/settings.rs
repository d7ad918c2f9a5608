//! The knobs of a training run.

use serde::Serialize;

use super::TrainingError;

/// Epochs or steps of a run at most; times the rows of a file it is still a number.
const MAX_LENGTH: usize = 100_000_000;

/// What is trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Tune {
    /// The encoder and the head.
    Full,
    /// The head alone; the encoder's file is shared.
    Head,
}

/// The head's shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HeadShape {
    Linear,
    Mlp,
}

/// How long to train.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Length {
    /// Visits of every example.
    Epochs(usize),
    /// Batches.
    Steps(usize),
}

/// The settings of a training run. The report keeps them with the head.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Settings {
    pub tune: Tune,
    pub head: HeadShape,
    pub length: Length,
    pub batch_size: usize,
    /// Peak rate of the encoder's parameters.
    pub learning_rate: f64,
    /// Peak rate of the head's parameters.
    pub head_learning_rate: f64,
    /// Share of the steps over which the rates rise.
    pub warm_up: f64,
    pub weight_decay: f64,
    /// Gradients longer than this are scaled down to it.
    pub max_gradient_norm: f64,
    /// Chance of a value being dropped, in the encoder and before the head.
    pub dropout: f32,
    pub seed: u64,
}

impl Settings {
    /// The defaults for training everything, or a head alone.
    pub fn new(tune: Tune) -> Self {
        let (length, learning_rate, head_factor) = match tune {
            Tune::Full => (Length::Epochs(3), 5e-5, 10.0),
            Tune::Head => (Length::Epochs(20), 3e-4, 10.0),
        };
        Self {
            tune,
            head: HeadShape::Linear,
            length,
            batch_size: 32,
            learning_rate,
            head_learning_rate: learning_rate * head_factor,
            warm_up: 0.1,
            weight_decay: 0.01,
            max_gradient_norm: 1.0,
            dropout: 0.1,
            seed: 0,
        }
    }

    /// Refuses values that cannot be meant.
    pub fn check(&self) -> Result<(), TrainingError> {
        let rate = |value: f64| value.is_finite() && value > 0.0 && value <= 1.0;
        let steps = match self.length {
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
        } else if !(1..=4096).contains(&self.batch_size) {
            "the batch size must lie between 1 and 4096"
        } else if !(1..=MAX_LENGTH).contains(&steps) {
            "epochs or steps must lie between 1 and 100 million"
        } else {
            return Ok(());
        };
        Err(TrainingError::Settings(fault.to_owned()))
    }
}
