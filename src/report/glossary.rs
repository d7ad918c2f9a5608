//! The words of the pages, explained: a word links to its explanation at the end of the page, which
//! is also shown when it is pointed at. A link can be reached by keyboard and touch.

use maud::{Markup, html};

/// A word, its other spellings, and what it means.
struct Entry {
    id: &'static str,
    word: &'static str,
    also: &'static [&'static str],
    meaning: &'static str,
}

const fn entry(
    id: &'static str,
    word: &'static str,
    also: &'static [&'static str],
    meaning: &'static str,
) -> Entry {
    Entry { id, word, also, meaning }
}

const ENTRIES: [Entry; 29] = [
    entry("accuracy", "accuracy", &[], "Share of the examples whose answer is the true label."),
    entry(
        "average-precision",
        "average precision",
        &["average precision (macro)"],
        "Precision averaged over all thresholds, from 0 to 1. It says how well the probabilities put \
         the examples of a label before the others. By chance it is the label's share.",
    ),
    entry(
        "auroc",
        "AUROC",
        &["AUROC (macro)"],
        "Chance that an example of a label gets a higher probability of it than one of another \
         label. 0.5 is guessing, 1 is perfect.",
    ),
    entry(
        "bag-of-words",
        "bag of words",
        &[],
        "A simple model that counts words and pieces of words and knows nothing else of language. A \
         model that does no better is not worth its cost.",
    ),
    entry("brier", "Brier score", &[], "Mean squared error of the probabilities. Lower is better."),
    entry(
        "calibration",
        "calibration error",
        &["reliability"],
        "How far probabilities are from the truth: with 0, of the answers given with a probability \
         of 0.8 exactly 80 % are right. Lower is better.",
    ),
    entry(
        "canonical",
        "canonical",
        &[],
        "The template that answers unless another one is asked for.",
    ),
    entry(
        "collapsed",
        "collapsed",
        &["collapsed runs"],
        "A run that answers the same whatever the text: one label alone, or values that hardly \
         differ. It has learnt nothing.",
    ),
    entry(
        "confusion",
        "confusion matrix",
        &[],
        "How many examples of each true label got each answer. Right answers are on the diagonal.",
    ),
    entry(
        "ensemble",
        "ensemble",
        &["ensemble of prompts (M3)"],
        "All templates of the pool answer, and their answers are averaged.",
    ),
    entry("f1", "F1", &[], "Harmonic mean of precision and recall: high only if both are."),
    entry(
        "held-out",
        "held out",
        &["held-out range"],
        "Templates that training never used. They show whether the model depends on a wording.",
    ),
    entry(
        "interval",
        "95 % interval",
        &[],
        "Where the true figure plausibly lies. If the interval of a difference has 0 in it, the \
         difference may be chance.",
    ),
    entry(
        "log-loss",
        "log loss",
        &[],
        "Mean negative logarithm of the true label's probability. Lower is better; sure mistakes \
         cost most.",
    ),
    entry("mae", "MAE", &[], "Mean absolute error, in the target's own unit. Lower is better."),
    entry(
        "macro-f1",
        "macro F1",
        &[],
        "The mean of all labels' F1. Rare labels count as much as common ones.",
    ),
    entry(
        "majority",
        "majority",
        &[],
        "The answer of a model that does not read the text: the most frequent label, or the mean.",
    ),
    entry(
        "pearson",
        "Pearson",
        &[],
        "Correlation of predicted and true values, from -1 to 1: do they lie on a line?",
    ),
    entry("pool", "pool", &["other pool"], "The templates that training draws from."),
    entry(
        "positive-f1",
        "positive F1",
        &["positive F1 at threshold"],
        "F1 of the label that is looked for, the positive one of two.",
    ),
    entry(
        "precision",
        "precision",
        &[],
        "Of the examples that get a label, the share whose true label it is.",
    ),
    entry(
        "r2",
        "R²",
        &[],
        "Share of the values' variance that is predicted. 0 is as good as always the mean, 1 is \
         perfect.",
    ),
    entry("recall", "recall", &[], "Of the examples of a label, the share that gets it."),
    entry(
        "rmse",
        "RMSE",
        &[],
        "Root mean squared error, in the target's own unit. Lower is better; large errors count \
         most.",
    ),
    entry(
        "shots",
        "K = 4",
        &["training examples of each label", "training examples"],
        "K is the number of training examples of each label (for numbers, in all).",
    ),
    entry(
        "spearman",
        "Spearman",
        &[],
        "Correlation of the ranks of predicted and true values, from -1 to 1: are they in the same \
         order?",
    ),
    entry(
        "template",
        "template",
        &["templates"],
        "The wording round the text, with a gap that the model fills.",
    ),
    entry(
        "threshold",
        "threshold",
        &[],
        "The probability from which on the positive label is answered. A lower one finds more and \
         is wrong more often.",
    ),
    entry(
        "worst-seed",
        "worst",
        &["seed"],
        "A seed is one draw of the training examples and of all else that is random. The worst one \
         shows how much luck matters.",
    ),
];

/// The text, as a link to its explanation if it is a word that has one.
pub fn term(text: &str) -> Markup {
    let same = |word: &str| word.to_lowercase() == text.to_lowercase();
    let is_shot = |entry: &Entry| entry.id == "shots" && text.starts_with("K = ");
    let of_text = |entry: &&Entry| {
        same(entry.word) || entry.also.iter().any(|word| same(word)) || is_shot(entry)
    };
    match ENTRIES.iter().find(of_text) {
        Some(entry) => html! {
            a.term href=(format!("#{}", anchor(entry))) title=(entry.meaning) { (text) }
        },
        None => html! { (text) },
    }
}

/// The explanations of the words that a page has.
pub fn glossary(page: &str) -> Markup {
    let used = |entry: &&Entry| page.contains(&format!("href=\"#{}\"", anchor(entry)));
    let used: Vec<&Entry> = ENTRIES.iter().filter(used).collect();
    html! {
        @if !used.is_empty() {
            h2 { "Words on this page" }
            dl.glossary {
                @for entry in used {
                    div id=(anchor(entry)) tabindex="-1" {
                        dt { (if entry.id == "shots" { "K" } else { entry.word }) }
                        dd { (entry.meaning) }
                    }
                }
            }
        }
    }
}

fn anchor(entry: &Entry) -> String {
    format!("word-{}", entry.id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_link_to_their_explanation_and_others_stay() {
        let found = term("Accuracy").into_string();
        assert!(found.starts_with("<a class=\"term\" href=\"#word-accuracy\" title=\"Share"));
        assert!(found.ends_with(">Accuracy</a>"), "{found}");
        assert!(term("K = 16").into_string().contains("#word-shots"));
        assert_eq!(term("a <label>").into_string(), "a &lt;label&gt;");
    }

    #[test]
    fn the_glossary_has_the_words_of_the_page_alone() {
        let page = term("recall").into_string() + &term("K = 4").into_string();
        let found = glossary(&page).into_string();
        assert!(found.contains("id=\"word-recall\"") && found.contains("<dt>K</dt>"), "{found}");
        assert_eq!(found.matches("<dt>").count(), 2, "{found}");
        assert_eq!(glossary("no words").into_string(), "");
    }

    #[test]
    fn every_word_stands_for_one_entry() {
        let mut words: Vec<&str> = ENTRIES
            .iter()
            .flat_map(|entry| [entry.word].into_iter().chain(entry.also.to_vec()))
            .collect();
        let count = words.len();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), count);
    }
}
