//! Files that lie in another's place: what a clone or a download left there instead.

/// Bytes of a file's beginning that are looked at.
pub(super) const HEAD_BYTES: u64 = 512;

/// Beginnings, in lower case, of a model hub's answers in the place of a file.
const HUB_REFUSALS: [&str; 7] = [
    "entry not found",
    "repository not found",
    "revision not found",
    "invalid username or password",
    "username/password authentication failed",
    "access to model ",
    "{\"error\":",
];

/// Kind of stand-in that begins with these bytes, the first [`HEAD_BYTES`] of a file.
pub(super) fn of_bytes(head: &[u8]) -> Option<&'static str> {
    let text = String::from_utf8_lossy(head).to_ascii_lowercase();
    let text = text.trim_start_matches(['\u{feff}', ' ', '\t', '\r', '\n']);
    if head.is_empty() {
        Some("an empty file")
    } else if text.starts_with("version https://git-lfs.github.com/spec/") {
        Some(
            "a Git LFS pointer and not the file it stands for: run `git lfs pull` where it was cloned",
        )
    } else if text.starts_with("<!doctype html") || text.starts_with("<html") {
        Some("a page of HTML, as a download gives that needs a login or another address")
    } else if HUB_REFUSALS.iter().any(|refusal| text.starts_with(refusal)) {
        Some(
            "what a model hub answers where a file is not there or needs a login, and not the file",
        )
    } else if text.starts_with("<?xml") {
        Some("an XML document, as a download gives that was refused")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beginning_tells_what_a_file_is() {
        let check = |head: &str, expected: &str| {
            let found = of_bytes(head.as_bytes());
            assert!(found.is_some_and(|found| found.contains(expected)), "{head:?}: {found:?}");
        };
        check("", "empty");
        check("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "Git LFS");
        check("\n<!DOCTYPE html><title>Sign in</title>", "HTML");
        check("<html lang=en>", "HTML");
        check("Entry not found", "model hub");
        check("{\"error\":\"Invalid credentials\"}", "model hub");
        check("Access to model a/b is restricted.", "model hub");
        check("\u{feff}<?xml version=\"1.0\"?><Error/>", "XML");
        for good in ["{\"model_type\": \"bert\"}", "{}", "\u{8}\0\0\0\0\0\0\0{", "version 2"] {
            assert_eq!(of_bytes(good.as_bytes()), None, "{good:?}");
        }
    }
}
