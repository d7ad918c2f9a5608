//! Checkpoints with hand-made heads on the smallest encoder.

use std::{collections::BTreeMap, path::Path};

use dynamar::{
    checkpoint::{
        Checkpoint, Draft, ENCODER_FILE, ENCODER_WEIGHTS_FILE, EncoderEntry, Provenance,
        TOKENIZER_FILE,
    },
    evaluation::Report,
    inference::{Activation, Calibration, Dense, Head, Layer, Scaling},
    prompt::TaskFile,
    weights::Array,
};
use tempfile::TempDir;

use crate::fixtures;

/// Two classes, one field, one template held out of the pool.
pub const POLARITY: &str = r#"
[task]
name = "polarity"
kind = "classification"
max_length = 48
[fields.text]
min_tokens = 8
[labels]
column = "label"
names = ["negative", "positive"]
[prompt]
canonical = "it-was"
[[prompt.template]]
id = "it-was"
text = "{text} It was {mask}."
[[prompt.template]]
id = "overall"
text = "Overall {mask}: {text}"
[[prompt.template]]
id = "unseen"
text = "A {mask} product. {text}"
held_out = true
"#;

/// A number, one field.
pub const INTENSITY: &str = r#"
[task]
name = "intensity"
kind = "regression"
max_length = 64
[fields.text]
[target]
column = "rating"
min = -4.0
max = 4.0
[prompt]
canonical = "rated"
[[prompt.template]]
id = "rated"
text = "{text} I rate it {mask}."
[[prompt.template]]
id = "score"
text = "Score {mask}. {text}"
"#;

/// Three fields, one of them optional, four classes, an ensemble unless the call says otherwise.
pub const MATCH: &str = r#"
[task]
name = "match"
kind = "classification"
max_length = 96
[fields.query]
priority = 2
[fields.title]
[fields.brand]
optional = true
[labels]
column = "label"
names = ["exact", "substitute", "complement", "irrelevant"]
[prompt]
canonical = "pair"
inference = "ensemble"
[[prompt.template]]
id = "pair"
text = "{query}{sep}{title} {brand} Match: {mask}."
[[prompt.template]]
id = "asked"
text = "Asked: {query}. Found: {title}. {mask}!"
[[prompt.template]]
id = "is-it"
text = "Is {title} by {brand} what {query} means? {mask}."
"#;

/// A models directory with two checkpoints that share an encoder: `reviews` with `polarity` and
/// `intensity`, `shop` with `match`.
pub fn models() -> TempDir {
    let home = tempfile::tempdir().expect("a directory");
    write(&home.path().join("reviews"), &[POLARITY, INTENSITY]);
    write(&home.path().join("shop"), &[MATCH]);
    home
}

/// How a checkpoint differs from the usual ones.
#[derive(Clone, Copy)]
pub struct Variant<'a> {
    /// Makes heads that are others; an infinite one makes heads whose numbers are too large.
    pub seed: f32,
    /// In place of the smallest encoder.
    pub encoder: Option<&'a Checkpoint>,
}

impl Default for Variant<'_> {
    fn default() -> Self {
        Self { seed: 1.0, encoder: None }
    }
}

/// A checkpoint with these tasks. No two tasks have the same head.
pub fn write(target: &Path, tasks: &[&str]) {
    write_as(target, tasks, Variant::default());
}

/// The same, but for the heads or the encoder.
pub fn write_as(target: &Path, tasks: &[&str], variant: Variant) {
    publish_as(Draft::new(target, false).expect("a free place"), tasks, variant);
}

/// The same in the place of another one.
pub fn replace_as(target: &Path, tasks: &[&str], variant: Variant) {
    publish_as(Draft::new(target, true).expect("a place"), tasks, variant);
}

fn publish_as(mut draft: Draft, tasks: &[&str], variant: Variant) {
    let fixture = fixtures::encoder("bert-tiny");
    let usual = fixture.checkpoint();
    let encoder = variant.encoder.unwrap_or(&usual);
    for file in [ENCODER_FILE, ENCODER_WEIGHTS_FILE, TOKENIZER_FILE] {
        draft.share(encoder, file).expect("shared");
    }
    for (at, text) in tasks.iter().enumerate() {
        let file = TaskFile::parse(text, "task.toml").expect("a good task file");
        let hidden = encoder.manifest.encoder.architecture.hidden_size;
        let head = head(hidden, file.task.kind.outputs(), variant.seed + at as f32);
        let head = head.to_bytes().expect("serialised");
        draft.add_task(&file.task.name, text, &head, &report()).expect("added");
    }
    publish(draft, encoder);
}

/// A checkpoint with an encoder and no task.
pub fn write_encoder(target: &Path) {
    let fixture = fixtures::encoder("bert-tiny");
    let encoder = fixture.checkpoint();
    let mut draft = Draft::new(target, false).expect("a free place");
    for file in [ENCODER_FILE, ENCODER_WEIGHTS_FILE, TOKENIZER_FILE] {
        draft.share(&encoder, file).expect("shared");
    }
    publish(draft, &encoder);
}

fn publish(draft: Draft, encoder: &Checkpoint) {
    let encoder = encoder.manifest.encoder.clone();
    let entry = EncoderEntry { language_head: None, ..encoder };
    let provenance = Provenance::new("a test");
    draft.publish(entry, TOKENIZER_FILE, provenance).expect("published");
}

fn report() -> Vec<u8> {
    let report = Report {
        metrics: BTreeMap::from([("accuracy".to_owned(), 0.875)]),
        dev_examples: 8,
        ..Report::default()
    };
    serde_json::to_vec(&report).expect("serialised")
}

/// Weights without a pattern, large enough for answers that differ from text to text.
fn head(hidden: usize, outputs: usize, seed: f32) -> Head {
    let array = |shape: &[usize], scale: f32| Array {
        shape: shape.to_vec(),
        data: (0..shape.iter().product())
            .map(|at: usize| match seed.is_finite() {
                true => ((at as f32 + seed) * 12.9898).sin() * scale,
                false => f32::MAX,
            })
            .collect(),
    };
    Head {
        dense: (seed > 1.0 && seed.is_finite()).then(|| Dense {
            layer: Layer { weight: array(&[hidden, hidden], 0.1), bias: array(&[hidden], 0.1) },
            activation: Activation::Tanh,
        }),
        output: Layer { weight: array(&[hidden, outputs], 0.2), bias: array(&[outputs], 0.1) },
        scaling: Scaling { mean: 0.5, standard_deviation: 2.0 },
        calibration: Calibration::NONE,
        pair_similarity: None,
        inference: None,
    }
}
