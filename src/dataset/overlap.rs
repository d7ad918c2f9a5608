//! Whether examples that are to judge a head are among those it learns from.

use std::collections::{HashMap, HashSet};

use super::{
    Dataset, DatasetError, LabeledExample,
    fingerprint::{self, Fingerprint},
};

/// Shared examples that a message shows.
const SHOWN: usize = 3;

/// Characters of an example that a message quotes.
const MAX_QUOTED: usize = 40;

/// An example of the second set which the first one has too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shared {
    /// Index in the training set, of the first such example.
    pub train: usize,
    /// Index in the development or test set.
    pub dev: usize,
}

/// The examples of `dev`, in its order, whose texts are those of an example of `train`: the same in
/// every field after trimming and lower-casing, whatever the answers.
pub fn overlap(train: &Dataset, dev: &Dataset) -> Vec<Shared> {
    let mut first: HashMap<Fingerprint, usize> = HashMap::new();
    for (at, labeled) in train.examples.iter().enumerate() {
        first.entry(normalised(labeled)).or_insert(at);
    }
    let found = dev.examples.iter().enumerate().filter_map(|(at, labeled)| {
        first.get(&normalised(labeled)).map(|train| Shared { train: *train, dev: at })
    });
    found.collect()
}

/// Refuses a development or test set that shares examples with the training set. A caller who
/// would rather warn prints the error.
pub fn check_overlap(train: &Dataset, dev: &Dataset) -> Result<(), DatasetError> {
    let shared = overlap(train, dev);
    if shared.is_empty() {
        return Ok(());
    }
    let shown = shared.iter().take(SHOWN).map(|shared| {
        let (own, other) = (dev.spot(shared.dev), train.spot(shared.train));
        let quote = quoted(&dev.examples[shared.dev]);
        format!("{own} is {other} there: {quote}")
    });
    Err(DatasetError::Overlap {
        train: train.path.clone(),
        dev: dev.path.clone(),
        shared: shared.len(),
        examples: dev.examples.len(),
        shown: shown.collect(),
    })
}

/// Leaves out the examples of `dev` that `train` has too; how many they were.
pub fn drop_overlap(train: &Dataset, dev: &mut Dataset) -> usize {
    let shared: HashSet<usize> = overlap(train, dev).iter().map(|shared| shared.dev).collect();
    let mut at = 0..;
    dev.examples.retain(|_| at.next().is_none_or(|at| !shared.contains(&at)));
    shared.len()
}

/// A hash of the texts after trimming and lower-casing.
pub(super) fn normalised(labeled: &LabeledExample) -> Fingerprint {
    let values: Vec<String> =
        labeled.example.values.iter().map(|text| text.trim().to_lowercase()).collect();
    fingerprint::of(values.iter().map(String::as_str))
}

/// The beginning of the first field that is not empty.
fn quoted(labeled: &LabeledExample) -> String {
    let texts = labeled.example.values.iter().map(|text| text.trim());
    let text = texts.into_iter().find(|text| !text.is_empty()).unwrap_or_default();
    let mut quote: String = text.chars().take(MAX_QUOTED).collect();
    if quote.len() < text.len() {
        quote.push('…');
    }
    format!("{quote:?}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::{Example, Target};

    fn dataset(path: &str, examples: &[[&str; 2]]) -> Dataset {
        let labeled = examples.iter().enumerate().map(|(at, values)| {
            let values = values.map(str::to_owned).to_vec();
            LabeledExample::new(Example { values }, Target::Label(at))
        });
        Dataset { path: path.to_owned(), examples: labeled.collect() }
    }

    const TRAIN: [[&str; 2]; 4] = [["a", "b"], ["Große Tür", ""], ["a", "b"], ["ab", ""]];

    #[test]
    fn examples_are_the_same_whatever_their_case_and_borders() {
        let train = dataset("train.csv", &TRAIN);
        let dev =
            [["c", "b"], [" A", "B\n"], ["a b", ""], ["GROßE TÜR", " "], ["", "ab"], ["a", "b"]];
        let found = overlap(&train, &dataset("dev.csv", &dev));
        let expected = [(0, 1), (1, 3), (0, 5)].map(|(train, dev)| Shared { train, dev });
        assert_eq!(found, expected);
    }

    #[test]
    fn the_message_names_both_files_the_count_and_the_first_three() {
        let train = dataset("train.csv", &TRAIN);
        let long = "x".repeat(50);
        let texts = [["c", ""], ["A", "b"], ["AB", ""], ["a", "b"], [" ab", ""]];
        let error = check_overlap(&train, &dataset("dev.csv", &texts)).expect_err("shared");
        let expected = "dev.csv shares 4 of its 5 examples with train.csv, so its score would \
            flatter: example 2 is example 1 there: \"A\"; example 3 is example 4 there: \"AB\"; \
            example 4 is example 1 there: \"a\"; and 1 more";
        assert_eq!(error.to_string(), expected);
        let (one, two) = (dataset("a", &[["", &long]]), dataset("b", &[["", &long], ["y", ""]]));
        let error = check_overlap(&one, &two).expect_err("shared").to_string();
        assert!(error.ends_with(&format!("{:?}", "x".repeat(40) + "…")), "{error}");
        assert!(check_overlap(&train, &dataset("dev.csv", &texts[..1])).is_ok());
        let mut dev = dataset("dev.csv", &texts);
        assert_eq!(drop_overlap(&train, &mut dev), 4);
        assert_eq!(dev.examples, dataset("dev.csv", &texts[..1]).examples);
        assert_eq!(drop_overlap(&train, &mut dev), 0);
    }
}
