//! Which of the waiting prompts make the next batch. Pure.

/// Picks from the lengths of the waiting prompts, oldest first, those of the next batch: indices
/// in ascending order.
///
/// The oldest is always among them, so nothing starves. Those nearest to it in length come next
/// (of equals the older one), as long as the batch, padded to its longest prompt, keeps within
/// `max_tokens`: prompts of like length waste little on padding. A prompt that is too long for
/// that makes a batch alone. Empty only if nothing waits.
pub(super) fn form(lengths: &[usize], max_tokens: usize) -> Vec<usize> {
    let Some((&oldest, others)) = lengths.split_first() else {
        return Vec::new();
    };
    let mut nearest: Vec<usize> = (1..=others.len()).collect();
    nearest.sort_by_key(|&at| lengths[at].abs_diff(oldest));
    let mut chosen = vec![0];
    let mut longest = oldest;
    for at in nearest {
        let padded = longest.max(lengths[at]);
        if (chosen.len() + 1).saturating_mul(padded) <= max_tokens {
            longest = padded;
            chosen.push(at);
        }
    }
    chosen.sort_unstable();
    chosen
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(lengths: &[usize], max_tokens: usize, expected: &[usize]) {
        assert_eq!(form(lengths, max_tokens), expected, "{lengths:?}");
    }

    #[test]
    fn the_oldest_goes_with_those_nearest_in_length() {
        check(&[], 10, &[]);
        check(&[4], 10, &[0]);
        check(&[4, 4, 4], 10, &[0, 1]);
        check(&[4, 9, 5, 3], 15, &[0, 2, 3]);
        check(&[50, 4, 4], 10, &[0]);
        check(&[4, 50, 4], 10, &[0, 2]);
        // The longer neighbour would make three of 8; the shorter one still fits in.
        check(&[6, 6, 8, 3], 20, &[0, 1, 3]);
    }

    proptest! {
        #[test]
        fn a_batch_holds_the_oldest_and_keeps_within_its_limit(
            lengths in prop::collection::vec(1usize..600, 1..80),
            max_tokens in 1usize..3000,
        ) {
            let chosen = form(&lengths, max_tokens);
            prop_assert_eq!(chosen[0], 0);
            prop_assert!(chosen.windows(2).all(|pair| pair[0] < pair[1]), "no duplicates");
            prop_assert!(chosen.iter().all(|&at| at < lengths.len()));
            let longest = chosen.iter().map(|&at| lengths[at]).max().unwrap_or(0);
            prop_assert!(chosen.len() == 1 || chosen.len() * longest <= max_tokens);
        }

        #[test]
        fn nothing_is_left_behind_that_would_have_fitted_without_padding(
            length in 1usize..100,
            count in 1usize..60,
            max_tokens in 1usize..3000,
        ) {
            let chosen = form(&vec![length; count], max_tokens);
            prop_assert_eq!(chosen.len(), count.min(max_tokens / length).max(1));
        }
    }
}
