//! Lines of JSON: objects whose keys keep their order.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::Value;

use super::{
    columns::{ColumnKind, shown},
    encoding::not_utf8,
};

/// Whole numbers up to this one are exact as floating-point numbers.
const MAX_EXACT: u64 = 1 << 53;

/// Digits of the shortest whole number that may not fit into 64 bits.
const LONG_DIGITS: usize = 19;

/// What an object has for a key.
#[derive(Debug, Clone, PartialEq)]
pub enum Entry {
    Plain(Value),
    /// As it was written: with a whole number of more than 64 bits, of which a [`Value`] would keep
    /// the first digits only.
    Written(String),
}

/// An object's entries in their order, no key twice.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Entries(pub Vec<(String, Entry)>);

impl Entries {
    /// Reads the object that a line holds.
    ///
    /// # Errors
    ///
    /// Message of the fault.
    pub fn parse(line: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(line).map_err(not_utf8)?;
        // Its line is always the first of the record.
        let told = |error: serde_json::Error| error.to_string().replace(" at line 1 ", " at ");
        let mut entries: Self = serde_json::from_str(text)
            .map_err(|error| format!("no JSON object: {}", told(error)))?;
        if has_long_number(text) {
            entries.keep_digits(text);
        }
        Ok(entries)
    }

    /// Takes from the object's text what the values do not hold.
    fn keep_digits(&mut self, text: &str) {
        for ((_, entry), written) in self.0.iter_mut().zip(values(text)) {
            if has_long_number(written) {
                *entry = Entry::Written(written.to_owned());
            }
        }
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Entry> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, entry)| entry)
    }
}

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EntriesVisitor)
    }
}

struct EntriesVisitor;

impl<'de> Visitor<'de> for EntriesVisitor {
    type Value = Entries;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
        let mut entries: Vec<(String, Entry)> = Vec::new();
        let mut seen = std::collections::HashSet::new();
        while let Some((key, value)) = map.next_entry::<String, Value>()? {
            if !seen.insert(key.clone()) {
                let key = shown(&key);
                return Err(A::Error::custom(format!("the key {key:?} is there twice")));
            }
            entries.push((key, Entry::Plain(value)));
        }
        Ok(Entries(entries))
    }
}

/// Pieces of valid JSON: what stands outside of strings, each as far as the next string.
fn outside_of_strings(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let (mut at, mut is_inside) = (0, false);
    std::iter::from_fn(move || {
        loop {
            if at >= text.len() {
                return None;
            }
            let (start, rest) = (at, &text[at..]);
            if !is_inside {
                let end = rest.find('"').unwrap_or(rest.len());
                (at, is_inside) = (start + end + 1, true);
                return Some((start, &rest[..end]));
            }
            let mut is_escaped = false;
            let end = rest.bytes().position(|byte| {
                let is_end = byte == b'"' && !is_escaped;
                is_escaped = byte == b'\\' && !is_escaped;
                is_end
            });
            (at, is_inside) = (start + end.unwrap_or(rest.len()) + 1, false);
        }
    })
}

/// Whether valid JSON has a whole number that 64 bits do not hold.
fn has_long_number(text: &str) -> bool {
    let is_number = |c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.' | 'e' | 'E');
    let is_long = |number: &str| {
        number.len() >= LONG_DIGITS
            && number.trim_start_matches('-').bytes().all(|byte| byte.is_ascii_digit())
            && number.parse::<i64>().is_err()
            && number.parse::<u64>().is_err()
    };
    outside_of_strings(text).any(|(_, piece)| piece.split(|c: char| !is_number(c)).any(is_long))
}

/// The values of a valid object as they were written, in their order.
fn values(object: &str) -> Vec<&str> {
    let (mut values, mut depth, mut start) = (Vec::new(), 0, None);
    let marks = outside_of_strings(object)
        .flat_map(|(from, piece)| piece.char_indices().map(move |(at, mark)| (from + at, mark)));
    for (at, mark) in marks {
        match mark {
            ':' if depth == 1 => start = Some(at + 1),
            ',' | '}' if depth == 1 => {
                values.extend(start.take().map(|start| object[start..at].trim()));
                depth -= i32::from(mark == '}');
            }
            '{' | '[' => depth += 1,
            '}' | ']' => depth -= 1,
            _ => {}
        }
    }
    values
}

/// What the values of one key have been so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    Nothing,
    Boolean,
    /// Each exact as a floating-point number too.
    SmallInteger,
    Integer,
    Float,
    Other,
}

impl Seen {
    /// With one more value.
    pub fn with(self, entry: &Entry) -> Self {
        let Entry::Plain(value) = entry else { return Self::Other };
        let kind = match value {
            Value::Null => return self,
            Value::Bool(_) => Self::Boolean,
            Value::Number(number) => match (number.as_i64(), number.is_f64()) {
                (Some(whole), _) if whole.unsigned_abs() <= MAX_EXACT => Self::SmallInteger,
                (Some(_), _) => Self::Integer,
                (None, true) => Self::Float,
                (None, false) => Self::Other,
            },
            _ => Self::Other,
        };
        match (self, kind) {
            (Self::Nothing, kind) => kind,
            (before, kind) if before == kind => kind,
            (Self::SmallInteger, Self::Float) | (Self::Float, Self::SmallInteger) => Self::Float,
            (Self::SmallInteger, Self::Integer) | (Self::Integer, Self::SmallInteger) => {
                Self::Integer
            }
            _ => Self::Other,
        }
    }

    /// The column that holds them all.
    pub fn column(self) -> ColumnKind {
        match self {
            Self::Boolean => ColumnKind::Boolean,
            Self::SmallInteger | Self::Integer => ColumnKind::Integer,
            Self::Float => ColumnKind::Float,
            Self::Nothing | Self::Other => ColumnKind::Text,
        }
    }
}

/// An entry as text: a string's own, JSON of any other, nothing of null.
pub fn entry_text(entry: &Entry) -> Option<String> {
    match entry {
        Entry::Plain(value) => text_of(value),
        Entry::Written(text) => Some(text.clone()),
    }
}

/// A value as text, as [`entry_text`].
pub fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

/// The line of an object with more entries, written as `"key":value,"key":value`. What stood in it
/// stays as it was written.
pub fn extended(object: &str, entries: &str) -> String {
    let object = object.trim();
    // Between the braces; it was parsed before.
    let inner = object.get(1..object.len().saturating_sub(1)).unwrap_or_default();
    let comma = if inner.trim().is_empty() { "" } else { "," };
    format!("{{{inner}{comma}{entries}}}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_keep_their_order_and_what_is_no_object_is_said() {
        let entries = Entries::parse(br#" {"b": 1, "a": {"c": null}} "#).expect("an object");
        let keys: Vec<&str> = entries.0.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(keys, ["b", "a"]);
        let check = |line: &[u8], word: &str| {
            let error = Entries::parse(line).expect_err("refused");
            assert!(error.contains(word), "{error}");
        };
        check(b"[1]", "an object");
        check(br#"{"a": 1"#, "EOF");
        check(br#"{"a": 1} {"a": 2}"#, "trailing");
        check(br#"{"a": 1, "a": 2}"#, "\"a\" is there twice");
        check(b"{\"a\": \"\xff\"}", "not UTF-8 after byte 7");
        check("[".repeat(100_000).as_bytes(), "an object");
        check(format!("{{\"a\":{}", "[".repeat(100_000)).as_bytes(), "recursion limit");
    }

    #[test]
    fn a_column_is_of_the_narrowest_kind_that_holds_all_exactly() {
        let check = |line: &str, expected: ColumnKind| {
            let values: Vec<Value> = serde_json::from_str(line).expect("a list");
            let values = values.into_iter().map(Entry::Plain);
            let seen = values.fold(Seen::Nothing, |seen, value| seen.with(&value));
            assert_eq!(seen.column(), expected, "{line}");
        };
        check("[1, null, -9223372036854775808]", ColumnKind::Integer);
        check("[1, 0.5]", ColumnKind::Float);
        check("[9007199254740993, 0.5]", ColumnKind::Text);
        check("[18446744073709551615]", ColumnKind::Text);
        check("[true, null]", ColumnKind::Boolean);
        check("[true, 1]", ColumnKind::Text);
        check("[null]", ColumnKind::Text);
        check("[[1]]", ColumnKind::Text);
    }

    #[test]
    fn no_digit_of_a_whole_number_is_lost() {
        let line = r#"{"a\"1,:": 123456789012345678901234, "b" : {"c":[1, -99999999999999999999]} ,
            "d": "123456789012345678901234", "e": 18446744073709551615, "f": 1e30, "g\\": 0.12345678901234567890,
            "h":-9223372036854775809}"#;
        let entries = Entries::parse(line.as_bytes()).expect("an object");
        let texts: Vec<Option<String>> = entries.0.iter().map(|(_, one)| entry_text(one)).collect();
        let expected = [
            "123456789012345678901234",
            r#"{"c":[1, -99999999999999999999]}"#,
            "123456789012345678901234",
            "18446744073709551615",
            "1e+30",
            "0.12345678901234568",
            "-9223372036854775809",
        ];
        assert_eq!(texts, expected.map(|text| Some(text.to_owned())));
        assert!(matches!(entries.get("d"), Some(Entry::Plain(Value::String(_)))));
        let seen = entries.0.iter().map(|(_, entry)| Seen::Nothing.with(entry).column());
        assert_eq!(seen.collect::<Vec<_>>()[..2], [ColumnKind::Text; 2]);
    }

    #[test]
    fn an_object_is_extended_and_stays_as_it_was_written() {
        assert_eq!(extended("{}", "\"b\":1"), "{\"b\":1}");
        assert_eq!(extended(" { } ", "\"b\":1"), "{ \"b\":1}");
        let object = "{\"z\": 1.50, \"a\": {\"b\": {}}}";
        assert_eq!(extended(object, "\"b\":1"), "{\"z\": 1.50, \"a\": {\"b\": {}},\"b\":1}");
    }
}
