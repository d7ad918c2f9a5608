//! The knobs of a training run.

use serde::{Serialize, Serializer};

use super::TrainingError;

/// Epochs or steps of a run at most; times the rows of a file it is still a number.
pub(super) const MAX_LENGTH: usize = 100_000_000;

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
    /// Dropout, then a linear layer.
    Linear,
    /// Dropout, a linear layer, tanh, dropout, a linear layer.
    Mlp,
    /// The encoder's language-model head, its decoder cut down to the label words: the baseline with
    /// a verbalizer.
    LabelWords,
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

/// Writes a number as people do, 0.1: made longer, a number of 32 bits becomes 0.10000000149011612.
pub(super) fn decimal<S: Serializer>(value: &f32, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(value.to_string().parse().unwrap_or(f64::from(*value)))
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
    /// The learning rate of a layer over that of the layer above it.
    pub layer_decay: f64,
    /// Gradients longer than this are scaled down to it.
    pub max_gradient_norm: f64,
    /// Chance of a value being dropped, in the encoder and before the head.
    #[serde(serialize_with = "decimal")]
    pub dropout: f32,
    /// Weight of the disagreement between two templates of an example; 0 for none.
    pub consistency: f64,
    /// Comparison of fields in the heads of tasks that have pairs.
    pub pair_similarity: bool,
    /// Weight of the supervised contrastive loss on mask vectors; 0 for none.
    pub contrastive: f64,
    /// What the similarities of the contrastive loss are divided by.
    pub contrastive_temperature: f64,
    /// Steps between two looks at the development set; `None` for every visit, or ten times in a
    /// run that counts steps.
    pub score_every: Option<usize>,
    /// Looks at the development set without a new best after which training stops.
    pub patience: Option<usize>,
    /// Whether a temperature and a threshold are fitted on the development set in the end.
    pub calibrate: bool,
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
            layer_decay: 1.0,
            max_gradient_norm: 1.0,
            dropout: 0.1,
            consistency: 0.0,
            pair_similarity: false,
            contrastive: 0.0,
            contrastive_temperature: 0.1,
            score_every: None,
            patience: None,
            calibrate: true,
            seed: 0,
        }
    }

    /// How many templates of an example go into a batch.
    pub fn views(&self) -> usize {
        if self.consistency > 0.0 || self.contrastive > 0.0 { 2 } else { 1 }
    }

    /// Refuses values that cannot be meant.
    pub fn check(&self) -> Result<(), TrainingError> {
        let rate = |value: f64| value.is_finite() && value > 0.0 && value <= 1.0;
        let weight = |value: f64| (0.0..=1000.0).contains(&value);
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
        } else if !rate(self.layer_decay) {
            "the layers' decay of learning rates must lie above 0 and not above 1"
        } else if !weight(self.consistency) || !weight(self.contrastive) {
            "weights of losses must lie between 0 and 1000"
        } else if !rate(self.contrastive_temperature) {
            "the contrastive loss's temperature must lie above 0 and not above 1"
        } else if self.score_every == Some(0) || self.patience == Some(0) {
            "the steps between scores and the patience must be at least 1"
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_kept_as_people_write_them() {
        let settings = Settings { dropout: 0.1, ..Settings::new(Tune::Head) };
        let value = serde_json::to_value(&settings).expect("JSON");
        assert_eq!(value["dropout"].to_string(), "0.1");
    }
}
