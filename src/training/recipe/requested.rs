//! Settings as the user gave them.

use crate::{
    evaluation::Metric,
    prompt::{ClassWeights, InferenceMode},
    training::settings::{HeadShape, Length, Settings, Tune},
};

/// Settings that the user named. `None` leaves a setting to the recipe or to its default.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Requested {
    pub tune: Option<Tune>,
    pub head: Option<HeadShape>,
    pub length: Option<Length>,
    pub batch_size: Option<usize>,
    pub learning_rate: Option<f64>,
    pub head_learning_rate: Option<f64>,
    pub layer_decay: Option<f64>,
    pub dropout: Option<f32>,
    /// For every task, whatever its task file says.
    pub class_weights: Option<ClassWeights>,
    /// For every task, whatever its task file says.
    pub metric: Option<Metric>,
    pub consistency: Option<f64>,
    pub contrastive: Option<f64>,
    pub contrastive_temperature: Option<f64>,
    pub score_every: Option<usize>,
    pub patience: Option<usize>,
    /// Templates that answer by default, for every task, whatever its task file says.
    pub inference: Option<InferenceMode>,
    /// Comparison of fields in the heads of tasks that have pairs.
    pub pair_similarity: Option<bool>,
    /// Steps of the adaptation before the training; 0 for none.
    pub adapt_steps: Option<usize>,
    pub seed: Option<u64>,
}

impl Requested {
    /// What is trained.
    pub fn tune(&self) -> Tune {
        self.tune.unwrap_or(Tune::Full)
    }

    /// The requested settings, and those of `defaults` where none was requested. A head's rate
    /// that was not requested keeps its distance from the encoder's.
    pub fn over(&self, defaults: Settings) -> Settings {
        let learning_rate = self.learning_rate.unwrap_or(defaults.learning_rate);
        let head_factor = defaults.head_learning_rate / defaults.learning_rate;
        Settings {
            tune: self.tune(),
            head: self.head.unwrap_or(defaults.head),
            length: self.length.unwrap_or(defaults.length),
            batch_size: self.batch_size.unwrap_or(defaults.batch_size),
            learning_rate,
            head_learning_rate: self.head_learning_rate.unwrap_or(learning_rate * head_factor),
            layer_decay: self.layer_decay.unwrap_or(defaults.layer_decay),
            dropout: self.dropout.unwrap_or(defaults.dropout),
            consistency: self.consistency.unwrap_or(defaults.consistency),
            pair_similarity: self.pair_similarity.unwrap_or(defaults.pair_similarity),
            contrastive: self.contrastive.unwrap_or(defaults.contrastive),
            contrastive_temperature: self
                .contrastive_temperature
                .unwrap_or(defaults.contrastive_temperature),
            score_every: self.score_every.or(defaults.score_every),
            patience: self.patience.or(defaults.patience),
            seed: self.seed.unwrap_or(defaults.seed),
            ..defaults
        }
    }
}
