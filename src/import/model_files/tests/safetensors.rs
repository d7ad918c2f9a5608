use std::fs::OpenOptions;
use std::os::unix::fs::{FileExt, symlink};

use half::{bf16, f16};

use super::*;

const INDEX: &str = "model.safetensors.index.json";

fn model(files: &[(&str, &[u8])]) -> TempDir {
    let directory = directory(files);
    put(directory.path(), "config.json", b"{}");
    directory
}

#[test]
fn tensors_of_each_type_are_read_as_floats() {
    let values = halves(&[2, 3]);
    let of = |bytes: &dyn Fn(f32) -> Vec<u8>| values.data.iter().flat_map(|v| bytes(*v)).collect();
    let shape: &[usize] = &[2, 3];
    let bytes = serialised(&[
        ("f32", Dtype::F32, shape, of(&|v| v.to_le_bytes().to_vec())),
        ("f64", Dtype::F64, shape, of(&|v| f64::from(v).to_le_bytes().to_vec())),
        ("f16", Dtype::F16, shape, of(&|v| f16::from_f32(v).to_le_bytes().to_vec())),
        ("bf16", Dtype::BF16, shape, of(&|v| bf16::from_f32(v).to_le_bytes().to_vec())),
        ("i64", Dtype::I64, &[2], vec![0; 16]),
        ("f8", Dtype::F8_E4M3, &[2], vec![0; 2]),
        ("empty", Dtype::F32, &[0, 3], vec![]),
        ("scalar", Dtype::F32, &[], 1.5f32.to_le_bytes().to_vec()),
    ]);
    let directory = model(&[("model.safetensors", &bytes)]);
    let files = open(directory.path()).expect("readable");
    for name in ["f32", "f64", "f16", "bf16"] {
        assert_eq!(read(&files, name), values, "{name}");
    }
    assert_eq!(read(&files, "empty"), Array { shape: vec![0, 3], data: vec![] });
    assert_eq!(read(&files, "scalar"), Array { shape: vec![], data: vec![1.5] });
    // Only what is read must be of a type that can be.
    for (name, dtype) in [("i64", "I64"), ("f8", "F8_E4M3")] {
        let error = files.read(name).expect_err(name).to_string();
        assert!(error.contains(name) && error.contains(dtype), "{error}");
    }
    assert_eq!(files.shape("i64"), Some([2].as_slice()));
    assert_eq!(files.shape("none"), None);
    assert_eq!(files.read("none").expect("no fault"), None);
    let names: Vec<&str> = files.names().collect();
    assert_eq!(names, ["bf16", "empty", "f16", "f32", "f64", "f8", "i64", "scalar"]);
}

#[test]
fn a_tensor_may_be_longer_than_a_piece() {
    let values = halves(&[700, 1000]);
    let bytes = values.data.iter().flat_map(|value| value.to_le_bytes()).collect();
    let bytes = serialised(&[("a", Dtype::F32, &[700, 1000], bytes)]);
    let directory = model(&[("model.safetensors", &bytes)]);
    assert_eq!(read(&open(directory.path()).expect("readable"), "a"), values);
}

#[test]
fn headers_that_do_not_fit_are_refused() {
    let good = with_tensors(&["a", "b"]);
    let check = |bytes: &[u8], words: &str| refused(&[("model.safetensors", bytes)], words);
    check(b"garbage", "it has 7 bytes");
    check(&u64::MAX.to_le_bytes(), "more than the file");
    check(&[&9u64.to_le_bytes()[..], b"{}"].concat(), "more than the file");
    check(&[&2u64.to_le_bytes()[..], b"[]"].concat(), "no safetensors");
    check(&[good.as_slice(), b"x"].concat(), "needs 16 bytes of data, it has 17");
    check(&good[..good.len() - 1], "needs 16 bytes of data, it has 15");
    let header = |text: &str| [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat();
    let huge = r#"{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}}"#;
    check(&header(huge), "no safetensors");
    let deep = r#"{"a":{"dtype":"F32","shape":[0,1,1,1,1,1,1,1,1],"data_offsets":[0,0]}}"#;
    check(&header(deep), "9 dimensions");
    check(&header(r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}"#), "no safetensors");
    for end in 1..good.len() {
        let directory = model(&[("model.safetensors", &good[..end])]);
        open(directory.path()).expect_err("cut short");
    }
}

#[test]
fn a_file_that_changes_underneath_is_an_error() {
    let directory = model(&[("model.safetensors", &with_tensors(&["a", "b"]))]);
    let files = open(directory.path()).expect("readable");
    let path = directory.path().join("model.safetensors");
    let file = OpenOptions::new().write(true).open(&path).expect("opened");
    let length = file.metadata().expect("known").len();
    file.set_len(length - 4).expect("cut");
    let error = files.read("b").expect_err("cut").to_string();
    assert!(error.contains("changed while it was read"), "{error}");
    // The file has its length again, and was written to.
    file.write_all_at(&[0; 4], length - 4).expect("written");
    let later = std::time::SystemTime::now() + std::time::Duration::from_secs(10);
    file.set_modified(later).expect("set");
    let error = files.read("a").expect_err("written to").to_string();
    assert!(error.contains("changed while it was read"), "{error}");
}

#[test]
fn shards_are_read_by_their_index() {
    let index = br#"{"metadata": {"total_size": 24},
        "weight_map": {"a": "one.safetensors", "b": "two.safetensors", "c": "one.safetensors"}}"#;
    let directory = model(&[
        (INDEX, index),
        ("one.safetensors", &with_tensors(&["a", "c", "left out"])),
        ("two.safetensors", &with_tensors(&["b"])),
    ]);
    let files = open(directory.path()).expect("readable");
    assert_eq!(files.names().collect::<Vec<_>>(), ["a", "b", "c"]);
    for name in ["a", "b", "c"] {
        assert_eq!(read(&files, name), halves(&[2]));
    }
    assert_eq!(files.path("b"), directory.path().join("two.safetensors"));
    assert_eq!(files.path("none"), directory.path().join(INDEX));
    assert_eq!(files.location(), directory.path().join(INDEX));
    // A single file comes first.
    put(directory.path(), "model.safetensors", &with_tensors(&["d"]));
    assert_eq!(open(directory.path()).expect("readable").names().collect::<Vec<_>>(), ["d"]);
}

#[test]
fn indexes_that_lead_astray_are_refused() {
    let shard = with_tensors(&["a"]);
    let check = |map: &str, words: &str| {
        let index = format!(r#"{{"weight_map": {map}}}"#);
        refused(&[(INDEX, index.as_bytes()), ("one.safetensors", &shard)], words);
    };
    check(r#"{"a": "two.safetensors", "b": "three"}"#, "not there: three, two.safetensors");
    check(r#"{"a": "one.safetensors", "b": "one.safetensors", "c": "one.safetensors"}"#, ": b, c");
    for name in ["../one", "/etc/passwd", "a/b", ".", "..", "", "one.safetensors/"] {
        check(&format!(r#"{{"a": "{name}"}}"#), "no plain file name");
    }
    check(r#"{"a": "a\u0000b"}"#, "no plain file name");
    check("[]", "not the JSON");
    let many: Vec<String> = (0..257).map(|at| format!(r#""{at}": "{at}""#)).collect();
    check(&format!("{{{}}}", many.join(",")), "names 257 files");
    refused(&[(INDEX, b"<?xml version=\"1.0\"?><Error/>")], "XML");
    let map = br#"{"weight_map": {"a": "one.safetensors"}}"#;
    refused(&[(INDEX, map), ("one.safetensors", b"")], "empty file");
}

#[test]
fn a_shard_that_is_a_link_out_is_refused() {
    let elsewhere = directory(&[("one", &with_tensors(&["a"]))]);
    let directory = model(&[(INDEX, br#"{"weight_map": {"a": "one.safetensors"}}"#)]);
    let link = directory.path().join("one.safetensors");
    symlink(elsewhere.path().join("one"), link).expect("linked");
    let error = open(directory.path()).expect_err("outside").to_string();
    assert!(error.contains("leads outside"), "{error}");
}

#[test]
fn other_weights_are_named_with_a_way_out() {
    let expected = "model.safetensors, model.safetensors.index.json, pytorch_model.bin";
    refused(&[], expected);
    refused(&[("tf_model.h5", b"x")], "from_tf=True");
    refused(&[("flax_model.msgpack", b"x")], "from_flax=True");
    refused(&[("adapter_model.safetensors", b"x")], "merge it");
    refused(
        &[("weights.gguf", b"x"), ("a.pt", b"x")],
        "under other names there are a.pt, weights.",
    );
}
