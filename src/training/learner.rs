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
    architecture::{Architecture, ParameterSpec},
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
        let rates = match &body {
            Body::Frozen(_) => Vec::new(),
            Body::Trainable(encoder) => body_rates(encoder.architecture(), settings),
        };
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
            let rates = Rates::of_head(&parameter.name, head_rate, settings.weight_decay);
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

/// The rates of an encoder's parameters: layers nearer to the input may move more slowly (Howard and
/// Ruder, 2018).
fn body_rates(architecture: &Architecture, settings: &Settings) -> Vec<Rates> {
    let groups = architecture.groups();
    let rates = |parameter: ParameterSpec| {
        let below = match (parameter.layer, parameter.name.as_str()) {
            (Some(layer), _) => groups - 1 - layer,
            // Nothing lies above it.
            (None, name) if name.starts_with("final_norm.") => 0,
            // The embeddings lie below the lowest layer.
            (None, _) => groups,
        };
        let below = i32::try_from(below).unwrap_or(i32::MAX);
        let rate = settings.learning_rate * settings.layer_decay.powi(below);
        Rates::of(parameter.role, rate, settings.weight_decay)
    };
    architecture.parameters().into_iter().map(rates).collect()
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
    use crate::{architecture::ALL, training::Tune};

    #[test]
    fn lower_layers_move_more_slowly() {
        let settings = Settings { layer_decay: 0.5, ..Settings::new(Tune::Full) };
        let deep = Architecture { layers: 3, ..(ALL[0].tiny)() };
        let rates = body_rates(&deep, &settings);
        let names: Vec<String> = deep.parameters().into_iter().map(|p| p.name).collect();
        let of = |name: &str| rates[names.iter().position(|n| n == name).expect("there")];
        let of_top = |name: &str| of(name).learning_rate / settings.learning_rate;
        assert_eq!(of_top("embeddings.word"), 0.125);
        assert_eq!(of_top("layers.0.query.weight"), 0.25);
        assert_eq!(of_top("layers.1.query.bias"), 0.5);
        assert_eq!(of_top("layers.2.query.bias"), 1.0);
        assert_eq!(of("layers.0.query.weight").weight_decay, settings.weight_decay);
        assert_eq!(of("embeddings.segment").weight_decay, settings.weight_decay);
        assert_eq!(of("embeddings.norm.weight").weight_decay, 0.0);
        assert_eq!(of("layers.1.query.bias").weight_decay, 0.0);
    }
}
