//! Errors of reading a model directory. Names that come from a file are shortened and escaped: they
//! may be long and may hold control characters.

use std::{fmt::Write, io};

/// Characters of a name from a file that an error shows.
const MAX_SHOWN_CHARS: usize = 200;

/// Names that a list in an error holds; more are counted.
const MAX_LISTED: usize = 5;

/// Reason why a file of a model directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("cannot read {path}: {source}")]
    Read { path: String, source: io::Error },
    #[error("{path} is no directory")]
    NotADirectory { path: String },
    #[error("{path} is no regular file")]
    NotAFile { path: String },
    #[error("{path} leads outside the model's directory, to {target}")]
    Outside { path: String, target: String },
    #[error("{path} is {what}")]
    StandIn { path: String, what: &'static str },
    #[error("{path} has {bytes} bytes; at most {limit} are read")]
    TooLarge { path: String, bytes: u64, limit: u64 },
    #[error("{path} changed while it was read: import it again when nothing writes to it")]
    Changed { path: String },
    #[error("{path} is not the JSON that is expected there: {source}")]
    Json { path: String, source: serde_json::Error },
    #[error("{path} lists {found} modules whose type ends in Transformer, expected 1")]
    Modules { path: String, found: usize },
    #[error("{path} names {name}, which is no path inside the directory")]
    ModulePath { path: String, name: String },
    #[error("{path} has no tokenizer.json")]
    NoTokenizer { path: String },
    #[error("{path} has no tokenizer.json but {found}; make it with transformers: {command}")]
    SlowTokenizer { path: String, found: String, command: String },
    #[error(
        "{path} has no tokenizer.json but {found}, for a tokenizer that is a program in Python: there is \
         no tokenizer.json that does the same, and the encoder cannot be served"
    )]
    TokenizerProgram { path: String, found: String },
    #[error("{path} has no weights: looked for {expected}{found}")]
    NoWeights { path: String, expected: String, found: String },
    #[error("{path} names {name}, which is no plain file name")]
    ShardName { path: String, name: String },
    #[error("{path} names {found} files; at most {limit} are read")]
    TooManyShards { path: String, found: usize, limit: usize },
    #[error("{path} names files that are not there: {names}")]
    MissingShards { path: String, names: String },
    #[error("{path} lacks tensors that {index} says it holds: {names}")]
    MissingTensors { path: String, index: String, names: String },
    #[error("{path} is no safetensors file: {message}")]
    Safetensors { path: String, message: String },
    #[error("{path} is no archive of torch.save: {message}")]
    Archive { path: String, message: String },
    #[error("{path} is in the format of torch.save before 1.6; write it anew with: {command}")]
    OldFormat { path: String, command: String },
    #[error("{path} holds {found} numbers, only little-endian ones are read")]
    ByteOrder { path: String, found: String },
    #[error("{path}: data.pkl {source}")]
    Pickle { path: String, source: PickleError },
    #[error("{path}: tensor {name} has {dimensions} dimensions; at most {limit} are read")]
    Dimensions { path: String, name: String, dimensions: usize, limit: usize },
    #[error("{path}: tensor {name} reaches beyond the data that are there for it")]
    Bounds { path: String, name: String },
    #[error("{path}: tensor {name} has type {dtype}; F64, F32, F16 and BF16 can be imported")]
    Type { path: String, name: String, dtype: String },
    #[error(
        "{path}: tensor {name} is a view with strides; only contiguous tensors and transposed \
         matrices can be imported: save it as tensor.contiguous()"
    )]
    Strided { path: String, name: String },
    #[error("{path}: tensor {name} has {values} values; at most {limit} are read")]
    TooManyValues { path: String, name: String, values: usize, limit: usize },
}

/// Reason why a pickle is refused. Places are bytes from its beginning.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PickleError {
    #[error("names {global}, which loading would run: only tensors and dictionaries are read")]
    Global { global: String },
    #[error(
        "has the instruction 0x{opcode:02x} at byte {at}, which no dictionary of tensors needs"
    )]
    Opcode { opcode: u8, at: usize },
    #[error("has protocol {protocol}; 2 to 5 are read")]
    Protocol { protocol: u8 },
    #[error("ends inside the instruction at byte {at}")]
    Truncated { at: usize },
    #[error("has text at byte {at} that is no UTF-8")]
    Text { at: usize },
    #[error("has an instruction at byte {at} whose operands are not what torch.save writes")]
    Operand { at: usize },
    #[error("makes more than {limit} {what}")]
    Limit { what: &'static str, limit: usize },
    #[error("holds no dictionary of tensors")]
    NoTensors,
}

/// Name from a file, as an error shows it.
pub(super) fn shown(name: &str) -> String {
    let mut shown: String =
        name.chars().take(MAX_SHOWN_CHARS).flat_map(char::escape_debug).collect();
    if name.chars().nth(MAX_SHOWN_CHARS).is_some() {
        shown.push('…');
    }
    shown
}

/// Names from a file, separated by commas; of many, the first and the count of the others.
pub(super) fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let mut names = names.into_iter();
    let first: Vec<String> = names.by_ref().take(MAX_LISTED).map(shown).collect();
    let mut list = first.join(", ");
    let others = names.count();
    if others > 0 {
        // Writing to a string does not fail.
        let _ = write!(list, " and {others} more");
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped_and_shortened() {
        assert_eq!(shown("a.weight"), "a.weight");
        assert_eq!(shown("a\u{1b}[2J\n"), "a\\u{1b}[2J\\n");
        assert_eq!(shown(&"x".repeat(1000)).chars().count(), MAX_SHOWN_CHARS + 1);
    }

    #[test]
    fn a_long_list_ends_in_a_count() {
        assert_eq!(listed(["a", "b"]), "a, b");
        assert_eq!(listed(["a"; 8]), "a, a, a, a, a and 3 more");
    }
}
