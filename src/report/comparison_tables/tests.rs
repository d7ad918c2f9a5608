use super::*;
use crate::report::comparison::tests::experiment;

/// The texts of the row that begins so.
fn row<'a>(table: &'a Table, name: &str) -> Vec<&'a str> {
    let row = table.rows.iter().find(|row| row[0].text == name).expect("a row of that name");
    row[1..].iter().map(|cell| cell.text.as_str()).collect()
}

#[test]
fn the_headline_has_mean_spread_worst_seed_and_collapsed_runs() {
    let page = experiment();
    let table = metric_table(&page, &page.tasks[0], &page.tasks[0].headline);
    assert_eq!(table.columns, ["method", "K = 4", "all data"]);
    assert_eq!(row(&table, "M3"), ["0.610 ± 0.010", "0.910 ± 0.010"]);
    let strong: Vec<bool> = table.rows.iter().map(|row| row[1].strong).collect();
    assert_eq!(strong, [false, true, false]);
    assert_eq!(table.rows[1][1].note, "worst 0.600, 1 of 3 collapsed");
    // Of an error the lowest is best and the highest worst.
    let table = metric_table(&page, &page.tasks[1], &page.tasks[1].headline);
    assert!(table.rows[2][1].strong && table.rows[2][1].note.contains("worst 0.470"));
}

#[test]
fn differences_are_paired_and_oriented() {
    let page = experiment();
    let found = cell_improvements(&page, &page.tasks[0]);
    let table = improvement_table(&page, &page.tasks[0], &found);
    let expected = ["3", "+0.100", "+0.100 to +0.100", "+19.6 %", "+19.6 % to +19.6 %"];
    assert_eq!(row(&table, "M3, K = 4"), expected);
    let errors = cell_improvements(&page, &page.tasks[1]);
    let table = improvement_table(&page, &page.tasks[1], &errors);
    assert_eq!(row(&table, "M3, all data")[1], "-0.100", "a larger error is worse");
}

#[test]
fn averages_are_over_the_cells_of_a_regime() {
    let mut page = experiment();
    page.tasks.pop();
    let table = average_table(&page, &average_improvements(&page));
    // 0.1 / 0.51 and 0.1 / 0.81.
    assert_eq!(row(&table, "M3, few-shot")[..3], ["1", "3", "+19.6 %"]);
    assert_eq!(row(&table, "M3, all data")[..3], ["1", "3", "+12.3 %"]);
    assert_eq!(row(&table, "M3, all cells")[..3], ["2", "6", "+16.0 %"]);
    // With one regime alone there is nothing to put together.
    page.tasks[0].methods.values_mut().for_each(|shots| shots.retain(|s| s.shot != Shot::All));
    let table = average_table(&page, &average_improvements(&page));
    assert_eq!(row(&table, "M3, few-shot")[..3], ["1", "3", "+19.6 %"]);
    assert_eq!(table.rows.len(), 2, "{table:?}");
}

#[test]
fn templates_and_cost_are_means_over_seeds() {
    let page = experiment();
    let table = template_table(&page, &page.tasks[0]);
    assert_eq!(row(&table, "M0, K = 4"), ["0.510", "–", "0.410", "0.410 to 0.410"]);
    assert_eq!(row(&cost_table(&page), "linear"), ["30.0 s", "30.0 s"]);
}

#[test]
fn missing_results_leave_a_dash() {
    let mut page = experiment();
    page.tasks[0].methods.remove("linear");
    let table = metric_table(&page, &page.tasks[0], &page.tasks[0].headline);
    assert_eq!(row(&table, "linear"), ["–", "–"]);
    page.tasks.clear();
    assert!(comparison_tables(&page, Style::Text).contains("Made-up figures"));
}

#[test]
fn both_styles_hold_every_table() {
    let page = experiment();
    let text = comparison_tables(&page, Style::Text);
    assert!(text.contains("polarity: accuracy (higher is better):\n\nmethod "), "{text}");
    assert!(text.contains("0.600 (1/3)") && !text.contains("**"), "{text}");
    let markdown = comparison_tables(&page, Style::Markdown);
    assert!(markdown.starts_with("## Made-up figures\n"), "{markdown}");
    assert!(markdown.contains("| **0.610 ± 0.010** |"), "{markdown}");
}
