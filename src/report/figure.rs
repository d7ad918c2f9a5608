//! Numbers as readers see them.

/// A metric: three decimals, fewer for large values.
pub fn figure(value: f64) -> String {
    match value.abs() {
        size if size < 100.0 => format!("{value:.3}"),
        size if size < 10_000.0 => format!("{value:.1}"),
        _ => format!("{value:.3e}"),
    }
}

/// A difference, always with its sign.
pub fn signed(value: f64) -> String {
    with_sign(figure(value))
}

/// A share as a percentage, always with its sign.
pub fn signed_percent(share: f64) -> String {
    with_sign(format!("{:.1}", 100.0 * share)) + " %"
}

/// What rounds to 0 has no sign.
fn with_sign(text: String) -> String {
    match text.strip_prefix('-') {
        Some(size) if is_zero(size) => size.to_owned(),
        Some(_) => text,
        None if is_zero(&text) => text,
        None => format!("+{text}"),
    }
}

fn is_zero(digits: &str) -> bool {
    digits.chars().all(|c| matches!(c, '0' | '.'))
}

/// A duration.
pub fn seconds(seconds: f64) -> String {
    if seconds < 99.95 { format!("{seconds:.1} s") } else { format!("{:.1} min", seconds / 60.0) }
}

/// A metric's name as headings have it.
pub fn words(name: &str) -> String {
    match name {
        "ece" => "calibration error".to_owned(),
        "auroc" => "AUROC".to_owned(),
        "macro_f1" => "macro F1".to_owned(),
        "f1_positive" => "positive F1".to_owned(),
        "f1_at_threshold" => "positive F1 at threshold".to_owned(),
        "spearman" => "Spearman".to_owned(),
        "pearson" => "Pearson".to_owned(),
        "rmse" => "RMSE".to_owned(),
        "mae" => "MAE".to_owned(),
        "r2" => "R²".to_owned(),
        other => other.replace('_', " "),
    }
}

/// The lowest and the highest value that a metric can have.
pub fn limits(metric: &str) -> (Option<f64>, Option<f64>) {
    match metric {
        "spearman" | "pearson" => (Some(-1.0), Some(1.0)),
        "r2" => (None, Some(1.0)),
        "rmse" | "mae" | "log_loss" => (Some(0.0), None),
        "accuracy" | "macro_f1" | "f1_positive" | "f1_at_threshold" | "average_precision"
        | "auroc" | "ece" | "brier" => (Some(0.0), Some(1.0)),
        _ => (None, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_keep_what_matters() {
        assert_eq!([0.81249, 99.5, 123.45].map(figure), ["0.812", "99.500", "123.5"]);
        assert_eq!(figure(1_234_567.0), "1.235e6");
        assert_eq!([0.02, -0.02].map(signed), ["+0.020", "-0.020"]);
        assert_eq!([-0.0004, 0.0].map(signed), ["0.000", "0.000"]);
        assert_eq!([-0.0371, 0.0371, -1e-5].map(signed_percent), ["-3.7 %", "+3.7 %", "0.0 %"]);
        assert_eq!([words("log_loss"), words("auroc")], ["log loss", "AUROC"]);
        assert_eq!([12.34, 120.0].map(seconds), ["12.3 s", "2.0 min"]);
    }
}
