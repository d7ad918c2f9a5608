//! The names of checkpoint directories: `reviews`, or `reviews@2` where versions lie side by side.

use std::cmp::Ordering;

/// Longest version.
pub(super) const MAX_VERSION_BYTES: usize = 64;

/// Stands between a name and its version.
const SEPARATOR: char = '@';

/// The name of a checkpoint's directory, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CheckpointName {
    /// What versions of one checkpoint have in common.
    pub name: String,
    /// What is after the `@`, if there is one.
    pub version: Option<String>,
}

impl CheckpointName {
    /// Takes the name of a directory apart.
    ///
    /// # Errors
    ///
    /// What stands where a version should.
    pub fn parse(directory: &str) -> Result<Self, String> {
        let Some((name, version)) = directory.rsplit_once(SEPARATOR) else {
            return Ok(Self { name: directory.to_owned(), version: None });
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if version.is_empty() || version.len() > MAX_VERSION_BYTES || !version.chars().all(plain) {
            return Err(version.to_owned());
        }
        Ok(Self { name: name.to_owned(), version: Some(version.to_owned()) })
    }

    /// Which of two versions of one name answers when none is asked for: the greater one. That
    /// without a version stands above all others.
    pub fn compare_versions(&self, other: &Self) -> Ordering {
        match (&self.version, &other.version) {
            (None, None) => Ordering::Equal,
            (None, Some(_)) => Ordering::Greater,
            (Some(_), None) => Ordering::Less,
            (Some(a), Some(b)) => natural_order(a, b).then_with(|| a.cmp(b)),
        }
    }
}

/// A task as a call names it when it asks for a version, or for a checkpoint by its id.
pub(super) fn of_version(task: &str, version: &str) -> String {
    format!("{task}{SEPARATOR}{version}")
}

/// As people count: `2` before `10`, `1.9` before `1.10`.
fn natural_order(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a, b);
    loop {
        let ((run_a, rest_a), (run_b, rest_b)) = (split_run(a), split_run(b));
        let order = compare_runs(run_a, run_b);
        if order != Ordering::Equal || (rest_a.is_empty() && rest_b.is_empty()) {
            return order;
        }
        (a, b) = (rest_a, rest_b);
    }
}

/// The digits, or what is not digits, at the beginning; and the rest.
fn split_run(text: &str) -> (&str, &str) {
    let is_number = text.starts_with(|c: char| c.is_ascii_digit());
    let end = text.find(|c: char| c.is_ascii_digit() != is_number);
    text.split_at(end.unwrap_or(text.len()))
}

fn compare_runs(a: &str, b: &str) -> Ordering {
    let is_number = |run: &str| run.starts_with(|c: char| c.is_ascii_digit());
    if !is_number(a) || !is_number(b) {
        return a.cmp(b);
    }
    // Of any length: without leading zeros, the longer number is the greater one.
    let (a, b) = (a.trim_start_matches('0'), b.trim_start_matches('0'));
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_apart_at_the_last_at() {
        let check = |directory: &str, name: &str, version: Option<&str>| {
            let expected =
                CheckpointName { name: name.to_owned(), version: version.map(str::to_owned) };
            assert_eq!(CheckpointName::parse(directory), Ok(expected));
        };
        check("reviews", "reviews", None);
        check("reviews@2", "reviews", Some("2"));
        check("a@b@2024-05.1_x", "a@b", Some("2024-05.1_x"));
        check("@1", "", Some("1"));
        let too_long = "9".repeat(MAX_VERSION_BYTES + 1);
        for wrong in ["", "2 ", "ü", "a/b", "1:2", &too_long] {
            let directory = format!("reviews@{wrong}");
            assert_eq!(CheckpointName::parse(&directory), Err(wrong.to_owned()));
        }
    }

    #[test]
    fn versions_count_as_people_do_and_none_stands_above_all() {
        let ascending = ["a@-", "a@0", "a@1", "a@1.9", "a@1.10", "a@2", "a@02", "a@10", "a@rc1"];
        let ascending = ascending.into_iter().chain(["a@rc2", "a@rc10", "a"]);
        let names: Vec<CheckpointName> =
            ascending.map(|name| CheckpointName::parse(name).expect("a name")).collect();
        for (at, a) in names.iter().enumerate() {
            for (other, b) in names.iter().enumerate() {
                let expected = match (a.version.as_deref(), b.version.as_deref()) {
                    // Equal as numbers, and so in the order of their letters.
                    (Some("2"), Some("02")) => Ordering::Greater,
                    (Some("02"), Some("2")) => Ordering::Less,
                    _ => at.cmp(&other),
                };
                assert_eq!(a.compare_versions(b), expected, "{a:?} {b:?}");
            }
        }
        let long = |last: char| CheckpointName::parse(&format!("a@{}{last}", "9".repeat(60)));
        assert_eq!(
            long('1').expect("a name").compare_versions(&long('2').expect("a name")),
            Ordering::Less
        );
    }
}
