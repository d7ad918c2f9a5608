use std::{fs::File, os::unix::fs::FileExt};

use super::*;

const TENSORS: &[u8] = include_bytes!("../../../../tests/data/pickle/tensors.bin");
const PROTOCOL_4: &[u8] = include_bytes!("../../../../tests/data/pickle/protocol-4.bin");
const MODULE: &[u8] = include_bytes!("../../../../tests/data/pickle/module.bin");
const NESTED: &[u8] = include_bytes!("../../../../tests/data/pickle/nested.bin");
const OLD_FORMAT: &[u8] = include_bytes!("../../../../tests/data/pickle/old-format.bin");
const FLOAT8: &[u8] = include_bytes!("../../../../tests/data/pickle/float8.bin");
const WHOLE_MODULE: &[u8] = include_bytes!("../../../../tests/data/pickle/whole-module.bin");
const SMALL: &[u8] = include_bytes!("../../../../tests/data/pickle/small.bin");

const FILE: &str = "pytorch_model.bin";

fn model(bytes: &[u8]) -> TempDir {
    directory(&[("config.json", b"{}"), (FILE, bytes)])
}

#[test]
fn a_state_dict_of_torch_is_read() {
    for bytes in [TENSORS, PROTOCOL_4] {
        let directory = model(bytes);
        let files = open(directory.path()).expect("readable");
        for name in ["f32", "f16", "bf16", "f64"] {
            assert_eq!(read(&files, name), halves(&[2, 3]), "{name}");
        }
        assert_eq!(read(&files, "parameter"), halves(&[3]));
        assert_eq!(read(&files, "scalar"), Array { shape: vec![], data: vec![1.5] });
        assert_eq!(read(&files, "empty"), Array { shape: vec![0, 3], data: vec![] });
        let turned = Array { shape: vec![3, 2], data: vec![0.0, 1.5, 0.5, 2.0, 1.0, 2.5] };
        assert_eq!(read(&files, "transposed"), turned);
        assert_eq!(read(&files, "tied.encoder"), halves(&[4, 3]));
        assert_eq!(read(&files, "tied.decoder"), halves(&[4, 3]));
        let part = Array { shape: vec![4], data: vec![1.5, 2.0, 2.5, 3.0] };
        assert_eq!(read(&files, "offset"), part);
        assert_eq!(files.names().count(), 14);
        // Only what is read must be of a type and a layout that can be.
        for (name, words) in [("i64", "I64"), ("bool", "BOOL"), ("strided", "view with strides")] {
            let error = files.read(name).expect_err(name).to_string();
            assert!(error.contains(name) && error.contains(words), "{error}");
        }
        assert_eq!(files.shape("i64"), Some([1, 5].as_slice()));
    }
}

#[test]
fn metadata_of_a_module_and_what_lies_around_its_state_are_left_out() {
    for bytes in [MODULE, NESTED] {
        let directory = model(bytes);
        let files = open(directory.path()).expect("readable");
        assert_eq!(files.names().collect::<Vec<_>>(), ["bias", "weight"]);
        assert_eq!(read(&files, "weight"), halves(&[2, 2]));
        assert_eq!(read(&files, "bias"), halves(&[2]));
    }
}

#[test]
fn what_is_no_dictionary_of_tensors_is_named() {
    refused(&[(FILE, OLD_FORMAT)], "weights_only=True");
    refused(&[(FILE, WHOLE_MODULE)], "names torch.nn.modules.linear.Linear, which loading");
    refused(&[(FILE, FLOAT8)], "names torch._utils._rebuild_tensor_v3");
    refused(&[(FILE, b"version https://git-lfs.github.com/spec/v1\n")], "Git LFS");
    refused(&[(FILE, b"")], "empty file");
    refused(&[(FILE, b"PK\x03\x04")], "no archive of torch.save");
    refused(&[(FILE, b"Entry not found")], "what a model hub answers");
    refused(&[(FILE, b"text")], "begins with neither a zip nor a pickle");
}

#[test]
fn shards_of_torch_are_read_by_their_index() {
    let index = br#"{"weight_map": {"weight": "one.bin", "t1": "two.bin", "bias": "one.bin"}}"#;
    let files: &[(&str, &[u8])] = &[
        ("config.json", b"{}"),
        ("pytorch_model.bin.index.json", index),
        ("one.bin", MODULE),
        ("two.bin", SMALL),
    ];
    let directory = directory(files);
    let files = open(directory.path()).expect("readable");
    assert_eq!(files.names().collect::<Vec<_>>(), ["bias", "t1", "weight"]);
    assert_eq!(read(&files, "t1"), halves(&[1]));
    assert_eq!(read(&files, "weight"), halves(&[2, 2]));
}

#[test]
fn an_archive_that_is_cut_short_anywhere_is_refused() {
    let directory = model(SMALL);
    let file = File::options().write(true).open(directory.path().join(FILE)).expect("opened");
    for end in (0..SMALL.len()).rev() {
        file.set_len(end as u64).expect("cut");
        open(directory.path()).expect_err("cut short");
    }
}

#[test]
fn no_change_of_a_byte_ends_the_process() {
    let directory = model(SMALL);
    let file = File::options().write(true).open(directory.path().join(FILE)).expect("opened");
    for (at, good) in SMALL.iter().enumerate() {
        for value in [0, 0x7f, 0xff, *good] {
            file.write_all_at(&[value], at as u64).expect("written");
            let Ok(files) = open(directory.path()) else { continue };
            for name in files.names() {
                let _ = files.read(name);
            }
        }
    }
}
