//! The commands that follow, ready to be pasted into a shell. Pure.

use std::path::Path;

use super::{Plan, output, split::Part};

/// Where `serve` looks for checkpoints by default.
const MODELS: &str = "models/serving";

/// Stands for a file that the user has to name.
const LABELLED_ROWS: &str = "LABELLED_ROWS.csv";

/// The commands that follow on `init`.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Commands {
    pub train: String,
    pub evaluate: String,
    pub serve: String,
}

/// Says how to train, evaluate and serve what was written to `out`, or with the `input` itself where
/// it was not split.
pub fn commands(plan: &Plan, input: &Path, out: &Path, encoder: &Path) -> Commands {
    let quoted = |path: &Path| shell_quoted(&path.display().to_string());
    let (task, encoder) = (quoted(&out.join(output::TASK_FILE)), quoted(encoder));
    let part = |part: Part| quoted(&out.join(output::split_file(part)));
    let model = format!("{MODELS}/{}", plan.name);
    let train = match &plan.split {
        None => quoted(input),
        Some(_) => part(Part::Train),
    };
    let (dev, test) = match &plan.split {
        None => (String::new(), LABELLED_ROWS.to_owned()),
        Some(split) => {
            let dev = match split.size(Part::Dev) {
                0 => String::new(),
                _ => format!(" --dev {}", part(Part::Dev)),
            };
            let test = match split.size(Part::Test) {
                0 => LABELLED_ROWS.to_owned(),
                _ => part(Part::Test),
            };
            (dev, test)
        }
    };
    let name = &plan.name;
    Commands {
        train: format!(
            "dynamar train --task {task} --train {train}{dev} --encoder {encoder} --out {model}"
        ),
        // With the training rows for what a bag of words gets.
        evaluate: format!(
            "dynamar evaluate --model {model} --task {name} --data {test} --train {train}"
        ),
        serve: format!("dynamar serve --models {MODELS}"),
    }
}

/// A word as a shell takes it.
pub fn shell_quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+=:,@%".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_where_a_shell_would_split_them() {
        for (word, expected) in [
            ("mine/task.toml", "mine/task.toml"),
            ("my data/x.csv", "'my data/x.csv'"),
            ("it's", "'it'\\''s'"),
            ("", "''"),
            ("$HOME", "'$HOME'"),
        ] {
            assert_eq!(shell_quoted(word), expected);
        }
    }
}
