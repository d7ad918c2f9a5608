//! Cuts a stream of bytes into records, lines or rows of CSV, with a limit on what one may take.

use std::io::{self, BufRead};

/// Bytes of the longest record; of a longer one nothing is kept but its place.
pub const MAX_RECORD_BYTES: usize = 16 << 20;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// What ends a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grammar {
    /// A line feed.
    Lines,
    /// A line end outside of quotes, as in RFC 4180.
    Csv,
}

/// A place between two records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Position {
    /// Records with content before it, the header counted too.
    pub records: u64,
    /// Bytes before it.
    pub offset: u64,
    /// Line feeds before it.
    pub line_feeds: u64,
}

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Without its line end; empty if it is too long.
    pub bytes: Vec<u8>,
    /// The line on which it begins, from 1.
    pub line: u64,
    /// Why it cannot be read, if so.
    pub fault: Option<String>,
}

/// Reads records one after the other. Empty lines are none.
pub struct Records<R> {
    input: R,
    grammar: Grammar,
    position: Position,
    max_bytes: usize,
}

/// Where a row of CSV is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    FieldStart,
    Field,
    Quoted,
    /// After a quote within quotes: the end of the field, or the first half of a quote in it.
    Quote,
}

impl At {
    fn after(self, byte: u8) -> Self {
        match (self, byte) {
            (Self::Quoted, b'"') => Self::Quote,
            (Self::Quoted, _) | (Self::FieldStart | Self::Quote, b'"') => Self::Quoted,
            (_, b',') => Self::FieldStart,
            _ => Self::Field,
        }
    }
}

impl<R: BufRead> Records<R> {
    /// Reads on from `position`, at which `input` is.
    pub fn new(input: R, grammar: Grammar, position: Position) -> Self {
        Self { input, grammar, position, max_bytes: MAX_RECORD_BYTES }
    }

    /// Where the next record is looked for.
    pub fn position(&self) -> Position {
        self.position
    }

    /// The next record; `None` at the end.
    ///
    /// # Errors
    ///
    /// If reading fails.
    pub fn next(&mut self) -> io::Result<Option<Record>> {
        loop {
            let line = self.position.line_feeds + 1;
            let is_first = self.position.offset == 0;
            let mut bytes = Vec::new();
            let Cut { length, ended, open } = self.cut(&mut bytes)?;
            if length == 0 && !ended {
                return Ok(None);
            }
            if is_first && bytes.starts_with(BYTE_ORDER_MARK) {
                bytes.drain(..BYTE_ORDER_MARK.len());
            }
            if bytes.last() == Some(&b'\r') && self.grammar == Grammar::Lines {
                bytes.pop();
            }
            let fault = if length > self.max_bytes as u64 {
                bytes.clear();
                Some(too_long(length, self.max_bytes, self.grammar))
            } else {
                open.then(|| "a quote is never closed".to_owned())
            };
            let is_blank = match self.grammar {
                Grammar::Lines => bytes.iter().all(u8::is_ascii_whitespace),
                Grammar::Csv => bytes.is_empty(),
            };
            if is_blank && fault.is_none() {
                continue;
            }
            self.position.records += 1;
            return Ok(Some(Record { bytes, line, fault }));
        }
    }

    /// Takes everything up to and with the next end of a record; keeps what the limit allows.
    fn cut(&mut self, kept: &mut Vec<u8>) -> io::Result<Cut> {
        let (mut at, mut length) = (At::FieldStart, 0u64);
        loop {
            let buffer = match self.input.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                buffer => buffer?,
            };
            if buffer.is_empty() {
                let open = self.grammar == Grammar::Csv && at == At::Quoted;
                return Ok(Cut { length, ended: false, open });
            }
            let end = match self.grammar {
                Grammar::Lines => buffer.iter().position(|&byte| byte == b'\n'),
                Grammar::Csv => csv_end(buffer, &mut at, self.position.offset),
            };
            let content = &buffer[..end.unwrap_or(buffer.len())];
            let room = (self.max_bytes + 1).saturating_sub(kept.len());
            kept.extend_from_slice(&content[..content.len().min(room)]);
            length += content.len() as u64;
            let taken = content.len() + usize::from(end.is_some());
            let line_feeds = buffer[..taken].iter().filter(|&&byte| byte == b'\n').count();
            self.position.line_feeds += line_feeds as u64;
            self.position.offset += taken as u64;
            self.input.consume(taken);
            if end.is_some() {
                return Ok(Cut { length, ended: true, open: false });
            }
        }
    }
}

/// What was taken from the input.
struct Cut {
    /// Bytes without the end.
    length: u64,
    /// Whether there was one.
    ended: bool,
    /// Whether the input ended within quotes.
    open: bool,
}

fn csv_end(buffer: &[u8], at: &mut At, offset: u64) -> Option<usize> {
    for (place, &byte) in buffer.iter().enumerate() {
        if *at != At::Quoted && matches!(byte, b'\n' | b'\r') {
            return Some(place);
        }
        // A quote after the byte order mark stands at the beginning of a field all the same.
        let mark = usize::try_from(offset).ok().and_then(|o| BYTE_ORDER_MARK.get(o + place));
        if mark != Some(&byte) {
            *at = at.after(byte);
        }
    }
    None
}

fn too_long(length: u64, max_bytes: usize, grammar: Grammar) -> String {
    let guess = match grammar {
        Grammar::Lines => "",
        Grammar::Csv => "; most likely a quote is never closed",
    };
    format!("a record of {length} bytes, and no more than {max_bytes} are taken{guess}")
}

#[cfg(test)]
mod tests {
    use std::io::{BufReader, Read};

    use proptest::prelude::*;

    use super::*;

    fn all(bytes: &[u8], grammar: Grammar, buffer: usize) -> Vec<Record> {
        let input = BufReader::with_capacity(buffer, bytes);
        let mut records = Records::new(input, grammar, Position::default());
        // Above what is made up here, but for what shall be too long.
        records.max_bytes = 100;
        let mut found = Vec::new();
        while let Some(record) = records.next().expect("memory can be read") {
            found.push(record);
        }
        assert_eq!(records.position().offset, bytes.len() as u64);
        assert_eq!(records.position().records, found.len() as u64);
        found
    }

    fn check(text: &str, grammar: Grammar, expected: &[(u64, &str)]) {
        for buffer in [1, 2, 3, 7, 100] {
            let found = all(text.as_bytes(), grammar, buffer);
            let found: Vec<(u64, &str)> = found
                .iter()
                .map(|record| (record.line, std::str::from_utf8(&record.bytes).expect("text")))
                .collect();
            assert_eq!(found, expected, "{text:?} in pieces of {buffer}");
        }
    }

    #[test]
    fn lines_and_rows_are_found_wherever_the_buffer_ends() {
        check("a\n\n \r\nb\r\nc", Grammar::Lines, &[(1, "a"), (4, "b"), (5, "c")]);
        check("\u{feff}a\nb\n", Grammar::Lines, &[(1, "a"), (2, "b")]);
        check("\"a\nb\"\n", Grammar::Lines, &[(1, "\"a"), (2, "b\"")]);
        check("a,b\n\n1,2\r\n\r\n3,4", Grammar::Csv, &[(1, "a,b"), (3, "1,2"), (5, "3,4")]);
        check("\"a\nb\",c\nd\n", Grammar::Csv, &[(1, "\"a\nb\",c"), (3, "d")]);
        check("\"a\"\"\nb\"\nc", Grammar::Csv, &[(1, "\"a\"\"\nb\""), (3, "c")]);
        check("a\"b\nc\"\n", Grammar::Csv, &[(1, "a\"b"), (2, "c\"")]);
        check("\u{feff}\"a\nb\"\nc", Grammar::Csv, &[(1, "\"a\nb\""), (3, "c")]);
        check("", Grammar::Csv, &[]);
    }

    #[test]
    fn what_is_too_long_is_passed_over_and_the_rest_is_read() {
        for grammar in [Grammar::Lines, Grammar::Csv] {
            let text = format!("a\n{}\nb\n", "x".repeat(1000));
            let found = all(text.as_bytes(), grammar, 16);
            let faults: Vec<bool> = found.iter().map(|record| record.fault.is_some()).collect();
            assert_eq!(faults, [false, true, false], "{found:?}");
            assert!(found[1].bytes.capacity() < 200, "{}", found[1].bytes.capacity());
        }
        let open = all(b"a\n\"b\nc\n", Grammar::Csv, 16);
        assert_eq!(open[1].fault.as_deref(), Some("a quote is never closed"));
    }

    #[test]
    fn an_endless_record_takes_no_more_memory_than_a_long_one() {
        let input = io::repeat(b'x').take(1 << 24);
        let input = BufReader::with_capacity(1 << 16, input);
        let mut records = Records::new(input, Grammar::Lines, Position::default());
        records.max_bytes = 1000;
        let record = records.next().expect("read").expect("one");
        assert!(record.fault.is_some_and(|fault| fault.contains("16777216")));
        assert_eq!(records.next().expect("read"), None);
    }

    proptest! {
        /// Records are those of the library that parses them afterwards.
        #[test]
        fn csv_is_cut_where_its_reader_cuts_it(
            pieces in prop::collection::vec(
                prop::sample::select(vec!["a", "\"", ",", "\n", "\r\n", "\r", "\"\"", " ", "é"]), 0..30),
            buffer in 1usize..20,
        ) {
            let text = pieces.concat();
            let mut reader = csv::ReaderBuilder::new()
                .has_headers(false).flexible(true).from_reader(text.as_bytes());
            let expected: Vec<csv::ByteRecord> =
                reader.byte_records().map(|record| record.expect("read")).collect();
            let found: Vec<csv::ByteRecord> = all(text.as_bytes(), Grammar::Csv, buffer)
                .iter()
                .map(|record| {
                    let mut reader = csv::ReaderBuilder::new()
                        .has_headers(false).flexible(true).from_reader(&record.bytes[..]);
                    reader.byte_records().next().expect("one").expect("read")
                })
                .collect();
            prop_assert_eq!(found.len(), expected.len(), "{:?}", text);
            for (found, expected) in found.iter().zip(&expected) {
                prop_assert!(found.iter().eq(expected.iter()), "{:?} {:?} {:?}", text, found, expected);
            }
        }
    }
}
