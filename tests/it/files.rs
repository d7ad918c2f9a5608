//! The files of a checkpoint that change, or that somebody else has made.

use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    path::Path,
};

use dynamar::{
    checkpoint::{Checkpoint, ENCODER_FILE, ENCODER_WEIGHTS_FILE},
    import,
    inference::{Encoder, MaskEncoder, Model},
    tokenization::Prompt,
    weights::Precision,
};
use tempfile::TempDir;

use crate::fixtures;

/// bert-tiny, stored anew in files of its own.
fn stored(precision: Precision) -> (TempDir, Model) {
    let home = tempfile::tempdir().expect("a directory");
    let fixture = fixtures::encoder("bert-tiny");
    let from = fixture.checkpoint();
    let out = home.path().join("out");
    import::with_precision(&from, precision, &out, false).expect("written");
    let model = Model::load(&out).expect("loaded");
    (home, model)
}

fn prompts() -> Vec<Prompt> {
    let prompt = |tokens: u32| Prompt {
        input_ids: (0..tokens).map(|at| 1 + at * 331 % 30_000).collect(),
        segment_ids: vec![0; tokens as usize],
        mask_position: tokens as usize / 2,
        truncated: false,
    };
    [1, 2, 5, 17, 60, 300].map(prompt).into()
}

/// Alone and in company, which are products of different shapes.
fn vectors(encoder: &mut Encoder) -> Vec<f32> {
    let prompts = prompts();
    let mut all = encoder.mask_vectors(&prompts.iter().collect::<Vec<_>>()).expect("encoded");
    for prompt in &prompts {
        all.extend(encoder.mask_vectors(&[prompt]).expect("encoded"));
    }
    all
}

fn cut_short(file: &Path) {
    OpenOptions::new().write(true).open(file).expect("opened").set_len(0).expect("cut short");
}

/// Whoever looked at the mapped file now would be killed (SIGBUS).
#[test]
fn files_that_are_cut_short_change_no_answer_and_end_nothing() {
    for precision in [Precision::Fp32, Precision::Fp16, Precision::Int8] {
        let (home, model) = stored(precision);
        let runtime = fixtures::runtime();
        let expected = vectors(&mut model.encoder(&runtime, 1).expect("a session"));
        let source = model.encoder_source(&runtime).expect("loaded");
        let mut before = source.session(1).expect("a session");
        for file in [ENCODER_FILE, ENCODER_WEIGHTS_FILE] {
            cut_short(&home.path().join("out").join(file));
        }
        // A source is what was read, and needs no file to make more sessions.
        let mut after = source.session(2).expect("a session");
        assert_eq!(vectors(&mut before), expected, "{precision:?}");
        drop(source);
        assert_eq!(vectors(&mut before), expected, "{precision:?}");
        let largest = vectors(&mut after)
            .iter()
            .zip(&expected)
            .map(|(a, b)| (a - b).abs())
            .fold(0f32, f32::max);
        assert!(largest < 1e-5, "{precision:?}: {largest}");
        let again = model.encoder_source(&runtime).err().expect("it is damaged").to_string();
        assert!(again.contains(ENCODER_FILE) && again.contains("found 0"), "{again}");
    }
}

#[test]
fn what_is_run_is_what_the_manifest_says() {
    for file in [ENCODER_FILE, ENCODER_WEIGHTS_FILE] {
        let (home, model) = stored(Precision::Fp32);
        // In place, with as many bytes, after it was looked at.
        let path = home.path().join("out").join(file);
        let mut bytes = fs::read(&path).expect("read");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        let mut open = File::options().write(true).open(&path).expect("opened");
        open.write_all(&bytes).expect("written");
        let error = model.encoder_source(&fixtures::runtime()).err().expect("another").to_string();
        assert!(error.contains(file) && error.contains("expected"), "{error}");
        let error = Checkpoint::open(&home.path().join("out")).expect_err("another").to_string();
        assert!(error.contains(file), "{error}");
    }
}
