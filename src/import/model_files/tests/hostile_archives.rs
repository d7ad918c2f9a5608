use super::{
    zip_writer::{Member, write},
    *,
};
use crate::import::model_files::torch::pickle::assembler::{Assembler, state_dict};

/// Pickle of `{"a": tensor}`: 32-bit floats of this shape over this many values.
fn pickle(shape: &[u64], strides: &[u64], offset: u64, values: u64) -> Vec<u8> {
    state_dict(|pickle: Assembler| pickle.tensor("FloatStorage", values, offset, shape, strides))
}

fn open_archive(members: &[Member<'_>], zip64: bool) -> Result<Array, FileError> {
    let directory = directory(&[("config.json", b"{}")]);
    write(&directory.path().join("pytorch_model.bin"), members, zip64);
    let files = open(directory.path())?;
    Ok(read(&files, "a"))
}

fn check(members: &[Member<'_>], words: &str) {
    let error = open_archive(members, false).expect_err(words).to_string();
    assert!(error.contains(words), "{error}: expected {words}");
}

const DATA: &[u8] = &[0, 0, 0, 0, 0, 0, 0, 0x3f];

#[test]
fn an_archive_may_have_64_bit_sizes() {
    let pickle = pickle(&[2], &[1], 0, 2);
    let members = [Member::new("archive/data.pkl", &pickle), Member::new("archive/data/0", DATA)];
    for zip64 in [false, true] {
        assert_eq!(open_archive(&members, zip64).expect("readable"), halves(&[2]));
    }
}

#[test]
fn a_tensor_may_lie_beyond_4_gib() {
    const HOLE: u64 = 5 << 30;
    let pickle = pickle(&[2], &[1], HOLE / 4, HOLE / 4 + 2);
    let data = Member { hole: HOLE, ..Member::new("x/data/0", DATA) };
    let members = [data, Member::new("x/data.pkl", &pickle)];
    assert_eq!(open_archive(&members, true).expect("readable"), halves(&[2]));
}

#[test]
fn archives_that_lie_are_refused() {
    let good = pickle(&[2], &[1], 0, 2);
    let member = |content| Member::new("archive/data.pkl", content);
    let data = || Member::new("archive/data/0", DATA);
    check(&[member(&good)], "has no data/0");
    check(&[data()], "has no data.pkl");
    check(&[member(&good), Member::new("b/data.pkl", &good)], "more than one data.pkl");
    check(&[member(&good), data(), data()], "is there twice");
    check(&[member(&good), Member { method: 8, ..data() }], "is compressed");
    let big = Member { size_error: 1 << 30, ..data() };
    check(&[member(&good), big], "size that does not fit");
    let small = Member { size_error: -1, ..data() };
    check(&[member(&good), small], "tensor a reaches beyond");
    let order = Member::new("archive/byteorder", b"big");
    check(&[member(&good), data(), order], "holds big numbers");
    let name = format!("archive/{}", "x".repeat(300));
    check(&[member(&good), Member::new(&name, b"")], "name has 308 bytes");
}

#[test]
fn tensors_that_reach_beyond_their_storage_are_refused() {
    let half = 1 << 63;
    for (shape, strides, offset, values) in [
        (&[3][..], &[1][..], 0, 2),
        (&[2], &[1], 1, 2),
        (&[2], &[2], 0, 2),
        (&[2], &[1], 0, 3),
        (&[2], &[1], 0, u64::MAX >> 1),
        (&[1], &[1], u64::MAX >> 1, 2),
        (&[2, 2], &[(1 << 62), (1 << 62)], 0, 2),
        (&[1 << 40, 1 << 40], &[0, 0], 0, 2),
        (&[0], &[1], 3, 2),
    ] {
        assert!(shape.iter().chain(strides).all(|number| *number < half));
        let pickle = pickle(shape, strides, offset, values);
        let members =
            [Member::new("archive/data.pkl", &pickle), Member::new("archive/data/0", DATA)];
        check(&members, "tensor a reaches beyond");
    }
}

#[test]
fn a_repeated_value_is_no_matrix() {
    let pickle = pickle(&[1 << 30, 4], &[0, 0], 0, 2);
    let directory = directory(&[("config.json", b"{}")]);
    let members = [Member::new("archive/data.pkl", &pickle), Member::new("archive/data/0", DATA)];
    write(&directory.path().join("pytorch_model.bin"), &members, false);
    let error = open(directory.path()).expect("opened").read("a").expect_err("strided").to_string();
    assert!(error.contains("view with strides"), "{error}");
}
