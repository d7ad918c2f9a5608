//! Distances between tokens as rows of a table.
//!
//! The logarithms are computed in 32 bits, as PyTorch computes them: a distance at the border between two
//! buckets must fall on the same side.

use super::Distances;

/// The row of the distance table for every distance up to the longest sequence so far.
#[derive(Debug, Clone, Default)]
pub struct DistanceRows {
    longest: usize,
    /// Rows from a key that is `longest - 1` before its query to one that is as far after it.
    rows: Vec<u32>,
}

impl DistanceRows {
    /// Makes room for the distances within sequences of this length.
    pub fn reach(&mut self, distances: Distances, longest: usize) {
        if longest > self.longest {
            let before = (1..longest).rev().map(|distance| distances.row(distance, 0));
            let after = (0..longest).map(|distance| distances.row(0, distance));
            // A table has no more rows than positions, which are far below 2^32.
            self.rows = before.chain(after).map(|row| row as u32).collect();
            self.longest = longest;
        }
    }

    /// Tells whether distances of this size have been given a row.
    pub fn covers(&self, distance: usize) -> bool {
        distance < self.longest
    }

    /// The rows from a key `before` places before the query to one that is `after` places after it.
    /// Both must be below the length that [`Self::reach`] was given.
    pub fn between(&self, before: usize, after: usize) -> &[u32] {
        let query = self.longest - 1;
        &self.rows[query - before..=query + after]
    }
}

impl Distances {
    /// The row for a query at position `query` and a key at position `key`; 0 without such a table.
    pub fn row(self, query: usize, key: usize) -> usize {
        // Positions are below 65,536.
        let to_key = key as i64 - query as i64;
        match self {
            Self::None | Self::Rotary { .. } => 0,
            Self::Buckets { buckets, max_distance } => bucket(to_key, buckets, max_distance),
            Self::Disentangled { span, buckets, max_distance, .. } => {
                let distance = match buckets {
                    0 => -to_key,
                    buckets => logarithmic(-to_key, buckets, max_distance),
                };
                let last = 2 * span as i64 - 1;
                (span as i64 + distance).clamp(0, last).unsigned_abs() as usize
            }
        }
    }
}

/// T5's bucket of a distance to a key: half of the buckets are for keys behind the query, and of each
/// half the first half for one distance each (Raffel et al., 2020).
fn bucket(to_key: i64, buckets: usize, max_distance: usize) -> usize {
    let half = buckets / 2;
    let behind = if to_key > 0 { half } else { 0 };
    let distance = to_key.unsigned_abs() as usize;
    let exact = half / 2;
    if distance < exact {
        return behind + distance;
    }
    let scale = (max_distance as f64 / exact as f64).ln() as f32;
    let steps = (distance as f32 / exact as f32).ln() / scale * (half - exact) as f32;
    behind + (exact + steps as usize).min(half - 1)
}

/// DeBERTa's bucket of a distance, with its sign: distances of up to half the buckets are themselves
/// (He et al., 2021).
fn logarithmic(distance: i64, buckets: usize, max_distance: usize) -> i64 {
    let middle = (buckets / 2) as i64;
    if distance.abs() <= middle {
        return distance;
    }
    let scale = ((max_distance as f64 - 1.0) / middle as f64) as f32;
    let share = (distance.abs() as f32 / middle as f32).ln() / scale.ln();
    let steps = (share * (middle - 1) as f32).ceil() as i64;
    (middle + steps) * distance.signum()
}
