//! What a single value looks like: a number, a date, an address, a code. Pure.

/// The number that a value spells, also with a currency sign, a percent sign or thousands.
pub fn loose_number(value: &str) -> Option<f64> {
    let bare = value.trim_start_matches(['$', '€', '£', '¥']).trim_end_matches(['%', '€', '$']);
    let bare = bare.trim();
    number(bare).or_else(|| {
        let grouped =
            bare.contains(',') && bare.bytes().all(|b| b.is_ascii_digit() || b",.".contains(&b));
        grouped.then(|| number(&bare.replace(',', "")))?
    })
}

/// The finite number that a value spells as a program writes it, such as `-1.5` or `3e2`.
pub fn number(value: &str) -> Option<f64> {
    let starts = value.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c));
    value.parse().ok().filter(|number: &f64| starts && number.is_finite())
}

/// Whether a value is an address of a page, a file or a mailbox.
pub fn is_address(value: &str) -> bool {
    let lower = value.to_ascii_lowercase();
    let starts = ["http://", "https://", "ftp://", "s3://", "gs://", "www."];
    let mailbox = || {
        let (name, domain) = lower.split_once('@')?;
        (!name.is_empty() && domain.contains('.')).then_some(())
    };
    let file = [".jpg", ".jpeg", ".png", ".gif", ".webp", ".html", ".pdf", ".mp3", ".wav"];
    !value.contains(char::is_whitespace)
        && (starts.iter().any(|start| lower.starts_with(start))
            || file.iter().any(|end| lower.ends_with(end))
            || mailbox().is_some())
}

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// Other words in dates and times.
const DATE_WORDS: [&str; 8] = ["t", "z", "am", "pm", "utc", "gmt", "est", "th"];

/// Whether a value is a date, perhaps with a time: numbers and names of months and days alone, with a
/// year or in three parts.
pub fn is_date(value: &str) -> bool {
    let mut parts: Vec<&str> = Vec::new();
    for piece in value.split(|c: char| !c.is_ascii_alphanumeric()) {
        let mut rest = piece;
        while let Some(first) = rest.chars().next() {
            let digits = first.is_ascii_digit();
            let end = rest.find(|c: char| c.is_ascii_digit() != digits).unwrap_or(rest.len());
            parts.push(&rest[..end]);
            rest = &rest[end..];
        }
    }
    let (numbers, words): (Vec<&str>, Vec<&str>) =
        parts.into_iter().partition(|part| part.starts_with(|c: char| c.is_ascii_digit()));
    let named = |word: &str, names: &[&str]| {
        let lower = word.to_ascii_lowercase();
        lower.len() >= 3 && lower.len() <= 9 && names.iter().any(|name| lower.starts_with(name))
    };
    let months = words.iter().filter(|word| named(word, &MONTHS)).count();
    let known = words.iter().all(|word| {
        named(word, &MONTHS)
            || named(word, &DAYS)
            || DATE_WORDS.contains(&word.to_ascii_lowercase().as_str())
    });
    let is_year =
        |number: &&str| number.len() == 4 && (number.starts_with("19") || number.starts_with("20"));
    let short = numbers.iter().all(|number| number.len() <= 6);
    let separated = value.contains(['-', '/', '.', ' ', ',']);
    let in_parts = months == 0
        && numbers.len() >= 3
        && separated
        && (numbers.iter().any(is_year) || numbers.iter().take(3).all(|n| n.len() <= 2));
    known && short && value.len() <= 40 && (in_parts || months == 1 && !numbers.is_empty())
}

/// Whether a value is a code rather than words: one piece with digits in it, or a UUID.
pub fn is_code(value: &str) -> bool {
    !value.contains(char::is_whitespace) && value.bytes().any(|byte| byte.is_ascii_digit())
}

/// Tokens that a text has, by its words: about what a vocabulary of 30,000 word pieces makes of it.
pub fn estimated_tokens(text: &str) -> usize {
    let mut tokens = 0;
    let (mut letters, mut digits) = (0usize, 0usize);
    for c in text.chars().chain([' ']) {
        let (is_letter, is_digit) = (c.is_alphabetic() && !is_wide(c), c.is_numeric());
        if !is_letter {
            tokens += letters.div_ceil(7);
            letters = 0;
        }
        if !is_digit {
            tokens += digits.div_ceil(3);
            digits = 0;
        }
        match (is_letter, is_digit) {
            (true, _) => letters += 1,
            (_, true) => digits += 1,
            _ if c.is_whitespace() => {}
            _ => tokens += 1,
        }
    }
    tokens
}

/// Whether a script writes a word with a character or two.
fn is_wide(c: char) -> bool {
    matches!(u32::from(c), 0x0E00..=0x0E7F | 0x2E80..=0x9FFF | 0xAC00..=0xD7AF | 0xF900..=0xFAFF)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_told_from_numbers_and_text() {
        for date in [
            "2015-03-01",
            "2015-03-01T10:22:33Z",
            "1/3/15",
            "01.03.2015",
            "March 3, 2015",
            "09 13, 2009",
            "Mon, 3 Mar 2015 10:00:00 GMT",
            "3 Jan",
            "2015/03/01 10:00",
        ] {
            assert!(is_date(date), "{date}");
        }
        for other in ["2015", "5", "1.5", "-3.25", "May be", "iphone 8 2017", "1, 2", "", "10:30"] {
            assert!(!is_date(other), "{other}");
        }
    }

    #[test]
    fn addresses_numbers_and_codes_are_recognised() {
        for address in ["https://a.b/c", "www.a.b", "me@example.org", "img/1.jpg"] {
            assert!(is_address(address), "{address}");
        }
        assert!(!is_address("see http://a.b") && !is_address("good.") && !is_address("@ home"));
        for (text, expected) in [
            ("$1,299.00", Some(1299.0)),
            ("12%", Some(12.0)),
            ("5", Some(5.0)),
            ("nan", None),
            ("inf", None),
            ("", None),
            ("1,5,x", None),
            ("-1e2", Some(-100.0)),
            ("infinity", None),
        ] {
            assert_eq!(loose_number(text), expected, "{text}");
        }
        assert!(is_code("B00X4") && !is_code("good") && !is_code("5 stars"));
    }

    #[test]
    fn tokens_are_estimated_from_words() {
        for (text, expected) in
            [("", 0), ("It died.", 3), ("incomprehensible", 3), ("500gb 12345", 4), ("很好的", 3)]
        {
            assert_eq!(estimated_tokens(text), expected, "{text}");
        }
    }
}
