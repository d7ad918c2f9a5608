//! Which fields of a task belong to the two sides of a pair, by their names.

use crate::task::Field;

/// Prefixes and suffixes that name the two sides.
const SIDES: [[&str; 2]; 5] =
    [["left", "right"], ["first", "second"], ["source", "target"], ["a", "b"], ["1", "2"]];

/// Pairs of a task at most: each takes time for every example.
pub const MAX_PAIRS: usize = 16;

/// Fields, by their indices, whose texts are compared with each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    pub left: Vec<usize>,
    pub right: Vec<usize>,
}

/// The pairs to compare: all of one side with all of the other, and, where several fields have a
/// counterpart, each with its own. Empty if the task does not compare.
///
/// Counterparts are `left_x` and `right_x`, `x_a` and `x_b`, `x1` and `x2` and the like. A task
/// with exactly two fields compares these, whatever their names. Of more than [`MAX_PAIRS`] the last are
/// left out.
pub fn pairs(fields: &[Field]) -> Vec<Pair> {
    let mut single = counterparts(fields);
    if single.is_empty() && fields.len() == 2 {
        single.push((0, 1));
    }
    let whole = Pair {
        left: single.iter().map(|(left, _)| *left).collect(),
        right: single.iter().map(|(_, right)| *right).collect(),
    };
    let each = single.iter().map(|(left, right)| Pair { left: vec![*left], right: vec![*right] });
    match single.len() {
        0 => Vec::new(),
        1 => vec![whole],
        _ => [whole].into_iter().chain(each).take(MAX_PAIRS).collect(),
    }
}

/// Fields with their counterparts, by the first of `SIDES` that any names follow.
fn counterparts(fields: &[Field]) -> Vec<(usize, usize)> {
    let place = |name: &str| fields.iter().position(|field| field.name.eq_ignore_ascii_case(name));
    let follow = |sides: &[&str; 2]| -> Vec<(usize, usize)> {
        let found = fields.iter().enumerate().filter_map(|(left, field)| {
            let others = others(&field.name.to_ascii_lowercase(), sides);
            others.iter().find_map(|other| Some((left, place(other)?)))
        });
        found.collect()
    };
    SIDES.iter().map(follow).find(|found| !found.is_empty()).unwrap_or_default()
}

/// Names that the counterpart of a left field may have.
fn others(name: &str, [left, right]: &[&str; 2]) -> Vec<String> {
    let prefix = name.strip_prefix(left).filter(|stem| stem.starts_with('_'));
    let suffix = name.strip_suffix(left).filter(|stem| stem.ends_with('_'));
    let number = name.strip_suffix(left).filter(|stem| *left == "1" && !stem.is_empty());
    let whole = (name == *left).then_some("");
    [
        prefix.map(|stem| format!("{right}{stem}")),
        suffix.or(number).or(whole).map(|stem| format!("{stem}{right}")),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::Truncate;

    fn check(names: &[&str], expected: &[(&[usize], &[usize])]) {
        let field = |name: &&str| Field {
            name: (*name).to_owned(),
            min_tokens: 1,
            truncate: Truncate::Tail,
            priority: 1,
            optional: false,
        };
        let found = pairs(&names.iter().map(field).collect::<Vec<_>>());
        let found: Vec<(&[usize], &[usize])> =
            found.iter().map(|pair| (pair.left.as_slice(), pair.right.as_slice())).collect();
        assert_eq!(found, expected, "{names:?}");
    }

    #[test]
    fn counterparts_are_found_by_their_names() {
        check(&["text"], &[]);
        check(&["title", "text", "brand"], &[]);
        check(
            &["left_a", "right_a", "left_b", "right_b"],
            &[(&[0, 2], &[1, 3]), (&[0], &[1]), (&[2], &[3])],
        );
        check(&["title_b", "title_a", "shop"], &[(&[1], &[0])]);
        check(&["sentence1", "sentence2", "topic"], &[(&[0], &[1])]);
        check(&["text_1", "text_2", "x"], &[(&[0], &[1])]);
        check(&["left", "right", "shop"], &[(&[0], &[1])]);
        check(&["question", "answer"], &[(&[0], &[1])]);
        check(&["area", "brea", "c"], &[]);
    }
}
