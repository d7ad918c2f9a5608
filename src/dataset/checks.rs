//! Looks for what is allowed in labelled examples and most likely a mistake.

use std::collections::HashMap;

use super::{
    Dataset,
    fingerprint::Fingerprint,
    overlap::normalised,
    warnings::{Contradiction, Warning},
};
use crate::task::{Kind, Target, Task};

/// Examples that a development set needs for calibration and a threshold.
pub const MIN_TO_CALIBRATE: usize = 20;

/// Examples of a file whose tokens are looked at: the first ones.
pub const MAX_TOKENIZED: usize = 20_000;

/// Shares of a file's examples below which unknown tokens or truncation are not worth a warning.
const MIN_SHARE: f64 = 0.01;

/// Warnings about a training set and its development set before training.
pub fn check(train: &Dataset, dev: Option<&Dataset>, task: &Task) -> Vec<Warning> {
    let mut warnings = check_texts(train, task);
    if let Some(dev) = dev {
        warnings.extend(check_texts(dev, task));
        warnings.extend(check_dev(dev, task));
    }
    warnings
}

/// Texts with several answers, and examples that are there twice. Texts are the same if they are
/// after trimming and lower-casing; numbers contradict each other if they lie further apart than
/// one standard deviation of all targets.
pub fn check_texts(data: &Dataset, task: &Task) -> Vec<Warning> {
    let mut of_text: HashMap<Fingerprint, Vec<usize>> = HashMap::new();
    for (at, labeled) in data.examples.iter().enumerate() {
        of_text.entry(normalised(labeled)).or_default().push(at);
    }
    let mut repeated: Vec<Vec<usize>> = of_text.into_values().filter(|at| at.len() > 1).collect();
    repeated.sort_unstable();
    let spread = spread(data);
    let target = |at: usize| data.examples[at].target;
    let other = |group: &[usize]| {
        group.iter().copied().find(|at| contradict(target(group[0]), target(*at), spread))
    };
    let (contradictory, same): (Vec<_>, Vec<_>) =
        repeated.into_iter().partition(|group| other(group).is_some());
    let first = contradictory.first().and_then(|group| Some([group[0], other(group)?]));
    let contradictions = first.map(|examples| Warning::Contradictions {
        path: data.path.clone(),
        texts: contradictory.len(),
        examples: contradictory.iter().map(Vec::len).sum(),
        first: Contradiction {
            spots: examples.map(|at| data.spot(at)),
            answers: examples.map(|at| answer(target(at), task)),
        },
    });
    let duplicates = same.first().map(|group| Warning::Duplicates {
        path: data.path.clone(),
        examples: same.iter().map(|group| group.len() - 1).sum(),
        example: data.spot(group[1]),
        of: data.spot(group[0]),
    });
    contradictions.into_iter().chain(duplicates).collect()
}

/// Whether a development set has enough examples, and answers that differ, to fit a temperature or a
/// threshold on it.
pub fn is_enough_to_calibrate(dev: &Dataset, task: &Task) -> bool {
    check_dev(dev, task).is_none()
}

fn check_dev(dev: &Dataset, task: &Task) -> Option<Warning> {
    let path = dev.path.clone();
    let first = dev.examples.first().map(|labeled| labeled.target);
    let constant = first.filter(|first| dev.examples.iter().all(|one| one.target == *first));
    match constant {
        Some(target) if dev.examples.len() > 1 => {
            Some(Warning::OneAnswerDev { path, answer: answer(target, task) })
        }
        _ if dev.examples.len() < MIN_TO_CALIBRATE => {
            let examples = dev.examples.len();
            Some(Warning::SmallDev { path, examples, needed: MIN_TO_CALIBRATE })
        }
        _ => None,
    }
}

/// Texts that a tokenizer knows less than half of: `unknown` tells it of each example, in order.
pub fn check_vocabulary(
    data: &Dataset,
    unknown: impl IntoIterator<Item = bool>,
) -> Option<Warning> {
    let (mut examples, mut checked, mut first) = (0, 0, None);
    for is_unknown in unknown {
        checked += 1;
        if is_unknown {
            examples += 1;
            first = first.or(Some(data.spot(checked - 1)));
        }
    }
    let path = data.path.clone();
    let warning = first.map(|first| Warning::UnknownTokens { path, examples, checked, first });
    warning.filter(|_| is_worth_it(examples, checked))
}

/// Texts that are cut: `truncated` tells it of each example.
pub fn check_truncated(path: &str, truncated: &[bool]) -> Option<Warning> {
    let examples = truncated.iter().filter(|truncated| **truncated).count();
    let checked = truncated.len();
    is_worth_it(examples, checked).then(|| Warning::Truncated {
        path: path.to_owned(),
        examples,
        checked,
    })
}

fn is_worth_it(examples: usize, checked: usize) -> bool {
    examples > 0 && examples as f64 >= MIN_SHARE * checked as f64
}

fn contradict(one: Target, other: Target, spread: f64) -> bool {
    match (one, other) {
        (Target::Value(one), Target::Value(other)) => (one - other).abs() > spread,
        _ => one != other,
    }
}

/// The standard deviation of numbers; 0 of labels.
fn spread(data: &Dataset) -> f64 {
    let values: Vec<f64> = data.examples.iter().filter_map(|one| one.target.value()).collect();
    let count = values.len().max(1) as f64;
    let mean = values.iter().sum::<f64>() / count;
    (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count).sqrt()
}

fn answer(target: Target, task: &Task) -> String {
    match (target, &task.kind) {
        (Target::Label(label), Kind::Classification { labels }) => {
            labels.get(label).map_or_else(|| label.to_string(), |label| format!("{label:?}"))
        }
        (Target::Label(label), Kind::Regression { .. }) => label.to_string(),
        (Target::Value(value), _) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{dataset::LabeledExample, task::Example};

    fn task() -> Task {
        let labels = ["bad", "good"].map(str::to_owned).to_vec();
        let kind = Kind::Classification { labels };
        Task { name: "t".to_owned(), kind, fields: Vec::new() }
    }

    fn dataset(rows: &[(&str, Target)]) -> Dataset {
        let labeled = rows.iter().map(|(text, target)| {
            LabeledExample::new(Example { values: vec![(*text).to_owned()] }, *target)
        });
        Dataset { path: "data.csv".to_owned(), examples: labeled.collect() }
    }

    const BAD: Target = Target::Label(0);
    const GOOD: Target = Target::Label(1);

    fn check_sentences(rows: &[(&str, Target)], expected: &[&str]) {
        let found: Vec<String> =
            check_texts(&dataset(rows), &task()).iter().map(ToString::to_string).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn contradictions_and_duplicates_are_told_with_the_first() {
        check_sentences(&[("a", BAD), ("b", GOOD)], &[]);
        check_sentences(
            &[("x", GOOD), ("a", BAD), ("y", BAD), (" A", GOOD), ("a", BAD)],
            &[
                "data.csv: 1 text has more than one answer (3 examples): example 2 is \"bad\", example \
             4 is \"good\"; decide which is right, or remove them",
            ],
        );
        check_sentences(
            &[("a", BAD), ("b", GOOD), ("a", BAD), ("B ", GOOD), ("b", GOOD)],
            &["data.csv: 3 examples repeat an earlier one (example 3 is example 1), which then \
             counts more than once"],
        );
        let both = [("a", BAD), ("a", GOOD), ("b", BAD), ("b", BAD)];
        assert_eq!(check_texts(&dataset(&both), &task()).len(), 2);
    }

    #[test]
    fn numbers_contradict_each_other_when_they_lie_far_apart() {
        let of = |values: [f64; 4]| {
            let texts = ["a", "a", "b", "c"].into_iter().zip(values.map(Target::Value));
            check_texts(&dataset(&texts.collect::<Vec<_>>()), &task())
        };
        assert!(matches!(of([1.0, 9.0, 5.0, 2.0])[..], [Warning::Contradictions { .. }]));
        assert!(matches!(of([1.0, 1.5, 5.0, 9.0])[..], [Warning::Duplicates { .. }]));
    }

    #[test]
    fn a_development_set_must_be_large_and_varied() {
        let texts: Vec<String> = (0..20).map(|at| at.to_string()).collect();
        let of = |count: usize, varied: bool| {
            let rows = texts[..count].iter().enumerate();
            let target = |at: usize| if varied && at.is_multiple_of(2) { BAD } else { GOOD };
            let rows: Vec<_> = rows.map(|(at, text)| (text.as_str(), target(at))).collect();
            check(&dataset(&[]), Some(&dataset(&rows)), &task())
        };
        assert_eq!(of(20, true), []);
        let small = of(19, true);
        assert!(small[0].to_string().starts_with("data.csv has 19 examples; with fewer than 20"));
        let constant = of(20, false);
        assert!(
            constant[0].to_string().starts_with("data.csv: every example is \"good\"; neither")
        );
        assert!(matches!(of(0, true)[..], [Warning::SmallDev { examples: 0, .. }]));
        assert!(matches!(of(1, true)[..], [Warning::SmallDev { examples: 1, .. }]));
    }

    #[test]
    fn unknown_and_cut_texts_are_counted() {
        let unknown = [false, true, false, true, false];
        let nowhere = Dataset { path: "a.csv".to_owned(), examples: Vec::new() };
        let found = check_vocabulary(&nowhere, unknown).expect("two of five");
        assert_eq!(
            found.to_string(),
            "a.csv: in 2 of 5 examples (40.0 %), more than half of the tokens are unknown to the \
             encoder's tokenizer, example 2 first; take an encoder for their language"
        );
        assert_eq!(check_vocabulary(&nowhere, [false]), None);
        let rare = std::iter::repeat_n(false, 200).chain([true]);
        assert_eq!(check_vocabulary(&nowhere, rare), None, "one of 201 is not worth it");
        let found = check_truncated("a.csv", &[true, false, true, false]).expect("half");
        assert!(found.to_string().starts_with("a.csv: 2 of 4 examples (50.0 %) are cut"));
        assert_eq!(check_truncated("a.csv", &[false; 4]), None);
        assert_eq!(check_truncated("a.csv", &[]), None);
    }
}
