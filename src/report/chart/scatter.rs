//! Predicted against true values.

use maud::{Markup, html};

use super::{Caption, WIDTH, axis::Axis, frame, line, px, series_class, text};

/// Points that are drawn at most.
const MAX_POINTS: usize = 2_000;

const LEFT: f64 = 50.0;
const RIGHT: f64 = WIDTH - 14.0;
const TOP: f64 = 26.0;
const BOTTOM: f64 = TOP + RIGHT - LEFT;

/// Draws `(true, predicted)`; of more than 2,000 points evenly chosen ones in their order. The axes
/// end at `limits`, the target's lowest and highest value; predictions beyond lie on the border.
pub fn scatter_chart(
    caption: &Caption,
    points: &[(f64, f64)],
    limits: (Option<f64>, Option<f64>),
) -> Markup {
    let shown = thinned(points);
    let values = || shown.iter().flat_map(|&(truth, predicted)| [truth, predicted]);
    let x = Axis::within(values(), (LEFT, RIGHT), 5, limits);
    let y = Axis::within(values(), (BOTTOM, TOP), 5, limits);
    let drawing = html! {
        @for tick in &y.ticks {
            (line("grid", (LEFT, y.place(*tick)), (RIGHT, y.place(*tick))))
            (text("faint end", LEFT - 6.0, y.place(*tick) + 4.0, &y.label(*tick)))
            (text("faint middle", x.place(*tick), BOTTOM + 17.0, &x.label(*tick)))
        }
        (text("faint", 4.0, 14.0, "predicted"))
        (text("faint middle", f64::midpoint(LEFT, RIGHT), BOTTOM + 34.0, "true"))
        (line("dashed", (LEFT, BOTTOM), (RIGHT, TOP)))
        g class=(series_class(0)) {
            @for (truth, predicted) in &shown {
                circle class="dot" cx=(px(x.place(*truth))) cy=(px(y.place(*predicted))) r="3" {}
            }
        }
    };
    let below = html! {
        @if shown.len() < points.len() {
            p.note { (shown.len()) " of " (points.len()) " examples are drawn." }
        }
    };
    frame(caption, (WIDTH, BOTTOM + 42.0), &drawing, &below)
}

/// Finite points, evenly chosen where there are too many.
fn thinned(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let shown = points.len().min(MAX_POINTS);
    (0..shown)
        .map(|at| points[at * points.len() / shown])
        .filter(|(truth, predicted)| truth.is_finite() && predicted.is_finite())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_thinned_evenly_and_it_is_said() {
        let points: Vec<(f64, f64)> = (0..5_000).map(|at| (f64::from(at), 0.0)).collect();
        let shown = thinned(&points);
        assert_eq!((shown.len(), shown[0], shown[1]), (2_000, (0.0, 0.0), (2.0, 0.0)));
        assert_eq!(shown[1_999].0, 4_997.0);
        let found = scatter_chart(&Caption::default(), &points, (None, None)).into_string();
        assert!(found.contains("2000 of 5000 examples are drawn"), "{}", found.len());
        assert_eq!(thinned(&[(1.0, f64::NAN), (1.0, 2.0)]), [(1.0, 2.0)]);
        assert!(thinned(&[]).is_empty());
    }
}
