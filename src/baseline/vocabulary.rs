//! Which n-grams have a column, and how much each counts.

use std::collections::HashMap;

use rayon::prelude::*;

use crate::lexical::Gram;

/// An n-gram of the training texts.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Entry {
    column: u32,
    /// Inverse document frequency.
    idf: f32,
}

/// The n-grams of the training texts.
#[derive(Debug, Clone, PartialEq)]
pub struct Vocabulary {
    entries: HashMap<Gram, Entry>,
    /// The inverse document frequency of an n-gram that has no entry.
    unseen: f32,
    /// N-grams that occur, of which the most frequent have an entry.
    found: usize,
}

impl Vocabulary {
    /// Counts in how many documents each n-gram occurs; `grams` gives those of a document, each
    /// once. At most `limit` are kept: the most frequent.
    pub fn new<I>(documents: usize, limit: usize, grams: impl Fn(usize) -> I + Sync) -> Self
    where
        I: IntoIterator<Item = Gram>,
        I::IntoIter: Send,
    {
        let mut all: Vec<Gram> = (0..documents).into_par_iter().flat_map_iter(&grams).collect();
        all.par_sort_unstable();
        let groups = all.chunk_by(|a, b| a == b);
        let mut counted: Vec<(usize, Gram)> = groups.map(|group| (group.len(), group[0])).collect();
        drop(all);
        let found = counted.len();
        if found > limit {
            counted.sort_unstable_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
            counted.truncate(limit);
            counted.sort_unstable_by_key(|(_, gram)| *gram);
        }
        let idf = |frequency: usize| {
            ((1.0 + documents as f64) / (1.0 + frequency as f64)).ln() as f32 + 1.0
        };
        let entries = (0..)
            .zip(&counted)
            .map(|(column, (frequency, gram))| (*gram, Entry { column, idf: idf(*frequency) }));
        Self { entries: entries.collect(), unseen: idf(0), found }
    }

    /// Columns.
    pub fn width(&self) -> usize {
        self.entries.len()
    }

    /// N-grams that the training texts have, those without a column too.
    pub fn found(&self) -> usize {
        self.found
    }

    /// A text's n-grams that have a column, by TF-IDF (logarithmic in the count), scaled to length 1.
    pub fn columns(&self, counts: &[(Gram, u32)]) -> Vec<(u32, f32)> {
        let known = counts.iter().filter_map(|(gram, count)| {
            self.entries.get(gram).map(|entry| (entry.column, weight(*count, entry.idf)))
        });
        let mut columns: Vec<(u32, f32)> = known.collect();
        let length = columns.iter().map(|(_, weight)| weight * weight).sum::<f32>().sqrt();
        columns.iter_mut().for_each(|(_, weight)| *weight /= length);
        columns
    }

    /// The weight of an n-gram with its count by TF-IDF; one that no training text has counts most.
    pub fn weight(&self, (gram, count): &(Gram, u32)) -> f32 {
        weight(*count, self.entries.get(gram).map_or(self.unseen, |entry| entry.idf))
    }
}

fn weight(count: u32, idf: f32) -> f32 {
    (1.0 + (count as f32).ln()) * idf
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lexical::cosine;

    fn vocabulary(limit: usize) -> Vocabulary {
        let documents: [&[Gram]; 3] = [&[10, 20], &[10, 30], &[10, 20, 40]];
        Vocabulary::new(3, limit, |at| documents[at].iter().copied())
    }

    #[test]
    fn weights_are_those_of_scikit_learn() {
        // TfidfVectorizer(sublinear_tf=True): idf 1 for 10, ln(4 / 3) + 1 for 20.
        let columns = vocabulary(9).columns(&[(10, 1), (20, 3), (77, 1)]);
        let (ten, twenty) = (1.0, (1.0 + 3f32.ln()) * ((4f32 / 3.0).ln() + 1.0));
        let length = (ten * ten + twenty * twenty).sqrt();
        let expected = [(0, ten / length), (1, twenty / length)];
        for ((column, weight), expected) in columns.iter().zip(expected) {
            assert!(*column == expected.0 && (weight - expected.1).abs() < 1e-6, "{columns:?}");
        }
        assert_eq!(vocabulary(9).columns(&[(77, 1)]), []);
    }

    #[test]
    fn the_most_frequent_have_a_column() {
        let vocabulary = vocabulary(2);
        assert_eq!((vocabulary.width(), vocabulary.found()), (2, 4));
        let columns = vocabulary.columns(&[(10, 1), (20, 1), (30, 1), (40, 1)]);
        assert_eq!(columns.iter().map(|(column, _)| *column).collect::<Vec<_>>(), [0, 1]);
    }

    #[test]
    fn the_cosine_counts_n_grams_that_are_new() {
        let vocabulary = vocabulary(9);
        let cosine = |left: &[(Gram, u32)], right: &[(Gram, u32)]| {
            cosine(left, right, &|gram| vocabulary.weight(gram))
        };
        assert!((cosine(&[(10, 1), (77, 2)], &[(10, 1), (77, 2)]) - 1.0).abs() < 1e-6);
        assert_eq!(cosine(&[(10, 1)], &[(20, 1)]), 0.0);
        assert_eq!(cosine(&[], &[(20, 1)]), 0.0);
        let (rare, frequent) = ([(10, 1), (77, 1)], [(10, 1), (20, 1)]);
        assert!(cosine(&rare, &[(77, 1)]) > cosine(&frequent, &[(10, 1)]));
    }
}
