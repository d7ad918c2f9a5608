use super::*;

const LIMITS: TextLimits = TextLimits { texts: 5, text_bytes: 10, total_bytes: 30 };

/// Reads these files, each with its name, in a directory of their own.
fn read(files: &[(&str, &[u8])], column: Option<&str>) -> Result<Texts, DatasetError> {
    let home = tempfile::tempdir().expect("a directory");
    let paths: Vec<_> = files
        .iter()
        .map(|(name, bytes)| {
            let path = home.path().join(name);
            std::fs::write(&path, bytes).expect("written");
            Origin::new(&path)
        })
        .collect();
    read_texts(&paths, column, &LIMITS, &Reading::default())
}

/// Expects these texts, and so many empty ones and duplicates.
fn check(
    files: &[(&str, &[u8])],
    column: Option<&str>,
    expected: &[&str],
    skipped_empty: usize,
    dropped_duplicates: usize,
) {
    let found = read(files, column).expect("good files");
    let texts = expected.iter().map(|text| (*text).to_owned()).collect();
    assert_eq!(found, Texts { texts, skipped_empty, dropped_duplicates, ..Texts::default() });
}

/// Expects these words in the message.
fn check_fault(name: &str, bytes: impl AsRef<[u8]>, column: Option<&str>, words: &[&str]) {
    let error = read(&[(name, bytes.as_ref())], column).expect_err("broken").to_string();
    for word in words.iter().chain([&name]) {
        assert!(error.contains(word), "{error:?} says {word:?}");
    }
}

#[test]
fn plain_text_has_a_text_on_each_line() {
    let text = "\u{feff}one\r\n\r\n  two \n \nthree\none\ntwo\nfour";
    check(&[("a.txt", text.as_bytes())], None, &["one", "two", "three", "four"], 0, 2);
    check(&[("noextension", b"one")], None, &["one"], 0, 0);
    // The mark and the carriage return count for nothing.
    check(&[("a.txt", "\u{feff}tenletters\r\n".as_bytes())], None, &["tenletters"], 0, 0);
}

#[test]
fn csv_has_a_column_of_texts() {
    let one = b"body\n\"a, \"\"b\"\"\nc\"\nx\n\" \"\n x\n";
    check(&[("a.csv", one)], None, &["a, \"b\"\nc", "x"], 1, 1);
    let two = b"id,body\n1,a\n2,\n3,b\n";
    check(&[("a.CSV", two)], Some("body"), &["a", "b"], 1, 0);
}

#[test]
fn json_lines_have_a_text_in_each_object() {
    let lines = b"{\"text\": \"a\\nb\", \"n\": 1}\n\n{\"text\":\"c\"}\r\n{\"text\": \" \"}\n";
    check(&[("a.jsonl", lines)], None, &["a\nb", "c"], 1, 0);
    check(&[("a.ndjson", b"{\"body\": \"\\u00e4\", \"text\": 1}")], Some("body"), &["ä"], 0, 0);
}

#[test]
fn several_files_are_read_as_one() {
    let files: [(&str, &[u8]); 3] =
        [("a.txt", b"a\nb\n"), ("b.csv", b"n,body\n1,b\n2,c\n"), ("c.jsonl", b"{\"body\":\"d\"}")];
    check(&files, Some("body"), &["a", "b", "c", "d"], 0, 1);
}

#[test]
fn broken_rows_are_named_by_line() {
    check_fault("a.txt", b"good\ncaf\xe9\n", None, &["a.txt:2: not UTF-8 after byte 3"]);
    check_fault("a.txt", "\n\nelevenbytes\n", None, &[":3: too long: more than 10 bytes"]);
    check_fault("a.txt", "x".repeat(100), None, &[":1: too long"]);
    check_fault("a.csv", "n,t\n1,a\n2\n", Some("t"), &[":3: 1 values", "2 columns"]);
    check_fault("a.csv", "t\nelevenbytes\n", None, &[":2: column \"t\": too long"]);
    check_fault("a.csv", b"t\ncaf\xe9\n", None, &[":2: column \"t\": not UTF-8"]);
    for (line, words) in [
        ("{\"text\": \"a\"", "no JSON object: EOF"),
        ("[\"text\"]", "no JSON object"),
        ("{\"body\": \"a\"}", "no key \"text\""),
        ("{\"text\": 3}", "column \"text\": a number, and a text is needed"),
        ("{\"text\": \"elevenbytes\"}", "column \"text\": too long"),
    ] {
        let text = format!("{{\"text\": \"a\"}}\n{line}\n");
        check_fault("a.jsonl", text, None, &["a.jsonl:2: ", words]);
    }
    let many = "{}\n".repeat(25);
    check_fault("a.jsonl", many, None, &[":10: ", "and 15 more rows"]);
}

#[test]
fn columns_must_be_named_and_there() {
    let csv = "id,body\n1,a\n";
    check_fault("a.csv", csv, None, &["--column", "\"id\", \"body\""]);
    check_fault("a.csv", csv, Some("text"), &["no column \"text\"", "\"id\", \"body\""]);
    check_fault("a.csv", "t,t\n1,a\n", Some("t"), &["two columns called \"t\""]);
    check_fault("a.txt", "a\n", Some("text"), &["plain text", "\"text\""]);
}

#[test]
fn too_much_and_nothing_are_refused() {
    check_fault("a.txt", "a\nb\nc\nd\ne\na\nf\n", None, &["more than 5 texts"]);
    let long = "aaaaaaaaaa\nbbbbbbbbbb\ncccccccccc\n";
    check_fault("a.txt", format!("{long}d\n"), None, &["more than 30 bytes of text"]);
    assert_eq!(read(&[("a.txt", long.as_bytes())], None).expect("just enough").texts.len(), 3);
    check_fault("a.txt", "\n \n", None, &["holds no text"]);
    check_fault("a.csv", "", Some("t"), &["no header row"]);
    let path = [Origin::new(std::path::Path::new("no/such.txt"))];
    let error = read_texts(&path, None, &LIMITS, &Reading::default());
    let error = error.expect_err("no file").to_string();
    assert!(error.contains("cannot read no/such.txt"), "{error}");
}
