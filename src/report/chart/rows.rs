//! Named rows over a common axis: forest plots, and points side by side.

use maud::{Markup, html};

use super::{
    Caption, Mark, WIDTH, axis::Axis, frame, legend, line, mark, series_class, shortened, text,
};

const TOP: f64 = 8.0;
const ROW: f64 = 19.0;
const HEADING: f64 = 22.0;
/// Where the axis begins at least, and at most, whatever the length of the labels.
const LEFT: (f64, f64) = (118.0, 196.0);

/// Width of a character of a label, about.
const CHARACTER: f64 = 6.4;

/// Room for half of the last tick's label, beyond the axis.
const TICK_LABEL: f64 = 26.0;

/// A row: marks on the axis, and a line that spans a range.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    pub label: String,
    /// Decides the colour.
    pub series: usize,
    pub range: Option<(f64, f64)>,
    pub marks: Vec<(Mark, f64)>,
    /// In words, at the right.
    pub note: String,
}

/// Rows under a heading.
#[derive(Debug, Clone, PartialEq)]
pub struct RowGroup {
    pub heading: String,
    pub rows: Vec<Row>,
}

/// A chart of rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Rows {
    pub axis_name: String,
    /// The axis covers 0, which has a line.
    pub zero: bool,
    /// The lowest and the highest value that can be.
    pub limits: (Option<f64>, Option<f64>),
    pub groups: Vec<RowGroup>,
    /// What the marks stand for, where the labels do not say it.
    pub legend: Vec<(Mark, String)>,
}

/// Draws the rows from top to bottom.
pub fn row_chart(caption: &Caption, chart: &Rows) -> Markup {
    let rows = || chart.groups.iter().flat_map(|group| &group.rows);
    let values = rows().flat_map(|row| {
        let range = row.range.into_iter().flat_map(|(low, high)| [low, high]);
        row.marks.iter().map(|(_, value)| *value).chain(range)
    });
    let longest = rows().map(|row| row.label.chars().count()).max().unwrap_or(0);
    let left = (16.0 + CHARACTER * longest as f64).clamp(LEFT.0, LEFT.1);
    let notes = rows().map(|row| row.note.chars().count()).max().unwrap_or(0);
    let right = WIDTH - (10.0 + 6.0 * notes as f64).max(TICK_LABEL);
    let axis =
        Axis::within(values.chain(chart.zero.then_some(0.0)), (left, right), 3, chart.limits);
    let bottom =
        TOP + chart.groups.iter().map(|g| HEADING + g.rows.len() as f64 * ROW).sum::<f64>();
    let drawing = html! {
        @for tick in &axis.ticks {
            (line("grid", (axis.place(*tick), TOP), (axis.place(*tick), bottom)))
            (text("faint middle", axis.place(*tick), bottom + 16.0, &axis.label(*tick)))
        }
        (text("faint middle", f64::midpoint(left, right), bottom + 33.0, &chart.axis_name))
        @if chart.zero { (line("zero", (axis.place(0.0), TOP), (axis.place(0.0), bottom))) }
        (groups(&chart.groups, &axis, left))
    };
    let entries = chart.legend.iter().map(|(mark, name)| (0, *mark, name.as_str()));
    let below = html! { @if !chart.legend.is_empty() { (legend(entries)) } };
    frame(caption, (WIDTH, bottom + 40.0), &drawing, &below)
}

fn groups(groups: &[RowGroup], axis: &Axis, left: f64) -> Markup {
    let mut y = TOP;
    let mut drawn = Vec::new();
    for group in groups {
        drawn.push(text("head", 4.0, y + 15.0, &shortened(&group.heading, 60)));
        y += HEADING;
        for row in &group.rows {
            drawn.push(one_row(row, axis, (left, y + ROW / 2.0)));
            y += ROW;
        }
    }
    html! { @for part in drawn { (part) } }
}

fn one_row(row: &Row, axis: &Axis, (left, y): (f64, f64)) -> Markup {
    let room = ((left - 14.0) / CHARACTER) as usize;
    html! {
        (text("", 12.0, y + 4.0, &shortened(&row.label, room)))
        g class=(series_class(row.series)) {
            @if let Some((low, high)) = row.range {
                (line("", (axis.place(low), y), (axis.place(high), y)))
            }
            @for (sign, value) in &row.marks {
                (mark(*sign, (axis.place(*value), y), &format!("{}: {value:.3}", row.label)))
            }
        }
        (text("small faint end", WIDTH - 4.0, y + 4.0, &row.note))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_have_their_marks_and_the_zero_line_is_on_the_axis() {
        let mark = Mark::of_series(0);
        let row = Row {
            label: "K = 4".to_owned(),
            series: 1,
            range: Some((2.0, 3.0)),
            marks: vec![(mark, 2.5)],
            note: "+2.5".to_owned(),
        };
        let groups = vec![RowGroup { heading: "M3".to_owned(), rows: vec![row] }];
        let legend = vec![(mark, "mean".to_owned())];
        let chart =
            Rows { axis_name: "x".to_owned(), zero: true, limits: (None, None), groups, legend };
        let found = row_chart(&Caption::default(), &chart).into_string();
        assert!(found.contains("<title>K = 4: 2.500</title>"), "{found}");
        assert!(
            found.contains("class=\"zero\" x1=\"118.0\""),
            "0 is where the axis begins: {found}"
        );
        assert!(
            found.contains("x=\"386.0\""),
            "the axis ends 10 + 6 * 4 units from the edge: {found}"
        );
        let row = |row: &Row| Row { note: String::new(), ..row.clone() };
        let groups = chart
            .groups
            .iter()
            .map(|g| RowGroup { rows: g.rows.iter().map(row).collect(), ..g.clone() });
        let bare = Rows { groups: groups.collect(), ..chart.clone() };
        let bare = row_chart(&Caption::default(), &bare).into_string();
        assert!(bare.contains("x=\"394.0\""), "without notes the last tick has room: {bare}");
        let empty = Rows { groups: Vec::new(), ..chart };
        assert!(row_chart(&Caption::default(), &empty).into_string().contains("<svg"));
    }
}
