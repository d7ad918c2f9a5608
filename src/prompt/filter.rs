//! Filters that a template puts on a field's text: `{title|strip_punct|lower_first}`.

use std::borrow::Cow;

/// A change made to a field's text before it is tokenised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filter {
    /// White space at both ends goes.
    Strip,
    /// White space at both ends and punctuation at the end go.
    StripPunct,
    LowerFirst,
    UpperFirst,
    /// At most this many tokens of the text are taken. Applied after tokenisation.
    Max(usize),
}

/// The filters as they are written, for messages.
pub const KNOWN_FILTERS: &str = "strip, strip_punct, lower_first, upper_first, max:N";

impl Filter {
    /// Reads a filter as written between `|` and `|` or `}`.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "strip" => Some(Self::Strip),
            "strip_punct" => Some(Self::StripPunct),
            "lower_first" => Some(Self::LowerFirst),
            "upper_first" => Some(Self::UpperFirst),
            _ => {
                let count = text.strip_prefix("max:")?.parse().ok()?;
                (count > 0).then_some(Self::Max(count))
            }
        }
    }

    /// The text after this filter; borrowed where nothing but its ends changed.
    pub fn apply<'a>(self, text: Cow<'a, str>) -> Cow<'a, str> {
        match self {
            Self::Strip => trim(text, str::trim),
            Self::StripPunct => trim(text, |t| t.trim().trim_end_matches(is_ending)),
            Self::LowerFirst => change_first(text, |c| c.to_lowercase().collect()),
            Self::UpperFirst => change_first(text, |c| c.to_uppercase().collect()),
            Self::Max(_) => text,
        }
    }
}

fn is_ending(c: char) -> bool {
    c.is_ascii_punctuation()
        || c.is_whitespace()
        || matches!(c, '…' | '。' | '！' | '？' | '،' | '؟')
}

fn trim<'a>(text: Cow<'a, str>, cut: fn(&str) -> &str) -> Cow<'a, str> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(cut(text)),
        Cow::Owned(text) => Cow::Owned(cut(&text).to_owned()),
    }
}

fn change_first<'a>(text: Cow<'a, str>, change: fn(char) -> String) -> Cow<'a, str> {
    let mut rest = text.chars();
    let Some(first) = rest.next() else {
        return text;
    };
    let changed = change(first);
    if changed.chars().eq([first]) {
        return text;
    }
    Cow::Owned(changed + rest.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(filter: &str, text: &str, expected: &str) {
        let filter = Filter::parse(filter).expect("a known filter");
        assert_eq!(filter.apply(Cow::Borrowed(text)), expected);
        assert_eq!(filter.apply(Cow::Owned(text.to_owned())), expected);
    }

    #[test]
    fn filters_change_what_they_say() {
        check("strip", "  a b. ", "a b.");
        check("strip_punct", " It died!? ... ", "It died");
        check("strip_punct", "...", "");
        check("lower_first", "Élan", "élan");
        check("upper_first", "ßa", "SSa");
        check("upper_first", "", "");
        check("max:3", "a b c d", "a b c d");
    }

    #[test]
    fn unknown_filters_are_refused() {
        for text in ["", "upper", "max", "max:", "max:0", "max:-1", "max:x", "strip "] {
            assert_eq!(Filter::parse(text), None, "{text:?}");
        }
    }
}
