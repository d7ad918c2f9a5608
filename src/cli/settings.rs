//! The knobs of training on the command line.

use crate::{
    training::{ClassWeights, HeadShape, Length, Settings, Tune, Unfinished},
    weights::Precision,
};

/// How to train.
#[derive(clap::Args)]
pub struct SettingsArgs {
    /// What is trained: encoder and head, or the head alone on the encoder as it is
    #[arg(long, value_enum, default_value = "full")]
    tune: TuneArg,
    /// The head's shape; label-words is the encoder's language-model head, cut down to the words of
    /// the task file
    #[arg(long, value_enum, default_value = "linear")]
    head: HeadArg,
    /// How often every example is visited [default: 3, with --tune head 20]
    #[arg(long, conflicts_with = "steps")]
    epochs: Option<usize>,
    /// How many batches are taken, instead of --epochs; several tasks share them
    #[arg(long)]
    steps: Option<usize>,
    /// Examples of a batch
    #[arg(long, default_value_t = 32)]
    batch_size: usize,
    /// The encoder's highest learning rate [default: 5e-5]
    #[arg(long)]
    learning_rate: Option<f64>,
    /// The head's highest learning rate [default: 10 times the encoder's; 3e-3 with --tune head]
    #[arg(long)]
    head_learning_rate: Option<f64>,
    /// The learning rate of a layer over that of the layer above it
    #[arg(long, default_value_t = 1.0)]
    layer_decay: f64,
    /// Chance of a value being dropped in training
    #[arg(long, default_value_t = 0.1)]
    dropout: f32,
    /// How much the labels' examples count: as many as there are, or all labels the same
    #[arg(long, value_enum, default_value = "even")]
    class_weights: ClassWeightsArg,
    /// Weight of the disagreement between two templates of an example, added to the loss
    #[arg(long, value_name = "WEIGHT", default_value_t = 0.0)]
    consistency: f64,
    /// Weight of a supervised contrastive loss on mask vectors, two templates of an example being
    /// its views
    #[arg(long, value_name = "WEIGHT", default_value_t = 0.0)]
    contrastive: f64,
    /// What the contrastive loss divides similarities by
    #[arg(long, value_name = "T", default_value_t = 0.1)]
    contrastive_temperature: f64,
    /// Steps between two looks at the development set [default: once for every visit, or ten times
    /// with --steps]
    #[arg(long, value_name = "STEPS")]
    score_every: Option<usize>,
    /// Stop after so many looks at the development set without a new best
    #[arg(long, value_name = "LOOKS")]
    patience: Option<usize>,
    /// Where randomness begins; the same seed, data and thread count give the same weights
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum TuneArg {
    Full,
    Head,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum HeadArg {
    Linear,
    Mlp,
    LabelWords,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum ClassWeightsArg {
    Even,
    Balanced,
}

impl SettingsArgs {
    /// What was asked for that `compare` decides otherwise, by its flag.
    pub fn not_for_compare(&self) -> Option<&'static str> {
        let asked = [
            (matches!(self.tune, TuneArg::Head), "--tune head"),
            (matches!(self.head, HeadArg::LabelWords), "--head label-words"),
            (self.epochs.is_some(), "--epochs (use --full-epochs)"),
            (self.head_learning_rate.is_some(), "--head-learning-rate"),
            (self.patience.is_some(), "--patience"),
            (self.seed != 0, "--seed (use --seeds)"),
        ];
        asked.into_iter().find(|(is_asked, _)| *is_asked).map(|(_, flag)| flag)
    }

    /// What was asked for; what was not has its default.
    pub fn settings(&self) -> Settings {
        let tune = match self.tune {
            TuneArg::Full => Tune::Full,
            TuneArg::Head => Tune::Head,
        };
        let defaults = Settings::new(tune);
        let learning_rate = self.learning_rate.unwrap_or(defaults.learning_rate);
        let head_factor = defaults.head_learning_rate / defaults.learning_rate;
        Settings {
            head: match self.head {
                HeadArg::Linear => HeadShape::Linear,
                HeadArg::Mlp => HeadShape::Mlp,
                HeadArg::LabelWords => HeadShape::LabelWords,
            },
            length: match (self.epochs, self.steps) {
                (_, Some(steps)) => Length::Steps(steps),
                (Some(epochs), None) => Length::Epochs(epochs),
                (None, None) => defaults.length,
            },
            batch_size: self.batch_size,
            learning_rate,
            head_learning_rate: self.head_learning_rate.unwrap_or(learning_rate * head_factor),
            layer_decay: self.layer_decay,
            dropout: self.dropout,
            class_weights: match self.class_weights {
                ClassWeightsArg::Even => ClassWeights::Even,
                ClassWeightsArg::Balanced => ClassWeights::Balanced,
            },
            consistency: self.consistency,
            contrastive: self.contrastive,
            contrastive_temperature: self.contrastive_temperature,
            score_every: self.score_every,
            patience: self.patience,
            seed: self.seed,
            ..defaults
        }
    }
}

/// How an encoder's matrices are stored, where it is not as they are.
#[derive(Clone, Copy, clap::ValueEnum)]
pub enum PrecisionArg {
    Fp16,
    Int8,
}

/// What was asked for; 32 bits unless something was.
pub fn precision(asked: Option<PrecisionArg>) -> Precision {
    match asked {
        None => Precision::Fp32,
        Some(PrecisionArg::Fp16) => Precision::Fp16,
        Some(PrecisionArg::Int8) => Precision::Int8,
    }
}

/// What is done about a run that was interrupted, and how much of this one may be lost.
#[derive(clap::Args)]
pub struct ResumeArgs {
    /// Go on from where an interrupted run stopped; without one, begin, unless it is done
    #[arg(long, conflicts_with = "restart")]
    resume: bool,
    /// Forget an interrupted run and begin anew
    #[arg(long)]
    restart: bool,
    /// Steps between two saves of the run's state
    #[arg(long, value_name = "STEPS", default_value_t = 200, value_parser = at_least_one)]
    pub save_every: usize,
}

impl ResumeArgs {
    /// Whether to go on with what is there.
    pub fn is_asked(&self) -> bool {
        self.resume
    }

    /// What was asked for.
    pub fn unfinished(&self) -> Unfinished {
        match (self.resume, self.restart) {
            (true, _) => Unfinished::Resume,
            (false, true) => Unfinished::Restart,
            (false, false) => Unfinished::Refuse,
        }
    }
}

/// A number of things of which there must be one.
pub fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("must be at least 1".to_owned()),
        Ok(number) => Ok(number),
        Err(error) => Err(format!("{error}")),
    }
}
