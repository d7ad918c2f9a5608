//! The task file (TOML): a task, its inputs and outputs, and the templates that wrap them.

mod labels;
mod raw;
mod sliding_window;
mod validate;

use std::{collections::BTreeMap, fmt, fs::File, io::Read, path::Path};

use super::template::Template;
use crate::{evaluation::Metric, task::Task};

/// A task file holds no more than this many bytes.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Characters of a message about broken syntax.
const MAX_MESSAGE_CHARS: usize = 2000;

/// How a template is drawn for an example while training.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Sampling {
    /// Anew for each example at each visit.
    #[default]
    PerExample,
    /// Anew for each batch; its examples share it.
    PerBatch,
    /// Each example goes through the pool in order.
    RoundRobin,
    /// Every example appears in every template of the pool at each visit.
    All,
    /// Always the canonical template: the static-prompt baseline.
    Static,
}

/// Which templates answer when the caller does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum InferenceMode {
    /// The canonical template.
    #[default]
    Single,
    /// All templates of the pool, their predictions averaged.
    Ensemble,
}

/// How much the examples of a label count in the loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ClassWeights {
    /// Every example counts the same.
    #[default]
    Even,
    /// Labels count in proportion to the square root of their numbers: between the two others.
    Softened,
    /// All labels count the same, however many examples each has.
    Balanced,
}

impl InferenceMode {
    /// The word for it in task files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Single => "single",
            Self::Ensemble => "ensemble",
        }
    }
}

impl ClassWeights {
    pub const ALL: [Self; 3] = [Self::Even, Self::Softened, Self::Balanced];

    /// The weights of this name; `None` if there are none.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|weights| weights.name() == name)
    }

    /// All names, for messages.
    pub fn names() -> String {
        Self::ALL.map(Self::name).join(", ")
    }

    /// The name in task files and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Even => "even",
            Self::Softened => "softened",
            Self::Balanced => "balanced",
        }
    }
}

/// Reading of a text that does not fit a prompt: in windows, whose answers are averaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlidingWindow {
    /// Tokens by which each window begins after the one before; at least 1.
    pub stride: usize,
    /// Windows of an example in a template at most; at least 2. A text that needs more is cut.
    pub max_windows: usize,
    /// Line of the file that sets the stride, from 1.
    pub line: usize,
}

/// The templates of a task and their parts in training and inference.
#[derive(Debug, Clone, PartialEq)]
pub struct PromptPool {
    /// All templates of the file, in its order.
    pub templates: Vec<Template>,
    /// Index of the canonical template.
    pub canonical: usize,
    /// Indices of the templates that training draws from and an ensemble averages.
    pub pool: Vec<usize>,
    pub sampling: Sampling,
    /// Templates that answer, if the file says; else training chooses.
    pub inference: Option<InferenceMode>,
    /// `None` to cut texts that do not fit.
    pub sliding_window: Option<SlidingWindow>,
    /// The fields alone, without words of ours and without a mask: what standard fine-tuning reads.
    pub plain: Template,
}

/// Where the training data holds what the task predicts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetColumn(pub String);

/// A task file, read and checked.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskFile {
    pub task: Task,
    /// Tokens of a prompt at most, special tokens included.
    pub max_length: usize,
    /// For each field of the task, the column of the data that holds it.
    pub field_columns: Vec<String>,
    pub target_column: TargetColumn,
    /// For each label its label words; used by the label-word baseline alone.
    pub label_words: BTreeMap<String, Vec<String>>,
    /// Of a task with two labels the one that is looked for, by its index.
    pub positive: Option<usize>,
    /// The labels' shares where the task will serve, in their order; they sum to 1.
    pub priors: Option<Vec<f64>>,
    /// The figure by which a step of training is kept; `None` to choose it by the data.
    pub metric: Option<Metric>,
    /// `None` to choose them by the data.
    pub class_weights: Option<ClassWeights>,
    /// Of two labels the probability from which on the positive one is decided for; `None` leaves it
    /// to training.
    pub threshold: Option<f32>,
    pub prompts: PromptPool,
    /// The file's text, kept with the checkpoint as it is.
    pub source: String,
}

/// Why a task file is refused.
#[derive(Debug, thiserror::Error)]
pub enum TaskFileError {
    #[error("cannot read the task file {path}: {source}")]
    Read { path: String, source: std::io::Error },
    #[error("the task file {path} has more than {MAX_FILE_BYTES} bytes")]
    TooLarge { path: String },
    #[error("{path}: {message}")]
    Syntax { path: String, message: String },
    #[error("{}", list(.path, .faults))]
    Invalid { path: String, faults: Vec<TaskFileFault> },
}

/// One fault in a task file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskFileFault {
    /// Line of the file, from 1.
    pub line: usize,
    /// The template it is in, if any.
    pub template: Option<String>,
    pub message: String,
}

impl fmt::Display for TaskFileFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.template {
            Some(id) => write!(f, "template {id:?}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

fn list(path: &str, faults: &[TaskFileFault]) -> String {
    let lines: Vec<String> =
        faults.iter().map(|fault| format!("{path}:{}: {fault}", fault.line)).collect();
    lines.join("\n")
}

impl TaskFile {
    /// Reads and checks a task file; every fault is reported at once.
    pub fn read(path: &Path) -> Result<Self, TaskFileError> {
        let name = path.display().to_string();
        let unreadable = |source| TaskFileError::Read { path: name.clone(), source };
        let mut bytes = Vec::new();
        let file = File::open(path).map_err(unreadable)?;
        // One more than may be, to see that it is too much.
        file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
        Self::from_bytes(&bytes, &name)
    }

    /// Checks the bytes of a task file; `path` is for messages.
    pub fn from_bytes(bytes: &[u8], path: &str) -> Result<Self, TaskFileError> {
        if bytes.len() as u64 > MAX_FILE_BYTES {
            return Err(TaskFileError::TooLarge { path: path.to_owned() });
        }
        let text = std::str::from_utf8(bytes).map_err(|error| TaskFileError::Syntax {
            path: path.to_owned(),
            message: error.to_string(),
        })?;
        Self::parse(text, path)
    }

    /// Checks the text of a task file; `path` is for messages.
    pub fn parse(text: &str, path: &str) -> Result<Self, TaskFileError> {
        let raw: raw::File = toml::from_str(text).map_err(|error| TaskFileError::Syntax {
            path: path.to_owned(),
            // It quotes the line, which may be all of the file.
            message: error.to_string().chars().take(MAX_MESSAGE_CHARS).collect(),
        })?;
        validate::validate(raw, text)
            .map_err(|faults| TaskFileError::Invalid { path: path.to_owned(), faults })
    }

    /// The same task without a prompt: its only template is the plain one, which has no mask and
    /// is read at its first token. This is the input of standard fine-tuning.
    pub fn without_prompt(&self) -> Self {
        let prompts = PromptPool {
            templates: vec![self.prompts.plain.clone()],
            canonical: 0,
            pool: vec![0],
            sampling: Sampling::Static,
            inference: None,
            sliding_window: self.prompts.sliding_window,
            plain: self.prompts.plain.clone(),
        };
        Self { prompts, ..self.clone() }
    }

    /// The same task with another way of drawing templates and of answering.
    pub fn with_templates(&self, sampling: Sampling, inference: InferenceMode) -> Self {
        let inference = Some(inference);
        let prompts = PromptPool { sampling, inference, ..self.prompts.clone() };
        Self { prompts, ..self.clone() }
    }

    /// Whether every label has words that stand for it.
    pub fn has_all_label_words(&self) -> bool {
        let has = |label| self.label_words.get(label).is_some_and(|words| !words.is_empty());
        !self.labels().is_empty() && self.labels().iter().all(has)
    }

    /// Of two labels the name of the one that is looked for.
    pub fn positive_label(&self) -> Option<&str> {
        self.labels().get(self.positive?).map(String::as_str)
    }

    /// The labels of a classification task; empty for regression.
    pub fn labels(&self) -> &[String] {
        match &self.task.kind {
            crate::task::Kind::Classification { labels } => labels,
            crate::task::Kind::Regression { .. } => &[],
        }
    }
}

#[cfg(test)]
mod tests;
