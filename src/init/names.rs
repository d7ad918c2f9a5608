//! What names of columns say: words, ids, people, and names that a task file allows. Pure.

/// The words of a name such as `reviewText`, `review_text` or `Review Text`, in lower case.
pub fn words(name: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut was_lower = false;
    for c in name.chars() {
        let breaks = !c.is_alphanumeric() || c.is_uppercase() && was_lower;
        if breaks && !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
        if c.is_alphanumeric() {
            word.extend(c.to_lowercase());
        }
        was_lower = c.is_lowercase() || c.is_numeric();
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// Whether one of the words of a name is one of these.
pub fn has_word(name: &str, wanted: &[&str]) -> bool {
    words(name).iter().any(|word| wanted.contains(&word.as_str()))
}

const ID_WORDS: [&str; 20] = [
    "id",
    "ids",
    "idx",
    "index",
    "uuid",
    "guid",
    "asin",
    "sku",
    "ean",
    "gtin",
    "isbn",
    "key",
    "hash",
    "qid",
    "pid",
    "docid",
    "itemid",
    "userid",
    "productid",
    "reviewid",
];

/// Whether a name is that of a column of ids, such as `review_id` or `qid1`.
pub fn is_id(name: &str) -> bool {
    let is_id =
        |word: &String| ID_WORDS.contains(&word.trim_end_matches(|c: char| c.is_ascii_digit()));
    words(name).iter().any(is_id) || name.starts_with("Unnamed:")
}

/// Whether a name is that of a column of users.
pub fn is_person(name: &str) -> bool {
    has_word(name, &["user", "username", "reviewer", "customer", "author", "nick", "nickname"])
}

/// The name as people write it: `review_text` becomes `review text`.
pub fn spoken(name: &str) -> String {
    words(name).join(" ")
}

/// A text with a capital letter first.
pub fn capitalised(text: &str) -> String {
    let mut rest = text.chars();
    rest.next()
        .map_or(String::new(), |first| first.to_uppercase().collect::<String>() + rest.as_str())
}

/// The letters that stand for a letter outside ASCII, where that is usual.
fn transliterated(c: char) -> Option<&'static str> {
    Some(match c {
        'ä' | 'æ' => "ae",
        'ö' | 'œ' | 'ø' => "oe",
        'ü' => "ue",
        'Ä' | 'Æ' => "Ae",
        'Ö' | 'Ø' => "Oe",
        'Ü' => "Ue",
        'ß' => "ss",
        'à' | 'á' | 'â' | 'ã' | 'å' => "a",
        'ç' | 'č' | 'ć' => "c",
        'è' | 'é' | 'ê' | 'ë' | 'ě' => "e",
        'ì' | 'í' | 'î' | 'ï' | 'ı' => "i",
        'ñ' | 'ń' => "n",
        'ò' | 'ó' | 'ô' | 'õ' => "o",
        'š' | 'ş' => "s",
        'ù' | 'ú' | 'û' => "u",
        'ý' | 'ÿ' => "y",
        'ž' => "z",
        'É' => "E",
        _ => return None,
    })
}

/// Bytes of a name in a task file.
const MAX_NAME_BYTES: usize = 64;

/// Whether a task file takes a name as it is.
pub fn is_plain(name: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(is_plain)
        && name.len() <= MAX_NAME_BYTES
}

/// A name that a task file takes for a field, a task or a template: ASCII letters, digits, `-` and
/// `_`, a letter or digit first. `fallback` is what a name becomes of which nothing is left.
pub fn plain_name(name: &str, fallback: &str) -> String {
    let mut plain = String::new();
    for c in name.trim().chars() {
        match transliterated(c) {
            _ if c.is_ascii_alphanumeric() || c == '-' => plain.push(c),
            Some(letters) => plain.push_str(letters),
            None if plain.ends_with('_') => {}
            None => plain.push('_'),
        }
    }
    let trimmed = plain.trim_matches(['_', '-']);
    let trimmed: String = trimmed.chars().take(MAX_NAME_BYTES - 4).collect();
    match trimmed.as_str() {
        "" => fallback.to_owned(),
        // A placeholder of templates has the name.
        "mask" | "sep" => format!("{trimmed}_text"),
        _ => trimmed,
    }
}

/// Names for fields of these columns, each another one.
pub fn field_names(columns: &[&str]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for column in columns {
        let name = plain_name(column, "text");
        let mut candidate = name.clone();
        let mut number = 2;
        while names.contains(&candidate) {
            candidate = format!("{name}_{number}");
            number += 1;
        }
        names.push(candidate);
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_split_into_words() {
        for (name, expected) in [
            ("reviewText", "review text"),
            ("Review Text", "review text"),
            ("left_title", "left title"),
            ("ASIN", "asin"),
            ("Bewertung (Stück)", "bewertung stück"),
            ("__", ""),
        ] {
            assert_eq!(spoken(name), expected, "{name}");
        }
        assert!(is_id("review_id") && is_id("productId") && is_id("Unnamed: 0"));
        assert!(is_id("qid1"));
        assert!(!is_id("video") && !is_id("idea"));
    }

    #[test]
    fn fields_get_names_that_a_task_file_takes() {
        let columns = ["text", "Review Text", "größe", "标题", "描述", "a.b", "a-b", "mask", "-x-"];
        let expected =
            ["text", "Review_Text", "groesse", "text_2", "text_3", "a_b", "a-b", "mask_text", "x"];
        assert_eq!(field_names(&columns), expected);
        assert!(plain_name(&"x".repeat(200), "t").len() <= MAX_NAME_BYTES);
    }
}
