use std::collections::HashMap;

use safetensors::Dtype;

use super::*;
use crate::task::Field;

fn task(kind: Kind) -> Task {
    Task { name: "polarity".to_owned(), kind, fields: Vec::<Field>::new() }
}

fn labels() -> Task {
    let labels = ["bad", "good"].map(str::to_owned).to_vec();
    task(Kind::Classification { labels })
}

type Given<'a> = (&'a str, &'a [usize], &'a [f32]);

fn file(tensors: &[Given<'_>], metadata: &[(&str, &str)]) -> Vec<u8> {
    let bytes: Vec<Vec<u8>> = tensors
        .iter()
        .map(|(.., values)| values.iter().flat_map(|value| value.to_le_bytes()).collect())
        .collect();
    let views = tensors.iter().zip(&bytes).map(|((name, shape, _), bytes)| {
        (*name, TensorView::new(Dtype::F32, shape.to_vec(), bytes).expect("a tensor"))
    });
    let metadata: HashMap<String, String> =
        metadata.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    safetensors::serialize(views, Some(metadata)).expect("a file")
}

/// `[2, 3]`: two outputs from three numbers.
const OUTPUT: &[f32] = &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
const DENSE: &[f32] = &[1.0, 0.0, 0.0, 0.0, 2.0, 0.0, 0.0, 0.0, 3.0];

#[test]
fn a_linear_head_has_any_of_its_names() {
    for stem in ["", "output.", "out_proj.", "classifier.", "head.classifier.", "0."] {
        let (weight, bias) = (format!("{stem}weight"), format!("{stem}bias"));
        let bytes = file(&[(&weight, &[2, 3], OUTPUT), (&bias, &[2], &[0.5, -0.5])], &[]);
        let head = from_bytes(&bytes, 3, &labels()).unwrap_or_else(|e| panic!("{stem}: {e}"));
        // 1·1 + 2·2 + 3·3 + 0.5, and 4·1 + 5·2 + 6·3 - 0.5.
        assert_eq!(head.logits(&[1.0, 2.0, 3.0], &[]), [14.5, 31.5], "{stem}");
    }
    let without_bias = file(&[("weight", &[2, 3], OUTPUT)], &[]);
    let head = from_bytes(&without_bias, 3, &labels()).expect("a head");
    assert_eq!(head.logits(&[1.0, 0.0, 0.0], &[]), [1.0, 4.0]);
}

#[test]
fn a_hidden_layer_is_followed_by_tanh() {
    for (prefix, first, last) in
        [("", "dense", "out_proj"), ("classifier.", "dense", "out_proj"), ("", "0", "2")]
    {
        let name = |layer: &str| format!("{prefix}{layer}.weight");
        let bytes = file(&[(&name(first), &[3, 3], DENSE), (&name(last), &[2, 3], OUTPUT)], &[]);
        let head = from_bytes(&bytes, 3, &labels()).unwrap_or_else(|e| panic!("{first}: {e}"));
        let found = head.logits(&[0.0, 0.25, 0.0], &[]);
        let inner = 0.5f32.tanh();
        assert_eq!(found, [2.0 * inner, 5.0 * inner]);
    }
}

#[test]
fn a_head_of_ours_comes_back() {
    let mut head = Head::blank(3, 2);
    head.output.weight.data[4] = 2.5;
    let bytes = head.to_bytes().expect("finite");
    assert_eq!(from_bytes(&bytes, 3, &labels()).expect("a head"), head);
}

#[test]
fn the_scale_of_a_regression_is_in_the_metadata() {
    let bytes = file(
        &[("weight", &[1, 3], &[1.0, 0.0, 0.0])],
        &[("mean", "3.5"), ("standard_deviation", "2")],
    );
    let head = from_bytes(&bytes, 3, &task(Kind::Regression { min: None, max: None }));
    let scaling = Scaling { mean: 3.5, standard_deviation: 2.0 };
    assert_eq!(head.expect("a head").scaling, scaling);
}

#[test]
fn other_files_say_what_they_hold() {
    let check = |tensors: &[Given<'_>], metadata: &[(&str, &str)], words: &str| {
        let regression = task(Kind::Regression { min: None, max: None });
        let outputs = tensors.last().map_or(0, |(_, shape, _)| shape[0]);
        let task = if outputs == 1 { regression } else { labels() };
        let error = from_bytes(&file(tensors, metadata), 3, &task).expect_err(words).to_string();
        assert!(error.contains(words), "{error}");
    };
    check(&[("lin.weight", &[2, 3], OUTPUT)], &[], "it holds lin.weight");
    let extra: Given<'_> = ("norm.weight", &[3], &[1.0; 3]);
    check(&[extra, ("output.weight", &[2, 3], OUTPUT)], &[], "norm.weight, output.weight");
    check(&[("weight", &[3, 2], OUTPUT)], &[], "shape [3, 2], expected floats and [2, 3]");
    check(&[("weight", &[2, 3], &[f32::NAN; 6])], &[], "not finite");
    let dense: Given<'_> = ("dense.weight", &[2, 3], OUTPUT);
    check(&[dense, ("output.weight", &[2, 3], OUTPUT)], &[], "as wide as the vector");
    let dense: Given<'_> = ("dense.weight", &[3, 3], DENSE);
    let output: Given<'_> = ("output.weight", &[2, 3], OUTPUT);
    check(&[dense, output], &[("activation", "relu")], "activation \"relu\", expected \"tanh\"");
    let one: Given<'_> = ("weight", &[1, 3], &[1.0; 3]);
    check(&[one], &[("standard_deviation", "0")], "standard_deviation \"0\", expected a number");
    let error = from_bytes(b"PK", 3, &labels()).expect_err("no safetensors").to_string();
    assert!(error.contains("no safetensors file"), "{error}");
}
