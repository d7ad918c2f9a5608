//! One table, three ways to show it.

use maud::{Markup, html};

use super::glossary::term;

/// How a table is written as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Columns in line, for a terminal.
    Text,
    /// GitHub's tables, for a document.
    Markdown,
}

/// A cell of a table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cell {
    pub text: String,
    /// A second line, on a page alone.
    pub note: String,
    /// Stands out, as the best of its column.
    pub strong: bool,
    /// A word of ours, which a page explains, and not a name from the data.
    pub is_term: bool,
}

/// A table whose first column names the rows; the others are aligned right.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Table {
    pub caption: String,
    pub columns: Vec<String>,
    pub rows: Vec<Vec<Cell>>,
}

impl Cell {
    /// A cell of one line.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }

    /// A cell with a word of ours, such as a metric's name.
    pub fn term(text: impl Into<String>) -> Self {
        Self { is_term: true, ..Self::new(text) }
    }
}

impl Table {
    /// As plain text, with a line break at the end. Control characters are replaced, so that no
    /// name can steer a terminal.
    pub fn render(&self, style: Style) -> String {
        let columns = self.columns.iter().map(|name| plain(name, style)).collect();
        let rows =
            self.rows.iter().map(|row| row.iter().map(|cell| written(cell, style)).collect());
        let lines: Vec<Vec<String>> = std::iter::once(columns).chain(rows).collect();
        let widths = widths(&lines, self.columns.len());
        let mut text = String::new();
        for (at, line) in lines.iter().enumerate() {
            text += &join(line, &widths, style);
            if at == 0 && style == Style::Markdown {
                text += &rule(&widths);
            }
        }
        text
    }

    /// As HTML that scrolls sideways where there is no room.
    pub fn html(&self) -> Markup {
        html! {
            p.note { (self.caption) }
            div.scroll tabindex="0" role="region" aria-label=(self.caption) {
                table aria-label=(self.caption) {
                    thead { tr { @for column in &self.columns { th scope="col" { (term(column)) } } } }
                    tbody {
                        @for row in &self.rows {
                            tr {
                                @for (at, cell) in row.iter().enumerate() {
                                    @if at == 0 { th scope="row" { (content(cell)) } }
                                    @else { td { (content(cell)) } }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn content(cell: &Cell) -> Markup {
    html! {
        @if cell.strong { strong { (cell.text) } }
        @else if cell.is_term { (term(&cell.text)) }
        @else { (cell.text) }
        @if !cell.note.is_empty() { small { (cell.note) } }
    }
}

/// A text that the style cannot take for more than a text.
pub fn plain(text: &str, style: Style) -> String {
    let text: String = text
        .chars()
        .map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c })
        .collect();
    match style {
        Style::Text => text,
        Style::Markdown => text.replace('\\', "\\\\").replace('|', "\\|").replace('<', "&lt;"),
    }
}

fn written(cell: &Cell, style: Style) -> String {
    let text = plain(&cell.text, style);
    if cell.strong && style == Style::Markdown { format!("**{text}**") } else { text }
}

fn widths(lines: &[Vec<String>], columns: usize) -> Vec<usize> {
    let width = |column: usize| {
        lines.iter().filter_map(|line| line.get(column)).map(|text| text.chars().count()).max()
    };
    (0..columns).map(|column| width(column).unwrap_or(0)).collect()
}

fn join(line: &[String], widths: &[usize], style: Style) -> String {
    let aligned = line.iter().zip(widths).enumerate().map(|(at, (text, &width))| {
        if at == 0 { format!("{text:width$}") } else { format!("{text:>width$}") }
    });
    let aligned: Vec<String> = aligned.collect();
    match style {
        Style::Text => format!("{}\n", aligned.join("  ").trim_end()),
        Style::Markdown => format!("| {} |\n", aligned.join(" | ")),
    }
}

fn rule(widths: &[usize]) -> String {
    let cells: Vec<&str> =
        (0..widths.len()).map(|at| if at == 0 { "---" } else { "---:" }).collect();
    format!("| {} |\n", cells.join(" | "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        Table {
            caption: "c".to_owned(),
            columns: ["id", "F1"].map(str::to_owned).to_vec(),
            rows: vec![
                vec![Cell::new("a|<b>"), Cell { strong: true, ..Cell::new("0.5") }],
                vec![Cell::new("\u{1b}[1m"), Cell::new("0.25")],
            ],
        }
    }

    #[test]
    fn text_is_aligned_and_cannot_steer_the_terminal() {
        let expected = "id       F1\na|<b>   0.5\n\u{fffd}[1m   0.25\n";
        assert_eq!(table().render(Style::Text), expected);
    }

    #[test]
    fn markdown_and_html_are_escaped() {
        let expected = "| id        |      F1 |\n| --- | ---: |\n| a\\|&lt;b> | **0.5** |\n\
                        | \u{fffd}[1m      |    0.25 |\n";
        assert_eq!(table().render(Style::Markdown), expected);
        let html = table().html().into_string();
        assert!(html.contains("<th scope=\"row\">a|&lt;b&gt;</th>"), "{html}");
        assert!(html.contains("<td><strong>0.5</strong></td>"), "{html}");
    }
}
