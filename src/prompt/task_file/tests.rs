use super::*;
use crate::prompt::Segment;
use crate::task::{Kind, Truncate};

const POLARITY: &str = r#"
[task]
name = "review-polarity"
kind = "classification"
max_length = 64

[fields.text]
min_tokens = 8
truncate = "middle"
priority = 2

[labels]
column = "sentiment"
names = ["negative", "positive"]
[labels.words]
negative = ["terrible"]
positive = ["great"]

[prompt]
canonical = "it-was"
pool_size = 2
[[prompt.template]]
id = "it-was"
text = "{text} It was {mask}."
[[prompt.template]]
id = "it-is"
text = "{text} It is {mask}."
[[prompt.template]]
id = "overall"
text = "Overall {mask}: {text}"
weight = 2
[[prompt.template]]
id = "unseen"
text = "A {mask} product. {text}"
held_out = true
"#;

#[test]
fn a_complete_file_is_read() {
    let file = TaskFile::parse(POLARITY, "polarity.toml").expect("a good file");
    assert_eq!(file.task.name, "review-polarity");
    assert_eq!(file.labels(), ["negative", "positive"]);
    assert_eq!(file.label_words["positive"], ["great"]);
    assert_eq!(file.target_column.0, "sentiment");
    assert_eq!((file.max_length, file.field_columns.as_slice()), (64, &["text".to_owned()][..]));
    let field = &file.task.fields[0];
    assert_eq!((field.min_tokens, field.truncate, field.priority), (8, Truncate::Middle, 2));
    let prompts = &file.prompts;
    assert_eq!((prompts.canonical, prompts.pool.as_slice()), (0, &[0, 2][..]));
    assert_eq!((prompts.sampling, prompts.inference), Default::default());
    assert_eq!(prompts.templates[2].weight, 2.0);
    assert_eq!(file.source, POLARITY);
}

#[test]
fn regression_has_a_range() {
    let text = POLARITY.replace("classification", "regression");
    let (head, rest) = text.split_once("[labels]").expect("labels");
    let (_, tail) = rest.split_once("[prompt]").expect("prompt");
    let text = format!("{head}[target]\ncolumn = \"rating\"\nmin = -4\n[prompt]{tail}");
    let file = TaskFile::parse(&text, "x").expect("a good file");
    assert_eq!(file.task.kind, Kind::Regression { min: Some(-4.0), max: None });
}

/// Replaces `from` by `to` in a good file and expects faults on these lines with these words.
fn check(from: &str, to: &str, expected: &[(usize, &str)]) {
    assert!(POLARITY.contains(from), "{from:?} is in the good file");
    let error = TaskFile::parse(&POLARITY.replacen(from, to, 1), "polarity.toml").expect_err(to);
    let TaskFileError::Invalid { faults, .. } = &error else { panic!("{error}") };
    let found: Vec<_> = faults.iter().map(|f| (f.line, f.to_string())).collect();
    assert_eq!(found.len(), expected.len(), "{found:?}");
    for ((line, message), (expected_line, words)) in found.iter().zip(expected) {
        assert_eq!(line, expected_line, "{message}");
        assert!(message.contains(words), "{message:?} says {words:?}");
    }
}

#[test]
fn every_fault_has_its_line_and_template() {
    check("It was {mask}", "It was {mask} {mask}", &[(24, "template \"it-was\": 2 times {mask}")]);
    check("It was {mask}", "It was {mood}", &[(24, "unknown field"), (24, "no {mask}")]);
    check("\"it-is\"", "\"it-was\"", &[(26, "used twice")]);
    check("canonical = \"it-was\"", "canonical = \"x\"", &[(20, "no such template")]);
    check("canonical = \"it-was\"", "canonical = \"unseen\"", &[(20, "held out")]);
    check("min_tokens = 8", "min_tokens = 65", &[(7, "above max_length")]);
    check("pool_size = 2", "pool_size = 0", &[(21, "at least 1")]);
    check("weight = 2", "weight = -1", &[(31, "above 0")]);
    check("max_length = 64", "max_length = 3", &[(5, "between 4"), (7, "above max_length")]);
    check("\"classification\"", "\"ranking\"", &[(4, "ranking")]);
    check(
        "[\"negative\", \"positive\"]",
        "[\"a\", \"a\"]",
        &[(14, "twice"), (16, "unknown label"), (17, "unknown label")],
    );
    check(
        "[\"negative\", \"positive\"]",
        "[\"negative\", \"positive\", \"mixed\"]\nthreshold = 0.3",
        &[(15, "a threshold is for two labels")],
    );
    check("\"review-polarity\"", "\"../up\"", &[(3, "task name")]);
    check("[fields.text]", "[fields.extra]\n[fields.text]", &[(20, "used by no template")]);
    check(
        "[fields.text]",
        "[fields.mask]\n[fields.text]",
        &[(7, "cannot be called"), (20, "no template")],
    );
}

#[test]
fn long_texts_are_read_in_windows_where_there_is_a_stride() {
    let with = |lines: &str| {
        let text = POLARITY.replace("pool_size = 2", lines);
        TaskFile::parse(&text, "t.toml").expect("a good file")
    };
    assert_eq!(with("").prompts.sliding_window, None);
    let expected = SlidingWindow { stride: 32, max_windows: 16, line: 21 };
    assert_eq!(with("stride = 32").prompts.sliding_window, Some(expected));
    let file = with("max_windows = 64\nstride = 1");
    let expected = SlidingWindow { stride: 1, max_windows: 64, line: 22 };
    assert_eq!(file.prompts.sliding_window, Some(expected));
    assert_eq!(file.without_prompt().prompts.sliding_window, Some(expected));
    let check = |lines: &str, expected: &[(usize, &str)]| check("pool_size = 2", lines, expected);
    check("stride = 0", &[(21, "stride must lie between 1 and max_length = 64")]);
    check("stride = 65", &[(21, "stride must lie between 1 and max_length = 64")]);
    check("stride = 9\nmax_windows = 1", &[(22, "max_windows must lie between 2 and 64")]);
    check("stride = 9\nmax_windows = 65", &[(22, "max_windows must lie between 2 and 64")]);
    check("max_windows = 4", &[(21, "max_windows is for tasks with a stride")]);
    let negative = POLARITY.replace("pool_size = 2", "stride = -1");
    let error = TaskFile::parse(&negative, "t.toml").expect_err("no number of tokens").to_string();
    assert!(error.contains("line 21"), "{error}");
}

#[test]
fn unknown_keys_and_broken_syntax_are_refused_with_their_line() {
    for (from, to) in [("max_length", "max_lenght"), ("[prompt]", "[prompt"), ("true", "yes")] {
        let error = TaskFile::parse(&POLARITY.replacen(from, to, 1), "f.toml").expect_err(to);
        assert!(matches!(error, TaskFileError::Syntax { .. }), "{error}");
        assert!(error.to_string().contains("line"), "{error}");
    }
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let error = TaskFile::read(Path::new("no/such/task.toml")).expect_err("no file");
    assert!(error.to_string().contains("no/such/task.toml"), "{error}");
}

/// The file with these lines after the labels' names.
fn with_labels(lines: &str) -> Result<TaskFile, TaskFileError> {
    let names = "names = [\"negative\", \"positive\"]\n";
    TaskFile::parse(&POLARITY.replace(names, &format!("{names}{lines}\n")), "t.toml")
}

#[test]
fn labels_have_priors_and_a_positive_one() {
    let file = with_labels("positive = \"negative\"\npriors = { positive = 0.9, negative = 0.1 }");
    let file = file.expect("a good file");
    assert_eq!((file.positive, file.priors), (Some(0), Some(vec![0.1, 0.9])));
    let plain = with_labels("").expect("a good file");
    assert_eq!((plain.positive, plain.priors, plain.threshold), (Some(1), None, None));
    for threshold in [0.0, 0.35, 1.0f32] {
        let file = with_labels(&format!("threshold = {threshold:?}")).expect("a good file");
        assert_eq!(file.threshold, Some(threshold));
    }
    for (lines, message) in [
        ("positive = \"neutral\"", "one of two labels"),
        ("priors = { positive = 1.0 }", "above 0"),
        ("priors = { positive = 0.5, negative = 0.6 }", "sum to 1"),
        ("priors = { positive = 0.5, negative = 0.4, neutral = 0.1 }", "unknown label"),
        ("priors = { positive = inf, negative = 0.1 }", "above 0"),
        ("threshold = 1.01", "threshold = 1.01: it must lie between 0 and 1"),
        ("threshold = -0.1", "between 0 and 1"),
        ("threshold = nan", "between 0 and 1"),
    ] {
        let error = with_labels(lines).expect_err(lines).to_string();
        assert!(error.contains(message) && error.starts_with("t.toml:"), "{error}");
    }
}

#[test]
fn standard_fine_tuning_reads_the_fields_alone() {
    let file = TaskFile::parse(POLARITY, "t.toml").expect("a good file").without_prompt();
    assert_eq!((file.prompts.templates.len(), file.prompts.pool.as_slice()), (1, &[0][..]));
    assert!(matches!(file.prompts.templates[0].segments[..], [Segment::Slot(_)]));
    let pair = |text: &str| {
        let text = text.replace("'", "\"");
        let file = format!(
            "[task]\nname = 'p'\nkind = 'regression'\n[fields.a]\n[fields.b]\n\
             [target]\ncolumn = 'y'\n[prompt]\ncanonical = 'c'\n{text}\n\
             [[prompt.template]]\nid = 'c'\ntext = 'Is {{a}} the same {{a}} as {{sep}}{{b}}? {{mask}}'\n"
        );
        TaskFile::parse(&file.replace('\'', "\""), "p.toml")
    };
    let segments = pair("").expect("a good file").prompts.plain.segments;
    assert!(matches!(
        &segments[..],
        [Segment::Slot(_), Segment::Literal(space), Segment::Slot(_), Segment::Separator,
         Segment::Slot(_)] if space == " "
    ));
    let named = pair("plain = '{b} {sep} {a}'").expect("a good file").prompts.plain;
    assert!(matches!(&named.segments[0], Segment::Slot(slot) if slot.field == 1));
    let error = pair("plain = '{a} {mask} {c}'").expect_err("no mask there").to_string();
    assert!(error.contains("p.toml:10: plain:") && error.contains("reads no {mask}"), "{error}");
}

#[test]
fn a_file_cannot_keep_its_reader_busy() {
    let with = |templates: &str| {
        format!(
            "[task]\nname = \"t\"\nkind = \"regression\"\n[fields.text]\n[target]\ncolumn = \"y\"\n\
             [prompt]\ncanonical = \"a\"\n{templates}"
        )
    };
    let template =
        |id: &str, text: &str| format!("[[prompt.template]]\nid = \"{id}\"\ntext = \"{text}\"\n");
    let check = |text: &str, words: &str| {
        let error = TaskFile::parse(text, "task.toml").expect_err(words).to_string();
        assert!(error.contains(words), "{error}");
        assert!(error.len() < 64 << 10, "{} bytes of faults", error.len());
    };
    let long = ". ".repeat(40_000);
    check(&with(&template("a", &format!("{{mask}} {{text}}{long}"))), "80013 bytes; at most 65536");
    let crowd: String = (0..257).map(|at| template(&at.to_string(), "{mask} {text}")).collect();
    check(&with(&crowd), "between 1 and 256");
    check(&with(&template("a", &("{mask}".to_owned() + &"{text}".repeat(129)))), "129 fields");
    check(&with(&template("a", &"} ".repeat(30_000))), "a '}' without its '{'");
    let fields: String = (0..20_000).map(|at| format!("[fields.f{at}]\n")).collect();
    check(&(with(&template("a", "{mask} {text}")) + &fields), "between 1 and 64");
    let names: Vec<String> = (0..20_000).map(|at| format!("\"{at}\"")).collect();
    let words: Vec<String> = (0..20_000).map(|at| format!("{at} = []")).collect();
    let labels = format!(
        "[task]\nname = \"t\"\nkind = \"classification\"\n[fields.text]\n[labels]\ncolumn = \"y\"\n\
         names = [{}]\n[labels.words]\n{}\n[prompt]\ncanonical = \"a\"\n{}",
        names.join(","),
        words.join("\n"),
        template("a", "{mask} {text}"),
    );
    check(&labels, "at most 1000 labels");
    check(&format!("{}{}", "a = ".to_owned() + &"[".repeat(100_000), ""), "task.toml");
    assert!(TaskFile::from_bytes(&vec![b' '; (1 << 20) + 1], "task.toml").is_err());
    assert!(TaskFile::from_bytes(b"\xff", "task.toml").is_err());
}
