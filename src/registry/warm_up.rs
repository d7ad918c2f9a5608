//! One prediction of every task before the first caller asks: an encoder's first run allocates,
//! and a head that gives nonsense is found while nobody depends on it.

use super::{RegistryError, held::Held};
use crate::{
    batching::{BatchError, Batcher},
    inference::{MaskEncoder, PredictError, ServedTask, TemplateChoice, predict},
    task::{Example, Output},
    tokenization::Prompt,
};

/// What every field says.
const TEXT: &str = "a first look at what this makes of a text";

/// Predicts with every task of a checkpoint.
pub(super) fn run(held: &Held, encoder: &mut dyn MaskEncoder) -> Result<(), RegistryError> {
    for (name, task) in &held.model.tasks {
        check(task, encoder).map_err(|message| RegistryError::WarmUp {
            task: name.clone(),
            directory: held.directory.clone(),
            message,
            is_passing: false,
        })?;
    }
    Ok(())
}

/// The same through workers that serve already, so that new tasks on their encoder need no session
/// of their own. Waits for its turn among the calls, and so is not for an async thread.
pub(super) fn run_through(held: &Held, batcher: &Batcher) -> Result<(), RegistryError> {
    let hidden_size = held.model.architecture.hidden_size;
    let mut encoder = AtWork { batcher, hidden_size, is_full: false };
    run(held, &mut encoder).map_err(|error| match error {
        RegistryError::WarmUp { task, directory, message, .. } => {
            RegistryError::WarmUp { task, directory, message, is_passing: encoder.is_full }
        }
        other => other,
    })
}

/// An encoder whose workers serve.
struct AtWork<'a> {
    batcher: &'a Batcher,
    hidden_size: usize,
    /// Whether prompts were refused because too many wait.
    is_full: bool,
}

impl MaskEncoder for AtWork<'_> {
    fn mask_vectors(&mut self, prompts: &[&Prompt]) -> Result<Vec<f32>, PredictError> {
        let prompts = prompts.iter().map(|&prompt| prompt.clone()).collect();
        let failed = |message: String| PredictError::Encoder(message);
        // Nothing in there needs a clock or the network.
        let waiting = tokio::runtime::Builder::new_current_thread()
            .build()
            .map_err(|error| failed(error.to_string()))?;
        let encoded = waiting.block_on(self.batcher.encode(prompts)).map_err(|error| {
            self.is_full |= matches!(error, BatchError::Full { .. });
            failed(error.to_string())
        })?;
        Ok(encoded.iter().flat_map(|one| one.mask_vector.iter().copied()).collect())
    }

    fn hidden_size(&self) -> usize {
        self.hidden_size
    }
}

fn check(task: &ServedTask, encoder: &mut dyn MaskEncoder) -> Result<(), String> {
    let predictor = &task.predictor;
    let values = predictor.file.task.fields.iter();
    let example = Example { values: values.map(|_| TEXT.to_owned()).collect() };
    let templates =
        predictor.select(&TemplateChoice::Default).map_err(|error| error.to_string())?;
    let predictions =
        predict(encoder, predictor, &[example], &templates).map_err(|error| error.to_string())?;
    let finite = predictions.iter().all(|prediction| match &prediction.output {
        Output::Probabilities(all) => all.iter().all(|probability| probability.is_finite()),
        Output::Value(value) => value.is_finite(),
    });
    if finite { Ok(()) } else { Err("its output is not a number".to_owned()) }
}
