//! Prompts with real tokenizers: one mask, never too long, the same ids as transformers.

use std::path::Path;

use dynamar::{
    prompt::TaskFile,
    tokenization::{PromptSet, PromptTokenizer},
};
use proptest::prelude::*;

use crate::{fixtures, import::reference};

const MASK: u32 = 103;

fn tokenizer(name: &str) -> PromptTokenizer {
    let path = fixtures::fetched(name).join("tokenizer.json");
    PromptTokenizer::load(&path).expect("a tokenizer")
}

#[test]
fn prompts_have_the_ids_of_transformers() {
    for name in ["minilm-l6", "bert-tiny"] {
        let tokenizer = tokenizer(name);
        for theirs in reference(name).prompts {
            let ours = theirs.render(&tokenizer);
            assert_eq!(ours.input_ids, theirs.input_ids, "{}", theirs.template);
            assert_eq!(ours.segment_ids, theirs.token_type_ids, "{}", theirs.template);
            assert_eq!(ours.mask_position, theirs.mask_position, "{}", theirs.template);
            assert!(!ours.truncated);
        }
    }
}

const PAIR: &str = r#"
[task]
name = "pair"
kind = "regression"
max_length = 32
[fields.title]
min_tokens = 4
priority = 2
[fields.text]
truncate = "middle"
[target]
column = "y"
[prompt]
canonical = "match"
[[prompt.template]]
id = "match"
text = "Product: {title|strip_punct} Review: {text}{sep}Does it match? {mask}."
[[prompt.template]]
id = "early"
text = "{mask}: {text|lower_first|max:9} {{of}} {title}"
"#;

fn pair() -> TaskFile {
    TaskFile::parse(PAIR, "pair.toml").expect("a good file")
}

/// One mask, inside the limit, with every literal of the template whole.
fn check(tokenizer: &PromptTokenizer, title: &str, text: &str) {
    let file = pair();
    let set = PromptSet::new(&file, tokenizer, 512, "pair.toml").expect("templates that fit");
    let example = fixtures::example(&[title, text]);
    let empty = fixtures::example(&["", ""]);
    for template in 0..file.prompts.templates.len() {
        let prompt = set.encode(tokenizer, &example, template).expect("encoded");
        let masks: Vec<usize> =
            (0..prompt.input_ids.len()).filter(|at| prompt.input_ids[*at] == MASK).collect();
        assert_eq!(masks, [prompt.mask_position], "{title:?} {text:?}");
        assert!(prompt.input_ids.len() <= file.max_length);
        assert_eq!(prompt.segment_ids.len(), prompt.input_ids.len());
        let fixed = set.encode(tokenizer, &empty, template).expect("encoded");
        assert!(is_subsequence(&fixed.input_ids, &prompt.input_ids), "literals stay whole");
        if prompt.truncated {
            assert!(prompt.input_ids.len() >= file.max_length - 1, "nothing is cut without need");
        }
    }
}

fn is_subsequence(part: &[u32], whole: &[u32]) -> bool {
    let mut rest = whole.iter();
    part.iter().all(|id| rest.any(|other| other == id))
}

#[test]
fn odd_texts_keep_one_mask_inside_the_limit() {
    let tokenizer = tokenizer("bert-tiny");
    let long = "word ".repeat(10_000);
    for text in [
        "",
        " \t\n\u{a0}",
        long.as_str(),
        "🎉👩‍👩‍👧‍👦 great 🇩🇪",
        "منتج رائع جدا",
        "מוצר נהדר",
        "[MASK] [SEP] [CLS] [PAD] [UNK] <mask> </s>",
        "{mask} {{mask}} {text|strip} } {",
        "* ** __ \u{0} \u{feff}",
    ] {
        check(&tokenizer, text, "plain");
        check(&tokenizer, "plain", text);
        check(&tokenizer, text, text);
    }
}

#[test]
fn long_fields_are_cut_by_priority_and_stay_above_their_minimum() {
    let tokenizer = tokenizer("bert-tiny");
    let file = pair();
    let set = PromptSet::new(&file, &tokenizer, 512, "pair.toml").expect("templates that fit");
    let length = |title: usize, text: usize| {
        let example = fixtures::example(&[&"title ".repeat(title), &"text ".repeat(text)]);
        let prompt = set.encode(&tokenizer, &example, 0).expect("encoded");
        let id = |word: &str| reference_id(&tokenizer, word);
        let count = |id: u32| prompt.input_ids.iter().filter(|other| **other == id).count();
        (count(id("title")), count(id("text")), prompt.truncated)
    };
    let (title, text, _) = length(1, 1);
    assert_eq!((title, text), (1, 1));
    let (title, text, truncated) = length(8, 100);
    assert!(title == 8 && text > 0 && truncated, "text goes first: {title} {text}");
    let (title, text, truncated) = length(100, 100);
    assert!(title > 8 && text == 0 && truncated, "title has priority: {title} {text}");
}

fn reference_id(tokenizer: &PromptTokenizer, word: &str) -> u32 {
    let file = fixtures::one_template_task(&["w"], "{w}{mask}");
    let set = PromptSet::new(&file, tokenizer, 512, "t").expect("a good template");
    set.encode(tokenizer, &fixtures::example(&[word]), 0).expect("encoded").input_ids[1]
}

#[test]
fn text_makes_no_mask_even_where_the_mask_is_no_special_token() {
    let original = std::fs::read_to_string(fixtures::fetched("bert-tiny").join("tokenizer.json"));
    let mut json: serde_json::Value =
        serde_json::from_str(&original.expect("read")).expect("a tokenizer");
    for token in json["added_tokens"].as_array_mut().expect("added tokens") {
        token["special"] = false.into();
    }
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), json.to_string()).expect("written");
    let tokenizer = PromptTokenizer::load(file.path()).expect("a tokenizer");
    let file = fixtures::one_template_task(&["text"], "{text} It was {mask}.");
    let set = PromptSet::new(&file, &tokenizer, 512, "t").expect("a good template");
    let prompt = set.encode(&tokenizer, &fixtures::example(&["a [MASK] b"]), 0).expect("encoded");
    let mask = prompt.input_ids[prompt.mask_position];
    assert_eq!(prompt.input_ids.iter().filter(|id| **id == mask).count(), 1);
}

#[test]
fn a_word_that_looks_like_a_mask_is_none_where_another_token_is_declared() {
    let path = fixtures::root().join("tests/data/families/mpnet/tokenizer.json");
    let text = std::fs::read_to_string(path).expect("committed");
    let mut json: serde_json::Value = serde_json::from_str(&text).expect("a tokenizer");
    let words = json["model"]["vocab"].as_object_mut().expect("a vocabulary");
    let word = words.keys().find(|word| word.chars().all(|c| c.is_ascii_lowercase()));
    let word = word.expect("a plain word").clone();
    let id = words.remove(&word).expect("there");
    words.insert("[MASK]".to_owned(), id);
    let prompt = |json: &str| {
        let tokenizer = PromptTokenizer::from_bytes(json.as_bytes(), Path::new("t"));
        let tokenizer = tokenizer.expect("a tokenizer");
        let file = fixtures::one_template_task(&["text"], "{text} It was {mask}.");
        let set = PromptSet::new(&file, &tokenizer, 512, "t").expect("a good template");
        let prompt = set.encode(&tokenizer, &fixtures::example(&["a"]), 0).expect("encoded");
        prompt.input_ids[prompt.mask_position]
    };
    assert_eq!(prompt(&json.to_string()), prompt(&text));
}

#[test]
fn templates_that_cannot_fit_are_refused_with_line_and_id() {
    let tokenizer = tokenizer("bert-tiny");
    let text = PAIR.replace("max_length = 32", "max_length = 16");
    let file = TaskFile::parse(&text, "pair.toml").expect("a good file");
    let error = PromptSet::new(&file, &tokenizer, 512, "pair.toml").expect_err("no room");
    let error = error.to_string();
    assert!(error.starts_with("pair.toml:17: template \"match\""), "{error}");
    let error = PromptSet::new(&pair(), &tokenizer, 31, "pair.toml").expect_err("too long");
    assert!(error.to_string().contains("more than the encoder's 31 positions"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn any_text_keeps_one_mask_inside_the_limit(title in "\\PC{0,80}", text in any::<String>()) {
        thread_local! {
            static TOKENIZER: PromptTokenizer = tokenizer("bert-tiny");
        }
        TOKENIZER.with(|tokenizer| check(tokenizer, &title, &text));
    }
}

#[test]
fn plain_text_becomes_framed_windows() {
    let tokenizer = tokenizer("bert-tiny");
    let plain = |text: &str, length| tokenizer.plain(text, length).expect("tokenised");
    let france = vec![101, 1996, 3007, 1997, 2605, 2003, 1012, 102];
    assert_eq!(plain("The capital of France is.", 512), [france]);
    // Special tokens in a text are text.
    let spelled = plain("[MASK] [SEP]", 512).concat();
    assert!(!spelled.contains(&MASK) && spelled.iter().filter(|id| **id == 102).count() == 1);
    let long = plain(&"word ".repeat(1000), 128);
    assert_eq!(
        long.iter().map(Vec::len).collect::<Vec<_>>(),
        [[128; 7].as_slice(), &[120]].concat()
    );
    assert!(long.iter().all(|window| window[0] == 101 && window.ends_with(&[102])));
    assert!(plain(" ", 512).is_empty());
}

#[test]
fn pieces_are_told_apart() {
    let pieces = tokenizer("bert-tiny").pieces();
    assert_eq!((pieces.mask, pieces.special.len()), (MASK, 30_522));
    let special: Vec<usize> = (0..30_522).filter(|id| pieces.special[*id]).collect();
    assert_eq!(special, [0, 100, 101, 102, 103]);
    // "the" and "##s"
    assert!(!pieces.continuation[1996] && pieces.continuation[2015]);
}

/// Found by `make fuzz`: the table of its normaliser is shorter than it says.
#[test]
fn a_tokenizer_that_makes_the_library_panic_is_refused() {
    let path = fixtures::root().join("fuzz/corpus/tokenizer_json/seed-unigram");
    let error = PromptTokenizer::load(&path).err().expect("refused").to_string();
    assert!(error.contains("makes the library panic"), "{error}");
}
