//! Tells what is most likely a mistake in the data of a training, before it starts.

use rayon::prelude::*;

use super::progress::note;
use crate::{
    checkpoint::Checkpoint,
    dataset::{LabeledExample, MAX_TOKENIZED, Warning, check, check_truncated, check_vocabulary},
    inference::{LoadError, load_tokenizer},
    tokenization::{PromptSet, TokenizerError},
    training::JobTask,
};

/// Notes every warning on stderr. A tokenizer or task file that does not load is left to training,
/// which says so.
pub fn note_all(tasks: &[JobTask], encoder: &Checkpoint) {
    for task in tasks {
        let data = check(&task.train, task.dev.as_ref(), &task.file.task);
        let tokens = of_tokens(task, encoder).unwrap_or_default();
        for warning in data.iter().chain(&tokens) {
            note(&format!("warning: {warning}"));
        }
    }
}

/// Texts that the encoder does not know or does not see whole, by the canonical template.
fn of_tokens(task: &JobTask, encoder: &Checkpoint) -> Result<Vec<Warning>, LoadError> {
    let tokenizer = load_tokenizer(encoder)?;
    let positions = encoder.manifest.encoder.architecture.max_positions;
    let prompts = PromptSet::new(&task.file, &tokenizer, positions, &task.path)?;
    let data = &task.train;
    let checked = &data.examples[..data.examples.len().min(MAX_TOKENIZED)];
    let unknown = checked.par_iter().map(|labeled| tokenizer.is_mostly_unknown(&labeled.example));
    let unknown: Vec<bool> = unknown.collect::<Result<_, _>>()?;
    let truncated = checked.par_iter().map(|LabeledExample { example, .. }| {
        let prompt = prompts.encode(&tokenizer, example, task.file.prompts.canonical)?;
        Ok(prompt.truncated)
    });
    let truncated: Vec<bool> = truncated.collect::<Result<_, TokenizerError>>()?;
    let warnings = [check_vocabulary(data, unknown), check_truncated(&data.path, &truncated)];
    Ok(warnings.into_iter().flatten().collect())
}
