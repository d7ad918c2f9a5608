//! `manifest.json`: what a checkpoint holds.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    fmt,
    path::{Component, Path},
};

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{Error, MapAccess, Visitor},
};

use super::{ENCODER_FILE, ENCODER_WEIGHTS_FILE, ForeignGraph, digest, foreign_graph, limits};
use crate::{architecture::Architecture, weights::Precision};

/// The content of `manifest.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    pub format_version: u32,
    /// Names this very content: it changes with any byte of any file.
    pub id: String,
    pub encoder: EncoderEntry,
    /// The tokenizer's file.
    pub tokenizer: String,
    /// In order of their names.
    pub tasks: Vec<TaskEntry>,
    /// Every file but the manifest, by its path in the directory.
    #[serde(deserialize_with = "without_repetition")]
    pub files: BTreeMap<String, FileEntry>,
    pub provenance: Provenance,
}

/// The encoder's graph and shape.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EncoderEntry {
    /// What the encoder is called, such as `minilm-l6`.
    pub name: String,
    /// The graph.
    pub file: String,
    /// The file of the matrices that the graph names; none where they are in the graph itself, as
    /// formats before 3 have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<String>,
    /// How the matrices are stored.
    #[serde(default, skip_serializing_if = "is_fp32")]
    pub precision: Precision,
    pub architecture: Architecture,
    /// The file of the masked-language-model head that goes with these weights, if there is one.
    /// Left out when there is none, so that the ids of older manifests stay what they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language_head: Option<String>,
    /// How to run the graph, if another program exported it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub graph: Option<ForeignGraph>,
}

/// The files of one task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskEntry {
    pub name: String,
    pub task_file: String,
    pub head: String,
    pub report: String,
}

/// What a file must be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    pub bytes: u64,
    pub sha256: String,
}

/// Where a checkpoint comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance {
    /// Program and version that wrote it.
    pub created_by: String,
    /// The checkpoint or directory whose encoder this one has or began with.
    pub encoder_from: String,
}

impl Provenance {
    /// Of a checkpoint that this program writes now.
    pub fn new(encoder_from: impl Into<String>) -> Self {
        let created_by = concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION")).to_owned();
        Self { created_by, encoder_from: encoder_from.into() }
    }
}

/// What formats before 3 have, and do not say.
fn is_fp32(precision: &Precision) -> bool {
    *precision == Precision::Fp32
}

impl EncoderEntry {
    /// An encoder in the files where this program writes it.
    pub fn new(name: &str, architecture: Architecture, precision: Precision) -> Self {
        Self {
            name: name.to_owned(),
            file: ENCODER_FILE.to_owned(),
            weights: Some(ENCODER_WEIGHTS_FILE.to_owned()),
            precision,
            architecture,
            language_head: None,
            graph: None,
        }
    }

    /// The files that make the encoder: its graph and, if it has one, that of its matrices.
    pub fn files(&self) -> impl Iterator<Item = &String> {
        std::iter::once(&self.file).chain(&self.weights)
    }

    /// The oldest format that can say this: 2 knows the language head, 3 matrices beside the graph, 4
    /// encoders of other shapes than BERT's. A program that does not would take the manifest for a
    /// damaged one.
    pub(super) fn format_version(&self) -> u32 {
        match (&self.weights, &self.language_head) {
            _ if !self.architecture.is_bert_shaped() => 4,
            (Some(_), _) => 3,
            (None, Some(_)) => 2,
            (None, None) => 1,
        }
    }
}

impl Manifest {
    /// The id that a manifest with this content has: a hash of all the rest of it.
    pub fn expected_id(&self) -> String {
        let nameless = Self { id: String::new(), ..self.clone() };
        // Strings, numbers and maps with string keys: there is nothing that JSON cannot hold.
        let json = serde_json::to_vec(&nameless).unwrap_or_default();
        digest::of_bytes(&json)[..12].to_owned()
    }

    /// What is wrong with the manifest itself, if anything.
    pub fn fault(&self) -> Option<String> {
        let outside = |path: &&String| {
            let plain = |part| matches!(part, Component::Normal(_));
            path.is_empty() || !Path::new(path.as_str()).components().all(plain)
        };
        if let Some(path) = self.files.keys().find(outside) {
            return Some(format!("the path {path:?} leads outside the directory"));
        }
        if let Some(path) = self.named_files().find(|path| !self.files.contains_key(*path)) {
            return Some(format!("{path:?} is named but not listed under files"));
        }
        if let Err(error) = self.encoder.architecture.check() {
            return Some(error.to_string());
        }
        if let Some(fault) = foreign_graph::fault(&self.encoder) {
            return Some(fault);
        }
        if let Some(fault) = limits::fault(self) {
            return Some(fault);
        }
        (self.id != self.expected_id()).then(|| "its id does not fit its content".to_owned())
    }

    fn named_files(&self) -> impl Iterator<Item = &str> {
        let tasks = self.tasks.iter().flat_map(|t| [&t.task_file, &t.head, &t.report]);
        let encoder = self.encoder.files().chain([&self.tokenizer]);
        encoder.chain(&self.encoder.language_head).chain(tasks).map(String::as_str)
    }
}

/// Files by their names, each of them once: which of two is meant, nobody can know.
fn without_repetition<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<BTreeMap<String, FileEntry>, D::Error> {
    struct Files;
    impl<'de> Visitor<'de> for Files {
        type Value = BTreeMap<String, FileEntry>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("files by their names")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut files = BTreeMap::new();
            while let Some((name, entry)) = map.next_entry::<String, FileEntry>()? {
                match files.entry(name) {
                    Entry::Vacant(free) => drop(free.insert(entry)),
                    Entry::Occupied(taken) => {
                        let name = taken.key();
                        return Err(A::Error::custom(format!("the file {name:?} is listed twice")));
                    }
                }
            }
            Ok(files)
        }
    }
    from.deserialize_map(Files)
}
