use super::*;
use crate::rows::ColumnKind;

const TASK: &str = "[task]\nname = \"t\"\nkind = \"classification\"\n\
    [fields.title]\ncolumn = \"headline\"\n[fields.brand]\noptional = true\n\
    [labels]\ncolumn = \"y\"\nnames = [\"no\", \"yes\"]\n[prompt]\ncanonical = \"one\"\n\
    [[prompt.template]]\nid = \"one\"\ntext = \"{title} {brand} {mask}\"\n";

fn layout(columns: &[&str], naming: &Naming, output: Format) -> Result<Layout, BulkError> {
    let file = TaskFile::parse(TASK, "task.toml").expect("a good task file");
    let columns = columns
        .iter()
        .map(|name| Column { name: (*name).to_owned(), kind: ColumnKind::Text })
        .collect();
    Layout::new("in.csv", Some(columns), &file, None, naming, output)
}

fn naming(fields: &[(&str, &str)], prefix: &str, scores: bool) -> Naming {
    let fields = fields.iter().map(|(f, c)| ((*f).to_owned(), (*c).to_owned())).collect();
    Naming { fields, prefix: prefix.to_owned(), scores, least_sure: None }
}

#[test]
fn fields_are_found_by_what_was_said_their_name_or_the_task_file() {
    let check = |columns: &[&str], fields: &[(&str, &str)], expected: [Option<usize>; 2]| {
        let layout = layout(columns, &naming(fields, "", false), Format::Csv).expect("found");
        let places: Vec<Option<usize>> = layout.fields.iter().map(|field| field.place).collect();
        assert_eq!(places, expected, "{columns:?}");
    };
    check(&["id", "title", "brand"], &[], [Some(1), Some(2)]);
    check(&["id", "headline"], &[], [Some(1), None]);
    check(&["headline", "title"], &[], [Some(1), None]);
    check(&["headline", "title"], &[("title", "headline")], [Some(0), None]);
    check(&["title", "maker"], &[("brand", "maker")], [Some(0), Some(1)]);
}

#[test]
fn what_cannot_be_is_said_with_what_to_do() {
    let check = |columns: &[&str], fields: &[(&str, &str)], output, words: &[&str]| {
        let error = layout(columns, &naming(fields, "", true), output).expect_err("refused");
        let text = error.to_string();
        assert!(words.iter().all(|word| text.contains(word)), "{text}");
    };
    check(&["id"], &[], Format::Csv, &["\"title\"", "it has: \"id\"", "--field title=COLUMN"]);
    check(&["title"], &[("title", "x")], Format::Csv, &["no column \"x\""]);
    check(&["title"], &[("text", "x")], Format::Csv, &["no field \"text\"", "title, brand"]);
    check(&["title", "label"], &[], Format::Csv, &["\"label\"", "--prefix"]);
    check(&["title", "probability_no"], &[], Format::Csv, &["\"probability_no\""]);
    check(&["title", "title"], &[], Format::Csv, &["two columns"]);
    check(&["title", "x", "x"], &[], Format::Jsonl, &["two columns"]);
    let long = "x".repeat(5000);
    check(&["title", &long], &[], Format::Csv, &["5000 bytes", "no more than 4096"]);
    let long = "x".repeat(4000);
    let error = layout(&[&long], &naming(&[], "", false), Format::Csv).expect_err("no title");
    assert!(error.to_string().len() < 500, "{error}");
    assert!(layout(&["title", "x", "x"], &naming(&[], "", false), Format::Csv).is_ok());
}

#[test]
fn where_each_row_says_its_columns_both_names_are_kept() {
    let file = TaskFile::parse(TASK, "task.toml").expect("a good task file");
    let of = |naming: &Naming| {
        let layout = Layout::new("-", None, &file, None, naming, Format::Jsonl).expect("found");
        layout.fields.into_iter().map(|field| (field.name, field.otherwise)).collect::<Vec<_>>()
    };
    let name = |name: &str| name.to_owned();
    let both = [(name("title"), Some(name("headline"))), (name("brand"), None)];
    assert_eq!(of(&naming(&[], "", false)), both);
    assert_eq!(of(&naming(&[("title", "x")], "", false))[0], (name("x"), None));
}

#[test]
fn what_is_added_depends_on_the_task_and_its_names_on_the_prefix() {
    let names = |naming: &Naming| -> Vec<String> {
        let layout = layout(&["title", "label"], naming, Format::Csv).expect("no clash");
        layout.added.into_iter().map(|(name, _)| name).collect()
    };
    let expected = ["p_label", "p_probability", "p_truncated", "p_error"];
    assert_eq!(names(&naming(&[], "p_", false)), expected);
    let scores = names(&naming(&[], "p_", true));
    assert_eq!(scores[2..4], ["p_probability_no", "p_probability_yes"]);
    let file = TaskFile::parse(TASK, "task.toml").expect("a good task file");
    let sliding = TASK.replace("[prompt]\n", "[prompt]\nstride = 9\n");
    let sliding = TaskFile::parse(&sliding, "task.toml").expect("a good task file");
    let layout = Layout::new("-", None, &sliding, None, &naming(&[], "", false), Format::Jsonl);
    let added = layout.expect("found").added;
    assert_eq!(
        added[2..4].iter().map(|one| one.1).collect::<Vec<_>>(),
        [Added::Truncated, Added::Windows]
    );
    let threshold = Threshold { positive: 1, value: 0.25 };
    let layout =
        Layout::new("-", None, &file, Some(threshold), &naming(&[], "", false), Format::Jsonl);
    assert_eq!(
        layout.expect("found").added[2],
        ("decision".to_owned(), Added::Decision(threshold))
    );
}
