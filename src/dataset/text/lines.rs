//! Lines of a file, none of which takes more memory than is meant.

use std::io::{BufRead, Read, Result};

/// A line as it is in the file.
#[derive(Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// Without its end.
    Whole(&'a [u8]),
    /// Longer than is taken; its rest was skipped.
    TooLong,
}

/// Reads lines of at most so many bytes.
pub struct Lines<R> {
    reader: R,
    max_bytes: usize,
    line: Vec<u8>,
}

impl<R: BufRead> Lines<R> {
    pub fn new(reader: R, max_bytes: usize) -> Self {
        Self { reader, max_bytes, line: Vec::new() }
    }

    /// `None` at the end of the file.
    pub fn next(&mut self) -> Result<Option<Line<'_>>> {
        self.line.clear();
        // One more for the line's end.
        let limit = self.max_bytes as u64 + 1;
        self.reader.by_ref().take(limit).read_until(b'\n', &mut self.line)?;
        if self.line.is_empty() {
            return Ok(None);
        }
        if self.line.last() == Some(&b'\n') {
            self.line.pop();
        } else if self.line.len() > self.max_bytes {
            self.reader.skip_until(b'\n')?;
            return Ok(Some(Line::TooLong));
        }
        Ok(Some(Line::Whole(&self.line)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[Option<&str>]) {
        let mut lines = Lines::new(text.as_bytes(), 4);
        for expected in expected {
            let expected = expected.map_or(Line::TooLong, |line| Line::Whole(line.as_bytes()));
            assert_eq!(lines.next().expect("in memory"), Some(expected), "{text:?}");
        }
        assert_eq!(lines.next().expect("in memory"), None, "{text:?}");
    }

    #[test]
    fn long_lines_are_skipped_and_the_next_is_read() {
        check("", &[]);
        check("\n", &[Some("")]);
        check("four\nfour", &[Some("four"), Some("four")]);
        check("fiveb\nb", &[None, Some("b")]);
        check("a\nmuch longer", &[Some("a"), None]);
    }
}
