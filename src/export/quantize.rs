//! Matrices as 8-bit integers: symmetric, so that zero stays zero, with a scale of its own for each
//! column or row.

use crate::weights::Array;

/// The largest integer used; -128 is not, so that the range is the same on both sides.
pub(super) const LEVELS: f32 = 127.0;

/// What has a scale of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scales {
    /// Each output of a linear layer, whose weight is `[in, out]`.
    Columns,
    /// Each word of an embedding.
    Rows,
}

/// `values · scale` is about the matrix.
pub(super) struct Quantized {
    /// As the matrix lies.
    pub values: Vec<i8>,
    pub scales: Vec<f32>,
}

/// Quantises a matrix `[rows, columns]`.
pub(super) fn symmetric(array: &Array, scales: Scales) -> Quantized {
    let columns = array.shape.last().copied().unwrap_or(1).max(1);
    let group = |at: usize| match scales {
        Scales::Columns => at % columns,
        Scales::Rows => at / columns,
    };
    let groups = match scales {
        Scales::Columns => columns,
        Scales::Rows => array.data.len() / columns,
    };
    let mut largest = vec![0f32; groups];
    for (at, value) in array.data.iter().enumerate() {
        let largest = &mut largest[group(at)];
        *largest = largest.max(value.abs());
    }
    // A group of zeros alone is right with any scale.
    let scale = |largest: f32| if largest > 0.0 { largest / LEVELS } else { 1.0 };
    let scales: Vec<f32> = largest.into_iter().map(scale).collect();
    let values = array.data.iter().enumerate();
    // In range by the choice of the scale; the cast saturates.
    let values = values.map(|(at, value)| (value / scales[group(at)]).round() as i8).collect();
    Quantized { values, scales }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_column_or_row_uses_its_whole_range() {
        let array = Array { shape: vec![2, 3], data: vec![1.0, -0.5, 0.0, -2.0, 0.25, 0.0] };
        let columns = symmetric(&array, Scales::Columns);
        assert_eq!(columns.values, [64, -127, 0, -127, 64, 0]);
        assert_eq!(columns.scales, [2.0 / LEVELS, 0.5 / LEVELS, 1.0]);
        let rows = symmetric(&array, Scales::Rows);
        assert_eq!(rows.values, [127, -64, 0, -127, 16, 0]);
        assert_eq!(rows.scales, [1.0 / LEVELS, 2.0 / LEVELS]);
    }
}
