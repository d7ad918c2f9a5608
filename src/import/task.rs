//! A task that comes with an encoder which was trained elsewhere: its file, its head, and a report that
//! says so.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use super::{ImportError, head, model_files::read_file};
use crate::{
    architecture::Architecture,
    checkpoint::{Draft, GraphOutput},
    evaluation::Report,
    inference::{Head, TaskPredictor},
    prompt::TaskFile,
    tokenization::PromptTokenizer,
};

/// Bytes of a head's file.
const MAX_HEAD_BYTES: u64 = 1 << 30;

/// A task file, and the head that was trained for it.
#[derive(Clone)]
pub struct GivenTask<'a> {
    pub file: Arc<TaskFile>,
    /// Path of the task file, for messages.
    pub path: &'a str,
    /// The head, in safetensors; none where the graph has a classifier in it.
    pub head: Option<&'a Path>,
}

/// Refuses a task whose head is not where the graph needs it.
pub(super) fn check_head(
    task: Option<&GivenTask<'_>>,
    gives: GraphOutput,
    path: &Path,
) -> Result<(), ImportError> {
    let path = || path.display().to_string();
    match (gives, task) {
        (GraphOutput::HiddenStates, Some(GivenTask { head: None, .. })) => {
            Err(ImportError::NoHead { path: path() })
        }
        (GraphOutput::Logits, Some(GivenTask { head: Some(_), .. })) => {
            Err(ImportError::TwoHeads { path: path() })
        }
        (GraphOutput::Logits, None) => Err(ImportError::NoTask { path: path() }),
        _ => Ok(()),
    }
}

/// Adds the task to a checkpoint for this encoder, once it fits. With a classifier in the graph, the head
/// passes on what that says.
pub(super) fn add(
    draft: &mut Draft,
    task: &GivenTask<'_>,
    tokenizer: &[u8],
    architecture: &Architecture,
    is_classifier: bool,
) -> Result<(), ImportError> {
    let GivenTask { file, path, head } = task;
    let (hidden, outputs) = (architecture.hidden_size, file.task.kind.outputs());
    let head = match head {
        Some(head) => {
            let bytes = read_file(head, MAX_HEAD_BYTES)?;
            let wrong = |source| ImportError::Head {
                path: head.display().to_string(),
                source: Box::new(source),
            };
            head::from_bytes(&bytes, hidden, &file.task).map_err(wrong)?
        }
        None if is_classifier && hidden != outputs => {
            let (path, task) = ((*path).to_owned(), file.task.name.clone());
            return Err(ImportError::Labels { path, task, expected: outputs, found: hidden });
        }
        None => Head::identity(outputs),
    };
    let tokenizer = PromptTokenizer::from_bytes(tokenizer, Path::new(path))?;
    let positions = architecture.max_positions;
    // Templates and lengths that do not go with the encoder are refused here and not by a server.
    TaskPredictor::new(Arc::clone(file), Arc::new(tokenizer), positions, head.clone(), path)?;
    let origin = if is_classifier { "in the graph" } else { "imported" };
    let report = Report {
        metrics: BTreeMap::new(),
        dev_examples: 0,
        training: BTreeMap::from([("head".to_owned(), origin.into())]),
    };
    let report = serde_json::to_vec_pretty(&report).unwrap_or_default();
    let bytes = head.to_bytes().map_err(|error| ImportError::Head {
        path: (*path).to_owned(),
        source: Box::new(error.into()),
    })?;
    draft.add_task(&file.task.name, &file.source, &bytes, &report)?;
    Ok(())
}
