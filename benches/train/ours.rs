//! Our side: the training loop's own step, over batches that were made before.

use std::time::{Duration, Instant};

use anyhow::Result;
use dynamar::{
    inference::Head,
    training::{Settings, Stepper, Tune},
    weights::EncoderWeights,
};

use crate::data::{BATCH_SIZE, Batch, Scenario};

/// What both sides train with.
pub fn settings(dropout: f32) -> Settings {
    let mut settings = Settings::new(Tune::Full);
    settings.batch_size = BATCH_SIZE;
    settings.dropout = dropout;
    settings
}

/// A run of dynamar's trainer.
pub struct Ours {
    stepper: Stepper,
}

impl Ours {
    /// A run of so many steps that begins with these weights.
    pub fn begin(
        weights: &EncoderWeights,
        scenario: &Scenario,
        dropout: f32,
        steps: usize,
    ) -> Result<Self> {
        let stepper = Stepper::new(weights, &scenario.kind, &settings(dropout), steps)?;
        Ok(Self { stepper })
    }

    /// The head as it is now.
    pub fn head(&self) -> Head {
        self.stepper.head()
    }

    /// A step on each batch: the time taken and the losses.
    pub fn run(&mut self, batches: &[Batch]) -> Result<(Duration, Vec<f32>)> {
        let begin = Instant::now();
        let losses = batches
            .iter()
            .map(|batch| self.stepper.step(&batch.prompts, &batch.targets))
            .collect::<Result<_, _>>()?;
        Ok((begin.elapsed(), losses))
    }
}
