//! Small training sets out of larger ones.

use super::{Dataset, DatasetError, fingerprint::draw};
use crate::task::{Kind, Target};

/// Takes few examples, in their order: of classification `shots` of each label, of regression
/// `shots` in all. Which ones follows from the seed and each example's place alone.
///
/// Numbers are drawn in strata, one from each of `shots` quantile bins (the targets, sorted, cut
/// into parts of equal size), so that few examples still span the range. A plain draw would leave
/// out its thin ends.
///
/// # Errors
///
/// `DatasetError::Labels` if there are not as many examples, with the labels that lack them.
pub fn few_shot(
    data: &Dataset,
    kind: &Kind,
    shots: usize,
    seed: u64,
) -> Result<Dataset, DatasetError> {
    let fault = |message| Err(DatasetError::Labels { path: data.path.clone(), message });
    if shots == 0 {
        return fault("at least 1 example must be taken".to_owned());
    }
    let taken = match kind {
        Kind::Classification { labels } => each_label(data, labels, shots, seed),
        Kind::Regression { .. } => each_bin(data, shots, seed),
    };
    match taken {
        Err(message) => fault(message),
        Ok(mut taken) => {
            taken.sort_unstable();
            let examples = taken.into_iter().map(|at| data.examples[at].clone()).collect();
            Ok(Dataset { path: data.path.clone(), examples })
        }
    }
}

/// Takes `count` examples, in their order, in about the shares that the whole set has: a plain draw
/// by the seed and each example's place, or all if there are no more.
pub fn sample(data: &Dataset, count: usize, seed: u64) -> Dataset {
    let mut order: Vec<usize> = (0..data.examples.len()).collect();
    order.sort_by_cached_key(|&at| (draw(seed, at), at));
    order.truncate(count);
    order.sort_unstable();
    let examples = order.into_iter().map(|at| data.examples[at].clone()).collect();
    Dataset { path: data.path.clone(), examples }
}

fn each_label(
    data: &Dataset,
    labels: &[String],
    shots: usize,
    seed: u64,
) -> Result<Vec<usize>, String> {
    let mut of_label: Vec<Vec<usize>> = vec![Vec::new(); labels.len()];
    for (at, labeled) in data.examples.iter().enumerate() {
        if let Target::Label(label) = labeled.target {
            of_label[label].push(at);
        }
    }
    let rare: Vec<String> = labels
        .iter()
        .zip(&of_label)
        .filter(|(_, examples)| examples.len() < shots)
        .map(|(label, examples)| format!("label {label:?} has {}", counted(examples.len())))
        .collect();
    if !rare.is_empty() {
        return Err(format!("{}; {shots} of each label are to be taken", rare.join("; ")));
    }
    for examples in &mut of_label {
        examples.sort_by_key(|at| (draw(seed, *at), *at));
        examples.truncate(shots);
    }
    Ok(of_label.concat())
}

fn each_bin(data: &Dataset, shots: usize, seed: u64) -> Result<Vec<usize>, String> {
    let count = data.examples.len();
    if count < shots {
        return Err(format!("{}; {shots} are to be taken", counted(count)));
    }
    let value = |at: usize| match data.examples[at].target {
        Target::Value(value) => value,
        Target::Label(label) => label as f64,
    };
    let mut sorted: Vec<usize> = (0..count).collect();
    // Stable: equal targets keep their order.
    sorted.sort_by(|a, b| value(*a).total_cmp(&value(*b)));
    let border = |bin: usize| (bin as u128 * count as u128 / shots as u128) as usize;
    let drawn = |bin: usize| {
        let members = sorted[border(bin)..border(bin + 1)].iter().copied();
        members.min_by_key(|at| (draw(seed, *at), *at))
    };
    // With at least as many examples as bins, none is empty.
    Ok((0..shots).filter_map(drawn).collect())
}

fn counted(examples: usize) -> String {
    let plural = if examples == 1 { "" } else { "s" };
    format!("{examples} example{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{dataset::LabeledExample, task::Example};

    fn dataset(targets: impl IntoIterator<Item = Target>) -> Dataset {
        let examples = targets.into_iter().enumerate().map(|(at, target)| {
            LabeledExample::new(Example { values: vec![at.to_string()] }, target)
        });
        Dataset { path: "train.csv".to_owned(), examples: examples.collect() }
    }

    fn labels() -> Kind {
        Kind::Classification { labels: ["bad", "good", "odd"].map(str::to_owned).to_vec() }
    }

    const NUMBER: Kind = Kind::Regression { min: None, max: None };

    /// Two thirds bad, a sixth each of the others.
    fn reviews() -> Dataset {
        dataset((0..60).map(|at| Target::Label([0, 0, 1, 0, 0, 2][at % 6])))
    }

    fn places(data: &Dataset) -> Vec<usize> {
        let place = |labeled: &LabeledExample| labeled.example.values[0].parse().expect("a number");
        data.examples.iter().map(place).collect()
    }

    #[test]
    fn each_label_gives_as_many() {
        let data = reviews();
        let few = few_shot(&data, &labels(), 4, 7).expect("enough");
        for label in 0..3 {
            let count = few.targets().iter().filter(|t| **t == Target::Label(label)).count();
            assert_eq!(count, 4, "{label}");
        }
        assert!(places(&few).is_sorted());
        assert_eq!(few_shot(&data, &labels(), 4, 7).expect("enough"), few);
        assert_ne!(few_shot(&data, &labels(), 4, 8).expect("enough"), few);
        assert_eq!(few_shot(&data, &labels(), 10, 7).expect("just enough").examples.len(), 30);
    }

    #[test]
    fn more_shots_keep_those_of_fewer() {
        let taken = |shots| places(&few_shot(&reviews(), &labels(), shots, 3).expect("enough"));
        let more = taken(6);
        assert!(taken(2).iter().all(|place| more.contains(place)));
    }

    #[test]
    fn numbers_span_their_range() {
        // Nearly all are near 0; a tenth lies far out.
        let value =
            |at: usize| if at.is_multiple_of(10) { 100.0 + at as f64 } else { at as f64 * 1e-3 };
        let data = dataset((0..100).map(|at| Target::Value(value(99 - at))));
        for seed in 0..20 {
            let few = few_shot(&data, &NUMBER, 10, seed).expect("enough");
            let mut ranks: Vec<usize> = few
                .targets()
                .iter()
                .map(|t| data.targets().iter().filter(|o| number(o) < number(t)).count())
                .collect();
            ranks.sort_unstable();
            let bins: Vec<usize> = ranks.iter().map(|rank| rank / 10).collect();
            assert_eq!(bins, (0..10).collect::<Vec<_>>(), "one of each tenth");
        }
        let few = |shots, seed| places(&few_shot(&data, &NUMBER, shots, seed).expect("enough"));
        assert_eq!(few(7, 1), few(7, 1));
        assert_ne!(few(7, 1), few(7, 2));
        assert_eq!((few(1, 1).len(), few(7, 1).len(), few(100, 1).len()), (1, 7, 100));
    }

    fn number(target: &Target) -> f64 {
        match target {
            Target::Value(value) => *value,
            Target::Label(_) => f64::NAN,
        }
    }

    #[test]
    fn too_few_examples_are_named() {
        let check = |data: &Dataset, kind: &Kind, shots, words: &str| {
            let error = few_shot(data, kind, shots, 0).expect_err(words).to_string();
            assert!(error.contains(words) && error.contains("train.csv"), "{error}");
        };
        check(&reviews(), &labels(), 11, "label \"good\" has 10 examples; label \"odd\" has 10");
        check(&reviews(), &labels(), usize::MAX, "label \"bad\" has 40 examples");
        let one = dataset([Target::Value(1.0)]);
        check(&one, &NUMBER, 2, "1 example; 2 are to be taken");
        check(&one, &NUMBER, 0, "at least 1 example");
    }
}
