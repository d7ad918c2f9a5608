//! What a tokenizer.json may demand of whoever uses it.
//!
//! The file is a small program over every text that is served: it replaces, splits by regular
//! expressions and searches long words. Some of these programs take hours or gigabytes for a text of
//! a few kilobytes, and nothing stops them once they run, so they are refused when they are loaded.

use serde::Deserialize;
use serde_json::Value;

/// Characters of the longest word that is searched for pieces, which takes the square of them. The
/// tokenizers of the BERT family have 100.
const MAX_WORD_CHARS: u64 = 1000;

/// By how much replacements, one after the other, may lengthen a text.
const MAX_GROWTH: usize = 16;

/// Characters into which a compiled table of characters may turn one. Unicode's own (NFKC) turns
/// one into 18 at most.
const MAX_CHARS_OF_ONE: usize = 64;

/// Steps of a tokenizer, each in the one before it or after it.
const MAX_STEPS: usize = 64;

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    normalizer: Value,
    #[serde(default)]
    pre_tokenizer: Value,
    #[serde(default)]
    model: Model,
}

#[derive(Default, Deserialize)]
struct Model {
    max_input_chars_per_word: Option<u64>,
}

/// What has been found so far.
#[derive(Default)]
struct Demands {
    steps: usize,
    growth: usize,
    fault: Option<String>,
}

/// What a tokenizer.json demands that is too much, if anything. What is no such file is left to
/// who reads it.
pub(super) fn fault(file: &[u8]) -> Option<String> {
    let file: File = serde_json::from_slice(file).ok()?;
    let chars = file.model.max_input_chars_per_word.unwrap_or(0);
    if chars > MAX_WORD_CHARS {
        return Some(format!(
            "max_input_chars_per_word is {chars}; at most {MAX_WORD_CHARS} are taken"
        ));
    }
    let mut demands = Demands { growth: 1, ..Demands::default() };
    demands.look(&file.normalizer);
    demands.look(&file.pre_tokenizer);
    if demands.steps > MAX_STEPS {
        return Some(format!("it has {} steps; at most {MAX_STEPS} are taken", demands.steps));
    }
    if demands.growth > MAX_GROWTH {
        return Some(format!("its replacements make a text more than {MAX_GROWTH} times as long"));
    }
    demands.fault
}

impl Demands {
    /// Looks at a step and those inside it.
    fn look(&mut self, step: &Value) {
        match step {
            Value::Array(all) => all.iter().for_each(|one| self.look(one)),
            Value::Object(fields) => {
                if let Some(kind) = fields.get("type").and_then(Value::as_str) {
                    self.steps += 1;
                    self.step(kind, step);
                }
                fields.values().for_each(|value| self.look(value));
            }
            _ => {}
        }
    }

    fn step(&mut self, kind: &str, step: &Value) {
        let text = |key: &str| step.get(key).and_then(Value::as_str).unwrap_or_default();
        match kind {
            // A pattern may match nothing, and then stands between all characters.
            "Replace" if !text("content").is_empty() => self.grow(text("content")),
            "Prepend" if text("prepend").chars().count() > MAX_GROWTH => {
                self.fault = Some(format!("it prepends more than {MAX_GROWTH} characters"));
            }
            "Precompiled" if longest_of_table(text("precompiled_charsmap")) > MAX_CHARS_OF_ONE => {
                self.fault =
                    Some(format!("its table turns a character into more than {MAX_CHARS_OF_ONE}"));
            }
            _ => {}
        }
        let pattern = step.get("pattern").and_then(|pattern| pattern.get("Regex"));
        if let Some(pattern) = pattern.and_then(Value::as_str)
            && let Err(why) = check_pattern(pattern)
        {
            self.fault = Some(format!("the regular expression of its {kind} {why}"));
        }
    }

    fn grow(&mut self, content: &str) {
        self.growth = self.growth.saturating_mul(content.chars().count());
    }
}

/// Patterns without look-around and back-references are searched in linear time; with them the time
/// may double with every character.
fn check_pattern(pattern: &str) -> Result<(), &'static str> {
    const MAX_PATTERN_BYTES: usize = 1024;
    if pattern.len() > MAX_PATTERN_BYTES {
        return Err("is longer than 1024 bytes");
    }
    let parsed = regex_syntax::Parser::new().parse(pattern);
    parsed.map(drop).map_err(|_| "looks around or back, or is none")
}

/// The bytes of the longest text that a compiled table of SentencePiece holds: the length of an index
/// (4 bytes, little-endian), the index, then the texts, each with a 0 behind it. In base 64.
fn longest_of_table(table: &str) -> usize {
    let bytes = from_base64(table);
    let Some((length, rest)) = bytes.split_first_chunk::<4>() else { return 0 };
    let texts = rest.get(u32::from_le_bytes(*length) as usize..).unwrap_or_default();
    texts.split(|byte| *byte == 0).map(<[u8]>::len).max().unwrap_or(0)
}

/// Characters that do not belong there are left out; the reader of the table refuses them.
fn from_base64(text: &str) -> Vec<u8> {
    let (mut bits, mut count) = (0u32, 0);
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    for c in text.bytes() {
        let six = match c {
            b'A'..=b'Z' => c - b'A',
            b'a'..=b'z' => c - b'a' + 26,
            b'0'..=b'9' => c - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => continue,
        };
        bits = bits << 6 | u32::from(six);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(normalizer: &str, words: &str) {
        let file = format!(r#"{{"normalizer": {normalizer}, "model": {{}}}}"#);
        let found = fault(file.as_bytes());
        match words {
            "" => assert_eq!(found, None, "{normalizer}"),
            words => assert!(found.as_ref().is_some_and(|f| f.contains(words)), "{found:?}"),
        }
    }

    fn replace(pattern: &str, content: &str) -> String {
        format!(r#"{{"type": "Replace", "pattern": {pattern}, "content": "{content}"}}"#)
    }

    #[test]
    fn what_grows_a_text_is_limited() {
        check("null", "");
        check(&replace(r#"{"String": "a"}"#, &"b".repeat(16)), "");
        check(&replace(r#"{"String": "a"}"#, &"b".repeat(17)), "16 times as long");
        let step = replace(r#"{"String": "a"}"#, "aa");
        let sequence = |count: usize| {
            let steps = vec![step.clone(); count].join(",");
            format!(r#"{{"type": "Sequence", "normalizers": [{steps}]}}"#)
        };
        check(&sequence(4), "");
        check(&sequence(5), "16 times as long");
        check(&sequence(64), "65 steps");
        check(r#"{"type": "Prepend", "prepend": "_"}"#, "");
        let long = "_".repeat(17);
        check(&format!(r#"{{"type": "Prepend", "prepend": "{long}"}}"#), "prepends more");
    }

    #[test]
    fn patterns_are_searched_in_linear_time() {
        for (pattern, words) in [
            (" {2,}", ""),
            (r"\\p{L}+|\\p{N}+", ""),
            (r"(a+)+$", ""),
            (r"\\s+(?!\\S)", "looks around"),
            (r"(a)\\1", "looks around"),
            ("(", "looks around"),
        ] {
            check(&replace(&format!(r#"{{"Regex": "{pattern}"}}"#), "b"), words);
        }
        let long = format!(r#"{{"Regex": "{}"}}"#, "a".repeat(1025));
        check(&replace(&long, "b"), "longer than");
    }

    #[test]
    fn a_table_of_characters_makes_no_long_text_of_one() {
        let table = |length: &str| {
            format!(r#"{{"type": "Precompiled", "precompiled_charsmap": "{length}"}}"#)
        };
        // No index, and "ab" once or often.
        check(&table("AAAAAGFi"), "");
        check(&table(&format!("AAAAAG{}", "FiYW".repeat(40))), "into more than 64");
        assert_eq!(from_base64("AAAAAGFi"), [0, 0, 0, 0, b'a', b'b']);
    }

    #[test]
    fn words_are_not_searched_for_hours() {
        let found = fault(br#"{"model": {"max_input_chars_per_word": 100000}}"#);
        assert!(found.is_some_and(|fault| fault.contains("100000")));
        assert_eq!(fault(br#"{"model": {"max_input_chars_per_word": 100}}"#), None);
        assert_eq!(fault(b"nothing"), None);
    }
}
