//! What two templates of one example say must not differ much.

/// The mean disagreement between two lists of `[examples, columns]` outputs, with the gradient for
/// each: half the sum of both Kullback-Leibler divergences between the probabilities that logits
/// stand for (Jeffreys, 1946), or of regressors' outputs (one column, `values`) the squared
/// difference.
pub fn consistency(
    a: &[f32],
    b: &[f32],
    columns: usize,
    values: bool,
) -> (f64, Vec<f32>, Vec<f32>) {
    let columns = columns.max(1);
    let share = columns as f64 / a.len().max(1) as f64;
    let (mut d_a, mut d_b) = (vec![0.0; a.len()], vec![0.0; b.len()]);
    let mut total = 0.0;
    let rows = a.chunks_exact(columns).zip(b.chunks_exact(columns));
    let gradients = d_a.chunks_exact_mut(columns).zip(d_b.chunks_exact_mut(columns));
    for ((a, b), (d_a, d_b)) in rows.zip(gradients) {
        total +=
            if values { squares(a, b, d_a, d_b, share) } else { divergence(a, b, d_a, d_b, share) };
    }
    (total * share, d_a, d_b)
}

fn squares(a: &[f32], b: &[f32], d_a: &mut [f32], d_b: &mut [f32], share: f64) -> f64 {
    let mut total = 0.0;
    for (at, (a, b)) in a.iter().zip(b).enumerate() {
        let difference = f64::from(*a) - f64::from(*b);
        d_a[at] = (2.0 * difference * share) as f32;
        d_b[at] = -d_a[at];
        total += difference * difference;
    }
    total
}

/// With `p`, `q` the probabilities and `d = ln p - ln q`: `½ Σ (p - q)·d`, whose slope by the first
/// logits is `½ (p·(d - Σ p·d) + p - q)`, and by the second the same with the two exchanged.
fn divergence(a: &[f32], b: &[f32], d_a: &mut [f32], d_b: &mut [f32], share: f64) -> f64 {
    let (log_p, log_q) = (log_softmax(a), log_softmax(b));
    let (mut forward, mut backward) = (0.0, 0.0);
    for (log_p, log_q) in log_p.iter().zip(&log_q) {
        forward += log_p.exp() * (log_p - log_q);
        backward += log_q.exp() * (log_q - log_p);
    }
    for (at, (log_p, log_q)) in log_p.iter().zip(&log_q).enumerate() {
        let (p, q, d) = (log_p.exp(), log_q.exp(), log_p - log_q);
        d_a[at] = (0.5 * share * (p * (d - forward) + p - q)) as f32;
        d_b[at] = (0.5 * share * (q * (-d - backward) + q - p)) as f32;
    }
    0.5 * (forward + backward)
}

fn log_softmax(logits: &[f32]) -> Vec<f64> {
    let largest = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let sum: f64 = logits.iter().map(|logit| (f64::from(*logit) - largest).exp()).sum();
    logits.iter().map(|logit| f64::from(*logit) - largest - sum.ln()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_outputs_agree_and_others_do_not() {
        let (loss, d_a, d_b) = consistency(&[1.0, 2.0], &[3.0, 4.0], 2, false);
        assert!(loss.abs() < 1e-12, "the same probabilities: {loss}");
        assert!(d_a.iter().chain(&d_b).all(|slope| slope.abs() < 1e-7));
        let (loss, ..) = consistency(&[3f32.ln(), 0.0], &[0.0, 0.0], 2, false);
        assert!((loss - 0.5 * 0.25 * 3f64.ln()).abs() < 1e-6, "{loss}");
        assert_eq!(consistency(&[1.0, 2.0], &[2.0, 4.0], 1, true).0, 2.5);
    }

    #[test]
    fn gradients_agree_with_finite_differences() {
        let a = [0.3, -1.2, 0.8, 2.0, 0.1, -0.4];
        let b = [1.3, 0.2, 0.7, -1.0, 0.0, 0.5];
        for (columns, values) in [(3, false), (1, true)] {
            let (_, d_a, d_b) = consistency(&a, &b, columns, values);
            for at in 0..a.len() {
                let loss = |by_a: f32, by_b: f32| {
                    let (mut a, mut b) = (a, b);
                    a[at] += by_a;
                    b[at] += by_b;
                    consistency(&a, &b, columns, values).0
                };
                let h = 1e-3;
                let expected = (loss(h, 0.0) - loss(-h, 0.0)) / f64::from(2.0 * h);
                assert!((f64::from(d_a[at]) - expected).abs() < 1e-3, "{at} {values}");
                let expected = (loss(0.0, h) - loss(0.0, -h)) / f64::from(2.0 * h);
                assert!((f64::from(d_b[at]) - expected).abs() < 1e-3, "{at} {values}");
            }
        }
    }
}
