//! Confusion matrices: a heat map, or the commonest confusions where there are many labels.

use maud::{Markup, html};

use super::{Caption, WIDTH, frame, px, shortened, text};
use crate::report::table::{Cell, Table};

/// A heat map has no more labels than this.
const MAX_LABELS: usize = 30;

/// With more labels than this, columns have the label's number instead of its name.
const MAX_NAMED_COLUMNS: usize = 12;

/// The smallest text of a count, in the chart's units.
const MIN_FONT: f64 = 7.5;

/// Pairs of labels that a table lists.
const LISTED: usize = 30;

/// Where the cells lie.
struct Layout {
    left: f64,
    top: f64,
    /// Side of a cell.
    size: f64,
    /// Size of the counts' text; none if the largest count has no room.
    font: Option<f64>,
    /// Columns have names, which lean to the right.
    named: bool,
}

impl Layout {
    fn new(labels: usize, largest: usize) -> Self {
        let named = labels <= MAX_NAMED_COLUMNS;
        let (left, top, right) =
            if named { (124.0, 100.0, WIDTH - 44.0) } else { (100.0, 54.0, WIDTH - 8.0) };
        let size = ((right - left) / labels.max(1) as f64).min(64.0);
        // Digits are about 0.6 of the font's size wide.
        let font = (size / (0.6 * largest.to_string().len() as f64 + 0.6)).min(13.0);
        Self { left, top, size, font: (font >= MIN_FONT).then_some(font), named }
    }
}

/// Shows `confusion[gold][predicted]`, shaded by the share of the true label's examples.
pub fn confusion_chart(caption: &Caption, labels: &[String], confusion: &[Vec<usize>]) -> Markup {
    if labels.len() > MAX_LABELS {
        return largest_confusions(labels, confusion).html();
    }
    let largest = confusion.iter().flatten().max().copied().unwrap_or(0);
    let layout = Layout::new(labels.len(), largest);
    let drawing = html! {
        (text("faint", 4.0, 14.0, "rows: true label"))
        (text("faint", 4.0, 30.0, "columns: predicted"))
        @for (at, label) in labels.iter().enumerate() { (label_names(&layout, at, label)) }
        @for (gold, row) in confusion.iter().enumerate() {
            @for (predicted, count) in row.iter().enumerate() {
                @let says = format!("{} as {}: {count}", labels[gold], labels[predicted]);
                (cell(&layout, (gold, predicted), *count, row.iter().sum(), &says))
            }
        }
    };
    let height = layout.top + layout.size * labels.len() as f64 + 8.0;
    frame(caption, (WIDTH, height), &drawing, &html! {})
}

/// The name of a label's row and the name or number of its column.
fn label_names(layout: &Layout, at: usize, label: &str) -> Markup {
    let centre = (at as f64 + 0.5) * layout.size;
    let (column, row) = (layout.left + centre, layout.top + centre);
    let number = (at + 1).to_string();
    html! {
        @if layout.named {
            text class="end small" x=(px(layout.left - 6.0)) y=(px(row + 3.5)) {
                (shortened(label, 17)) title { (label) }
            }
            (column_name(label, px(column + 2.0), px(layout.top - 6.0)))
        } @else {
            text class="end tiny" x=(px(layout.left - 4.0)) y=(px(row + 2.5)) {
                (shortened(label, 18)) " " (number) title { (label) }
            }
            (text("middle tiny", column, layout.top - 4.0, &number))
        }
    }
}

fn column_name(label: &str, x: String, y: String) -> Markup {
    html! {
        text class="small" x=(x) y=(y) transform={"rotate(-55 " (x) " " (y) ")"} {
            (shortened(label, 16)) title { (label) }
        }
    }
}

fn cell(
    layout: &Layout,
    (gold, predicted): (usize, usize),
    count: usize,
    row: usize,
    says: &str,
) -> Markup {
    let size = layout.size;
    let (x, y) = (layout.left + predicted as f64 * size, layout.top + gold as f64 * size);
    let share = count as f64 / row.max(1) as f64;
    let class = if share > 0.5 { "middle on-heat" } else { "middle" };
    html! {
        g {
            title { (says) }
            rect class="heat cell" fill-opacity=(format!("{share:.3}")) x=(px(x)) y=(px(y))
                width=(px(size)) height=(px(size)) {}
            @if let Some(font) = layout.font.filter(|_| count > 0) {
                text class=(class) style={"font-size:" (px(font)) "px"}
                    x=(px(x + size / 2.0)) y=(px(y + size / 2.0 + font * 0.36)) { (count) }
            }
        }
    }
}

fn largest_confusions(labels: &[String], confusion: &[Vec<usize>]) -> Table {
    let mut pairs: Vec<(usize, usize, usize)> = Vec::new();
    for (gold, row) in confusion.iter().enumerate() {
        let wrong = row.iter().enumerate().filter(|(at, count)| *at != gold && **count > 0);
        pairs.extend(wrong.map(|(predicted, count)| (*count, gold, predicted)));
    }
    pairs.sort_unstable_by_key(|&(count, gold, predicted)| (usize::MAX - count, gold, predicted));
    let rows = pairs.iter().take(LISTED).map(|&(count, gold, predicted)| {
        let share = 100.0 * count as f64 / confusion[gold].iter().sum::<usize>().max(1) as f64;
        let cells = [&labels[gold], &labels[predicted], &count.to_string()].map(Cell::new);
        cells.into_iter().chain([Cell::new(format!("{share:.1} %"))]).collect()
    });
    Table {
        caption: format!(
            "The {} commonest confusions of {} labels",
            pairs.len().min(LISTED),
            labels.len()
        ),
        columns: ["true label", "predicted", "examples", "of the true label"]
            .map(str::to_owned)
            .to_vec(),
        rows: rows.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(count: usize) -> Vec<String> {
        (0..count).map(|at| format!("label{at}")).collect()
    }

    #[test]
    fn few_labels_make_a_map() {
        let confusion = [vec![9, 1], vec![0, 0]];
        let found = confusion_chart(&Caption::default(), &labels(2), &confusion).into_string();
        assert!(found.contains("<title>label0 as label1: 1</title>"), "{found}");
        assert!(found.contains("fill-opacity=\"0.900\"") && found.contains("on-heat"), "{found}");
        assert_eq!(found.matches("<rect").count(), 4);
        assert!(Layout::new(30, 9).font.is_some() && Layout::new(30, 100).font.is_none());
    }

    #[test]
    fn many_labels_make_a_table_of_the_commonest() {
        let mut confusion = vec![vec![0; 31]; 31];
        (confusion[3][3], confusion[3][5], confusion[7][1]) = (6, 2, 4);
        let table = largest_confusions(&labels(31), &confusion);
        let found: Vec<Vec<&str>> =
            table.rows.iter().map(|row| row.iter().map(|cell| &*cell.text).collect()).collect();
        let expected = [["label7", "label1", "4", "100.0 %"], ["label3", "label5", "2", "25.0 %"]];
        assert_eq!(found, expected);
        let html = confusion_chart(&Caption::default(), &labels(31), &confusion).into_string();
        assert!(!html.contains("<svg"), "{html}");
    }
}
