use super::{
    assembler::{Assembler, state_dict},
    read,
};
use crate::import::model_files::error::PickleError;

fn check(pickle: &[u8], words: &str) {
    let error = read(pickle).expect_err(words).to_string();
    assert!(error.contains(words), "{error}: expected {words}");
}

fn tensor(pickle: Assembler) -> Assembler {
    pickle.tensor("FloatStorage", 6, 0, &[2, 3], &[3, 1])
}

#[test]
fn a_dictionary_of_tensors_is_read() {
    let pickle = state_dict(tensor);
    let tensors = read(&pickle).expect("readable");
    let found = &tensors["a"];
    assert_eq!((found.storage.key, found.storage.values, found.offset), ("0", 6, 0));
    assert_eq!((found.shape.as_slice(), found.strides.as_slice()), (&[2, 3][..], &[3, 1][..]));
    // Also inside another, under a name that training scripts use.
    for name in ["state_dict", "model"] {
        let nested = tensor(Assembler::new().raw(b"}").text(name).raw(b"}").text("a"));
        assert_eq!(read(&nested.raw(b"ss").stop()).expect("readable"), tensors);
    }
    let other = tensor(Assembler::new().raw(b"}").text("other").raw(b"}").text("a"));
    check(&other.raw(b"ss").stop(), "no dictionary of tensors");
}

#[test]
fn nothing_that_a_pickle_names_is_run() {
    for (module, name) in [
        ("os", "system"),
        ("posix", "system"),
        ("builtins", "eval"),
        ("torch", "load"),
        ("torch", "FloatStorage.__class__"),
        ("torch.storage", "_load_from_bytes"),
        ("collections", "OrderedDict.__init__"),
    ] {
        let call = Assembler::new().global(module, name).text("touch owned").raw(b"\x85R");
        check(&call.stop(), &format!("names {module}.{name}, which loading would run"));
        let call = Assembler::new().text(module).text(name).raw(b"\x93");
        check(&call.stop(), &format!("names {module}.{name}, which"));
    }
    let long = "x".repeat(10_000);
    let error = read(&Assembler::new().global(&long, "a\u{1b}[2J").stop()).expect_err("long");
    let error = error.to_string();
    assert!(error.len() < 500 && !error.contains('\u{1b}'), "{error}");
}

#[test]
fn instructions_that_no_state_needs_are_refused_by_their_place() {
    // INST, OBJ, NEWOBJ, NEWOBJ_EX, EXT1, REDUCE's relatives, PERSID, STRING, DUP, POP, LONG4
    for opcode in [b'i', b'o', 0x81, 0x92, 0x82, b'P', b'S', b'2', b'0', 0x8b, 0x8d, 0x96, 0xff] {
        let expected = PickleError::Opcode { opcode, at: 2 };
        assert_eq!(read(&Assembler::new().raw(&[opcode]).stop()), Err(expected));
    }
    check(b"\x80\x06.", "protocol 6");
    check(b"\x80\x00.", "protocol 0");
}

#[test]
fn operands_of_other_kinds_are_refused() {
    let start = Assembler::new;
    let rebuild = || start().global("torch._utils", "_rebuild_tensor_v2");
    for pickle in [
        // Stack and memo that do not hold what is asked for.
        start(),
        start().raw(b"R"),
        start().raw(b"t"),
        start().raw(b"h\x07"),
        start().raw(b"q\x07"),
        start().raw(b"\x85"),
        start().raw(b"K\x01(\x85"),
        start().raw(b"K\x01K\x02s"),
        start().raw(b"}(K\x01u"),
        start().raw(b"}K\x01a"),
        start().raw(b"]K\x01K\x02s"),
        // Calls of something else than a function, or with other arguments.
        start().text("os.system").raw(b")R"),
        start().global("torch", "FloatStorage").raw(b")R"),
        start().global("collections", "OrderedDict").raw(b"K\x01\x85R"),
        start().global("torch._utils", "_rebuild_parameter").raw(b"K\x01\x89N\x87R"),
        rebuild().raw(b")R"),
        rebuild().raw(b"(K\x01K\x00))\x89NtR"),
        rebuild().raw(b"(").storage("FloatStorage", 6).raw(b"K\x00K\x01)\x89NtR"),
        rebuild().raw(b"(").storage("FloatStorage", 6).raw(b"J\xff\xff\xff\xff))\x89NtR"),
        rebuild().raw(b"(").storage("FloatStorage", 6).raw(b"K\x00)K\x01\x85\x89NtR"),
        // Persistent ids.
        start().raw(b")Q"),
        start().text("storage").raw(b"Q"),
        start().raw(b"(").text("other").global("torch", "FloatStorage").text("0").raw(b"NK\x01tQ"),
        // Attributes of a plain dictionary.
        start().raw(b"}}b"),
        start().raw(b"}b"),
    ] {
        let pickle = pickle.stop();
        check(&pickle, "operands are not what torch.save writes");
    }
    check(&start().raw(b"X\x01\0\0\0\xff").stop(), "no UTF-8");
    check(&start().raw(b"N").stop(), "no dictionary of tensors");
}

#[test]
fn counts_that_are_huge_are_refused_before_they_cost() {
    check(&Assembler::new().raw(b"X\xff\xff\xff\xff").stop(), "ends inside");
    check(&Assembler::new().raw(b"\x8a\xff").stop(), "ends inside");
    let dimensions = vec![1; 9];
    let pickle = state_dict(|pickle| pickle.tensor("FloatStorage", 1, 0, &dimensions, &dimensions));
    check(&pickle, "more than 8 dimensions of a tensor");
    check(&Assembler::new().raw(&[b'('; 1000]).stop(), "more than 256 marks");
    check(
        &Assembler::new().raw(&vec![b'N'; 1 << 17]).stop(),
        "more than 65536 values on the stack",
    );
    // Values that are taken again and again.
    let mut bomb = Assembler::new().raw(b"]");
    bomb = bomb.raw(&b"Na".repeat(4_100_000));
    check(&bomb.stop(), "more than 4000000 values");
}

#[test]
fn a_memo_that_grows_is_bounded() {
    let mut bytes = b"\x80\x02N".to_vec();
    for key in 0..2_000_001u32 {
        bytes.push(b'r');
        bytes.extend(key.to_le_bytes());
    }
    check(&bytes, "more than 2000000 remembered values");
    // A tuple of itself ten times over, again and again: nothing is copied.
    let mut nested = Assembler::new().raw(b"]q\x00");
    for _ in 0..1000 {
        nested = nested.raw(b"(h\x00h\x00h\x00h\x00h\x00h\x00h\x00h\x00h\x00h\x00tq\x00");
    }
    check(&nested.stop(), "no dictionary of tensors");
    let itself = Assembler::new().raw(b"}q\x00").text("model").raw(b"h\x00s");
    check(&itself.stop(), "no dictionary of tensors");
}

#[test]
fn names_of_one_tensor_are_counted() {
    let mut pickle = tensor(Assembler::new()).raw(b"q\x00}");
    for name in 0..100_001 {
        pickle = pickle.text(&name.to_string()).raw(b"h\x00s");
    }
    check(&pickle.stop(), "more than 100000 names of tensors");
}

#[test]
fn a_pickle_that_is_cut_short_anywhere_is_refused() {
    let pickle = state_dict(tensor);
    for end in 0..pickle.len() {
        read(&pickle[..end]).expect_err("cut short");
    }
    for at in 0..pickle.len() {
        for value in 0..=u8::MAX {
            let mut changed = pickle.clone();
            changed[at] = value;
            let _ = read(&changed);
        }
    }
}

#[test]
fn numbers_are_two_s_complement() {
    let check = |bytes: &[u8], expected: Option<u64>| {
        let pickle = Assembler::new().raw(b"}").text("a");
        let head = pickle.global("torch._utils", "_rebuild_tensor_v2").raw(b"(");
        let view = head.storage("FloatStorage", 6).raw(bytes).raw(b"))\x89NtRs").stop();
        assert_eq!(read(&view).ok().map(|tensors| tensors["a"].offset), expected, "{bytes:?}");
    };
    check(b"K\xff", Some(255));
    check(b"M\x01\x02", Some(0x201));
    check(b"J\x01\0\0\0", Some(1));
    check(b"J\xff\xff\xff\xff", None);
    check(b"\x8a\0", Some(0));
    check(b"\x8a\x02\xff\x00", Some(255));
    check(b"\x8a\x01\xff", None);
    check(b"\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f", Some(u64::MAX >> 1));
    check(b"\x8a\x09\0\0\0\0\0\0\0\0\x01", None);
}
