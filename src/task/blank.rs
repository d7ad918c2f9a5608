//! The one rule for when a text counts as empty.

/// Characters that leave no mark and no gap: Unicode's `Default_Ignorable_Code_Point` and the
/// interlinear annotation marks. Zero-width spaces and joiners, byte order marks, soft hyphens,
/// directional marks, Hangul fillers, variation selectors and tags are among them.
const INVISIBLE: [(char, char); 17] = [
    ('\u{ad}', '\u{ad}'),
    ('\u{34f}', '\u{34f}'),
    ('\u{61c}', '\u{61c}'),
    ('\u{115f}', '\u{1160}'),
    ('\u{17b4}', '\u{17b5}'),
    ('\u{180b}', '\u{180f}'),
    ('\u{200b}', '\u{200f}'),
    ('\u{202a}', '\u{202e}'),
    ('\u{2060}', '\u{206f}'),
    ('\u{3164}', '\u{3164}'),
    ('\u{fe00}', '\u{fe0f}'),
    ('\u{feff}', '\u{feff}'),
    ('\u{ffa0}', '\u{ffa0}'),
    ('\u{fff0}', '\u{fffb}'),
    ('\u{1bca0}', '\u{1bca3}'),
    ('\u{1d173}', '\u{1d17a}'),
    ('\u{e0000}', '\u{e0fff}'),
];

/// Whether a text is empty to a reader: nothing but white space, control characters and
/// characters without width.
pub fn is_blank(text: &str) -> bool {
    text.chars().all(|c| c.is_whitespace() || c.is_control() || is_invisible(c))
}

fn is_invisible(c: char) -> bool {
    INVISIBLE.iter().any(|&(first, last)| (first..=last).contains(&c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_can_see_is_blank() {
        for text in [
            "",
            " \t\r\n",
            "\u{a0}\u{3000}",
            "\0\u{1}\u{7f}\u{85}",
            "\u{200b}\u{200c}\u{200d}\u{2060}\u{feff}",
            "\u{ad}\u{200e}\u{202e}\u{2069}",
            "\u{115f}\u{3164}\u{ffa0}",
            "\u{fe0f}\u{e0041}\u{e01ef}",
            " \u{200b} ",
        ] {
            assert!(is_blank(text), "{text:?}");
        }
    }

    #[test]
    fn a_single_visible_character_is_a_text() {
        for text in
            ["a", ".", "0", "\u{200b}x", "ü", "好", "😀", "❤\u{fe0f}", "\u{301}", "\u{fffd}"]
        {
            assert!(!is_blank(text), "{text:?}");
        }
    }
}
