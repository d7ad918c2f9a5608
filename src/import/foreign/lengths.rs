//! Lengths of the longest prompts with which a graph is tried.

use super::config::Sizes;

/// Tokens of the longest prompt that is tried, where the encoder takes longer ones.
const MAX_LENGTH: usize = 512;

/// A length to try, and the longest prompt if it works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Length {
    pub tried: usize,
    pub found: usize,
}

/// Lists the lengths to try, one after the other, of an encoder whose config says that it has so many
/// positions. In a family that is not known they may begin after the padding's id, as RoBERTa's do: then it
/// takes fewer tokens, 512 of 514.
pub fn lengths(claimed: usize, sizes: &Sizes) -> Vec<Length> {
    let first = sizes.padding_id as usize + 1;
    let fewer = claimed.saturating_sub(first).max(1);
    if !sizes.is_guess {
        return vec![Length { tried: claimed.min(MAX_LENGTH), found: claimed }];
    }
    if claimed <= MAX_LENGTH + first {
        return [claimed, fewer].map(|length| Length { tried: length, found: length }).to_vec();
    }
    // Too long to try; such a table has a power of two and some more rows.
    let found = if fewer.is_power_of_two() { fewer } else { claimed };
    vec![Length { tried: MAX_LENGTH, found }]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_that_begin_after_the_padding_are_no_tokens() {
        let check = |claimed, padding_id, is_guess, expected: &[(usize, usize)]| {
            let sizes = Sizes {
                vocabulary_size: 30,
                max_positions: claimed,
                segment_types: 0,
                padding_id,
                first_position: 0,
                is_guess,
            };
            let found: Vec<_> = lengths(claimed, &sizes)
                .iter()
                .map(|length| (length.tried, length.found))
                .collect();
            assert_eq!(found, expected, "{claimed} positions");
        };
        check(514, 1, true, &[(514, 514), (512, 512)]);
        check(512, 0, true, &[(512, 512), (511, 511)]);
        check(50, 1, true, &[(50, 50), (48, 48)]);
        check(1, 0, true, &[(1, 1), (1, 1)]);
        check(4098, 1, true, &[(512, 4096)]);
        check(2048, 0, true, &[(512, 2048)]);
        check(512, 1, false, &[(512, 512)]);
        check(8192, 1, false, &[(512, 8192)]);
    }
}
