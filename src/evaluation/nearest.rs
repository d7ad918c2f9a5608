//! The text among many that shares most words with another.

use std::collections::HashMap;

/// A text and how similar it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Neighbour {
    /// Index into the texts.
    pub text: usize,
    /// Cosine of the two TF-IDF vectors, from 0 (no word in common) to 1 (the same words).
    pub similarity: f64,
}

/// The most similar text for each query, the first of equals; `None` where no text has a word of
/// the query.
///
/// Similar is what shares words: the cosine of TF-IDF vectors of lower-cased words (Salton and
/// Buckley, 1988). It says nothing of how the model sees the texts, but takes no encoder, and a
/// reader can check it. Takes time in proportion to all words of the texts.
pub fn nearest(queries: &[String], texts: &[String]) -> Vec<Option<Neighbour>> {
    let rarity = Rarity::of(texts);
    let mut by_word: HashMap<String, Vec<(usize, f64)>> = HashMap::new();
    for (query, text) in queries.iter().enumerate() {
        let (weights, length) = rarity.vector(text);
        for (word, weight) in weights {
            by_word.entry(word).or_default().push((query, weight / length));
        }
    }
    let mut best: Vec<Option<Neighbour>> = vec![None; queries.len()];
    for (at, text) in texts.iter().enumerate() {
        let (weights, length) = rarity.vector(text);
        let mut products: HashMap<usize, f64> = HashMap::new();
        for (word, weight) in &weights {
            for (query, of_query) in by_word.get(word).into_iter().flatten() {
                *products.entry(*query).or_default() += of_query * weight / length;
            }
        }
        for (query, similarity) in products {
            // Sums in another order differ in their last bits; such texts are equally similar.
            if best[query].is_none_or(|best| similarity > best.similarity + 1e-9) {
                best[query] = Some(Neighbour { text: at, similarity: similarity.min(1.0) });
            }
        }
    }
    best
}

/// How rare words are among texts.
struct Rarity {
    texts: f64,
    texts_with: HashMap<String, f64>,
}

impl Rarity {
    fn of(texts: &[String]) -> Self {
        let mut texts_with: HashMap<String, f64> = HashMap::new();
        for text in texts {
            for (word, _) in counts(text) {
                *texts_with.entry(word).or_default() += 1.0;
            }
        }
        Self { texts: texts.len() as f64, texts_with }
    }

    /// The weight of each word of a text, and the vector's length.
    fn vector(&self, text: &str) -> (Vec<(String, f64)>, f64) {
        let weigh = |(word, count): (String, f64)| {
            let with = self.texts_with.get(&word).copied().unwrap_or(0.0);
            let rarity = ((1.0 + self.texts) / (1.0 + with)).ln() + 1.0;
            (word, count * rarity)
        };
        let weights: Vec<(String, f64)> = counts(text).into_iter().map(weigh).collect();
        let squares: f64 = weights.iter().map(|(_, weight)| weight * weight).sum();
        (weights, squares.sqrt())
    }
}

fn counts(text: &str) -> HashMap<String, f64> {
    let mut counts: HashMap<String, f64> = HashMap::new();
    for word in text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
        *counts.entry(word.to_lowercase()).or_default() += 1.0;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn rare_words_in_common_count_most() {
        let known = texts(&["the phone is good", "the battery leaks", "the case is good"]);
        let asked = texts(&["The BATTERY is good!", "the case is good", "zebra"]);
        let found = nearest(&asked, &known);
        assert_eq!(
            found.iter().map(|n| n.map(|n| n.text)).collect::<Vec<_>>(),
            [Some(0), Some(2), None]
        );
        let same = found[1].expect("the very text").similarity;
        assert!((same - 1.0).abs() < 1e-9, "{same}");
        let leaking = nearest(&texts(&["battery leaks"]), &known);
        assert_eq!(leaking[0].map(|n| n.text), Some(1));
    }

    #[test]
    fn nothing_is_near_to_nothing() {
        assert_eq!(nearest(&texts(&["", "a"]), &texts(&["", "b"])), [None, None]);
        assert_eq!(nearest(&texts(&["a"]), &[]), [None]);
        let twice = nearest(&texts(&["a b"]), &texts(&["b a", "a b"]));
        assert_eq!(twice[0].map(|n| n.text), Some(0), "the first of equals");
    }
}
