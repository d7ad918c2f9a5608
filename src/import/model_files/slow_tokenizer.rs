//! Tokenizers in other files than tokenizer.json, and what makes that file of them.

use std::{fs, path::Path};

use serde_json::Value;

use super::{
    confined::{Home, is_there},
    error::{FileError, shown},
    python,
};

/// Entries of a directory that are looked through for a SentencePiece model.
const MAX_ENTRIES: usize = 10_000;

/// Bytes of a JSON file that says what tokenizer there is, and of a vocabulary.
const MAX_CONFIG_BYTES: u64 = 1 << 20;
const MAX_VOCABULARY_BYTES: u64 = 64 << 20;

/// Classes of transformers that are programs, of which it writes no tokenizer.json.
const WITHOUT_JSON: [&str; 3] = ["BertJapaneseTokenizer", "BertweetTokenizer", "PhobertTokenizer"];

/// Describes the tokenizer of a directory without tokenizer.json, and says what to do. None where there
/// is no tokenizer.
pub fn describe(home: &Home, directory: &Path) -> Option<FileError> {
    let found = files(directory)?;
    let path = directory.display().to_string();
    let json = |name: &str| {
        let bytes = home.read(&directory.join(name), MAX_CONFIG_BYTES).ok()?;
        serde_json::from_slice::<Value>(&bytes).ok()
    };
    let settings = json("tokenizer_config.json").unwrap_or_default();
    let model = json("config.json").unwrap_or_default();
    let classes = [&settings, &model].map(|json| json["tokenizer_class"].as_str());
    let is_program = WITHOUT_JSON.iter().any(|class| classes.contains(&Some(class)));
    let splits_words = !settings["word_tokenizer_type"].is_null();
    if is_program || splits_words || is_there(&directory.join("bpe.codes")) {
        return Some(FileError::TokenizerProgram { path, found });
    }
    let option = match settings["do_lower_case"].is_null() {
        true => lower_case(home, directory),
        false => None,
    };
    let command = python::tokenizer(directory, option);
    Some(FileError::SlowTokenizer { path, found, command })
}

/// The names of the files, as an error shows them.
fn files(directory: &Path) -> Option<String> {
    if is_there(&directory.join("vocab.txt")) {
        return Some("vocab.txt (WordPiece)".to_owned());
    }
    if ["vocab.json", "merges.txt"].iter().all(|name| is_there(&directory.join(name))) {
        return Some("vocab.json and merges.txt (byte-level BPE)".to_owned());
    }
    let entries = fs::read_dir(directory).ok()?.take(MAX_ENTRIES).flatten();
    let mut models: Vec<String> = entries
        .filter(|entry| Path::new(&entry.file_name()).extension().is_some_and(|e| e == "model"))
        .map(|entry| shown(&entry.file_name().to_string_lossy()))
        .collect();
    models.sort_unstable();
    let model = models.first()?;
    Some(format!(
        "{model} (SentencePiece, for which Python also needs the packages sentencepiece and protobuf)"
    ))
}

/// Tells by a WordPiece vocabulary whether text is made lower case, for which transformers has a default
/// that another version of it turned round.
fn lower_case(home: &Home, directory: &Path) -> Option<python::Case> {
    let bytes = home.read(&directory.join("vocab.txt"), MAX_VOCABULARY_BYTES).ok()?;
    let vocabulary = String::from_utf8_lossy(&bytes);
    // Special tokens are upper case in any vocabulary.
    let mut words = vocabulary.lines().filter(|word| !word.starts_with('['));
    let has_capitals = words.any(|word| word.contains(|c: char| c.is_ascii_uppercase()));
    Some(if has_capitals { python::Case::Kept } else { python::Case::Lowered })
}
