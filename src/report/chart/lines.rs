//! Lines over categories, with error bars.

use maud::{Markup, html};

use super::{Caption, Mark, WIDTH, axis::Axis, frame, legend, line, mark, px, series_class, text};

const HEIGHT: f64 = 290.0;
const LEFT: f64 = 46.0;
const RIGHT: f64 = WIDTH - 10.0;
const TOP: f64 = 26.0;
const BOTTOM: f64 = HEIGHT - 44.0;

/// A value with its error bar.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    pub value: f64,
    pub low: f64,
    pub high: f64,
}

/// One line; its place in the chart's list decides its colour and mark.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    pub name: String,
    /// One for each category; where there is none, the line goes on to the next.
    pub points: Vec<Option<Point>>,
}

/// Draws lines over named categories, the same distance apart, with a legend. The axis of values
/// ends at `limits`, the lowest and the highest value that can be.
pub fn line_chart(
    caption: &Caption,
    (x_name, y_name): (&str, &str),
    categories: &[String],
    series: &[Series],
    limits: (Option<f64>, Option<f64>),
) -> Markup {
    let points = series.iter().flat_map(|series| series.points.iter().flatten());
    let values = points.flat_map(|p| [p.value, p.low, p.high]);
    let axis = Axis::within(values, (BOTTOM, TOP), 5, limits);
    let step = (RIGHT - LEFT) / categories.len().max(1) as f64;
    let centre = |category: usize| LEFT + (category as f64 + 0.5) * step;
    // Side by side, so that the error bars do not hide each other.
    let apart = (0.5 * step / series.len().max(1) as f64).min(8.0);
    let shift = |at: usize| (at as f64 - (series.len() as f64 - 1.0) / 2.0) * apart;
    let drawing = html! {
        @for tick in &axis.ticks {
            (line("grid", (LEFT, axis.place(*tick)), (RIGHT, axis.place(*tick))))
            (text("faint end", LEFT - 6.0, axis.place(*tick) + 4.0, &axis.label(*tick)))
        }
        (text("faint", 4.0, 14.0, y_name))
        @for (at, name) in categories.iter().enumerate() {
            (text("middle", centre(at), BOTTOM + 18.0, name))
        }
        (text("faint middle", f64::midpoint(LEFT, RIGHT), BOTTOM + 36.0, x_name))
        @for (at, series) in series.iter().enumerate() {
            (one_line(at, series, categories, &axis, |category| centre(category) + shift(at)))
        }
    };
    let entries = series.iter().enumerate().map(|(at, s)| (at, Mark::of_series(at), &*s.name));
    frame(caption, (WIDTH, HEIGHT), &drawing, &legend(entries))
}

fn one_line(
    number: usize,
    series: &Series,
    categories: &[String],
    axis: &Axis,
    x: impl Fn(usize) -> f64,
) -> Markup {
    let points: Vec<(usize, &Point)> = series
        .points
        .iter()
        .enumerate()
        .filter_map(|(at, point)| Some((at, point.as_ref()?)))
        .collect();
    let path: Vec<String> = points
        .iter()
        .map(|(at, p)| format!("{},{}", px(x(*at)), px(axis.place(p.value))))
        .collect();
    html! {
        g class=(series_class(number)) {
            polyline points=(path.join(" ")) {}
            @for (at, point) in points {
                (line("", (x(at), axis.place(point.low)), (x(at), axis.place(point.high))))
                (mark(
                    Mark::of_series(number),
                    (x(at), axis.place(point.value)),
                    &says(series, categories.get(at), point),
                ))
            }
        }
    }
}

fn says(series: &Series, category: Option<&String>, point: &Point) -> String {
    let (name, category) = (&series.name, category.map_or("", String::as_str));
    format!("{name}, {category}: {:.3} ({:.3} to {:.3})", point.value, point.low, point.high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_point_is_drawn_and_gaps_are_bridged() {
        let point = |value| Some(Point { value, low: value - 0.1, high: value + 0.1 });
        let series = [
            Series { name: "a".to_owned(), points: vec![point(0.5), None, point(0.7)] },
            Series { name: "b".to_owned(), points: vec![None, None, None] },
        ];
        let categories = ["4", "8", "all"].map(str::to_owned);
        let names = ("x", "y");
        let found = line_chart(&Caption::default(), names, &categories, &series, (None, None));
        let found = found.into_string();
        assert_eq!(found.matches("<title>a, ").count(), 2, "{found}");
        assert!(found.contains("a, all: 0.700 (0.600 to 0.800)"), "{found}");
        let line = found.split("points=\"").nth(1).expect("a line");
        assert_eq!(line.split('"').next().expect("points").split(' ').count(), 2);
    }
}
