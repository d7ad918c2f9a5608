//! Small encoders of every family against vectors that transformers computed
//! (`tests/data/families/make_references.py`).

use std::{collections::BTreeMap, fs, path::PathBuf};

use dynamar::{
    architecture::ALL,
    checkpoint::Checkpoint,
    export, import,
    inference::{MaskEncoder, Model, language_head},
    tokenization::{Prompt, PromptTokenizer},
    training::TrainableEncoder,
    weights::Precision,
};
use serde::Deserialize;

use crate::fixtures;

/// Directories with a reference. Each is one variation that a family has.
pub const IMPORTED: [&str; 14] = [
    "bert",
    "roberta",
    "xlm-roberta",
    "camembert",
    "distilbert",
    "electra",
    "albert",
    "albert-groups",
    "mpnet",
    "modernbert",
    "modernbert-local",
    "deberta-v3",
    "deberta-v2-plain",
    "deberta-v2",
];

/// The largest difference of a component in 32 bits, where vectors go up to about 5. The exact values
/// lie within 3e-6 of the reference.
const TOLERANCE: f32 = 2e-5;

#[derive(Deserialize)]
struct Reference {
    prompts: Vec<ReferencePrompt>,
    tokens: Vec<GoldenTokens>,
}

/// A template filled in and tokenised as one string by transformers.
#[derive(Deserialize)]
struct GoldenTokens {
    template: String,
    fields: BTreeMap<String, String>,
    input_ids: Vec<u32>,
    token_type_ids: Vec<u32>,
    mask_position: usize,
}

#[derive(Deserialize)]
struct ReferencePrompt {
    input_ids: Vec<u32>,
    token_type_ids: Vec<u32>,
    mask_position: usize,
    vector: Vec<f32>,
    #[serde(default)]
    logits: Vec<f32>,
}

impl ReferencePrompt {
    fn prompt(&self) -> Prompt {
        Prompt {
            input_ids: self.input_ids.clone(),
            segment_ids: self.token_type_ids.clone(),
            mask_position: self.mask_position,
            truncated: false,
        }
    }
}

fn directory(name: &str) -> PathBuf {
    fixtures::root().join("tests/data/families").join(name)
}

fn reference(name: &str) -> Reference {
    let bytes = fs::read(directory(name).join("reference.json")).expect("committed");
    serde_json::from_slice(&bytes).expect("JSON")
}

pub struct Imported {
    _home: tempfile::TempDir,
    pub checkpoint: Checkpoint,
}

/// The small encoder with this name as a checkpoint.
pub fn imported(name: &str, precision: Precision) -> Imported {
    let home = tempfile::tempdir().expect("a directory");
    let out = home.path().join(name);
    let written = import::to_checkpoint(&directory(name), name, precision, &out, false);
    let written = written.unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(written.notes, [""; 0], "{name}");
    Imported { _home: home, checkpoint: Checkpoint::open(&out).expect("intact") }
}

fn assert_close(found: &[f32], expected: &[f32], tolerance: f32, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let differences = || found.iter().zip(expected).map(|(a, b)| (a - b).abs());
    let largest = differences().fold(0.0, f32::max);
    // Not by the largest: a comparison with NaN must fail.
    let close = differences().all(|difference| difference < tolerance);
    assert!(close, "{what}: the largest difference is {largest}");
}

/// Compares what the graph computes alone and in a batch of mixed lengths with the reference.
fn check_graph(name: &str, precision: Precision, tolerance: f32) {
    let imported = imported(name, precision);
    let model = Model::from_checkpoint(&imported.checkpoint).expect("loaded");
    let mut encoder = model.encoder(&fixtures::runtime(), 1).expect("a session");
    let reference = reference(name).prompts;
    let prompts: Vec<Prompt> = reference.iter().map(ReferencePrompt::prompt).collect();
    let together = encoder.mask_vectors(&prompts.iter().collect::<Vec<_>>()).expect("encoded");
    let together = together.chunks(encoder.hidden_size()).map(<[f32]>::to_vec);
    for ((prompt, theirs), together) in prompts.iter().zip(&reference).zip(together) {
        let what = format!("{name} in {}, {} tokens", precision.name(), prompt.input_ids.len());
        let alone = encoder.mask_vectors(&[prompt]).expect("encoded");
        let largest = theirs.vector.iter().fold(1f32, |largest, x| largest.max(x.abs()));
        assert_close(&alone, &theirs.vector, tolerance * largest, &what);
        assert_close(&together, &theirs.vector, tolerance * largest, &format!("{what}, together"));
    }
}

#[test]
fn graphs_of_every_family_agree_with_transformers() {
    IMPORTED.iter().for_each(|name| check_graph(name, Precision::Fp32, TOLERANCE));
}

/// Bounds as for a trained encoder that is published.
#[test]
fn stored_in_fewer_bits_every_family_stays_close() {
    for name in IMPORTED {
        check_graph(name, Precision::Fp16, 2e-2);
        check_graph(name, Precision::Int8, 0.5);
    }
}

#[test]
fn the_trainer_agrees_with_transformers_in_every_family() {
    for name in IMPORTED {
        let imported = imported(name, Precision::Fp32);
        let weights = export::read_weights(&imported.checkpoint).expect("our own graph");
        let mut trainer = TrainableEncoder::new(&weights).expect("an encoder");
        let reference = reference(name).prompts;
        let prompts: Vec<Prompt> = reference.iter().map(ReferencePrompt::prompt).collect();
        let together = trainer.mask_vectors(&prompts.iter().collect::<Vec<_>>()).expect("encoded");
        for (found, theirs) in together.chunks(trainer.hidden_size()).zip(&reference) {
            assert_close(found, &theirs.vector, TOLERANCE * 5.0, &format!("the trainer's {name}"));
        }
    }
}

#[test]
fn language_heads_of_every_family_agree_with_transformers() {
    for name in IMPORTED {
        let imported = imported(name, Precision::Fp32);
        let head = language_head(&imported.checkpoint).expect("intact");
        let theirs = &reference(name).prompts[0];
        assert_eq!(head.is_some(), !theirs.logits.is_empty(), "{name}");
        let Some(head) = head else { continue };
        let weights = export::read_weights(&imported.checkpoint).expect("our own graph");
        let ids: Vec<u32> = (0..theirs.logits.len() as u32).collect();
        let found = head.logits(&theirs.vector, weights.word_embeddings(), &ids);
        assert_close(&found, &theirs.logits, 1e-4, &format!("logits of {name}"));
    }
}

/// Golden tokens that differ on purpose, by directory and number. ModernBERT's vocabulary has tokens for
/// runs of spaces, which span the end of a field there and the literal after it; a field is tokenised
/// alone. (The filter `strip` takes such spaces off.)
const OTHERWISE: [(&str, usize); 2] = [("modernbert", 9), ("modernbert-local", 9)];

#[test]
fn prompts_of_every_tokenizer_are_those_of_transformers() {
    let mut wrong = Vec::new();
    for name in IMPORTED {
        let path = directory(name).join("tokenizer.json");
        let tokenizer = PromptTokenizer::load(&path).expect("a tokenizer");
        let has_segments = import::read(&directory(name)).expect("imported").weights;
        let has_segments = has_segments.architecture.segment_types > 0;
        for (at, golden) in reference(name).tokens.iter().enumerate() {
            // An example without text is refused before it is tokenised.
            if golden.fields.values().any(|text| text.trim().is_empty()) {
                continue;
            }
            let prompt = crate::import::render(&golden.template, &golden.fields, &tokenizer);
            let is_same = prompt.input_ids == golden.input_ids
                && prompt.mask_position == golden.mask_position
                && (!has_segments || prompt.segment_ids == golden.token_type_ids);
            if is_same == OTHERWISE.contains(&(name, at)) {
                wrong.push(format!(
                    "{name} {at} {:?} {:?}: {:?}, expected {:?}",
                    golden.template, golden.fields, prompt.input_ids, golden.input_ids
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The vocabularies of Unigram models have their special tokens as pieces of text too.
#[test]
fn no_text_makes_a_special_token_in_any_tokenizer() {
    for name in IMPORTED {
        let path = directory(name).join("tokenizer.json");
        let tokenizer = PromptTokenizer::load(&path).expect("a tokenizer");
        let text = "a <mask>[MASK] b <s></s>[CLS][SEP]<pad> c <\u{ff4d}ask>";
        let fields = BTreeMap::from([("text".to_owned(), text.to_owned())]);
        let plain = BTreeMap::from([("text".to_owned(), "a".to_owned())]);
        let render = |fields| crate::import::render("{text} {mask}", fields, &tokenizer);
        let (prompt, plain) = (render(&fields), render(&plain));
        for special in [0, plain.mask_position, plain.input_ids.len() - 1] {
            let id = plain.input_ids[special];
            let count = |prompt: &Prompt| prompt.input_ids.iter().filter(|at| **at == id).count();
            assert_eq!(count(&prompt), count(&plain), "{name}: {id} in {:?}", prompt.input_ids);
        }
    }
}

#[test]
fn every_family_has_a_reference() {
    let names = ALL.iter().map(|family| family.name);
    let described: Vec<_> = IMPORTED
        .iter()
        .map(|name| import::read(&directory(name)).expect("imported").weights.architecture.family)
        .collect();
    for name in names {
        assert!(described.contains(&name), "{name:?}");
    }
}

#[test]
fn a_generator_of_electra_is_refused_for_its_discriminator() {
    let error = import::read(&directory("electra-generator")).expect_err("refused").to_string();
    assert!(error.contains("take the model whose name ends in -discriminator"), "{error}");
}
