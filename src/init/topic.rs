//! What is asked of a text, by the names of the target and of its labels. Pure.

use super::{
    names::{has_word, spoken, words},
    pairs::Relation,
    target::{Answers, TargetPlan},
};

/// What is asked of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Topic {
    /// How good somebody finds something.
    Opinion,
    /// What the text is about.
    Subject,
    /// Whether two things are the same.
    Match,
    /// How a result fits a query, an answer its question, or what follows from a statement.
    Relation(Relation),
    /// Something else that has a name, such as `intent`.
    Named(String),
    /// Nothing that the file would name.
    Neutral,
}

const OPINION_WORDS: [&str; 13] = [
    "sentiment",
    "polarity",
    "star",
    "stars",
    "rating",
    "ratings",
    "overall",
    "opinion",
    "valence",
    "satisfaction",
    "satisfied",
    "recommended",
    "recommend",
];

const OPINION_LABELS: [&str; 6] =
    ["positive", "negative", "pos", "neg", "very positive", "very negative"];

const SUBJECT_WORDS: [&str; 12] = [
    "category",
    "categories",
    "topic",
    "topics",
    "subject",
    "genre",
    "section",
    "theme",
    "department",
    "domain",
    "industry",
    "newsgroup",
];

const MATCH_WORDS: [&str; 16] = [
    "match",
    "matches",
    "matching",
    "same",
    "duplicate",
    "duplicated",
    "similar",
    "similarity",
    "equal",
    "equivalent",
    "equivalence",
    "paraphrase",
    "relatedness",
    "different",
    "non match",
    "no match",
];

/// Names that say nothing of what is asked.
const GENERIC: [&str; 18] = [
    "label",
    "labels",
    "y",
    "target",
    "class",
    "output",
    "value",
    "annotation",
    "gold",
    "answer",
    "result",
    "score",
    "tag",
    "mask",
    "sep",
    "grade",
    "number",
    "id",
];

/// Characters of a name that templates use.
const MAX_NOUN_CHARS: usize = 30;

/// Tells what is asked, by the names of the target and of its labels.
pub fn topic(target: &TargetPlan, relation: Option<Relation>) -> Topic {
    let labels: Vec<String> = match &target.answers {
        Answers::Classification { labels, .. } => {
            labels.iter().map(|label| spoken(&label.name)).collect()
        }
        Answers::Regression { .. } => Vec::new(),
    };
    let any_label = |wanted: &[&str]| labels.iter().any(|label| wanted.contains(&label.as_str()));
    match relation {
        None => single_topic(&target.column, any_label),
        Some(Relation::Alike) => {
            let entails = labels.iter().any(|label| label.starts_with("entail"));
            let two = labels.len() == 2 && noun(&target.column).is_none();
            match has_word(&target.column, &MATCH_WORDS) || any_label(&MATCH_WORDS) || two {
                _ if entails => Topic::Relation(Relation::Entailment),
                true => Topic::Match,
                false => noun(&target.column).map_or(Topic::Neutral, Topic::Named),
            }
        }
        Some(relation) => Topic::Relation(relation),
    }
}

fn single_topic(column: &str, any_label: impl Fn(&[&str]) -> bool) -> Topic {
    if has_word(column, &OPINION_WORDS) || any_label(&OPINION_LABELS) {
        Topic::Opinion
    } else if has_word(column, &SUBJECT_WORDS) {
        Topic::Subject
    } else {
        noun(column).map_or(Topic::Neutral, Topic::Named)
    }
}

/// The name of a column as a noun for templates, unless it says nothing.
fn noun(column: &str) -> Option<String> {
    let mut words = words(column);
    words.retain(|word| !["is", "has", "label", "class", "id", "y"].contains(&word.as_str()));
    let noun = words.join(" ");
    let is_word = noun.chars().filter(|c| c.is_alphabetic()).count() >= 3
        && noun.chars().all(|c| c.is_alphabetic() || c == ' ')
        && noun.chars().count() <= MAX_NOUN_CHARS;
    (is_word && !GENERIC.contains(&noun.as_str())).then_some(noun)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::init::target::LabelCount;

    fn target(column: &str, labels: &[&str]) -> TargetPlan {
        let labels: Vec<LabelCount> =
            labels.iter().map(|name| LabelCount { name: (*name).to_owned(), rows: 9 }).collect();
        let answers = match labels.is_empty() {
            true => Answers::Regression { min: 0.0, max: 1.0 },
            false => Answers::Classification { labels, positive: None },
        };
        let (column, reason) = (column.to_owned(), String::new());
        TargetPlan { column, at: 0, answers, reason, variants: Vec::new(), named: false }
    }

    #[test]
    fn the_topic_follows_from_names() {
        let named = |noun: &str| Topic::Named(noun.to_owned());
        for (column, labels, relation, expected) in [
            ("stars", vec!["1", "5"], None, Topic::Opinion),
            ("label", vec!["negative", "positive"], None, Topic::Opinion),
            ("label", vec!["0", "1"], None, Topic::Neutral),
            ("product_category", vec!["a", "b"], None, Topic::Subject),
            ("is_spam", vec!["0", "1"], None, named("spam")),
            ("intent", vec!["a", "b"], None, named("intent")),
            ("price", vec![], None, named("price")),
            ("score", vec![], None, Topic::Neutral),
            ("label", vec!["0", "1"], Some(Relation::Alike), Topic::Match),
            ("is_duplicate", vec!["0", "1"], Some(Relation::Alike), Topic::Match),
            ("similarity", vec![], Some(Relation::Alike), Topic::Match),
            ("label", vec!["a", "b", "c"], Some(Relation::Alike), Topic::Neutral),
            (
                "label",
                vec!["contradiction", "entailment", "neutral"],
                Some(Relation::Alike),
                Topic::Relation(Relation::Entailment),
            ),
            ("x", vec!["0", "1"], Some(Relation::Relevance), Topic::Relation(Relation::Relevance)),
        ] {
            assert_eq!(topic(&target(column, &labels), relation), expected, "{column} {labels:?}");
        }
    }
}
