//! How many tokens of each slot a prompt keeps. Pure.

use crate::task::Truncate;

/// A slot's claim on the tokens of a prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// Tokens that its text has.
    pub tokens: usize,
    /// Tokens that are never taken from it, if it has as many.
    pub min_tokens: usize,
    /// Lower priorities are shortened first.
    pub priority: i32,
}

/// Shortens the claims until they fit into `room` tokens: the lowest priority first, within a
/// priority always the longest (the later of equals), down to its `min_tokens`.
///
/// Returns the tokens kept by each claim. `room` must hold the minimums.
pub fn fit(claims: &[Claim], room: usize) -> Vec<usize> {
    let mut kept: Vec<usize> = claims.iter().map(|claim| claim.tokens).collect();
    let mut excess = kept.iter().sum::<usize>().saturating_sub(room);
    let mut priorities: Vec<i32> = claims.iter().map(|claim| claim.priority).collect();
    priorities.sort_unstable();
    priorities.dedup();
    for priority in priorities {
        while excess > 0 {
            let longest = (0..claims.len())
                .filter(|&at| claims[at].priority == priority && kept[at] > claims[at].min_tokens)
                .max_by_key(|&at| kept[at]);
            let Some(at) = longest else { break };
            let cut = step(claims, &kept, at, excess);
            kept[at] -= cut;
            excess -= cut;
        }
    }
    kept
}

/// How much can be cut from the longest claim before another one is the longest.
fn step(claims: &[Claim], kept: &[usize], longest: usize, excess: usize) -> usize {
    let rival = (0..claims.len())
        .filter(|&at| at != longest && claims[at].priority == claims[longest].priority)
        .filter(|&at| kept[at] > claims[at].min_tokens)
        .map(|at| kept[at])
        .max()
        .unwrap_or(0);
    let spare = kept[longest] - claims[longest].min_tokens;
    (kept[longest] - rival).max(1).min(spare).min(excess)
}

/// Keeps `kept` of the ids, dropping the others where `truncate` says.
pub fn cut(ids: &mut Vec<u32>, kept: usize, truncate: Truncate) {
    let excess = ids.len().saturating_sub(kept);
    match truncate {
        Truncate::Tail => ids.truncate(ids.len() - excess),
        Truncate::Head => drop(ids.drain(..excess)),
        Truncate::Middle => {
            // The front keeps the odd one.
            let front = kept.min(ids.len()).div_ceil(2);
            drop(ids.drain(front..front + excess));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn claim(tokens: usize, min_tokens: usize, priority: i32) -> Claim {
        Claim { tokens, min_tokens, priority }
    }

    #[test]
    fn the_lowest_priority_and_then_the_longest_is_cut() {
        for (claims, room, expected) in [
            (vec![claim(9, 0, 1), claim(5, 0, 1)], 20, vec![9, 5]),
            (vec![claim(9, 0, 1), claim(5, 0, 1)], 10, vec![5, 5]),
            (vec![claim(9, 0, 1), claim(5, 0, 1)], 7, vec![4, 3]),
            (vec![claim(9, 0, 2), claim(5, 0, 1)], 10, vec![9, 1]),
            (vec![claim(9, 0, 2), claim(5, 3, 1)], 10, vec![7, 3]),
            (vec![claim(9, 8, 1), claim(5, 0, 1)], 10, vec![8, 2]),
            (vec![claim(3, 8, 1), claim(5, 0, 1)], 3, vec![3, 0]),
        ] {
            assert_eq!(fit(&claims, room), expected, "{claims:?} in {room}");
        }
    }

    #[test]
    fn ids_are_cut_where_the_field_says() {
        for (truncate, kept, expected) in [
            (Truncate::Tail, 3, vec![1, 2, 3]),
            (Truncate::Head, 3, vec![3, 4, 5]),
            (Truncate::Middle, 3, vec![1, 2, 5]),
            (Truncate::Middle, 0, vec![]),
            (Truncate::Middle, 9, vec![1, 2, 3, 4, 5]),
        ] {
            let mut ids = vec![1, 2, 3, 4, 5];
            cut(&mut ids, kept, truncate);
            assert_eq!(ids, expected, "{truncate:?} {kept}");
        }
    }

    /// The definition, a token at a time.
    fn one_by_one(claims: &[Claim], room: usize) -> Vec<usize> {
        let mut kept: Vec<usize> = claims.iter().map(|claim| claim.tokens).collect();
        while kept.iter().sum::<usize>() > room {
            let next = (0..claims.len())
                .filter(|&at| kept[at] > claims[at].min_tokens)
                .max_by_key(|&at| (-claims[at].priority, kept[at], at));
            let Some(at) = next else { break };
            kept[at] -= 1;
        }
        kept
    }

    proptest! {
        #[test]
        fn steps_agree_with_cutting_token_by_token(
            claims in proptest::collection::vec((0usize..60, 0usize..10, 0i32..3), 1..5),
            room in 0usize..150,
        ) {
            let claims: Vec<Claim> =
                claims.into_iter().map(|(t, m, p)| claim(t, m, p)).collect();
            prop_assert_eq!(fit(&claims, room), one_by_one(&claims, room));
        }
    }
}
