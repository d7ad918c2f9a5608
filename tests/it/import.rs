//! Imported encoders against vectors that PyTorch and transformers computed.

use dynamar::{
    export, import,
    inference::{MaskEncoder, Model, language_head},
    tokenization::{Prompt, PromptSet, PromptTokenizer},
    training::TrainableEncoder,
    weights::Precision,
};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

use crate::fixtures;

/// Of the largest difference in any component. The reference itself is good to 6e-6.
const TOLERANCE: f32 = 1e-4;

#[derive(Deserialize)]
pub struct Reference {
    pub prompts: Vec<ReferencePrompt>,
}

#[derive(Deserialize)]
pub struct ReferencePrompt {
    pub template: String,
    pub fields: BTreeMap<String, String>,
    pub input_ids: Vec<u32>,
    pub token_type_ids: Vec<u32>,
    pub mask_position: usize,
    pub mask_vector: Vec<f32>,
}

impl ReferencePrompt {
    /// Our own rendering of the prompt.
    pub fn render(&self, tokenizer: &PromptTokenizer) -> Prompt {
        render(&self.template, &self.fields, tokenizer)
    }
}

pub fn render(
    template: &str,
    fields: &BTreeMap<String, String>,
    tokenizer: &PromptTokenizer,
) -> Prompt {
    let names: Vec<&str> = fields.keys().map(String::as_str).collect();
    let file = fixtures::one_template_task(&names, template);
    let set = PromptSet::new(&file, tokenizer, 512, "test.toml").expect("a good template");
    let example = file.task.example(fields.clone(), usize::MAX).expect("a good example");
    set.encode(tokenizer, &example, 0).expect("encoded")
}

/// The reference of one encoder.
pub fn reference(name: &str) -> Reference {
    let path = fixtures::root().join(format!("tests/data/parity/{name}.json"));
    serde_json::from_slice(&std::fs::read(path).expect("committed")).expect("JSON")
}

pub fn assert_close(found: &[f32], expected: &[f32], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let differences = || found.iter().zip(expected).map(|(a, b)| (a - b).abs());
    let largest = differences().fold(0.0, f32::max);
    // Not by the largest: a comparison with NaN must fail.
    let close = differences().all(|difference| difference < TOLERANCE);
    assert!(close, "{what}: the largest difference is {largest}");
}

fn check(name: &str) {
    let fixture = fixtures::encoder(name);
    let checkpoint = fixture.checkpoint();
    let model = Model::from_checkpoint(&checkpoint).expect("loaded");
    let mut encoder = model.encoder(&fixtures::runtime(), 1).expect("a session");
    let tokenizer = PromptTokenizer::load(&checkpoint.path("tokenizer.json")).expect("a tokenizer");
    let reference = reference(name);
    assert_eq!(reference.prompts.len(), 20);
    let prompts: Vec<Prompt> = reference.prompts.iter().map(|p| p.render(&tokenizer)).collect();
    for (ours, theirs) in prompts.iter().zip(&reference.prompts) {
        let alone = encoder.mask_vectors(&[ours]).expect("encoded");
        assert_close(&alone, &theirs.mask_vector, &theirs.template);
    }
    // The same in one batch of mixed lengths.
    let together = encoder.mask_vectors(&prompts.iter().collect::<Vec<_>>()).expect("encoded");
    for (found, theirs) in together.chunks(encoder.hidden_size()).zip(&reference.prompts) {
        assert_close(found, &theirs.mask_vector, &theirs.template);
    }
    // The trainer's own forward pass, on weights read back from the graph.
    let weights = export::read_weights(&checkpoint);
    let mut trainer = TrainableEncoder::new(&weights.expect("weights")).expect("an encoder");
    let trained = trainer.mask_vectors(&prompts.iter().collect::<Vec<_>>()).expect("encoded");
    assert_close(&trained, &together, "the trainer against the graph");
}

#[test]
fn minilm_agrees_with_pytorch() {
    check("minilm-l6");
}

#[test]
fn bert_tiny_agrees_with_pytorch() {
    check("bert-tiny");
}

/// Its files are a download of 404 MB.
#[test]
#[ignore = "needs `python3 models/fetch.py mpnet-base`; `make test-mpnet-base` does it"]
fn mpnet_base_agrees_with_pytorch() {
    check("mpnet-base");
}

#[derive(Deserialize)]
struct LanguageReference {
    prompts: Vec<LanguagePrompt>,
}

#[derive(Deserialize)]
struct LanguagePrompt {
    template: String,
    fields: BTreeMap<String, String>,
    input_ids: Vec<u32>,
    mask_position: usize,
    top: Vec<TokenLogit>,
    others: Vec<TokenLogit>,
}

#[derive(Deserialize)]
struct TokenLogit {
    id: u32,
    logit: f32,
}

/// Of a logit; the five best lie further apart than this.
const LOGIT_TOLERANCE: f32 = 1e-3;

#[test]
fn the_language_head_of_bert_tiny_agrees_with_transformers() {
    let fixture = fixtures::encoder("bert-tiny");
    let checkpoint = fixture.checkpoint();
    let head = language_head(&checkpoint).expect("intact").expect("bert-tiny has one");
    let model = Model::from_checkpoint(&checkpoint).expect("loaded");
    let mut encoder = model.encoder(&fixtures::runtime(), 1).expect("a session");
    let tokenizer = PromptTokenizer::load(&checkpoint.path("tokenizer.json")).expect("a tokenizer");
    let weights = export::read_weights(&checkpoint).expect("our own graph");
    let vocabulary: Vec<u32> = (0..30_522).collect();
    let path = fixtures::root().join("tests/data/parity/bert-tiny-language.json");
    let reference: LanguageReference =
        serde_json::from_slice(&std::fs::read(path).expect("committed")).expect("JSON");
    assert_eq!(reference.prompts.len(), 3);
    for theirs in &reference.prompts {
        let ours = render(&theirs.template, &theirs.fields, &tokenizer);
        assert_eq!(ours.input_ids, theirs.input_ids);
        assert_eq!(ours.mask_position, theirs.mask_position);
        let vector = encoder.mask_vectors(&[&ours]).expect("encoded");
        let logits = head.logits(&vector, weights.word_embeddings(), &vocabulary);
        let mut best = vocabulary.clone();
        best.sort_by(|a, b| logits[*b as usize].total_cmp(&logits[*a as usize]));
        let expected: Vec<u32> = theirs.top.iter().map(|token| token.id).collect();
        assert_eq!(best[..expected.len()], expected, "{}", theirs.template);
        for token in theirs.top.iter().chain(&theirs.others) {
            let found = logits[token.id as usize];
            let close = (found - token.logit).abs() < LOGIT_TOLERANCE;
            assert!(close, "token {}: {found}, expected {}", token.id, token.logit);
        }
    }
}

#[test]
fn an_encoder_without_a_language_head_has_none() {
    let fixture = fixtures::encoder("minilm-l6");
    let checkpoint = fixture.checkpoint();
    assert_eq!(language_head(&checkpoint).expect("intact"), None);
    assert_eq!(checkpoint.manifest.format_version, 3);
}

/// The files of an encoder, which must not change unless that is meant: a checkpoint that is made anew
/// has the id that it had.
#[test]
fn exported_files_have_the_bytes_that_they_had() {
    for (encoder, precision, graph, weights) in EXPORTED {
        let directory = fixtures::root().join("models/fetched").join(encoder);
        let imported = import::read(&directory).expect("fetched by `make test`");
        let files = export::to_onnx(&imported.weights, precision, "encoder.weights");
        let what = format!("{encoder} in {}", precision.name());
        assert_eq!(sha256(&files.graph), graph, "encoder.onnx of {what}");
        assert_eq!(sha256(&files.weights), weights, "encoder.weights of {what}");
    }
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An encoder of the catalogue, how its matrices are stored, and the hashes of graph and matrices. The
/// graph names the program's version: a release changes its hash.
const EXPORTED: [(&str, Precision, &str, &str); 6] = [
    (
        "minilm-l6",
        Precision::Fp32,
        "ef1206cc10155bc81b488db7679d6f3a75eb549c5bbab6957c26bbc6610e923c",
        "250ff2d62e2160c4f6a8b1081d37400410c224118132f85b3475128a95988b93",
    ),
    (
        "minilm-l6",
        Precision::Fp16,
        "b7fde78830eb40bb5eb9e86c3f2e8649efb375d0cf5106e033b144fd530eeed1",
        "c667367e3a0cdcd8f689aa84dc15331b98e893a2a21fc88632ec0a98f22f07f7",
    ),
    (
        "minilm-l6",
        Precision::Int8,
        "a63903d465a590bf77e03325240213046da8e8f6af9e37a66e278fdb0586968f",
        "a6c7e0ba8124dd48a825d719948301facfc802cd6fc3456e363258e7210894f2",
    ),
    (
        "bert-tiny",
        Precision::Fp32,
        "22b0cc56ab56614a5642c43bbe7fc43173c1b978eb14a725eb5e968f40c19208",
        "56237c2bb382d92b2bb0c6696bcab5af3724b1e52bf4425a05d06a648a16b24b",
    ),
    (
        "bert-tiny",
        Precision::Fp16,
        "3907692cd3d5d94ecd0f5c91fb54afcf3425287017a91c6c17584393b7ade893",
        "22d51caf77ea8472a6cf10f263641861bf8527b9e7a4d22bb3658be6c853c136",
    ),
    (
        "bert-tiny",
        Precision::Int8,
        "d9f02cfac8c3d06cc02ca240cb1f39e48629b9f8118489f93becce07cee204fb",
        "ea2a5d61b93de5db70919c40b72b7a4d0d1d974f33f84c94e006e4fbded62381",
    ),
];
