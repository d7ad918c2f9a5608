//! Supervised contrastive loss on mask vectors.

/// A row's length below which its direction means nothing.
const MIN_LENGTH: f64 = 1e-8;

/// The supervised contrastive loss (Khosla et al., 2020, `L_out`) of `[labels, width]` vectors, and
/// its gradient for them.
///
/// Vectors are scaled to length 1. Each is to be more similar to those with its label than to the
/// others, similarities being divided by `temperature`; one whose label no other has counts nothing.
pub fn contrastive(vectors: &[f32], labels: &[usize], temperature: f64) -> (f64, Vec<f32>) {
    let count = labels.len();
    let width = vectors.len() / count.max(1);
    let (units, lengths) = units(vectors, width);
    let similarities = similarities(&units, count, width, temperature);
    let mut slopes = vec![0.0; count * count];
    let (mut total, mut anchors) = (0.0, 0);
    for anchor in 0..count {
        let row = &similarities[anchor * count..][..count];
        let slopes = &mut slopes[anchor * count..][..count];
        if let Some(loss) = anchor_loss(anchor, row, labels, slopes) {
            total += loss;
            anchors += 1;
        }
    }
    let share = 1.0 / f64::from(anchors.max(1));
    let mut gradient = vec![0.0; vectors.len()];
    for i in 0..count {
        let mut direction = vec![0.0; width];
        for j in 0..count {
            let slope = (slopes[i * count + j] + slopes[j * count + i]) * share / temperature;
            if slope != 0.0 {
                add_scaled(&mut direction, &units[j * width..][..width], slope);
            }
        }
        let unit = &units[i * width..][..width];
        through_scaling(&mut gradient[i * width..][..width], &direction, unit, lengths[i]);
    }
    (total * share, gradient)
}

/// One anchor's loss, with its slopes by the similarities; `None` if no other has its label.
fn anchor_loss(anchor: usize, row: &[f64], labels: &[usize], slopes: &mut [f64]) -> Option<f64> {
    let others = || (0..row.len()).filter(move |other| *other != anchor);
    let is_positive = |other: &usize| labels[*other] == labels[anchor];
    let positives = others().filter(is_positive).count();
    if positives == 0 {
        return None;
    }
    let largest = others().map(|other| row[other]).fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = others().map(|other| (row[other] - largest).exp()).sum();
    let share = 1.0 / positives as f64;
    let mut loss = 0.0;
    for other in others() {
        let log_probability = row[other] - largest - sum.ln();
        slopes[other] = log_probability.exp();
        if is_positive(&other) {
            loss -= log_probability * share;
            slopes[other] -= share;
        }
    }
    Some(loss)
}

/// Rows scaled to length 1, and their lengths.
fn units(vectors: &[f32], width: usize) -> (Vec<f64>, Vec<f64>) {
    let mut units = Vec::with_capacity(vectors.len());
    let mut lengths = Vec::new();
    for row in vectors.chunks_exact(width.max(1)) {
        let squares = row.iter().map(|x| f64::from(*x).powi(2));
        let length = squares.sum::<f64>().sqrt().max(MIN_LENGTH);
        units.extend(row.iter().map(|x| f64::from(*x) / length));
        lengths.push(length);
    }
    (units, lengths)
}

fn similarities(units: &[f64], count: usize, width: usize, temperature: f64) -> Vec<f64> {
    let row = |at: usize| &units[at * width..][..width];
    let pairs = (0..count).flat_map(|i| (0..count).map(move |j| (i, j)));
    pairs.map(|(i, j)| dot(row(i), row(j)) / temperature).collect()
}

/// The gradient before the scaling: what points along the vector itself is lost.
fn through_scaling(gradient: &mut [f32], direction: &[f64], unit: &[f64], length: f64) {
    let along = dot(direction, unit);
    for ((gradient, direction), unit) in gradient.iter_mut().zip(direction).zip(unit) {
        *gradient = ((direction - along * unit) / length) as f32;
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn add_scaled(sum: &mut [f64], row: &[f64], factor: f64) {
    sum.iter_mut().zip(row).for_each(|(sum, x)| *sum += factor * x);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loss_follows_its_definition() {
        // Two and two of the same direction: each sees one positive and two at right angles.
        let vectors = [2.0, 0.0, 1.0, 0.0, 0.0, 3.0, 0.0, 1.0];
        let (loss, _) = contrastive(&vectors, &[0, 0, 1, 1], 0.5);
        let expected = -(2f64.exp() / (2f64.exp() + 2.0)).ln();
        assert!((loss - expected).abs() < 1e-12, "{loss} {expected}");
        // Alone with its label, or alone at all.
        assert_eq!(contrastive(&vectors[..4], &[0, 1], 0.5), (0.0, vec![0.0; 4]));
        assert_eq!(contrastive(&[], &[], 0.5).0, 0.0);
    }

    #[test]
    fn gradients_agree_with_finite_differences() {
        let vectors: Vec<f32> = (0..15).map(|at| (at as f32 * 1.7).sin() + 0.3).collect();
        let labels = [0, 1, 0, 1, 2];
        let (_, gradient) = contrastive(&vectors, &labels, 0.4);
        for (at, found) in gradient.iter().enumerate() {
            let moved = |by: f32| {
                let mut vectors = vectors.clone();
                vectors[at] += by;
                contrastive(&vectors, &labels, 0.4).0
            };
            let expected = (moved(1e-3) - moved(-1e-3)) / 2e-3;
            assert!((f64::from(*found) - expected).abs() < 1e-3, "{at}: {found} {expected}");
        }
    }

    #[test]
    fn a_zero_vector_gives_no_nonsense() {
        let (loss, gradient) = contrastive(&[0.0, 0.0, 1.0, 0.0], &[0, 0], 0.1);
        assert!(loss.is_finite() && gradient.iter().all(|x| x.is_finite()));
    }
}
