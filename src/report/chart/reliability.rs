//! Reliability diagrams: how often what is said with some probability is so.

use maud::{Markup, html};

use super::{Caption, axis::Axis, frame, line, mark, px, series_class, text};
use crate::{evaluation::calibration::ReliabilityBin, report::chart::Mark};

const SIDE: f64 = 240.0;
const LEFT: f64 = 34.0;
const TOP: f64 = 26.0;
const BOTTOM: f64 = TOP + SIDE;
const COUNTS_TOP: f64 = BOTTOM + 28.0;
const COUNTS: f64 = 40.0;

/// Draws bins of equal width: a bar as high as the accuracy, a mark at the mean confidence, and
/// the share of the examples below.
pub fn reliability_chart(caption: &Caption, series: usize, bins: &[ReliabilityBin]) -> Markup {
    let x = Axis::over([0.0, 1.0], (LEFT, LEFT + SIDE), 2);
    let y = Axis::over([0.0, 1.0], (BOTTOM, TOP), 2);
    let width = SIDE / bins.len().max(1) as f64;
    let largest = bins.iter().map(|bin| bin.weight).fold(0.0, f64::max);
    let drawing = html! {
        (text("faint", 2.0, 12.0, "accuracy"))
        @for tick in &y.ticks {
            (line("grid", (LEFT, y.place(*tick)), (LEFT + SIDE, y.place(*tick))))
            (text("faint end", LEFT - 5.0, y.place(*tick) + 4.0, &y.label(*tick)))
        }
        @for tick in &x.ticks {
            (text("faint middle", x.place(*tick), BOTTOM + 16.0, &x.label(*tick)))
        }
        (line("dashed", (LEFT, BOTTOM), (LEFT + SIDE, TOP)))
        g class=(series_class(series)) {
            @for (at, bin) in bins.iter().enumerate().filter(|(_, bin)| bin.examples > 0) {
                (bar(LEFT + at as f64 * width, width, &y, bin))
                (mark(Mark::of_series(0), (x.place(bin.confidence), y.place(bin.accuracy)), &says(bin)))
            }
        }
        (counts(bins, width, largest))
    };
    frame(caption, (LEFT + SIDE + 12.0, COUNTS_TOP + COUNTS + 18.0), &drawing, &html! {})
}

fn bar(left: f64, width: f64, y: &Axis, bin: &ReliabilityBin) -> Markup {
    let top = y.place(bin.accuracy);
    html! {
        rect class="bar" x=(px(left)) y=(px(top)) width=(px(width - 1.0)) height=(px(BOTTOM - top)) {
            title { (says(bin)) }
        }
    }
}

/// A histogram of the examples below the diagram.
fn counts(bins: &[ReliabilityBin], width: f64, largest: f64) -> Markup {
    html! {
        @for (at, bin) in bins.iter().enumerate().filter(|(_, bin)| bin.examples > 0) {
            @let height = if largest > 0.0 { COUNTS * bin.weight / largest } else { 0.0 };
            rect class="count" x=(px(LEFT + at as f64 * width)) y=(px(COUNTS_TOP + COUNTS - height))
                width=(px(width - 1.0)) height=(px(height)) {
                title { (says(bin)) }
            }
        }
        (line("grid", (LEFT, COUNTS_TOP + COUNTS), (LEFT + SIDE, COUNTS_TOP + COUNTS)))
        (text("faint middle small", LEFT + SIDE / 2.0, COUNTS_TOP + COUNTS + 14.0,
            "confidence; grey: examples in each bin"))
    }
}

fn says(bin: &ReliabilityBin) -> String {
    let ReliabilityBin { examples, confidence, accuracy, .. } = bin;
    format!("{examples} examples: confidence {confidence:.3}, accuracy {accuracy:.3}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filled_bins_are_drawn_with_their_counts() {
        let bin = ReliabilityBin { examples: 7, weight: 7.0, confidence: 0.9, accuracy: 0.5 };
        let bins = [ReliabilityBin::default(), bin];
        let found = reliability_chart(&Caption::default(), 0, &bins).into_string();
        assert!(found.contains("7 examples: confidence 0.900, accuracy 0.500"), "{found}");
        assert_eq!(found.matches("<rect").count(), 2, "one bar, one count: {found}");
        assert!(!found.contains("0 examples: confidence 0.000"), "{found}");
    }
}
