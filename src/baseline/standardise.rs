//! Numbers of rows to numbers whose mean is 0 and whose standard deviation is 1.

/// Standard deviation below which a number counts as constant.
const LEAST_DEVIATION: f64 = 1e-6;

/// Mean and scale that standardise a number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Standard {
    pub mean: f32,
    /// Inverse of the standard deviation; 0 for a constant number.
    pub scale: f32,
}

impl Standard {
    /// The standardised number.
    pub fn apply(self, value: f32) -> f32 {
        (value - self.mean) * self.scale
    }
}

/// Standards of each column of rows, which are equally long.
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
