//! One prediction of every task before the first caller asks: an encoder's first run allocates,
//! and a head that gives nonsense is found while nobody depends on it.

use super::{RegistryError, held::Held};
use crate::{
    batching::Batcher,
    inference::{MaskEncoder, PredictError, ServedTask, TemplateChoice, predict},
    task::Example,
    tokenization::Prompt,
};

/// What every field says.
const TEXT: &str = "a first look at what this makes of a text";

/// Predicts with every task of a checkpoint.
pub(super) fn run(held: &Held, encoder: &mut dyn MaskEncoder) -> Result<(), RegistryError> {
    for (name, task) in &held.model.tasks {
        check(task, encoder).map_err(|Failure { message, is_of_encoder }| {
            RegistryError::WarmUp {
                task: name.clone(),
                directory: held.directory.clone(),
                message,
                is_of_encoder,
            }
        })?;
    }
    Ok(())
}

/// The same through workers that serve already, so that new tasks on their encoder need no session
/// of their own. Goes before all calls that wait, but waits for the batches that run: not for an
/// async thread.
pub(super) fn run_through(held: &Held, batcher: &Batcher) -> Result<(), RegistryError> {
    run(held, &mut AtWork { batcher, hidden_size: held.model.architecture.hidden_size })
}

/// An encoder whose workers serve.
struct AtWork<'a> {
    batcher: &'a Batcher,
    hidden_size: usize,
}

impl MaskEncoder for AtWork<'_> {
    fn mask_vectors(&mut self, prompts: &[&Prompt]) -> Result<Vec<f32>, PredictError> {
        // Nothing in there needs a clock or the network.
        let waiting = tokio::runtime::Builder::new_current_thread()
            .build()
            .map_err(|error| PredictError::Encoder(error.to_string()))?;
        let mut vectors = Vec::with_capacity(prompts.len() * self.hidden_size);
        for &prompt in prompts {
            let encoded = waiting
                .block_on(self.batcher.probe(prompt.clone()))
                .map_err(|error| PredictError::Encoder(error.to_string()))?;
            vectors.extend_from_slice(&encoded.mask_vector);
        }
        Ok(vectors)
    }

    fn hidden_size(&self) -> usize {
        self.hidden_size
    }
}

/// An example of a task as good as any, to see whether it predicts.
pub fn sample(task: &ServedTask) -> Example {
    let values = task.predictor.file.task.fields.iter();
    Example { values: values.map(|_| TEXT.to_owned()).collect() }
}

/// Why a task does not predict.
struct Failure {
    message: String,
    /// Whether the encoder failed, and not what the checkpoint makes of its output.
    is_of_encoder: bool,
}

fn check(task: &ServedTask, encoder: &mut dyn MaskEncoder) -> Result<(), Failure> {
    let of_checkpoint = |message: String| Failure { message, is_of_encoder: false };
    let predictor = &task.predictor;
    let example = sample(task);
    let templates = predictor
        .select(&TemplateChoice::Default)
        .map_err(|error| of_checkpoint(error.to_string()))?;
    let predictions = predict(encoder, predictor, &[example], &templates).map_err(|error| {
        let is_of_encoder = matches!(error, PredictError::Encoder(_));
        Failure { message: error.to_string(), is_of_encoder }
    })?;
    let finite = predictions.iter().all(|prediction| prediction.output.is_finite());
    if finite { Ok(()) } else { Err(of_checkpoint("its output is not a number".to_owned())) }
}
