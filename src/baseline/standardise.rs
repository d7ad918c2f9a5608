//! Numbers of rows to numbers whose mean is 0 and whose standard deviation is 1.

/// A deviation below this is none: the number does not vary.
const LEAST_DEVIATION: f64 = 1e-6;

/// What is taken off a number, and what the rest is multiplied by.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Standard {
    pub mean: f32,
    /// 1 / the standard deviation; 0 for a number that does not vary.
    pub scale: f32,
}

impl Standard {
    /// The standardised number.
    pub fn apply(self, value: f32) -> f32 {
        (value - self.mean) * self.scale
    }
}

/// Of each place in the rows, which are equally long.
pub fn standards(rows: &[Vec<f32>]) -> Vec<Standard> {
    let count = rows.len().max(1) as f64;
    let of = |at: usize| {
        let mean = |part: &dyn Fn(f64) -> f64| {
            rows.iter().map(|row| part(f64::from(row[at]))).sum::<f64>() / count
        };
        let middle = mean(&|value| value);
        let deviation = mean(&|value| (value - middle).powi(2)).sqrt();
        let scale = if deviation > LEAST_DEVIATION { 1.0 / deviation } else { 0.0 };
        Standard { mean: middle as f32, scale: scale as f32 }
    };
    (0..rows.first().map_or(0, Vec::len)).map(of).collect()
}
