//! What is suggested for a flag that there is none of: one that means the same, and never one that
//! throws something away.

use clap::{
    Command, CommandFactory, Error,
    error::{ContextKind, ContextValue, ErrorKind},
};

use super::Cli;

/// Flags that undo or replace what is there: a typing error must not lead to them.
const DESTRUCTIVE: [&str; 5] =
    ["--replace", "--restart", "--allow-overlap", "--drop-overlap", "--skip-faulty"];

/// Words that people use for one thing. Each row means the same.
const SYNONYMS: &[&[&str]] = &[
    &["train", "training", "train-data", "train-file", "data", "input", "text"],
    &["data", "test", "test-data", "test-file", "eval", "input", "file"],
    &["dev", "valid", "validation", "val", "dev-data", "dev-file", "eval"],
    &["in", "input", "in-file", "input-file", "data", "file", "test"],
    &["out", "output", "out-file", "output-file", "out-dir", "output-dir", "save"],
    &["model", "checkpoint", "model-dir"],
    &["models", "model-dir", "models-dir", "checkpoints"],
    &["encoder", "backbone", "base", "base-model", "model"],
    &["learning-rate", "lr", "rate"],
    &["batch-size", "batch"],
    &["epochs", "epoch", "num-epochs"],
    &["steps", "step", "num-steps", "max-steps"],
    &["separator", "sep", "delimiter", "delim"],
    &["in-format", "format", "input-format"],
    &["out-format", "format", "output-format"],
    &["encoding", "charset"],
    &["seed", "random-seed", "random-state"],
    &["threads", "workers", "jobs", "num-threads"],
    &["addr", "address", "host", "url", "port", "listen", "bind"],
    &["resume", "continue", "go-on"],
    &["column", "text-column", "field"],
];

/// The same error with a better suggestion, or with none.
pub fn advised(mut error: Error) -> Error {
    if error.kind() != ErrorKind::UnknownArgument {
        return error;
    }
    let Some(ContextValue::String(asked)) = error.get(ContextKind::InvalidArg) else {
        return error;
    };
    let word = asked.trim_start_matches('-').split('=').next().unwrap_or_default().to_owned();
    let verb = std::env::args().skip(1).find(|word| !word.starts_with('-')).unwrap_or_default();
    let known = flags(&Cli::command(), &verb);
    if let Some(flag) = same_meaning(&word, &known) {
        let flag = format!("--{flag}");
        error.insert(ContextKind::SuggestedArg, ContextValue::String(flag));
        error.remove(ContextKind::Suggested);
        return error;
    }
    for kind in [ContextKind::SuggestedArg, ContextKind::Suggested] {
        if error.get(kind).is_some_and(is_destructive) {
            error.remove(kind);
        }
    }
    error
}

fn is_destructive(suggestion: &ContextValue) -> bool {
    let text = suggestion.to_string();
    DESTRUCTIVE.iter().any(|flag| text.contains(flag))
}

/// The long flags of a verb, aliases too.
fn flags(cli: &Command, verb: &str) -> Vec<String> {
    let verb = cli.find_subcommand(verb).unwrap_or(cli);
    let names = verb.get_arguments().flat_map(|argument| {
        let aliases = argument.get_all_aliases().unwrap_or_default();
        argument.get_long().into_iter().chain(aliases).map(str::to_owned).collect::<Vec<_>>()
    });
    names.collect()
}

/// A flag of the verb that means the same as this word.
fn same_meaning(word: &str, known: &[String]) -> Option<String> {
    let rows = SYNONYMS.iter().filter(|row| row.contains(&word));
    let found = rows.flat_map(|row| row.iter()).find(|name| known.iter().any(|flag| flag == *name));
    found.map(|name| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    /// Suggestion for these words after `dynamar`.
    fn suggested(verb: &str, flag: &str) -> Option<String> {
        let known = flags(&Cli::command(), verb);
        let word = flag.trim_start_matches('-');
        same_meaning(word, &known)
    }

    #[test]
    fn a_flag_of_the_same_meaning_is_suggested() {
        let check = |verb: &str, flag: &str, expected: Option<&str>| {
            assert_eq!(suggested(verb, flag).as_deref(), expected, "{verb} {flag}");
        };
        check("train", "--data", Some("train"));
        check("train", "--validation", Some("dev"));
        check("train", "--output", Some("out"));
        check("train", "--lr", Some("learning-rate"));
        check("predict", "--input", Some("in"));
        check("predict", "--delimiter", Some("separator"));
        check("evaluate", "--test-data", Some("data"));
        check("serve", "--port", Some("addr"));
        check("train", "--nonsense", None);
    }

    #[test]
    fn nothing_is_suggested_that_throws_something_away() {
        for flag in ["--replac", "--restrat", "--reset", "--replacement", "--allow-overlaps"] {
            let words = ["dynamar", "train", flag];
            let error = Cli::try_parse_from(words).err().expect("wrong usage");
            let told = advised(error).to_string();
            assert!(!DESTRUCTIVE.iter().any(|one| told.contains(&format!("'{one}'"))), "{told}");
        }
    }
}
