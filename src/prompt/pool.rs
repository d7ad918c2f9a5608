//! Which templates make up the pool: greedy max-min by dissimilarity.
//!
//! The dissimilarity of two templates is the mean of their normalised Hamming and normalised
//! Levenshtein distances over template symbols (a word, a punctuation mark, a field, the mask).

use super::template::{Segment, Template};

/// A template as a sequence of symbols.
fn symbols(template: &Template) -> Vec<String> {
    let mut symbols = Vec::new();
    for segment in &template.segments {
        match segment {
            Segment::Literal(text) => split_words(text, &mut symbols),
            Segment::Slot(slot) => symbols.push(format!("{{{}}}", slot.field)),
            Segment::Mask => symbols.push("{mask}".to_owned()),
            Segment::Separator => symbols.push("{sep}".to_owned()),
        }
    }
    symbols
}

fn split_words(text: &str, symbols: &mut Vec<String>) {
    for run in text.split_whitespace() {
        let mut word = String::new();
        for c in run.chars() {
            if c.is_alphanumeric() {
                word.extend(c.to_lowercase());
                continue;
            }
            if !word.is_empty() {
                symbols.push(std::mem::take(&mut word));
            }
            symbols.push(c.to_string());
        }
        if !word.is_empty() {
            symbols.push(word);
        }
    }
}

/// Dissimilarity of two templates, from 0 (equal) to 1.
pub fn dissimilarity(a: &Template, b: &Template) -> f64 {
    distance(&symbols(a), &symbols(b))
}

// strsim iterates over references to sized collections, which a slice is not.
#[allow(clippy::ptr_arg)]
fn distance(a: &Vec<String>, b: &Vec<String>) -> f64 {
    let longer = a.len().max(b.len());
    if longer == 0 {
        return 0.0;
    }
    let same = a.iter().zip(b).filter(|(x, y)| x == y).count();
    let hamming = (longer - same) as f64 / longer as f64;
    let levenshtein = strsim::generic_levenshtein(a, b) as f64 / longer as f64;
    f64::midpoint(hamming, levenshtein)
}

/// Picks `size` of the `candidates` (indices into `templates`): the canonical one first, then
/// each time the one whose nearest picked template is farthest. Ties go to the earlier one.
pub fn choose(
    templates: &[Template],
    canonical: usize,
    candidates: &[usize],
    size: usize,
) -> Vec<usize> {
    let symbols: Vec<Vec<String>> = templates.iter().map(symbols).collect();
    let mut pool = vec![canonical];
    let mut left: Vec<(usize, f64)> = candidates
        .iter()
        .filter(|candidate| **candidate != canonical)
        .map(|&candidate| (candidate, distance(&symbols[candidate], &symbols[canonical])))
        .collect();
    while pool.len() < size && !left.is_empty() {
        let mut farthest = 0;
        for (at, (_, nearest)) in left.iter().enumerate() {
            if *nearest > left[farthest].1 {
                farthest = at;
            }
        }
        let (chosen, _) = left.remove(farthest);
        pool.push(chosen);
        for (candidate, nearest) in &mut left {
            *nearest = nearest.min(distance(&symbols[*candidate], &symbols[chosen]));
        }
    }
    pool
}

/// The smallest and the mean dissimilarity of all pairs of a pool; `None` for fewer than two.
pub fn spread(templates: &[Template], pool: &[usize]) -> Option<(f64, f64)> {
    let mut distances = Vec::new();
    for (at, &a) in pool.iter().enumerate() {
        for &b in &pool[at + 1..] {
            distances.push(dissimilarity(&templates[a], &templates[b]));
        }
    }
    let smallest = distances.iter().copied().reduce(f64::min)?;
    Some((smallest, distances.iter().sum::<f64>() / distances.len() as f64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        prompt::template,
        task::{Field, Truncate},
    };

    fn templates(texts: &[&str]) -> Vec<Template> {
        let fields = [Field {
            name: "text".to_owned(),
            min_tokens: 1,
            truncate: Truncate::Tail,
            priority: 1,
            optional: false,
        }];
        texts
            .iter()
            .map(|text| Template {
                id: (*text).to_owned(),
                text: (*text).to_owned(),
                segments: template::parse(text, &fields).expect("a good template"),
                held_out: false,
                weight: 1.0,
                line: 1,
            })
            .collect()
    }

    #[test]
    fn dissimilarity_is_the_mean_of_both_distances() {
        let t = templates(&["{text} It was {mask}.", "{text} it was {mask}.", "It was {mask}."]);
        assert_eq!(dissimilarity(&t[0], &t[1]), 0.0);
        // Symbols: 5 against 4; by position none agrees, one insertion makes them equal.
        assert_eq!(dissimilarity(&t[0], &t[2]), (1.0 + 1.0 / 5.0) / 2.0);
        assert_eq!(dissimilarity(&t[2], &t[0]), dissimilarity(&t[0], &t[2]));
    }

    #[test]
    fn the_pool_starts_with_the_canonical_and_spreads_out() {
        let t = templates(&[
            "{text} It was {mask}.",
            "{text} It is {mask}.",
            "My opinion, in one word: {mask}! {text}",
        ]);
        assert_eq!(choose(&t, 0, &[0, 1, 2], 2), [0, 2]);
        assert_eq!(choose(&t, 1, &[0, 1, 2], 9), [1, 2, 0]);
        let (smallest, mean) = spread(&t, &[0, 1, 2]).expect("three templates");
        assert!(0.0 < smallest && smallest < mean && mean <= 1.0);
        assert_eq!(spread(&t, &[0]), None);
    }
}
