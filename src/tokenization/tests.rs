//! Prompts and windows, exactly, with a tokenizer that makes a token of each word.

use std::path::Path;

use super::*;
use crate::{prompt::TaskFile, task::Example};

/// Ids of the tokens that frame prompts.
const CLS: u32 = 1;
const SEP: u32 = 2;
const MASK: u32 = 3;

/// Ids of the words of templates: `a` and `b`.
const A: u32 = 4;
const B: u32 = 5;

/// The id of the word `0`; that of the word `7` is 7 more, up to the word `99`.
pub const ZERO: u32 = 6;

/// A tokenizer whose words are the numbers from 0 to 99, `a` and `b`.
pub fn words() -> PromptTokenizer {
    let mut vocabulary = serde_json::json!(
        {"[UNK]": 0, "[CLS]": CLS, "[SEP]": SEP, "[MASK]": MASK, "a": A, "b": B}
    );
    (0..100).for_each(|word| vocabulary[word.to_string()] = (ZERO + word).into());
    let special = |content: &str, id: u32| {
        serde_json::json!({
            "id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true
        })
    };
    let token = |id: &str| serde_json::json!({"SpecialToken": {"id": id, "type_id": 0}});
    let text = |id: &str| serde_json::json!({"Sequence": {"id": id, "type_id": 0}});
    let ids =
        |id: &str, number: u32| serde_json::json!({"id": id, "ids": [number], "tokens": [id]});
    let json = serde_json::json!({
        "version": "1.0", "truncation": null, "padding": null,
        "added_tokens": [
            special("[UNK]", 0), special("[CLS]", CLS), special("[SEP]", SEP), special("[MASK]", MASK)
        ],
        "normalizer": null, "pre_tokenizer": {"type": "Whitespace"}, "decoder": null,
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [token("[CLS]"), text("A"), token("[SEP]")],
            "pair": [token("[CLS]"), text("A"), token("[SEP]"), text("B"), token("[SEP]")],
            "special_tokens": {"[CLS]": ids("[CLS]", CLS), "[SEP]": ids("[SEP]", SEP)}
        },
        "model": {"type": "WordLevel", "unk_token": "[UNK]", "vocab": vocabulary}
    });
    let bytes = json.to_string().into_bytes();
    PromptTokenizer::from_bytes(&bytes, Path::new("words.json")).expect("a tokenizer")
}

/// A text of the words from `first` on.
pub fn text(first: u32, words: u32) -> String {
    (first..first + words).map(|word| word.to_string()).collect::<Vec<_>>().join(" ")
}

/// A task whose prompts have at most 10 tokens, with these lines for its fields and its prompt.
fn task(fields: &str, prompt: &str, template: &str) -> String {
    format!(
        "[task]\nname = \"t\"\nkind = \"regression\"\nmax_length = 10\n{fields}\n\
         [target]\ncolumn = \"y\"\n[prompt]\ncanonical = \"one\"\n{prompt}\n\
         [[prompt.template]]\nid = \"one\"\ntext = \"{template}\"\n"
    )
}

/// What an example becomes: for each window its words, `[` for the frame, `|` for a separator and
/// `_` for the mask, and whether text was cut.
fn windows(file: &str, values: &[&str]) -> (Vec<String>, bool) {
    let file = TaskFile::parse(file, "t.toml").expect("a good file");
    let tokenizer = words();
    let set = PromptSet::new(&file, &tokenizer, 10, "t.toml").expect("templates that fit");
    let example = Example { values: values.iter().map(|value| (*value).to_owned()).collect() };
    let windows = set.windows(&tokenizer, &example, 0).expect("encoded");
    for window in &windows {
        assert_eq!(window.input_ids[window.mask_position], MASK);
        assert_eq!(window.input_ids.iter().filter(|id| **id == MASK).count(), 1);
        assert!(window.input_ids.len() <= file.max_length);
        assert_eq!(window.truncated, windows[0].truncated);
    }
    (windows.iter().map(shown).collect(), windows[0].truncated)
}

fn shown(prompt: &Prompt) -> String {
    let word = |id: &u32| match *id {
        CLS => "[".to_owned(),
        SEP => "|".to_owned(),
        MASK => "_".to_owned(),
        A => "a".to_owned(),
        B => "b".to_owned(),
        word => (word - ZERO).to_string(),
    };
    prompt.input_ids.iter().map(word).collect::<Vec<_>>().join(" ")
}

fn check(file: &str, values: &[&str], expected: &[&str], truncated: bool) {
    let (found, is_truncated) = windows(file, values);
    assert_eq!(found, expected, "{file} {values:?}");
    assert_eq!(is_truncated, truncated, "{file} {values:?}");
}

/// Each window has room for 6 words.
const ONE: &str = "{text} a {mask}";

#[test]
fn a_long_text_is_read_in_windows() {
    let file = task("[fields.text]", "stride = 4", ONE);
    check(&file, &[&text(0, 6)], &["[ 0 1 2 3 4 5 a _ |"], false);
    let two = ["[ 0 1 2 3 4 5 a _ |", "[ 1 2 3 4 5 6 a _ |"];
    check(&file, &[&text(0, 7)], &two, false);
    let three = ["[ 0 1 2 3 4 5 a _ |", "[ 4 5 6 7 8 9 a _ |", "[ 7 8 9 10 11 12 a _ |"];
    check(&file, &[&text(0, 13)], &three, false);
    // Without overlap.
    let file = task("[fields.text]", "stride = 6", ONE);
    let two = ["[ 0 1 2 3 4 5 a _ |", "[ 6 7 8 9 10 11 a _ |"];
    check(&file, &[&text(0, 12)], &two, false);
    // What fits is one window, and nothing at all too.
    check(&file, &[""], &["[ a _ |"], false);
}

#[test]
fn a_text_that_needs_too_many_windows_is_cut_where_its_field_says() {
    for (truncate, expected) in [
        ("tail", ["[ 0 1 2 3 4 5 a _ |", "[ 3 4 5 6 7 8 a _ |"]),
        ("head", ["[ 11 12 13 14 15 16 a _ |", "[ 14 15 16 17 18 19 a _ |"]),
        ("middle", ["[ 0 1 2 3 4 16 a _ |", "[ 3 4 16 17 18 19 a _ |"]),
    ] {
        let field = format!("[fields.text]\ntruncate = \"{truncate}\"");
        let file = task(&field, "stride = 3\nmax_windows = 2", ONE);
        check(&file, &[&text(0, 20)], &expected, true);
        // What two windows hold is not cut, whatever the field says.
        let all = ["[ 0 1 2 3 4 5 a _ |", "[ 3 4 5 6 7 8 a _ |"];
        check(&file, &[&text(0, 9)], &all, false);
        // Without a stride it is what training reads.
        let cut = windows(&task(&field, "", ONE), &[&text(0, 20)]);
        assert_eq!((cut.0.len(), cut.1), (1, true));
    }
    let file = task("[fields.text]", "stride = 1", ONE);
    assert_eq!(windows(&file, &[&text(0, 21)]).0.len(), 16, "by default");
    assert!(!windows(&file, &[&text(0, 21)]).1 && windows(&file, &[&text(0, 22)]).1);
}

/// Room for 7 words of both.
const PAIR: &str = "{left}{mask}{right}";

#[test]
fn the_longest_of_the_fields_that_do_not_fit_slides() {
    let even = task("[fields.left]\n[fields.right]", "stride = 2", PAIR);
    // Both are cut: the left keeps 4 words as before, the longer right moves on.
    let windows = ["[ 0 1 2 3 _ 50 51 52 |", "[ 0 1 2 3 _ 52 53 54 |", "[ 0 1 2 3 _ 53 54 55 |"];
    check(&even, &[&text(0, 5), &text(50, 6)], &windows, true);
    // Of equals it is the first; nothing is left out of one that fits.
    let windows = ["[ 0 1 2 3 _ 50 51 52 |", "[ 1 2 3 4 _ 50 51 52 |"];
    check(&even, &[&text(0, 5), &text(50, 5)], &windows, true);
    check(&even, &[&text(0, 5), &text(50, 3)], &windows, false);
    // What is kept of one field is kept in every window.
    let kept = task("[fields.left]\nmin_tokens = 5\n[fields.right]", "stride = 2", PAIR);
    let windows = ["[ 0 1 2 3 4 _ 50 51 |", "[ 0 1 2 3 4 _ 52 53 |", "[ 0 1 2 3 4 _ 53 54 |"];
    check(&kept, &[&text(0, 5), &text(50, 5)], &windows, false);
    // The stride is no more than the room there is, or words would be left out.
    let tight = task("[fields.left]\nmin_tokens = 6\n[fields.right]", "stride = 5", PAIR);
    let windows = ["[ 0 1 2 3 4 5 _ 50 |", "[ 0 1 2 3 4 5 _ 51 |", "[ 0 1 2 3 4 5 _ 52 |"];
    check(&tight, &[&text(0, 6), &text(50, 3)], &windows, false);
    // A field that has no room at all is left out, and the other slides.
    let none = task("[fields.left]\npriority = 2\n[fields.right]", "stride = 7", PAIR);
    let windows = ["[ 0 1 2 3 4 5 6 _ |", "[ 1 2 3 4 5 6 7 _ |"];
    check(&none, &[&text(0, 8), &text(50, 20)], &windows, true);
    let nothing = task("[fields.left]\nmin_tokens = 7\n[fields.right]", "stride = 7", PAIR);
    check(&nothing, &[&text(0, 7), &text(50, 3)], &["[ 0 1 2 3 4 5 6 _ |"], true);
}

#[test]
fn windows_stay_within_what_a_template_takes_of_a_field() {
    let file = task("[fields.text]", "stride = 3", "{text|max:8} a {mask}");
    let both = ["[ 0 1 2 3 4 5 a _ |", "[ 2 3 4 5 6 7 a _ |"];
    check(&file, &[&text(0, 30)], &both, false);
    let field = "[fields.text]\ntruncate = \"middle\"";
    let file = task(field, "stride = 3", "{text|max:8} a {mask}");
    let both = ["[ 0 1 2 3 26 27 a _ |", "[ 2 3 26 27 28 29 a _ |"];
    check(&file, &[&text(0, 30)], &both, false);
    // Twice in a template, a field slides in one place.
    let file = task("[fields.text]", "stride = 3", "{text} a {text}{mask}");
    let both = ["[ 0 1 2 a 0 1 2 _ |", "[ 1 2 3 a 0 1 2 _ |"];
    check(&file, &[&text(0, 4)], &both, true);
}

#[test]
fn training_reads_one_cut_prompt_with_and_without_a_stride() {
    let tokenizer = words();
    for truncate in ["tail", "head", "middle"] {
        let field = format!("[fields.text]\ntruncate = \"{truncate}\"");
        let set = |prompt: &str| {
            let file = TaskFile::parse(&task(&field, prompt, ONE), "t.toml").expect("a good file");
            PromptSet::new(&file, &tokenizer, 10, "t.toml").expect("templates that fit")
        };
        let (cut, slides) = (set(""), set("stride = 2"));
        for words in [0, 3, 6, 7, 40] {
            let example = Example { values: vec![text(0, words)] };
            let one = cut.encode(&tokenizer, &example, 0).expect("encoded");
            assert_eq!(slides.encode(&tokenizer, &example, 0).expect("encoded"), one);
            let one = [one];
            assert_eq!(cut.windows(&tokenizer, &example, 0).expect("encoded"), one);
            let windows = slides.windows(&tokenizer, &example, 0).expect("encoded");
            assert_eq!(windows == one, words <= 6, "{words} words");
        }
    }
}

#[test]
fn a_stride_that_would_skip_text_is_refused_with_its_line() {
    let file = task("[fields.text]", "stride = 7", ONE);
    let file = TaskFile::parse(&file, "t.toml").expect("a good file");
    let error = PromptSet::new(&file, &words(), 10, "t.toml").expect_err("no room for 7");
    let expected = "t.toml:10: template \"one\": stride = 7 is more than the 6 tokens that its fixed \
                    part leaves of max_length = 10; windows would skip text";
    assert_eq!(error.to_string(), expected);
    let error = PromptSet::new(&file, &words(), 9, "t.toml").expect_err("too long");
    assert!(error.to_string().contains("more than the encoder's 9 positions"), "{error}");
}
