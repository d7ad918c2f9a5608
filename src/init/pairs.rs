//! Which columns belong to the two sides of a pair, by their names. Pure.

use super::names::{spoken, words};

/// The side of a pair that a field belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// Of both sides, or of a task without pairs.
    Shared,
    Left,
    Right,
}

/// How the two sides of a pair relate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Relation {
    /// Two things of a kind, in either order: `title_1`, `title_2`.
    Alike,
    /// A query and a result.
    Relevance,
    /// A statement and what may follow from it.
    Entailment,
    /// A question and an answer.
    Answer,
}

/// The pairs among some columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pairs {
    pub relation: Relation,
    /// Left and right columns, by their places among the names.
    pub left: Vec<usize>,
    pub right: Vec<usize>,
}

/// Words that mark the sides, first or last in a name.
const MARKERS: [(&str, &str); 8] = [
    ("left", "right"),
    ("ltable", "rtable"),
    ("l", "r"),
    ("a", "b"),
    ("1", "2"),
    ("first", "second"),
    ("one", "two"),
    ("source", "target"),
];

/// Marks of a third side, with which there is no pair.
const THIRD: [&str; 4] = ["3", "c", "third", "three"];

/// Columns that make the left and the right side by what they are.
const ROLES: [(&[&str], &[&str], Relation); 4] = [
    (
        &["query", "search query", "search term", "keyword", "keywords", "search"],
        &[
            "title",
            "document",
            "doc",
            "passage",
            "product",
            "result",
            "description",
            "text",
            "name",
        ],
        Relation::Relevance,
    ),
    (&["premise"], &["hypothesis"], Relation::Entailment),
    (&["claim"], &["evidence"], Relation::Entailment),
    (&["question"], &["answer", "passage", "context", "sentence"], Relation::Answer),
];

/// The rest of a name, and the side that its marker names.
fn marked(name: &str, (left, right): (&str, &str)) -> Option<(String, Side)> {
    let words = words(name);
    let side = |word: &str| match word {
        _ if word == left => Some(Side::Left),
        _ if word == right => Some(Side::Right),
        _ => None,
    };
    let first = words.first().and_then(|word| side(word)).map(|side| (1..words.len(), side));
    let last = words.last().and_then(|word| side(word)).map(|side| (0..words.len() - 1, side));
    if let Some((rest, side)) = first.or(last) {
        return Some((words[rest].join(" "), side));
    }
    // As in question1.
    let last = words.last()?;
    let (stem, side) =
        [left, right].iter().zip([Side::Left, Side::Right]).find_map(|(marker, side)| {
            let is_digit = marker.bytes().all(|byte| byte.is_ascii_digit());
            let stem = last.strip_suffix(marker).filter(|stem| is_digit && !stem.is_empty())?;
            stem.ends_with(char::is_alphabetic).then(|| (stem.to_owned(), side))
        })?;
    let before = &words[..words.len() - 1];
    Some(([before, &[stem]].concat().join(" "), side))
}

/// Finds the pairs among the columns that are `usable`: each left column with its right one.
pub fn find(names: &[&str], usable: &[bool]) -> Option<Pairs> {
    by_markers(names, usable).or_else(|| by_roles(names, usable))
}

fn by_markers(names: &[&str], usable: &[bool]) -> Option<Pairs> {
    MARKERS.iter().find_map(|markers| {
        let found: Vec<Option<(String, Side)>> =
            names.iter().map(|name| marked(name, *markers)).collect();
        // Nobody means a pair by columns called "a" and "b" beside others.
        let bare = |stem: &str| stem.is_empty() && markers.0.len() < 4;
        let thirds: Vec<String> = THIRD
            .iter()
            .flat_map(|third| names.iter().filter_map(|name| Some(marked(name, (*third, "-"))?.0)))
            .collect();
        let (mut left, mut right) = (Vec::new(), Vec::new());
        for (at, mark) in found.iter().enumerate() {
            let Some((stem, Side::Left)) = mark else { continue };
            if bare(stem) || thirds.contains(stem) {
                continue;
            }
            let partner = found
                .iter()
                .position(|other| matches!(other, Some((other, Side::Right)) if other == stem));
            if let Some(partner) = partner
                && usable[at]
                && usable[partner]
            {
                left.push(at);
                right.push(partner);
            }
        }
        (!left.is_empty()).then_some(Pairs { relation: Relation::Alike, left, right })
    })
}

fn by_roles(names: &[&str], usable: &[bool]) -> Option<Pairs> {
    let spoken: Vec<String> = names.iter().map(|name| spoken(name)).collect();
    ROLES.iter().find_map(|(lefts, rights, relation)| {
        let left = (0..names.len()).find(|at| usable[*at] && lefts.contains(&&*spoken[*at]))?;
        let others: Vec<usize> = (0..names.len()).filter(|at| *at != left && usable[*at]).collect();
        let named = others.iter().any(|at| {
            let last = spoken[*at].rsplit(' ').next().unwrap_or_default();
            rights.contains(&last)
        });
        named.then_some(Pairs { relation: *relation, left: vec![left], right: others })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(names: &[&str], expected: Option<(Relation, &[&str], &[&str])>) {
        let found = find(names, &vec![true; names.len()]);
        let named = |places: &[usize]| places.iter().map(|at| names[*at]).collect::<Vec<_>>();
        let found = found.map(|pairs| (pairs.relation, named(&pairs.left), named(&pairs.right)));
        let expected = expected.map(|(relation, a, b)| (relation, a.to_vec(), b.to_vec()));
        assert_eq!(found, expected, "{names:?}");
    }

    #[test]
    fn pairs_are_found_by_their_names() {
        use Relation::{Alike, Answer, Entailment, Relevance};
        check(
            &["left_title", "left_brand", "right_title", "right_brand"],
            Some((Alike, &["left_title", "left_brand"], &["right_title", "right_brand"])),
        );
        check(&["title_a", "price_a", "title_b"], Some((Alike, &["title_a"], &["title_b"])));
        check(&["title_1", "title_2"], Some((Alike, &["title_1"], &["title_2"])));
        check(&["question1", "question2"], Some((Alike, &["question1"], &["question2"])));
        check(&["Text A", "Text B"], Some((Alike, &["Text A"], &["Text B"])));
        check(&["ltable_name", "rtable_name"], Some((Alike, &["ltable_name"], &["rtable_name"])));
        check(&["titleLeft", "titleRight"], Some((Alike, &["titleLeft"], &["titleRight"])));
        check(&["left", "right"], Some((Alike, &["left"], &["right"])));
        check(
            &["query", "product_title", "product_brand"],
            Some((Relevance, &["query"], &["product_title", "product_brand"])),
        );
        check(&["premise", "hypothesis"], Some((Entailment, &["premise"], &["hypothesis"])));
        check(&["question", "answer"], Some((Answer, &["question"], &["answer"])));
    }

    #[test]
    fn what_only_looks_like_a_pair_is_none() {
        check(&["title", "text"], None);
        check(&["a", "b"], None);
        check(&["comment_1", "comment_2", "comment_3"], None);
        check(&["title_1", "text"], None);
        check(&["question", "comment"], None);
        assert_eq!(find(&["title_1", "title_2"], &[true, false]), None);
    }
}
