//! From values to places, with round ticks.

/// Ticks of an axis at most, whatever the values.
const MAX_TICKS: usize = 24;

/// A linear axis.
#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
    decimals: usize,
    pub ticks: Vec<f64>,
}

impl Axis {
    /// Covers the finite values with about `count` ticks a round step apart, drawn between the
    /// places `from` and `to`.
    pub fn over(
        values: impl IntoIterator<Item = f64>,
        (from, to): (f64, f64),
        count: usize,
    ) -> Self {
        let (low, high) = range(values);
        let step = round_step((high - low) / count as f64);
        let (low, high) = ((low / step).floor() * step, (high / step).ceil() * step);
        let steps = ((high - low) / step).round() as usize;
        let ticks = (0..=steps.min(MAX_TICKS)).map(|at| low + at as f64 * step).collect();
        let decimals = (-step.log10().floor()).clamp(0.0, 6.0) as usize;
        Self { low, high, from, to, decimals, ticks }
    }

    /// The same, and not beyond `limits`, the lowest and the highest value that can be.
    pub fn within(
        values: impl IntoIterator<Item = f64>,
        places: (f64, f64),
        count: usize,
        limits: (Option<f64>, Option<f64>),
    ) -> Self {
        let mut axis = Self::over(values, places, count);
        let (low, high) =
            (limits.0.unwrap_or(f64::NEG_INFINITY), limits.1.unwrap_or(f64::INFINITY));
        // Values that all lie beyond leave nothing to cut.
        if low < axis.high && high > axis.low {
            (axis.low, axis.high) = (axis.low.max(low), axis.high.min(high));
            let slack = 1e-9 * (axis.high - axis.low);
            axis.ticks.retain(|tick| (low - slack..=high + slack).contains(tick));
        }
        axis
    }

    /// Where a value lies; values outside lie on the border.
    pub fn place(&self, value: f64) -> f64 {
        let share = (value - self.low) / (self.high - self.low);
        let share = if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 };
        self.from + share * (self.to - self.from)
    }

    /// A tick in words.
    pub fn label(&self, tick: f64) -> String {
        if self.high.abs().max(self.low.abs()) >= 1e6 {
            return format!("{tick:.1e}");
        }
        // Sums of steps leave -0.0 where there should be 0.
        format!("{:.*}", self.decimals, if tick.abs() < 1e-9 { 0.0 } else { tick })
    }
}

/// The smallest and the largest, apart from each other.
fn range(values: impl IntoIterator<Item = f64>) -> (f64, f64) {
    let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
    for value in values.into_iter().filter(|value| value.abs() < 1e100) {
        (low, high) = (low.min(value), high.max(value));
    }
    if low > high {
        return (0.0, 1.0);
    }
    let size = low.abs().max(high.abs());
    if high - low > 1e-9 * size {
        return (low, high);
    }
    let margin = if size > 0.0 { 0.05 * size } else { 0.5 };
    (low - margin, high + margin)
}

/// 1, 2 or 5 times a power of ten, at least this.
fn round_step(least: f64) -> f64 {
    let power = 10f64.powf(least.log10().floor());
    let factor = [1.0, 2.0, 5.0].into_iter().find(|factor| factor * power >= least * (1.0 - 1e-9));
    factor.unwrap_or(10.0) * power
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(values: &[f64], expected: &[&str]) {
        let axis = Axis::over(values.iter().copied(), (0.0, 100.0), 4);
        let found: Vec<String> = axis.ticks.iter().map(|tick| axis.label(*tick)).collect();
        assert_eq!(found, expected, "{values:?}");
    }

    #[test]
    fn ticks_are_round_and_cover_the_values() {
        check(&[0.61, 0.93], &["0.6", "0.7", "0.8", "0.9", "1.0"]);
        check(&[-0.013, 0.042], &["-0.02", "0.00", "0.02", "0.04", "0.06"]);
        check(&[0.0, 400.0], &["0", "100", "200", "300", "400"]);
        check(&[], &["0.0", "0.5", "1.0"]);
        check(&[f64::NAN, 0.0, 0.0], &["-0.5", "0.0", "0.5"]);
    }

    #[test]
    fn an_axis_ends_where_values_can_lie() {
        let within = |values: &[f64], limits| {
            let axis = Axis::within(values.iter().copied(), (0.0, 100.0), 5, limits);
            let ticks: Vec<String> = axis.ticks.iter().map(|tick| axis.label(*tick)).collect();
            (ticks, axis.place(1.0))
        };
        let stars = (Some(1.0), Some(5.0));
        assert_eq!(
            within(&[0.8, 5.2], stars),
            (["1", "2", "3", "4", "5"].map(str::to_owned).to_vec(), 0.0)
        );
        assert_eq!(within(&[1.5, 2.5], stars).0.first().map(String::as_str), Some("1.4"));
        assert_eq!(within(&[0.8, 1.2], (None, None)).0, ["0.8", "0.9", "1.0", "1.1", "1.2"]);
        assert_eq!(within(&[7.0, 8.0], stars).0.first().map(String::as_str), Some("7.0"));
    }

    #[test]
    fn places_stay_on_the_axis() {
        let axis = Axis::over([0.0, 4.0], (10.0, 50.0), 4);
        let places = [0.0, 1.0, 9.0, f64::NAN].map(|value| axis.place(value));
        assert_eq!(places, [10.0, 20.0, 50.0, 10.0]);
    }

    #[test]
    fn no_values_make_an_axis_grow() {
        for values in [[1e15, 1e15 + 1.0], [-1e300, 1e300], [1e-300, 2e-300], [5e99, -5e99]] {
            let axis = Axis::over(values, (0.0, 1.0), 4);
            assert!(axis.ticks.len() <= MAX_TICKS + 1, "{axis:?}");
            assert!(axis.place(values[0]).is_finite(), "{axis:?}");
        }
    }
}
