//! Charts as SVG. Colours come from the page's style by class, so that they follow light and
//! dark; every chart has a title and a description, and every mark says its value.

mod axis;
mod confusion;
mod lines;
mod reliability;
mod rows;
mod scatter;
mod threshold;

use maud::{Markup, html};

pub use confusion::confusion_chart;
pub use lines::{Point, Series, line_chart};
pub use reliability::reliability_chart;
pub use rows::{Row, RowGroup, Rows, row_chart};
pub use scatter::scatter_chart;
pub use threshold::threshold_chart;

/// Width of a chart in its own units; on a page it is as wide as there is room, so that 12 units
/// of text stay readable on a phone.
const WIDTH: f64 = 420.0;

/// Colours that the style has for series.
const COLOURS: usize = 8;

/// What a chart says in words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Caption {
    pub title: String,
    /// How to read it.
    pub description: String,
}

/// A drawing with its caption; one of less than the usual width is shown smaller.
fn frame(
    caption: &Caption,
    (width, height): (f64, f64),
    drawing: &Markup,
    below: &Markup,
) -> Markup {
    html! {
        figure class=[(width < WIDTH).then_some("narrow")] {
            figcaption { b { (caption.title) } (caption.description) }
            svg viewBox={"0 0 " (px(width)) " " (px(height))} role="img" {
                title { (caption.title) }
                desc { (caption.description) }
                (drawing)
            }
            (below)
        }
    }
}

/// A coordinate with a tenth of a unit, which is finer than can be seen.
fn px(value: f64) -> String {
    format!("{value:.1}")
}

fn text(class: &str, x: f64, y: f64, text: &str) -> Markup {
    html! { text class=(class) x=(px(x)) y=(px(y)) { (text) } }
}

fn line(class: &str, (x1, y1): (f64, f64), (x2, y2): (f64, f64)) -> Markup {
    html! { line class=(class) x1=(px(x1)) y1=(px(y1)) x2=(px(x2)) y2=(px(y2)) {} }
}

/// The class of a series' colour.
fn series_class(series: usize) -> String {
    format!("series s{}", series % COLOURS)
}

/// What a mark looks like, beside its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    pub shape: usize,
    pub hollow: bool,
}

impl Mark {
    /// The filled mark of a series.
    pub fn of_series(series: usize) -> Self {
        Self { shape: series, hollow: false }
    }
}

/// A mark at a place, with what it says when pointed at.
fn mark(mark: Mark, (x, y): (f64, f64), says: &str) -> Markup {
    let outline = match mark.shape % 5 {
        0 => "m-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0z",
        1 => "m-3.5-3.5h7v7h-7z",
        2 => "m0-4.5l4.5 8h-9z",
        3 => "m0-5l5 5l-5 5l-5-5z",
        _ => "m0 4.5l4.5-8h-9z",
    };
    html! {
        path class=[mark.hollow.then_some("hollow")] d={"M" (px(x)) " " (px(y)) (outline)} {
            @if !says.is_empty() { title { (says) } }
        }
    }
}

/// What the colours and marks stand for: series number, mark and name.
fn legend<'a>(entries: impl IntoIterator<Item = (usize, Mark, &'a str)>) -> Markup {
    html! {
        ul.legend {
            @for (series, sign, name) in entries {
                li {
                    svg class=(series_class(series)) viewBox="0 0 22 12" aria-hidden="true" {
                        (line("", (0.0, 6.0), (22.0, 6.0)))
                        (mark(sign, (11.0, 6.0), ""))
                    }
                    (name)
                }
            }
        }
    }
}

/// The text, cut to so many characters.
pub fn shortened(text: &str, characters: usize) -> String {
    if text.chars().count() <= characters {
        return text.to_owned();
    }
    text.chars().take(characters.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cut_by_characters_and_escaped() {
        assert_eq!(
            (shortened("größe", 5), shortened("größer", 5)),
            ("größe".into(), "größ…".into())
        );
        let caption = Caption { title: "<b>".to_owned(), description: "&".to_owned() };
        let found = frame(&caption, (1.0, 1.0), &html! {}, &html! {}).into_string();
        assert!(found.contains("<title>&lt;b&gt;</title><desc>&amp;</desc>"), "{found}");
    }
}
