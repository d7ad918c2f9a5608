//! One prediction of every task before the first caller asks: an encoder's first run allocates,
//! and a head that gives nonsense is found while nobody depends on it.

use super::{Located, RegistryError};
use crate::{
    inference::{MaskEncoder, ServedTask, TemplateChoice, predict},
    task::{Example, Output},
};

/// What every field says.
const TEXT: &str = "a first look at what this makes of a text";

/// Predicts with every task of a checkpoint.
pub(super) fn run(located: &Located, encoder: &mut dyn MaskEncoder) -> Result<(), RegistryError> {
    for (name, task) in &located.model.tasks {
        check(task, encoder).map_err(|message| RegistryError::WarmUp {
            task: name.clone(),
            directory: located.directory.clone(),
            message,
        })?;
    }
    Ok(())
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
