//! The settings of training on the command line.

use std::time::Duration;

use crate::{
    evaluation::Metric,
    prompt::{ClassWeights, InferenceMode},
    training::{HeadShape, Length, Requested, Tune, Unfinished},
    weights::Precision,
};

/// The longest search.
const MAX_BUDGET: Duration = Duration::from_secs(240 * 3600);

/// How to train. A setting that is not given is chosen by the data, which `train` explains; `compare`
/// takes the ones that are said here.
#[derive(clap::Args)]
pub struct SettingsArgs {
    /// What is trained: encoder and head, or the head alone on the encoder as it is [default: full]
    #[arg(long, value_enum)]
    tune: Option<TuneArg>,
    /// The head's shape; label-words is the encoder's language-model head, cut down to the words of
    /// the task file [default: linear]
    #[arg(long, value_enum)]
    head: Option<HeadArg>,
    /// How often every example is visited
    #[arg(long, conflicts_with = "steps")]
    epochs: Option<usize>,
    /// How many batches are taken, instead of --epochs; several tasks share them
    #[arg(long)]
    steps: Option<usize>,
    /// Examples of a batch
    #[arg(long)]
    batch_size: Option<usize>,
    /// The encoder's highest learning rate
    #[arg(long)]
    learning_rate: Option<f64>,
    /// The head's highest learning rate [default: 10 times the encoder's; 3e-3 with --tune head]
    #[arg(long)]
    head_learning_rate: Option<f64>,
    /// The learning rate of a layer over that of the layer above it [default: 1]
    #[arg(long)]
    layer_decay: Option<f64>,
    /// Chance of a value being dropped in training [default: 0.1]
    #[arg(long)]
    dropout: Option<f32>,
    /// How much the labels' examples count: as many as there are, all labels the same, or between
    /// the two; instead of the task file's class_weights
    #[arg(long, value_parser = class_weights, value_name = "even|softened|balanced")]
    class_weights: Option<ClassWeights>,
    /// Weight of the disagreement between two templates of an example, added to the loss
    #[arg(long, value_name = "WEIGHT")]
    consistency: Option<f64>,
    /// Weight of a supervised contrastive loss on mask vectors, two templates of an example being
    /// its views
    #[arg(long, value_name = "WEIGHT")]
    contrastive: Option<f64>,
    /// What the contrastive loss divides similarities by [default: 0.1]
    #[arg(long, value_name = "T")]
    contrastive_temperature: Option<f64>,
    /// Steps between two looks at the development set
    #[arg(long, value_name = "STEPS")]
    score_every: Option<usize>,
    /// Stop after so many looks at the development set without a new best
    #[arg(long, value_name = "LOOKS")]
    patience: Option<usize>,
    /// Where randomness begins; the same seed, data and thread count give the same weights
    /// [default: 0]
    #[arg(long)]
    seed: Option<u64>,
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
enum Switch {
    On,
    Off,
}

/// Settings that `train` alone has.
#[derive(clap::Args)]
pub struct RecipeArgs {
    /// The figure on --dev by which a step is kept: accuracy, macro_f1, average_precision,
    /// f1_positive, spearman or rmse; instead of the task file's metric
    #[arg(long, value_parser = metric, value_name = "NAME")]
    metric: Option<Metric>,
    /// Steps by which the encoder first learns to say at the mask what a text means, without
    /// labels; 0 for none
    #[arg(long, value_name = "STEPS")]
    adapt_steps: Option<usize>,
    /// Which templates answer when a caller does not say: the canonical one, or all of the pool, averaged;
    /// instead of the task file's inference
    #[arg(long, value_parser = inference, value_name = "single|ensemble")]
    inference: Option<InferenceMode>,
    /// Whether the head of a task that compares fields, such as left_title with right_title, also sees
    /// how alike they are: a few numbers on their words, codes and prices
    #[arg(long, value_enum, value_name = "on|off")]
    pair_similarity: Option<Switch>,
    /// Search for a better recipe before the training, for about this long (such as 20m): a few
    /// recipes are tried on --dev, or on folds of --train where there is none, and the best is
    /// trained. An interrupted search goes on with --resume
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub budget: Option<Duration>,
}

impl RecipeArgs {
    /// The requested settings, together with those that other verbs have too.
    pub fn requested(&self, settings: &SettingsArgs) -> Requested {
        let Self { metric, adapt_steps, inference, .. } = *self;
        let pair_similarity = self.pair_similarity.map(|switch| matches!(switch, Switch::On));
        Requested { metric, adapt_steps, inference, pair_similarity, ..settings.requested() }
    }
}

/// A time as people write it: 90s, 20m, 1h; a bare number is minutes.
fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = match text.strip_suffix(['s', 'm', 'h']) {
        Some(number) => (number, &text[number.len()..]),
        None => (text, "m"),
    };
    let seconds = match unit {
        "s" => 1.0,
        "h" => 3600.0,
        _ => 60.0,
    };
    let number: f64 = number.parse().map_err(|_| "write it as 90s, 20m or 1h".to_owned())?;
    if !(number > 0.0 && number * seconds <= MAX_BUDGET.as_secs_f64()) {
        return Err("it must be above 0 and at most 240h".to_owned());
    }
    Ok(Duration::from_secs_f64(number * seconds))
}

fn metric(name: &str) -> Result<Metric, String> {
    Metric::of_name(name)
        .ok_or_else(|| format!("use one of {}", Metric::ALL.map(Metric::name).join(", ")))
}

fn inference(name: &str) -> Result<InferenceMode, String> {
    let modes = [InferenceMode::Single, InferenceMode::Ensemble];
    let found = modes.into_iter().find(|mode| mode.name() == name);
    found.ok_or_else(|| "use single or ensemble".to_owned())
}

fn class_weights(name: &str) -> Result<ClassWeights, String> {
    ClassWeights::of_name(name).ok_or_else(|| format!("use one of {}", ClassWeights::names()))
}

impl SettingsArgs {
    /// The flag of a requested setting that `compare` decides otherwise.
    pub fn not_for_compare(&self) -> Option<&'static str> {
        let asked = [
            (matches!(self.tune, Some(TuneArg::Head)), "--tune head"),
            (matches!(self.head, Some(HeadArg::LabelWords)), "--head label-words"),
            (self.epochs.is_some(), "--epochs (use --full-epochs)"),
            (self.head_learning_rate.is_some(), "--head-learning-rate"),
            (self.patience.is_some(), "--patience"),
            (self.seed.is_some_and(|seed| seed != 0), "--seed (use --seeds)"),
        ];
        asked.into_iter().find(|(is_asked, _)| *is_asked).map(|(_, flag)| flag)
    }

    /// The settings that were given.
    pub fn requested(&self) -> Requested {
        let epochs = self.epochs.map(Length::Epochs);
        Requested {
            tune: self.tune.map(|tune| match tune {
                TuneArg::Full => Tune::Full,
                TuneArg::Head => Tune::Head,
            }),
            head: self.head.map(|head| match head {
                HeadArg::Linear => HeadShape::Linear,
                HeadArg::Mlp => HeadShape::Mlp,
                HeadArg::LabelWords => HeadShape::LabelWords,
            }),
            length: self.steps.map(Length::Steps).or(epochs),
            batch_size: self.batch_size,
            learning_rate: self.learning_rate,
            head_learning_rate: self.head_learning_rate,
            layer_decay: self.layer_decay,
            dropout: self.dropout,
            class_weights: self.class_weights,
            metric: None,
            consistency: self.consistency,
            contrastive: self.contrastive,
            contrastive_temperature: self.contrastive_temperature,
            score_every: self.score_every,
            patience: self.patience,
            inference: None,
            pair_similarity: None,
            adapt_steps: None,
            seed: self.seed,
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
