use super::*;
use crate::{
    dataset::LabeledExample,
    task::{Example, Field, Kind, Output, Target, Truncate},
};

fn task(kind: Kind, fields: &[&str]) -> Task {
    let field = |name: &&str| Field {
        name: (*name).to_owned(),
        min_tokens: 1,
        truncate: Truncate::Tail,
        priority: 1,
        optional: false,
    };
    Task { name: "t".to_owned(), kind, fields: fields.iter().map(field).collect() }
}

fn labels(count: usize) -> Kind {
    Kind::Classification { labels: (0..count).map(|at| format!("label {at}")).collect() }
}

fn dataset(rows: impl IntoIterator<Item = (Vec<String>, Target)>) -> Dataset {
    let labeled =
        rows.into_iter().map(|(values, target)| LabeledExample::new(Example { values }, target));
    Dataset { path: "data.csv".to_owned(), examples: labeled.collect() }
}

/// Sentences about three subjects, with filler words that say nothing.
fn subjects(count: usize, first: usize) -> Dataset {
    const WORDS: [[&str; 3]; 3] =
        [["phone", "battery", "screen"], ["pan", "kitchen", "stove"], ["novel", "chapter", "plot"]];
    dataset((first..first + count).map(|at| {
        let label = at % 3;
        let text =
            format!("this {} number {at} has a good {}", WORDS[label][at % 2], WORDS[label][2]);
        (vec![text], Target::Label(label))
    }))
}

/// Pairs of products, of which one in six is the same product in other words.
fn products(count: usize) -> Dataset {
    dataset((0..count).map(|at| {
        let is_same = at % 6 == 0;
        let other = if is_same { at } else { at + 7 };
        let left = format!("Acme camera AC-{at} silver");
        let right = format!("camera by acme ac{other}, black");
        (vec![left, right], Target::Label(usize::from(is_same)))
    }))
}

fn accuracy(metrics: &Metrics) -> f64 {
    metrics.summary()["accuracy"]
}

#[test]
fn subjects_are_told_apart_by_their_words() {
    let task = task(labels(3), &["text"]);
    let found = figures(&task, &subjects(60, 0), &subjects(30, 100), None).expect("it fits");
    assert_eq!(accuracy(&found[BAG_OF_WORDS]), 1.0);
    assert!((accuracy(&found[MAJORITY]) - 1.0 / 3.0).abs() < 0.02);
}

#[test]
fn numbers_are_predicted_within_their_range() {
    let task = task(Kind::Regression { min: Some(0.0), max: Some(2.0) }, &["text"]);
    let rated = |data: Dataset| {
        dataset(data.examples.into_iter().map(|labeled| {
            let label = labeled.target.label().expect("a label");
            (labeled.example.values, Target::Value(label as f64))
        }))
    };
    let (train, test) = (rated(subjects(60, 0)), rated(subjects(30, 100)));
    let baselines = Baselines::fit(&task, &train, None).expect("it fits");
    let found = baselines.figures(&test).expect("it fits");
    assert!(found[BAG_OF_WORDS].summary()["spearman"] > 0.9, "{found:?}");
    assert_eq!(found[MAJORITY].summary()["spearman"], 0.0);
    for prediction in baselines.bag_of_words().predict(&test.inputs()) {
        let Output::Value(value) = prediction.output else { panic!("a value") };
        assert!((0.0..=2.0).contains(&value), "{value}");
    }
}

#[test]
fn pairs_match_by_how_alike_they_are_with_a_threshold_for_the_rare_label() {
    let task = task(labels(2), &["left_title", "right_title"]);
    let baselines = Baselines::fit(&task, &products(120), Some(1)).expect("it fits");
    let threshold = baselines.bag_of_words().threshold().expect("a rare label has one");
    assert!(threshold.positive == 1 && threshold.value > 0.0 && threshold.value < 1.0);
    let found = baselines.figures(&products(60)).expect("it fits");
    assert_eq!(found[BAG_OF_WORDS].summary()["f1_at_threshold"], 1.0, "{threshold:?}");
    assert_eq!(found[MAJORITY].summary()["f1_positive"], 0.0);
    let even = Baselines::fit(&task, &products(120), Some(0)).expect("it fits");
    assert_eq!(even.bag_of_words().threshold(), None, "a frequent label has none");
}

#[test]
fn a_bag_is_the_same_with_any_number_of_threads() {
    let of = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
        pool.install(|| BagOfWords::fit(&task(labels(3), &["text"]), &subjects(60, 0), None))
    };
    assert_eq!(of(1), of(3));
}

#[test]
fn odd_examples_are_answered() {
    let texts = ["", "🙂🙂", "中文", "\u{200b}", "a"];
    let rows = texts.iter().enumerate();
    let train = dataset(rows.map(|(at, text)| (vec![(*text).to_owned()], Target::Label(at % 2))));
    let bag = BagOfWords::fit(&task(labels(2), &["text"]), &train, Some(1)).expect("it fits");
    assert!(bag.predict(&train.inputs()).iter().all(|prediction| prediction.output.is_finite()));
    assert_eq!(bag.predict(&[]), []);
    assert!(bag.notes().is_empty());
}

#[test]
fn targets_of_another_kind_are_refused() {
    let numbers = task(Kind::Regression { min: None, max: None }, &["text"]);
    assert_eq!(BagOfWords::fit(&numbers, &subjects(6, 0), None), Err(Mismatch));
    assert_eq!(BagOfWords::fit(&task(labels(2), &["text"]), &subjects(6, 0), None), Err(Mismatch));
    assert_eq!(BagOfWords::fit(&numbers, &dataset([]), None), Err(Mismatch));
}
