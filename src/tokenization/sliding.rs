//! Windows over a text that does not fit a prompt. Pure.

use std::{iter, ops::Range};

/// Tokens of the longest text that these windows read whole: each has `room` tokens and begins
/// `stride` tokens after the one before. `max_windows` is at least 1.
pub fn capacity(room: usize, stride: usize, max_windows: usize) -> usize {
    room + stride * (max_windows - 1)
}

/// Windows over `tokens` tokens in their order: each of `room` tokens, each `stride` tokens after
/// the one before, but for the last, which ends with the text. One window where all fits.
///
/// `stride` is at least 1 and at most `room`, so that every token is in a window.
pub fn windows(tokens: usize, room: usize, stride: usize) -> Vec<Range<usize>> {
    let last = tokens.saturating_sub(room);
    let before_last = (0..last).step_by(stride).map(|start| start..start + room);
    before_last.chain(iter::once(last..tokens)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn windows_move_by_the_stride_and_the_last_ends_with_the_text() {
        for (tokens, room, stride, expected) in [
            (0, 4, 2, &[(0, 0)][..]),
            (3, 4, 2, &[(0, 3)]),
            (4, 4, 2, &[(0, 4)]),
            (5, 4, 2, &[(0, 4), (1, 5)]),
            (6, 4, 2, &[(0, 4), (2, 6)]),
            (9, 4, 2, &[(0, 4), (2, 6), (4, 8), (5, 9)]),
            (9, 4, 4, &[(0, 4), (4, 8), (5, 9)]),
            (8, 4, 4, &[(0, 4), (4, 8)]),
            (4, 1, 1, &[(0, 1), (1, 2), (2, 3), (3, 4)]),
        ] {
            let found: Vec<(usize, usize)> = windows(tokens, room, stride)
                .into_iter()
                .map(|window| (window.start, window.end))
                .collect();
            assert_eq!(found, expected, "{tokens} in {room} by {stride}");
        }
    }

    proptest! {
        #[test]
        fn windows_cover_the_text_in_no_more_than_its_capacity_needs(
            tokens in 0usize..500,
            room in 1usize..60,
            stride in 1usize..60,
        ) {
            let stride = stride.min(room);
            let windows = windows(tokens, room, stride);
            prop_assert_eq!(windows[0].start, 0);
            prop_assert_eq!(windows[windows.len() - 1].end, tokens);
            for pair in windows.windows(2) {
                // Nothing is skipped, and none begins further on than asked.
                prop_assert!(pair[1].start <= pair[0].end);
                prop_assert!((1..=stride).contains(&(pair[1].start - pair[0].start)));
            }
            prop_assert!(windows.iter().all(|window| window.len() == room.min(tokens)));
            prop_assert!(tokens <= capacity(room, stride, windows.len()));
            if windows.len() > 1 {
                prop_assert!(tokens > capacity(room, stride, windows.len() - 1));
            }
        }
    }
}
