//! A line of the log.

use std::time::SystemTime;

use hmac::{Hmac, KeyInit, Mac};
use prost_types::Timestamp;
use serde::{
    Serialize, Serializer,
    ser::{SerializeMap, SerializeStruct},
};
use sha2::Sha256;

/// One prediction.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// When it was made.
    pub time: SystemTime,
    /// The id of its call.
    pub request_id: String,
    /// The id of its trace; empty where it is not traced.
    pub trace_id: String,
    /// Who called; empty where nobody is known.
    pub caller: String,
    /// The task as the call named it.
    pub task: String,
    /// The id of the checkpoint that answered.
    pub checkpoint: String,
    /// The templates that the example was wrapped in.
    pub templates: Vec<String>,
    /// The example's fields with their texts; none where inputs are not logged.
    pub fields: Vec<(String, String)>,
    /// What was answered.
    pub answer: Answer,
    /// Whether text was cut.
    pub truncated: bool,
    /// Windows that the text was read in, where the task has a stride.
    pub windows: Option<usize>,
}

/// What was answered.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// Labels with their probabilities, in the task's order.
    Labels(Vec<(String, f32)>),
    /// A number.
    Value(f64),
}

/// What is written of the texts.
pub(super) enum Inputs {
    Off,
    Full,
    /// A code that only whoever has the key can make of a text, so that equal texts are seen to be
    /// equal and no text can be read or tried out.
    Hashed(Box<Hmac<Sha256>>),
}

impl Inputs {
    #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
    pub fn hashed_with(key: &[u8]) -> Self {
        Self::Hashed(Box::new(Hmac::new_from_slice(key).expect("a key")))
    }

    fn shown(&self, text: &str) -> String {
        match self {
            Self::Off => String::new(),
            Self::Full => text.to_owned(),
            Self::Hashed(begun) => {
                let mut code = Hmac::clone(begun);
                code.update(text.as_bytes());
                let hex = |byte: &u8| format!("{byte:02x}");
                let digits = code.finalize().into_bytes().iter().map(hex).collect::<String>();
                format!("hmac-sha256:{digits}")
            }
        }
    }
}

/// An entry as it is written.
pub(super) struct Line<'a> {
    pub entry: &'a Entry,
    pub inputs: &'a Inputs,
}

impl Serialize for Line<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let entry = self.entry;
        let mut line = serializer.serialize_struct("Line", 13)?;
        line.serialize_field("time", &Timestamp::from(entry.time).to_string())?;
        line.serialize_field("request_id", &entry.request_id)?;
        if !entry.trace_id.is_empty() {
            line.serialize_field("trace_id", &entry.trace_id)?;
        }
        if !entry.caller.is_empty() {
            line.serialize_field("caller", &entry.caller)?;
        }
        line.serialize_field("task", &entry.task)?;
        line.serialize_field("checkpoint", &entry.checkpoint)?;
        line.serialize_field("templates", &entry.templates)?;
        if !matches!(self.inputs, Inputs::Off) {
            let shown = |(name, text): &(String, String)| (name.clone(), self.inputs.shown(text));
            let fields: Vec<_> = entry.fields.iter().map(shown).collect();
            line.serialize_field("fields", &InOrder(&fields))?;
        }
        match &entry.answer {
            Answer::Labels(labels) => {
                let best = labels.iter().rev().max_by(|(_, a), (_, b)| a.total_cmp(b));
                line.serialize_field("label", &best.map(|(label, _)| label))?;
                line.serialize_field("probabilities", &InOrder(labels))?;
            }
            Answer::Value(value) => line.serialize_field("value", value)?,
        }
        line.serialize_field("truncated", &entry.truncated)?;
        if let Some(windows) = entry.windows {
            line.serialize_field("windows", &windows)?;
        }
        line.end()
    }
}

/// An object whose members keep their order.
struct InOrder<'a, T>(&'a [(String, T)]);

impl<T: Serialize> Serialize for InOrder<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}
