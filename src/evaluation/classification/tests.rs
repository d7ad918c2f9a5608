use super::*;
use crate::evaluation::Threshold;

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn close(found: f64, expected: f64) {
    // Probabilities are given in single precision.
    assert!((found - expected).abs() < 1e-7, "{found} {expected}");
}

fn best(rows: &[&[f32]]) -> Vec<usize> {
    rows.iter()
        .map(|row| {
            (0..row.len()).rev().max_by(|&a, &b| row[a].total_cmp(&row[b])).expect("a label")
        })
        .collect()
}

#[test]
fn metrics_follow_their_definitions() {
    let gold = [0, 0, 0, 1];
    let probabilities = [0, 0, 1, 1].map(|label: usize| {
        let mut row = vec![0.25f32; 3];
        row[label] = 0.5;
        row
    });
    let probabilities: Vec<&[f32]> = probabilities.iter().map(Vec::as_slice).collect();
    let options = Options::default();
    let found = compare(&names(&["a", "b", "c"]), &gold, &probabilities, &[0, 0, 1, 1], &options);
    assert_eq!(found.accuracy, 0.75);
    assert_eq!(found.confusion, [[2, 1, 0], [0, 1, 0], [0, 0, 0]]);
    let a = &found.labels[0];
    assert_eq!((a.examples, a.precision, a.recall, a.f1), (3, 1.0, 2.0 / 3.0, 0.8));
    // Label c occurs nowhere and does not count.
    close(found.macro_f1, (0.8 + 2.0 / 3.0) / 2.0);
    close(found.log_loss, (3.0 * 2f64.ln() + 4f64.ln()) / 4.0);
    assert_eq!((found.labels[2].average_precision, &found.positive), (None, &None));
}

#[test]
fn three_labels_agree_with_scikit_learn() {
    let rows: [&[f32]; 6] = [
        &[0.5, 0.25, 0.25],
        &[0.25, 0.5, 0.25],
        &[0.125, 0.25, 0.625],
        &[0.5, 0.375, 0.125],
        &[0.25, 0.25, 0.5],
        &[0.375, 0.5, 0.125],
    ];
    let gold = [0, 1, 2, 1, 0, 1];
    let found = compare(&names(&["a", "b", "c"]), &gold, &rows, &best(&rows), &Options::default());
    // roc_auc_score(multi_class="ovr"), average_precision_score(average="macro").
    close(found.auroc.expect("defined"), 0.875);
    close(found.average_precision.expect("defined"), 0.816_666_666_666_666_8);
    close(found.brier, 0.484_375);
    close(found.ece, 0.145_833_333_333_333_33);
    assert_eq!(found.reliability.iter().map(|bin| bin.examples).sum::<usize>(), 6);
}

/// Eight examples of two labels with the probability of the second.
fn two_labels(options: &Options) -> Classification {
    let scores = [0.1f32, 0.4, 0.4, 0.8, 0.6, 0.6, 0.9, 0.3];
    let rows = scores.map(|score| vec![1.0 - score, score]);
    let rows: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
    let gold = [0, 0, 1, 1, 1, 0, 1, 0];
    compare(&names(&["no", "yes"]), &gold, &rows, &best(&rows), options)
}

#[test]
fn two_labels_agree_with_scikit_learn() {
    let threshold = Some(Threshold { positive: 1, value: 0.35 });
    let found = two_labels(&Options { threshold, weights: None });
    close(found.average_precision.expect("defined"), 0.854_166_666_666_666_6);
    close(found.auroc.expect("defined"), 0.875);
    close(found.brier, 0.148_75);
    close(found.log_loss, 0.455_596_529_731_110_76);
    let positive = found.positive.as_ref().expect("two labels");
    let half = positive.at_half;
    assert_eq!((&*positive.label, half.precision, half.recall, half.f1), ("yes", 0.75, 0.75, 0.75));
    let summary = found.summary();
    assert_eq!((summary["f1_positive"], summary["f1_at_threshold"]), (0.75, 0.8));
    assert_eq!(summary["ece"], found.ece);
    assert!(!two_labels(&Options::default()).summary().contains_key("f1_at_threshold"));
}

#[test]
fn the_caller_says_which_label_is_positive() {
    let threshold = Some(Threshold { positive: 0, value: 0.65 });
    let positive = two_labels(&Options { threshold, weights: None }).positive;
    let positive = positive.expect("two labels");
    let decision = positive.at_threshold.expect("a threshold was given");
    // Of the first label's probabilities 0.9 and 0.7 alone are above, both rightly.
    assert_eq!((&*positive.label, decision.precision, decision.recall), ("no", 1.0, 0.5));
}

#[test]
fn weights_count_in_the_scores_of_probabilities() {
    let weights = [1.0, 2.0, 1.0, 0.5, 1.0, 1.0, 3.0, 1.0];
    let found = two_labels(&Options { threshold: None, weights: Some(&weights) });
    // log_loss and brier_score_loss with sample_weight.
    close(found.log_loss, 0.405_214_011_168_897_6);
    close(found.brier, 0.128_571_428_571_428_6);
    let plain = two_labels(&Options::default());
    assert_eq!((found.accuracy, found.auroc), (plain.accuracy, plain.auroc));
    assert_ne!(found.ece, plain.ece);
}

#[test]
fn no_examples_give_no_nonsense() {
    let found = compare(&names(&["a", "b"]), &[], &[], &[], &Options::default());
    assert_eq!((found.accuracy, found.macro_f1, found.log_loss), (0.0, 0.0, 0.0));
    assert_eq!((found.ece, found.brier, found.auroc), (0.0, 0.0, None));
    assert!(found.summary().values().all(|value| value.is_finite()));
}
