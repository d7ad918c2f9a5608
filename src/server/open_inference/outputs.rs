//! What a task answers, as tensors.

use crate::task::{Kind, Task};

/// An output tensor of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::server) enum OutputTensor {
    /// The probability of each label, in the order of the task file.
    Probabilities,
    /// The most probable label, or as many as `top_k` asks for.
    Labels,
    /// The label to act on; empty where none is decided for.
    Decision,
    /// The number, in the unit of the training target.
    Value,
    /// Whether text was cut to fit.
    Truncated,
}

impl OutputTensor {
    /// All outputs of a task of this kind.
    pub(super) fn of(kind: &Kind) -> &'static [Self] {
        match kind {
            Kind::Classification { .. } => {
                &[Self::Probabilities, Self::Labels, Self::Truncated, Self::Decision]
            }
            Kind::Regression { .. } => &[Self::Value, Self::Truncated],
        }
    }

    /// Those that come where none is asked for by its name, in this order.
    pub(super) fn usual(kind: &Kind) -> impl Iterator<Item = Self> {
        Self::of(kind).iter().copied().filter(|&output| output != Self::Decision)
    }

    /// Its name in a request.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Probabilities => "probabilities",
            Self::Labels => "labels",
            Self::Decision => "decision",
            Self::Value => "value",
            Self::Truncated => "truncated",
        }
    }

    /// The protocol's word for its elements.
    pub(super) fn datatype(self) -> &'static str {
        match self {
            Self::Probabilities => "FP32",
            Self::Labels | Self::Decision => "BYTES",
            Self::Value => "FP64",
            Self::Truncated => "BOOL",
        }
    }

    /// Its shape for so many examples (-1: any number) of a task.
    pub(super) fn shape(self, task: &Task, examples: i64, top_k: u32) -> Vec<i64> {
        let wide = |columns: usize| i64::try_from(columns).unwrap_or(i64::MAX);
        let labels = task.kind.outputs();
        match self {
            Self::Probabilities => vec![examples, wide(labels)],
            Self::Labels if top_k > 0 => vec![examples, i64::from(top_k).min(wide(labels))],
            Self::Labels | Self::Decision | Self::Value | Self::Truncated => vec![examples],
        }
    }
}
