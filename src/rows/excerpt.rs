//! The beginning of what may be long, for messages.

use std::borrow::Cow;

/// A text, or as much of its beginning as so many bytes hold, with dots after it.
pub fn excerpt(text: &str, max_bytes: usize) -> Cow<'_, str> {
    match text.len() > max_bytes {
        true => format!("{}...", &text[..text.floor_char_boundary(max_bytes)]).into(),
        false => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_two_characters() {
        assert_eq!(excerpt("abc", 3), "abc");
        assert_eq!(excerpt("abcd", 3), "abc...");
        assert_eq!(excerpt("a\u{20ac}b", 3), "a...");
        assert_eq!(excerpt("", 0), "");
    }
}
