//! Precision, recall and F1 over the threshold.

use maud::{Markup, html};

use super::{Caption, Mark, WIDTH, axis::Axis, frame, legend, line, mark, px, series_class, text};
use crate::evaluation::{Decision, Thresholds};

const LEFT: f64 = 40.0;
const RIGHT: f64 = WIDTH - 14.0;
const TOP: f64 = 44.0;
const BOTTOM: f64 = TOP + 240.0;

/// A curve's name and the figure that it shows.
type Curve = (&'static str, fn(&Decision) -> f64);

const CURVES: [Curve; 3] =
    [("precision", |d| d.precision), ("recall", |d| d.recall), ("F1", |d| d.f1)];

/// Draws the three curves, and a line at every threshold that has a name.
pub fn threshold_chart(caption: &Caption, found: &Thresholds) -> Markup {
    let x = Axis::over([0.0, 1.0], (LEFT, RIGHT), 5);
    let y = Axis::over([0.0, 1.0], (BOTTOM, TOP), 5);
    let drawing = html! {
        @for tick in &y.ticks {
            (line("grid", (LEFT, y.place(*tick)), (RIGHT, y.place(*tick))))
            (text("faint end", LEFT - 6.0, y.place(*tick) + 4.0, &y.label(*tick)))
        }
        @for tick in &x.ticks {
            (text("faint middle", x.place(*tick), BOTTOM + 17.0, &x.label(*tick)))
        }
        (text("faint middle", f64::midpoint(LEFT, RIGHT), BOTTOM + 34.0, "threshold"))
        @for (series, curve) in CURVES.iter().enumerate() {
            (one_curve(series, curve, &found.curve, (&x, &y)))
        }
        (named_lines(found, (&x, &y)))
    };
    let entries = CURVES.iter().enumerate().map(|(at, (name, _))| (at, Mark::of_series(at), *name));
    frame(caption, (WIDTH, BOTTOM + 42.0), &drawing, &legend(entries))
}

fn one_curve(
    series: usize,
    (_, figure): &Curve,
    curve: &[Decision],
    (x, y): (&Axis, &Axis),
) -> Markup {
    // Where nothing gets the label, its precision is not defined.
    let drawn = curve.iter().filter(|decision| decision.said > 0);
    let points: Vec<String> = drawn
        .map(|d| format!("{},{}", px(x.place(f64::from(d.threshold))), px(y.place(figure(d)))))
        .collect();
    html! { g class=(series_class(series)) { polyline points=(points.join(" ")) {} } }
}

/// The thresholds with names: one stored, one chosen.
fn named_lines(found: &Thresholds, (x, y): (&Axis, &Axis)) -> Markup {
    let named = [("stored", found.stored, 14.0), ("chosen", found.chosen, 30.0)];
    html! {
        @for (name, decision, top) in named {
            @if let Some(decision) = decision {
                @let place = x.place(f64::from(decision.threshold));
                (line("dashed", (place, top + 4.0), (place, BOTTOM)))
                (label(&format!("{name} {:.3}", decision.threshold), place, top))
                @for (series, (curve, figure)) in CURVES.iter().enumerate() {
                    g class=(series_class(series)) {
                        (mark(
                            Mark::of_series(series),
                            (place, y.place(figure(&decision))),
                            &format!("{curve} {:.3} at {:.3}", figure(&decision), decision.threshold),
                        ))
                    }
                }
            }
        }
    }
}

/// A name beside its line, on the side where there is room.
fn label(name: &str, place: f64, y: f64) -> Markup {
    if place > f64::midpoint(LEFT, RIGHT) {
        text("small end", place - 4.0, y, name)
    } else {
        text("small", place + 4.0, y, name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        evaluation::Threshold,
        task::{Kind, Output, Prediction, Target},
    };

    #[test]
    fn curves_and_named_thresholds_are_drawn() {
        let kind = Kind::Classification { labels: ["no", "yes"].map(str::to_owned).to_vec() };
        let predictions =
            [0.2, 0.9, 0.4].map(|p| Prediction::of(Output::Probabilities(vec![1.0 - p, p])));
        let targets = [0, 1, 1].map(Target::Label);
        let stored = Some(Threshold { positive: 1, value: 0.3 });
        let found = Thresholds::of(&kind, &targets, &predictions, stored, Some(0.85));
        let found = found.expect("two labels");
        let drawn = threshold_chart(&Caption::default(), &found).into_string();
        assert_eq!(drawn.matches("<polyline").count(), 3, "{drawn}");
        assert!(drawn.contains("stored 0.300") && drawn.contains("chosen 0.850"), "{drawn}");
        assert!(drawn.contains("<title>recall 0.500 at 0.850</title>"), "{drawn}");
        let alone = Thresholds { stored: None, chosen: None, ..found };
        let drawn = threshold_chart(&Caption::default(), &alone).into_string();
        assert!(!drawn.contains("stored") && !drawn.contains("dashed"), "{drawn}");
    }
}
