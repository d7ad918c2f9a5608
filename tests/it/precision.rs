//! Encoders stored with fewer bits, in several sessions, and in older formats.

use dynamar::{
    checkpoint::Checkpoint,
    import,
    inference::{Encoder, EncoderSource, MaskEncoder, Model, encode_all},
    tokenization::Prompt,
    weights::Precision,
};
use tempfile::TempDir;

use crate::fixtures;

/// Prompts of many lengths, from two tokens on, with a mask somewhere in each.
fn prompts(vocabulary: u32) -> Vec<Prompt> {
    let prompt = |at: usize| {
        let tokens = 2 + at * 7 % 60;
        let id = |position: usize| 1 + (position * 31 + at * 17) as u32 % (vocabulary - 1);
        Prompt {
            input_ids: (0..tokens).map(id).collect(),
            segment_ids: vec![0; tokens],
            mask_position: at % tokens,
            truncated: false,
        }
    };
    (0..24).map(prompt).collect()
}

fn vectors(encoder: &mut Encoder, prompts: &[Prompt]) -> Vec<Vec<f32>> {
    encode_all(encoder, prompts).expect("encoded")
}

fn one_by_one(encoder: &mut Encoder, prompts: &[Prompt]) -> Vec<Vec<f32>> {
    let alone = |prompt: &Prompt| encoder.mask_vectors(&[prompt]).expect("encoded");
    prompts.iter().map(alone).collect()
}

/// bert-tiny, stored anew.
fn stored(precision: Precision) -> (TempDir, Model) {
    let home = tempfile::tempdir().expect("a directory");
    let fixture = fixtures::encoder("bert-tiny");
    let from = fixture.checkpoint();
    let out = home.path().join("out");
    import::with_precision(&from, precision, &out, false).expect("written");
    let model = Model::load(&out).expect("loaded");
    (home, model)
}

/// The least cosine between vectors of the same prompt, and the largest difference.
fn compare(found: &[Vec<f32>], expected: &[Vec<f32>]) -> (f32, f32) {
    let (mut least, mut largest) = (1f32, 0f32);
    for (a, b) in found.iter().zip(expected) {
        let dot = |x: &[f32], y: &[f32]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f32>();
        least = least.min(dot(a, b) / (dot(a, a) * dot(b, b)).sqrt());
        largest = a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(largest, f32::max);
    }
    (least, largest)
}

#[test]
fn fewer_bits_cost_little() {
    let (runtime, prompts) = (fixtures::runtime(), prompts(30_000));
    let fixture = fixtures::encoder("bert-tiny");
    let exact = Model::from_checkpoint(&fixture.checkpoint());
    let mut exact = exact.expect("loaded").encoder(&runtime, 1).expect("a session");
    let expected = vectors(&mut exact, &prompts);
    for (precision, cosine) in [(Precision::Fp16, 0.9999), (Precision::Int8, 0.98)] {
        let (_home, model) = stored(precision);
        let mut encoder = model.encoder(&runtime, 1).expect("a session");
        let (least, largest) = compare(&vectors(&mut encoder, &prompts), &expected);
        assert!(least > cosine, "{precision:?}: cosine {least}");
        assert!(largest > 0.0, "{precision:?}: nothing was stored anew");
    }
}

/// An answer must not depend on who shares the batch, nor on the padding that attention gathers.
#[test]
fn a_prompt_gets_the_same_alone_as_in_company() {
    // In 8 bits a rounding that falls the other way is a step of the scale.
    for (precision, tolerance) in
        [(Precision::Fp32, 1e-5), (Precision::Fp16, 1e-5), (Precision::Int8, 1e-4)]
    {
        let (_home, model) = stored(precision);
        let mut encoder = model.encoder(&fixtures::runtime(), 1).expect("a session");
        let prompts = prompts(30_000);
        let together = encoder.mask_vectors(&prompts.iter().collect::<Vec<_>>()).expect("encoded");
        let alone = one_by_one(&mut encoder, &prompts).concat();
        let differences = || together.iter().zip(&alone).map(|(a, b)| (a - b).abs());
        let largest = differences().fold(0f32, f32::max);
        assert!(differences().all(|one| one < tolerance), "{precision:?}: {largest}");
    }
}

#[test]
fn sessions_of_one_source_agree_and_outlive_it() {
    for precision in [Precision::Fp32, Precision::Fp16, Precision::Int8] {
        let (home, model) = stored(precision);
        let source = model.encoder_source(&fixtures::runtime()).expect("loaded");
        let [mut one, mut wide] = [1, 2].map(|threads| source.session(threads).expect("a session"));
        drop(source);
        // Neither needs the files any more.
        drop(home);
        let prompts = prompts(30_000);
        let found = vectors(&mut one, &prompts);
        let (_, largest) = compare(&vectors(&mut wide, &prompts), &found);
        assert!(largest < 1e-5, "{precision:?}: {largest}");
        drop(one);
        let (_, largest) = compare(&vectors(&mut wide, &prompts), &found);
        assert!(largest < 1e-5, "{precision:?}: {largest}");
    }
}

#[test]
fn a_checkpoint_of_format_1_still_opens_and_answers() {
    let directory = fixtures::root().join("tests/data/checkpoints/format-1");
    let checkpoint = Checkpoint::open(&directory).expect("intact");
    assert_eq!(checkpoint.manifest.format_version, 1);
    let architecture = &checkpoint.manifest.encoder.architecture;
    let graph = checkpoint.path(&checkpoint.manifest.encoder.file);
    let runtime = fixtures::runtime();
    let prompts: Vec<Prompt> = prompts(20)
        .into_iter()
        .filter(|prompt| prompt.input_ids.len() <= architecture.max_positions)
        .collect();
    let old = EncoderSource::open(&runtime, &graph, architecture).expect("loaded");
    let expected = vectors(&mut old.session(1).expect("a session"), &prompts);
    // Written anew, in the newest format, it is the same.
    let home = tempfile::tempdir().expect("a directory");
    let out = home.path().join("out");
    let written = import::with_precision(&checkpoint, Precision::Fp32, &out, false);
    assert_eq!(written.expect("written").manifest.format_version, 3);
    let mut new =
        Encoder::load(&runtime, &out.join("encoder.onnx"), architecture, 1).expect("loaded");
    assert_eq!(vectors(&mut new, &prompts), expected);
}
