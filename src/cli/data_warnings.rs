//! Tells what is most likely a mistake in the data of a training, before it starts.

use rayon::prelude::*;

use super::progress::note;
use crate::{
    checkpoint::Checkpoint,
    dataset::{LabeledExample, MAX_TOKENIZED, Warning, check, check_truncated, check_vocabulary},
    inference::{LoadError, load_tokenizer},
    tokenization::{PromptSet, PromptTokenizer, TokenizerError},
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
    let unknown = checked.par_iter().map(|labeled| unknown(labeled, &tokenizer));
    let unknown: Vec<(usize, usize)> = unknown.collect::<Result<_, _>>()?;
    let truncated = checked.par_iter().map(|LabeledExample { example, .. }| {
        let prompt = prompts.encode(&tokenizer, example, task.file.prompts.canonical)?;
        Ok(prompt.truncated)
    });
    let truncated: Vec<bool> = truncated.collect::<Result<_, TokenizerError>>()?;
    let warnings = [check_vocabulary(&data.path, unknown), check_truncated(&data.path, &truncated)];
    Ok(warnings.into_iter().flatten().collect())
}

/// Unknown and all tokens of an example's fields.
fn unknown(
    labeled: &LabeledExample,
    tokenizer: &PromptTokenizer,
) -> Result<(usize, usize), TokenizerError> {
    let counts = labeled.example.values.iter().map(|text| tokenizer.count_unknown(text));
    counts
        .reduce(|all, one| Ok((all?, one?)).map(|(all, one)| (all.0 + one.0, all.1 + one.1)))
        .unwrap_or(Ok((0, 0)))
}
