use std::collections::HashMap;

use safetensors::{Dtype, tensor::TensorView};

use super::{file::little_endian, *};
use crate::task::{Field, Task, Truncate};

fn matrix(shape: &[usize], data: &[f32]) -> Array {
    Array { shape: shape.to_vec(), data: data.to_vec() }
}

fn mlp() -> Head {
    Head {
        dense: Some(Dense {
            layer: Layer {
                weight: matrix(&[2, 2], &[1.0, 0.5, -2.0, 0.25]),
                bias: matrix(&[2], &[0.1, -0.1]),
            },
            activation: Activation::Tanh,
        }),
        output: Layer {
            weight: matrix(&[2, 3], &[1.0, 2.0, 3.0, -1.0, 0.5, 0.0]),
            bias: matrix(&[3], &[0.0, 0.1, 0.2]),
        },
        scaling: Scaling { mean: 3.5, standard_deviation: 0.5 },
        calibration: Calibration {
            temperature: 2.0,
            shift: vec![0.5, -0.5, 0.0],
            threshold: Some(0.25),
        },
        pair_similarity: None,
        inference: Some(InferenceMode::Ensemble),
    }
}

/// A task that compares its first two fields of three.
fn task(labels: usize) -> Task {
    let labels = (0..labels).map(|label| label.to_string()).collect();
    let field = |name: &str| Field {
        name: name.to_owned(),
        min_tokens: 1,
        truncate: Truncate::Tail,
        priority: 1,
        optional: false,
    };
    let fields = ["left_name", "right_name", "shop"].map(field).to_vec();
    Task { name: "task".to_owned(), kind: Kind::Classification { labels }, fields }
}

/// A head that adds the Jaccard similarity of words to the second logit.
fn with_similarity() -> Head {
    let task = task(3);
    let pairs = crate::lexical::pairs(&task.fields);
    let mut weight = matrix(&[12, 3], &[0.0; 36]);
    weight.data[2 * 3 + 1] = 4.0;
    let output = Layer { weight, bias: matrix(&[3], &[0.0, 0.0, 0.5]) };
    let pair_similarity = Some(PairSimilarity::new(&task.fields, pairs, output));
    Head { pair_similarity, ..mlp() }
}

fn example(values: [&str; 3]) -> Example {
    Example { values: values.map(str::to_owned).to_vec() }
}

#[test]
fn similarities_are_added_to_the_outputs() {
    let head = with_similarity();
    assert_eq!(head.offsets(&example(["red shoe", "red hat", "x"])), [0.0, 4.0 / 3.0, 0.5]);
    assert!(mlp().offsets(&example(["red", "red", "x"])).is_empty());
    let plain = head.logits(&[1.0, 2.0], &[]);
    let moved = head.logits(&[1.0, 2.0], &[0.0, 1.0, 0.5]);
    assert_eq!(moved, [plain[0], plain[1] + 1.0, plain[2] + 0.5]);
}

#[test]
fn similarities_survive_in_the_file_and_are_bound_by_name() {
    let head = with_similarity();
    let bytes = head.to_bytes().expect("serialised");
    let task = task(3);
    assert_eq!(Head::from_bytes(&bytes, 2, &task).expect("intact"), head);
    let mut turned = task.clone();
    turned.fields.rotate_right(1);
    let found = Head::from_bytes(&bytes, 2, &turned).expect("the same fields");
    let expected = head.offsets(&example(["red shoe", "red hat", "x"]));
    assert_eq!(found.offsets(&example(["x", "red shoe", "red hat"])), expected);
    let mut renamed = task.clone();
    renamed.fields[1].name = "other".to_owned();
    let error = Head::from_bytes(&bytes, 2, &renamed).expect_err("another field").to_string();
    assert!(error.contains("\"right_name\""), "{error}");
    let version = br#"version\":"#;
    let at = bytes.windows(version.len()).position(|window| window == version).expect("a version");
    let mut newer = bytes;
    newer[at + version.len()] = b'7';
    let error = Head::from_bytes(&newer, 2, &task).expect_err("a newer one").to_string();
    assert!(error.contains("version 7"), "{error}");
}

#[test]
fn heads_compute_what_they_say() {
    let head = mlp();
    let inner = [(1.0f32 - 4.0 + 0.1).tanh(), (0.5f32 + 0.5 - 0.1).tanh()];
    let expected =
        [inner[0] - inner[1], 2.0 * inner[0] + 0.5 * inner[1] + 0.1, 3.0 * inner[0] + 0.2];
    for (found, expected) in head.logits(&[1.0, 2.0], &[]).iter().zip(expected) {
        assert!((found - expected).abs() < 1e-6, "{found} {expected}");
    }
    let linear = Head { dense: None, ..head };
    assert_eq!(linear.logits(&[2.0, 1.0], &[]), [1.0, 4.6, 6.2]);
    let kind = Kind::Regression { min: None, max: None };
    assert_eq!(linear.output(&kind, &linear.logits(&[2.0, 1.0], &[])), Output::Value(4.0));
}

#[test]
fn label_word_heads_go_through_gelu_and_a_norm() {
    let norm = Activation::GeluNorm {
        weight: matrix(&[2], &[1.0, 2.0]),
        bias: matrix(&[2], &[0.5, 0.0]),
        epsilon: 1e-12,
    };
    let mut head = mlp();
    head.dense.iter_mut().for_each(|dense| dense.activation = norm.clone());
    // Of two numbers a norm leaves the signs of their difference: here -1 and 1.
    assert_eq!(head.dense.as_ref().map(|dense| dense.apply(&[1.0, 2.0])), Some(vec![-0.5, 2.0]));
    assert!((gelu(1.0) - 0.841_344_7).abs() < 1e-6 && gelu(0.0) == 0.0);
    let bytes = head.to_bytes().expect("serialised");
    assert_eq!(Head::from_bytes(&bytes, 2, &task(3)).expect("intact"), head);
}

#[test]
fn a_calibration_that_does_not_fit_is_refused() {
    for bad in [
        Calibration { temperature: 0.0, ..Calibration::NONE },
        Calibration { shift: vec![0.0; 2], ..Calibration::NONE },
        Calibration { threshold: Some(1.5), ..Calibration::NONE },
    ] {
        let bytes = Head { calibration: bad, ..mlp() }.to_bytes().expect("serialised");
        let error = Head::from_bytes(&bytes, 2, &task(3)).expect_err("refused");
        assert!(matches!(error, HeadError::Calibration { outputs: 3 }), "{error}");
    }
}

#[test]
fn heads_of_older_files_are_not_calibrated() {
    let old = Head { calibration: Calibration::NONE, inference: None, ..mlp() };
    let arrays = old.arrays();
    let bytes: Vec<Vec<u8>> = arrays.iter().map(|(_, array)| little_endian(array)).collect();
    let views = arrays.iter().zip(&bytes).map(|((name, array), bytes)| {
        let view = TensorView::new(Dtype::F32, array.shape.clone(), bytes);
        (name, view.expect("a view"))
    });
    let settings = r#"{"mean":3.5,"standard_deviation":0.5}"#;
    let metadata = HashMap::from([(Head::SETTINGS.to_owned(), settings.to_owned())]);
    let file = safetensors::serialize(views, Some(metadata)).expect("serialised");
    assert_eq!(Head::from_bytes(&file, 2, &task(3)).expect("intact"), old);
}

#[test]
fn head_files_survive_and_are_checked() {
    let head = mlp();
    let bytes = head.to_bytes().expect("serialised");
    assert_eq!(Head::from_bytes(&bytes, 2, &task(3)).expect("intact"), head);
    for (hidden, outputs, words) in [(3, 3, "dense.weight"), (2, 2, "output.weight")] {
        let error = Head::from_bytes(&bytes, hidden, &task(outputs)).expect_err(words).to_string();
        assert!(error.contains(words), "{error}");
    }
    assert!(Head::from_bytes(b"", 2, &task(3)).is_err());
    let mut bad = head;
    bad.output.bias.data[0] = f32::INFINITY;
    assert!(matches!(bad.to_bytes(), Err(HeadError::NotFinite)));
    let one = 1f32.to_le_bytes();
    let infinite = f32::INFINITY.to_le_bytes();
    bad.output.bias.data[0] = 1.0;
    bad.output.weight.data.fill(0.5);
    let mut bytes = bad.to_bytes().expect("serialised");
    let at = bytes.windows(4).rposition(|window| window == one).expect("the one");
    bytes[at..at + 4].copy_from_slice(&infinite);
    assert!(matches!(Head::from_bytes(&bytes, 2, &task(3)), Err(HeadError::NotFinite)));
}

#[test]
fn values_stay_inside_the_declared_range() {
    let mut head = Head::blank(1, 1);
    head.output.weight.data[0] = 1.0;
    let value = |min, max, at: f32| {
        let kind = Kind::Regression { min, max };
        let Output::Value(value) = head.output(&kind, &head.logits(&[at], &[])) else {
            panic!("a value")
        };
        value
    };
    assert_eq!(value(Some(-4.0), Some(4.0), 9.0), 4.0);
    assert_eq!(value(Some(-4.0), Some(4.0), -9.0), -4.0);
    assert_eq!(value(Some(-4.0), Some(4.0), 1.5), 1.5);
    assert_eq!((value(None, Some(4.0), -9.0), value(Some(1.0), None, 9.0)), (-9.0, 9.0));
    assert!(value(Some(-4.0), Some(4.0), f32::NAN).is_nan());
}
