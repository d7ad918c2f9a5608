use super::*;
use crate::prompt::TaskFile;

fn labels(labels: &[usize]) -> Vec<Target> {
    labels.iter().copied().map(Target::Label).collect()
}

const POLARITY: &str = r#"
[task]
name = "polarity"
kind = "classification"
[fields.text]
[fields.title]
column = "product title"
optional = true
[labels]
column = "sentiment"
names = ["negative", "positive"]
[prompt]
canonical = "a"
[[prompt.template]]
id = "a"
text = "{title} {text} {mask}"
"#;

fn rating() -> String {
    let (head, tail) = POLARITY.split_once("[labels]").expect("labels");
    let (_, prompt) = tail.split_once("[prompt]").expect("prompt");
    format!(
        "{}[target]\ncolumn = \"sentiment\"\nmin = -4\nmax = 4\n[prompt]{prompt}",
        head.replace("classification", "regression")
    )
}

fn read(task: &str, csv: &[u8]) -> Result<Dataset, DatasetError> {
    let task = TaskFile::parse(task, "task.toml").expect("a good task");
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), csv).expect("written");
    read_file(file.path(), &task).and_then(|data| check_labels(&data, &task.task).map(|()| data))
}

const GOOD: &str = "id,text,product title,sentiment\n1,\"good, \"\"really\"\"\nyes\",Phone,positive\n\
    2,bad,,negative\n3,ok,x,positive\n4,no,x, negative \n";

#[test]
fn rows_become_examples_in_the_order_of_the_tasks_fields() {
    for csv in [GOOD.to_owned(), format!("\u{feff}{}", &GOOD[3..]).replace("1,\"", "\"")] {
        let csv = if csv.starts_with('\u{feff}') {
            csv.replace("2,bad", "bad").replace("3,ok", "ok").replace("4,no", "no")
        } else {
            csv
        };
        let data = read(POLARITY, csv.as_bytes()).expect("good rows");
        assert_eq!(data.targets(), labels(&[1, 0, 1, 0]));
        assert_eq!(data.examples[0].example.values, ["good, \"really\"\nyes", "Phone"]);
        assert_eq!(data.examples[1].example.values, ["bad", ""]);
    }
}

/// Expects these words in the message for a broken file.
fn check(task: &str, csv: impl AsRef<[u8]>, words: &[&str]) {
    let error = read(task, csv.as_ref()).expect_err("broken").to_string();
    for word in words {
        assert!(error.contains(word), "{error:?} says {word:?}");
    }
}

#[test]
fn broken_rows_are_named_by_line_and_column() {
    check(POLARITY, GOOD.replace("2,bad,,", "2,bad,"), &[":4: ", "3 values", "4 columns"]);
    check(POLARITY, GOOD.replace("2,bad", "2, "), &[":4: column \"text\": empty"]);
    let unknown = GOOD.replace("3,ok,x,positive", "3,ok,x,maybe");
    check(POLARITY, unknown, &[":5: column \"sentiment\": unknown label \"maybe\""]);
    check(POLARITY, GOOD.replace(" negative ", "  "), &[":6: column \"sentiment\": no label"]);
    let mut latin = GOOD.as_bytes().to_vec();
    latin.extend(b"5,caf\xe9,x,positive\n");
    check(POLARITY, latin, &[":7: column \"text\": not UTF-8"]);
    let unclosed = format!("{GOOD}5,\"open,x,positive\n{}", "6,text,x,positive\n".repeat(9));
    check(POLARITY, unclosed, &[":7: ", "never closed"]);
}

#[test]
fn many_faults_are_listed_in_part_and_counted() {
    let csv = format!("{GOOD}{}", "5,t,t,neutral\n".repeat(25));
    check(POLARITY, csv, &[":16: ", "and 15 more rows"]);
}

#[test]
fn columns_must_be_there_once() {
    check(POLARITY, GOOD.replace("sentiment", "label"), &["no column \"sentiment\"", "label"]);
    check(POLARITY, GOOD.replace("id,", "text,"), &["two columns called \"text\""]);
    check(POLARITY, GOOD.lines().next().expect("a header"), &["no rows"]);
    check(POLARITY, "", &["no header row"]);
}

#[test]
fn labels_must_occur_twice() {
    check(POLARITY, GOOD.replace("2,bad,,negative\n", ""), &["\"negative\" occurs once"]);
    check(POLARITY, GOOD.replace("negative", "positive"), &["\"negative\" does not occur"]);
}

#[test]
fn targets_must_be_finite_numbers_in_range() {
    let csv = |target: &str| GOOD.replace("positive", "1.5").replace("negative", target);
    let data = read(&rating(), csv("-2").as_bytes()).expect("good rows");
    assert_eq!(data.targets(), [1.5, -2.0, 1.5, -2.0].map(Target::Value));
    for (target, words) in [
        ("nan", ":4: column \"sentiment\": nan is not finite"),
        ("inf", "not finite"),
        ("bad", "\"bad\" is no number"),
        ("4.5", "outside the target's declared range"),
        ("", "no number"),
        ("1.5", "all targets are the same"),
    ] {
        check(&rating(), csv(target), &[words]);
    }
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let task = TaskFile::parse(POLARITY, "task.toml").expect("a good task");
    let error = read_file(std::path::Path::new("no/such.csv"), &task).expect_err("no file");
    assert!(error.to_string().contains("no/such.csv"), "{error}");
}
