//! Whole files, from rows to a task file that the program takes.

use super::{table::tests::table, *};
use crate::{
    prompt::TaskFile,
    task::{Kind, Truncate},
};

/// Rows made by a function of their number.
fn made(columns: &[&str], count: usize, row: impl Fn(usize) -> Vec<String>) -> Table {
    let rows: Vec<Vec<String>> = (0..count).map(row).collect();
    let rows: Vec<Vec<&str>> =
        rows.iter().map(|row| row.iter().map(String::as_str).collect()).collect();
    let rows: Vec<&[&str]> = rows.iter().map(Vec::as_slice).collect();
    table(columns, &rows)
}

fn planned(table: &Table, options: &Options) -> (Plan, TaskFile) {
    let plan = plan(table, options).expect("a plan");
    let file = TaskFile::parse(&plan.task_file, "task.toml").expect("a good task file");
    let held_out = file.prompts.templates.iter().filter(|template| template.held_out).count();
    assert_eq!((file.prompts.pool.len(), held_out), (6, 1), "{}", plan.task_file);
    let minimums: usize = file.task.fields.iter().map(|field| field.min_tokens).sum();
    assert!(minimums * 2 <= file.max_length, "{}", plan.task_file);
    (plan, file)
}

fn strings(cells: &[&str]) -> Vec<String> {
    cells.iter().map(|cell| (*cell).to_owned()).collect()
}

fn text(at: usize) -> String {
    format!("This is review number {at} of thing {}", at * 7 % 13)
}

#[test]
fn star_reviews_become_ordered_labels_with_opinion_templates() {
    let columns = ["review id", "Stars", "Review Text", "Überschrift", "date"];
    let table = made(&columns, 300, |at| {
        let stars = (at % 5 + 1).to_string();
        strings(&[&format!("R{at}"), &stars, &text(at), &format!("title is {at}"), "2015-01-02"])
    });
    let (plan, file) = planned(&table, &Options { target: Some("stars"), ..Options::default() });
    assert_eq!(plan.name, "stars");
    assert_eq!(file.labels(), ["1", "2", "3", "4", "5"]);
    assert_eq!(file.field_columns, ["Review Text", "Überschrift"]);
    assert_eq!(file.task.field_names(), "Review_Text, Ueberschrift");
    assert!(plan.target.reason.contains("--kind regression"), "{}", plan.target.reason);
    assert!(plan.templates[0].text.ends_with("It was {mask}."), "{}", plan.templates[0].text);
    let sizes = [Part::Train, Part::Dev, Part::Test]
        .map(|part| plan.split.as_ref().map_or(0, |split| split.size(part)));
    assert_eq!(sizes.iter().sum::<usize>(), 300);
    assert_eq!(sizes, [200, 50, 50]);
}

#[test]
fn ratings_with_fractions_become_a_range() {
    let table = made(&["text", "rating"], 120, |at| {
        strings(&[&text(at), &format!("{:.1}", at as f64 / 20.0 - 3.0)])
    });
    let (_, file) = planned(&table, &Options::default());
    assert_eq!(file.task.kind, Kind::Regression { min: Some(-3.0), max: Some(3.0) });
    assert_eq!(file.target_column.0, "rating");
}

#[test]
fn pairs_keep_both_sides_and_the_rare_label_is_looked_for() {
    let columns = ["title_left", "description_left", "title_right", "description_right", "label"];
    let long = |at: usize| format!("{} {}", text(at), "with many more words ".repeat(100));
    let table = made(&columns, 200, |at| {
        let right = if at % 4 == 0 { String::new() } else { long(at + 3) };
        let label = if at % 10 == 0 { "1" } else { "0" };
        strings(&[&text(at), &long(at), &text(at + 1000), &right, label])
    });
    let (plan, file) = planned(&table, &Options::default());
    assert_eq!(file.positive_label(), Some("1"));
    assert_eq!(file.max_length, 256);
    let fields: Vec<(&str, i32, bool)> = file
        .task
        .fields
        .iter()
        .map(|field| (field.name.as_str(), field.priority, field.optional))
        .collect();
    assert_eq!(
        fields,
        [
            ("title_left", 2, false),
            ("description_left", 1, true),
            ("title_right", 2, false),
            ("description_right", 1, true),
        ]
    );
    assert!(file.task.fields.iter().all(|field| field.truncate == Truncate::Tail));
    assert!(plan.templates[0].text.contains("{description_left} {sep} {title_right}"));
    assert!(plan.notes.iter().any(|note| note.contains("longer than")), "{:?}", plan.notes);
}

#[test]
fn categories_are_subjects_and_oddly_spelled_labels_are_named() {
    let labels = ["Fridges & Freezers", "TVs \"smart\"", "tvs \"smart\"", "Größe {x}"];
    let table = made(&["title", "category"], 200, |at| {
        strings(&[&text(at), &format!(" {} ", labels[at % 4])])
    });
    let (plan, file) = planned(&table, &Options::default());
    assert_eq!(
        file.labels(),
        ["Fridges & Freezers", "Größe {x}", "TVs \"smart\"", "tvs \"smart\""]
    );
    assert!(plan.notes.iter().any(|note| note.contains("case")), "{:?}", plan.notes);
    assert_eq!(plan.templates[0].id, "about");
}

#[test]
fn names_that_say_nothing_give_neutral_templates() {
    let columns = ["a {weird} \"name\"", "y"];
    let table = made(&columns, 60, |at| strings(&[&text(at), ["0", "1"][at % 2]]));
    let (plan, file) = planned(&table, &Options { fallback_name: "mine", ..Options::default() });
    assert_eq!(plan.name, "mine");
    assert_eq!(file.field_columns, ["a {weird} \"name\""]);
    assert!(plan.templates.iter().all(|template| !template.text.contains("feel")));
}

#[test]
fn options_override_what_is_inferred() {
    let columns = ["text", "other", "stars", "product"];
    let table = made(&columns, 200, |at| {
        strings(&[&text(at), &text(at + 500), &(at % 5 + 1).to_string(), &format!("p{}", at / 4)])
    });
    let named = strings(&["other"]);
    let labels = strings(&["5", "1"]);
    let options = Options {
        text: &named,
        labels: &labels,
        group: Some("product"),
        name: Some("mine.v2"),
        ..Options::default()
    };
    let (plan, file) = planned(&table, &options);
    assert_eq!((file.labels(), file.field_columns.len()), (&strings(&["5", "1"])[..], 1));
    assert_eq!((plan.name.as_str(), plan.clean.kept.len()), ("mine.v2", 80));
    let parts = plan.split.as_ref().map_or(&[][..], |split| &split.parts);
    let product = |at: usize| table.value(plan.clean.kept[at].at, 3);
    assert!((1..80).all(|at| product(at) != product(at - 1) || parts[at] == parts[at - 1]));
    let regression = Options { kind: Some(KindChoice::Regression), ..Options::default() };
    let (_, file) = planned(&table, &regression);
    assert_eq!(file.task.kind, Kind::Regression { min: Some(1.0), max: Some(5.0) });
    let error = |options| plan_error(&table, &options);
    assert!(error(Options { name: Some("a b"), ..Options::default() }).contains("--name"));
    assert!(error(Options { group: Some("x"), ..Options::default() }).contains("\"product\""));
    let kind = Some(KindChoice::Regression);
    let text = Options { kind, target: Some("text"), ..Options::default() };
    assert!(error(text).contains("no numbers"));
}

fn plan_error(table: &Table, options: &Options) -> String {
    plan(table, options).err().map_or(String::new(), |error| error.to_string())
}

#[test]
fn a_file_of_one_text_leaves_nothing_to_learn() {
    let table = made(&["text", "label"], 40, |at| {
        strings(&[["one text", "and another"][at % 2], ["a", "b"][at % 2]])
    });
    let text = strings(&["text"]);
    let error = plan_error(&table, &Options { text: &text, ..Options::default() });
    assert!(error.contains("too little is left") && error.contains("duplicate"), "{error}");
}

#[test]
fn names_of_tasks_come_from_files_and_targets() {
    for (path, target, expected) in [
        ("x/reviews.tsv", "stars", "reviews-stars"),
        ("train.csv", "stars", "stars"),
        ("esci.csv", "esci_label", "esci"),
        ("spam_train.csv", "is_spam", "spam"),
        ("Product Match.csv.gz", "label", "product-match"),
        ("data.csv", "label", "mine"),
        ("数据.csv", "标签", "mine"),
    ] {
        let options = Options { fallback_name: "mine", ..Options::default() };
        assert_eq!(task_name(&options, path, target).ok().as_deref(), Some(expected), "{path}");
    }
}
