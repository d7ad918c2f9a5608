//! What training changes: an encoder, the heads on it, and the optimiser's state.

use super::{
    Settings, TrainingError,
    body::{Batch, Body},
    encoder::{Dropout, TrainableEncoder},
    head::TrainableHead,
    objective::Objective,
    optimizer::{Optimizer, Rates},
    parameter::Parameter,
    random::hash,
    sampling::Draw,
    schedule,
};
use crate::{
    inference::Head,
    prompt::ClassWeights,
    task::{Kind, Target},
    tokenization::Prompt,
    weights::EncoderWeights,
};

/// Keeps the seeds of dropout apart from others.
const DROPOUT: u64 = 21;

/// An encoder with the heads of the tasks that are trained on it.
pub struct Learner {
    pub body: Body,
    pub heads: Vec<TrainableHead>,
    pub optimizer: Optimizer,
    settings: Settings,
    /// Of the body's parameters, in their order.
    rates: Vec<Rates>,
}

/// Where in the run a step is.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// From 0.
    pub step: usize,
    pub steps: usize,
}

impl Learner {
    /// Begins with nothing learnt.
    pub fn new(body: Body, heads: Vec<TrainableHead>, settings: &Settings) -> Self {
        let names = body.parameters().iter().map(|parameter| parameter.name.as_str());
        let rates = body_rates(names, settings);
        let optimizer = Optimizer::new(settings.max_gradient_norm);
        Self { body, heads, optimizer, settings: settings.clone(), rates }
    }

    /// One step on a batch; returns its loss. The gradient reaches the encoder and the head of the
    /// batch's task.
    pub fn step(
        &mut self,
        batch: &Batch<'_>,
        targets: &[Target],
        objective: &Objective,
        moment: Moment,
    ) -> Result<f32, TrainingError> {
        let settings = &self.settings;
        let seed = hash(&[settings.seed, DROPOUT, moment.step as u64]);
        let dropout = Dropout { probability: settings.dropout, seed };
        let vectors = self.body.forward(batch, dropout)?;
        let head = &mut self.heads[batch.task];
        let outputs = head.forward(&vectors, dropout)?;
        let evaluated = objective.evaluate(&outputs, head.outputs(), &vectors, targets);
        if !evaluated.loss.is_finite() {
            return Err(TrainingError::Diverged { step: moment.step + 1, loss: evaluated.loss });
        }
        let mut gradient = head.backward(&evaluated.by_outputs)?;
        gradient.iter_mut().zip(&evaluated.by_vectors).for_each(|(sum, slope)| *sum += slope);
        self.body.backward(&gradient)?;
        self.update(batch.task, moment)?;
        Ok(evaluated.loss)
    }

    /// Moves the parameters of the encoder and of a task's head by their gradients.
    fn update(&mut self, task: usize, moment: Moment) -> Result<(), TrainingError> {
        let settings = &self.settings;
        let factor = schedule::factor(moment.step, moment.steps, settings.warm_up);
        let head = &mut self.heads[task];
        let head_rate = head.learning_rate(settings);
        let head = head.parameters_mut().map(|parameter| {
            let rates = Rates::of(&parameter.name, head_rate, settings.weight_decay);
            (parameter, rates)
        });
        let body = self.body.parameters_mut().iter_mut().zip(self.rates.iter().copied());
        self.optimizer.step(body.chain(head), factor).map_err(|error| match error {
            TrainingError::Gradient { .. } => TrainingError::Gradient { step: moment.step + 1 },
            other => other,
        })?;
        Ok(())
    }

    /// Every parameter, the encoder's first.
    pub fn parameters(&self) -> impl Iterator<Item = &Parameter> {
        self.body.parameters().iter().chain(self.heads.iter().flat_map(TrainableHead::parameters))
    }

    /// The same to change.
    pub fn parameters_mut(&mut self) -> impl Iterator<Item = &mut Parameter> {
        let heads = self.heads.iter_mut().flat_map(TrainableHead::parameters_mut);
        self.body.parameters_mut().iter_mut().chain(heads)
    }

    /// The values of every parameter.
    pub fn snapshot(&self) -> Vec<Vec<f32>> {
        self.parameters().map(|parameter| parameter.values.clone()).collect()
    }

    /// Takes the values of a snapshot.
    pub fn restore(&mut self, snapshot: &[Vec<f32>]) {
        let parameters = self.parameters_mut().zip(snapshot);
        parameters.for_each(|(parameter, values)| parameter.values.clone_from(values));
    }

    /// The encoder's weights as they are now; `None` where it is frozen.
    pub fn weights(&self) -> Result<Option<EncoderWeights>, TrainingError> {
        match &self.body {
            Body::Frozen(_) => Ok(None),
            Body::Trainable(encoder) => Ok(Some(encoder.weights()?)),
        }
    }
}

/// The rates of an encoder's parameters with these names: layers nearer to the input may move more
/// slowly (Howard and Ruder, 2018).
fn body_rates<'a>(names: impl Iterator<Item = &'a str> + Clone, settings: &Settings) -> Vec<Rates> {
    let layers = names.clone().filter_map(layer).max().map_or(0, |last| last + 1);
    let rate = |name: &str| {
        // The embeddings lie below the lowest layer.
        let below = layer(name).map_or(layers, |layer| layers - 1 - layer);
        let below = i32::try_from(below).unwrap_or(i32::MAX);
        settings.learning_rate * settings.layer_decay.powi(below)
    };
    names.map(|name| Rates::of(name, rate(name), settings.weight_decay)).collect()
}

/// The layer that a parameter belongs to.
fn layer(name: &str) -> Option<usize> {
    name.strip_prefix("layers.")?.split('.').next()?.parse().ok()
}

/// Takes training steps on prompts that the caller makes, for measurements.
pub struct Stepper {
    learner: Learner,
    objective: Objective,
    steps: usize,
    done: usize,
}

impl Stepper {
    /// Begins with these weights and a fresh head, for so many steps.
    pub fn new(
        weights: &EncoderWeights,
        kind: &Kind,
        settings: &Settings,
        steps: usize,
    ) -> Result<Self, TrainingError> {
        let hidden = weights.architecture.hidden_size;
        let head = TrainableHead::new(settings.head, hidden, kind.outputs(), settings.seed);
        let body = Body::from(TrainableEncoder::new(weights)?);
        let objective = Objective::new(&[], kind.outputs(), ClassWeights::Even, settings);
        let learner = Learner::new(body, vec![head], settings);
        Ok(Self { learner, objective, steps, done: 0 })
    }

    /// The head as it is now.
    pub fn head(&self) -> Head {
        self.learner.heads[0].head(self.objective.scaling)
    }

    /// Takes a step and returns its loss.
    pub fn step(&mut self, prompts: &[Prompt], targets: &[Target]) -> Result<f32, TrainingError> {
        let draws: Vec<Draw> =
            (0..prompts.len()).map(|example| Draw { example, template: 0 }).collect();
        let prompt = |draw: Draw| Ok(prompts[draw.example].clone());
        let examples = prompts.len();
        let batch = Batch { task: 0, draws: &draws, examples, templates: 1, prompt: &prompt };
        let moment = Moment { step: self.done, steps: self.steps };
        self.done += 1;
        self.learner.step(&batch, targets, &self.objective, moment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::training::Tune;

    #[test]
    fn lower_layers_move_more_slowly() {
        let settings = Settings { layer_decay: 0.5, ..Settings::new(Tune::Full) };
        let names = [
            "embeddings.word",
            "layers.0.query.weight",
            "layers.1.query.bias",
            "layers.2.query.bias",
        ];
        let rates = body_rates(names.into_iter(), &settings);
        let of_top: Vec<f64> =
            rates.iter().map(|rates| rates.learning_rate / settings.learning_rate).collect();
        assert_eq!(of_top, [0.125, 0.25, 0.5, 1.0]);
        assert_eq!(rates[1].weight_decay, settings.weight_decay);
        assert_eq!(rates[2].weight_decay, 0.0);
    }
}
