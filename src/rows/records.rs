//! Cuts a stream of bytes into records, lines, rows of separated values or elements of a JSON array,
//! with a limit on what one may take.

mod scan;

use std::io::{self, BufRead};

use super::separated::{Separated, unescaped};
use scan::{Quotes, Scan};

/// Bytes of the longest record; of a longer one nothing is kept but its place.
pub const MAX_RECORD_BYTES: usize = 16 << 20;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// What ends a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grammar {
    /// A line end.
    Lines,
    /// A line end outside of quotes, as in RFC 4180.
    Separated(Separated),
    /// The end of an element of the array that the text is.
    Array,
}

/// A place between two records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Position {
    /// Records with content before it, the header counted too.
    pub records: u64,
    /// Bytes of the text before it, unpacked and in UTF-8.
    pub offset: u64,
    /// Line ends before it: line feeds, carriage returns, or both together.
    pub lines: u64,
    /// Whether the byte before it is a carriage return, with which a line feed is one line end.
    pub after_return: bool,
}

impl Position {
    /// Counts the line ends in what comes next, byte by byte.
    fn pass(&mut self, byte: u8) {
        match byte {
            b'\n' if self.after_return => {}
            b'\n' | b'\r' => self.lines += 1,
            _ => {}
        }
        self.after_return = byte == b'\r';
    }

    /// The line of the next byte, from 1.
    fn line(&self) -> u64 {
        self.lines + 1
    }
}

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Without its end, quotes within quotes doubled; empty if it is too long.
    pub bytes: Vec<u8>,
    /// The line on which it begins, from 1; of one with a faulty quote that on which the quote opens.
    pub line: u64,
    /// Why it cannot be read, if so.
    pub fault: Option<String>,
    /// Whether its fault may have taken in rows that follow it.
    pub takes_others: bool,
}

/// Reads records one after the other. Empty lines are none.
pub struct Records<R> {
    input: R,
    grammar: Grammar,
    position: Position,
    max_bytes: usize,
    /// Of an array: whether it has begun, and whether it has ended.
    array: (bool, bool),
}

impl<R: BufRead> Records<R> {
    /// Reads on from `position`, at which `input` is.
    pub fn new(input: R, grammar: Grammar, position: Position) -> Self {
        let array = (position.offset > 0, false);
        Self { input, grammar, position, max_bytes: MAX_RECORD_BYTES, array }
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
    pub fn next_record(&mut self) -> io::Result<Option<Record>> {
        loop {
            let is_first = self.position.offset == 0;
            let start = self.position.line();
            let mut bytes = Vec::new();
            let Cut { length, ended, scan } = self.cut(&mut bytes)?;
            let unclosed = !ended && self.grammar == Grammar::Array && self.array == (true, false);
            if length == 0 && !ended && !unclosed {
                return Ok(None);
            }
            if is_first && bytes.starts_with(BYTE_ORDER_MARK) {
                bytes.drain(..BYTE_ORDER_MARK.len());
            }
            let quotes = scan.quotes(ended);
            let line = match quotes {
                Quotes::Good => scan.first_line.unwrap_or(start),
                Quotes::Open { line } | Quotes::WentOn { line, .. } => line,
            };
            let is_long = length > self.max_bytes as u64;
            let fault = match quotes {
                _ if is_long => Some(too_long(length, self.max_bytes, self.grammar)),
                Quotes::Open { .. } => Some(unclosed_quote()),
                Quotes::WentOn { after_backslash, .. } => Some(went_on(after_backslash)),
                Quotes::Good if unclosed => {
                    Some("the array that the file begins with never ends".to_owned())
                }
                Quotes::Good => None,
            };
            if unclosed {
                self.array.1 = true;
            }
            if is_long {
                bytes.clear();
            }
            let is_blank = match self.grammar {
                Grammar::Lines | Grammar::Array => bytes.iter().all(u8::is_ascii_whitespace),
                Grammar::Separated(_) => bytes.is_empty(),
            };
            if is_blank && fault.is_none() {
                continue;
            }
            match self.grammar {
                Grammar::Separated(Separated { escape: Some(escape), .. }) => {
                    bytes = unescaped(&bytes, escape);
                }
                // Between tokens; an object on one line is the same object.
                Grammar::Array => bytes.iter_mut().for_each(|byte| {
                    if matches!(byte, b'\n' | b'\r') {
                        *byte = b' ';
                    }
                }),
                _ => {}
            }
            self.position.records += 1;
            let takes_others =
                fault.is_some() && self.grammar != Grammar::Lines && self.position.lines > line;
            return Ok(Some(Record { bytes, line, fault, takes_others }));
        }
    }

    /// Takes everything up to and with the next end of a record; keeps what the limit allows.
    fn cut(&mut self, kept: &mut Vec<u8>) -> io::Result<Cut> {
        let (mut scan, mut length) = (Scan::new(self.grammar, self.array), 0u64);
        loop {
            let buffer = match self.input.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                buffer => buffer?,
            };
            if buffer.is_empty() {
                self.array = scan.array();
                return Ok(Cut { length, ended: false, scan });
            }
            let end = scan.end(buffer, &mut self.position);
            let content = &buffer[..end.unwrap_or(buffer.len())];
            let room = (self.max_bytes + 1).saturating_sub(kept.len());
            kept.extend_from_slice(&content[..content.len().min(room)]);
            length += content.len() as u64;
            let taken = content.len() + usize::from(end.is_some());
            self.position.offset += taken as u64;
            self.input.consume(taken);
            if end.is_some() {
                self.array = scan.array();
                return Ok(Cut { length, ended: true, scan });
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
    /// What was seen on the way.
    scan: Scan,
}

fn unclosed_quote() -> String {
    "a quote is never closed; where quotes are plain text, say --no-quotes".to_owned()
}

fn went_on(after_backslash: bool) -> String {
    let advice = match after_backslash {
        true => "where quotes are escaped by a backslash, say --escape '\\'",
        false => {
            "write a quote within quotes twice, or say --no-quotes where quotes are plain text"
        }
    };
    format!("a quoted value goes on after its closing quote; {advice}")
}

fn too_long(length: u64, max_bytes: usize, grammar: Grammar) -> String {
    let guess = match grammar {
        Grammar::Lines | Grammar::Array => "",
        Grammar::Separated(_) => "; most likely a quote is never closed",
    };
    format!("a record of {length} bytes, and no more than {max_bytes} are taken{guess}")
}

#[cfg(test)]
mod tests {
    use std::io::{BufReader, Read};

    use proptest::prelude::*;

    use super::*;

    const COMMAS: Separated = Separated { separator: b',', escape: None, quotes: true };
    const CSV: Grammar = Grammar::Separated(COMMAS);

    fn all(bytes: &[u8], grammar: Grammar, buffer: usize) -> Vec<Record> {
        let input = BufReader::with_capacity(buffer, bytes);
        let mut records = Records::new(input, grammar, Position::default());
        // Above what is made up here, but for what shall be too long.
        records.max_bytes = 100;
        let mut found = Vec::new();
        while let Some(record) = records.next_record().expect("memory can be read") {
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
        check("a,b\n\n1,2\r\n\r\n3,4", CSV, &[(1, "a,b"), (3, "1,2"), (5, "3,4")]);
        check("\"a\nb\",c\nd\n", CSV, &[(1, "\"a\nb\",c"), (3, "d")]);
        check("\"a\"\"\nb\"\nc", CSV, &[(1, "\"a\"\"\nb\""), (3, "c")]);
        check("a\"b\nc\"\n", CSV, &[(1, "a\"b"), (2, "c\"")]);
        check("\u{feff}\"a\nb\"\nc", CSV, &[(1, "\"a\nb\""), (3, "c")]);
        check("", CSV, &[]);
    }

    #[test]
    fn what_is_too_long_is_passed_over_and_the_rest_is_read() {
        for grammar in [Grammar::Lines, CSV] {
            let text = format!("a\n{}\nb\n", "x".repeat(1000));
            let found = all(text.as_bytes(), grammar, 16);
            let faults: Vec<bool> = found.iter().map(|record| record.fault.is_some()).collect();
            assert_eq!(faults, [false, true, false], "{found:?}");
            assert!(found[1].bytes.capacity() < 200, "{}", found[1].bytes.capacity());
        }
        let open = all(b"a\n\"b\nc\n", CSV, 16);
        let fault = open[1].fault.as_deref().unwrap_or_default();
        assert!(fault.starts_with("a quote is never closed") && open[1].takes_others, "{fault}");
    }

    #[test]
    fn lines_are_those_of_an_editor() {
        for text in ["a\n\n\nb\n", "a\r\n\r\n\r\nb", "a\r\r\rb\r", "a\n\r\n\rb"] {
            for grammar in [CSV, Grammar::Lines] {
                check(text, grammar, &[(1, "a"), (4, "b")]);
            }
        }
        check("\"a\r\nb\"\r\nc", CSV, &[(1, "\"a\r\nb\""), (3, "c")]);
        check("\"a\rb\"\rc", CSV, &[(1, "\"a\rb\""), (3, "c")]);
    }

    #[test]
    fn a_quote_that_does_not_close_its_value_is_told_where_it_opens() {
        let told = |text: &str, line: u64, word: &str, takes_others: bool| {
            for buffer in [1, 3, 100] {
                let found = all(text.as_bytes(), CSV, buffer);
                let faulty: Vec<&Record> = found.iter().filter(|r| r.fault.is_some()).collect();
                assert_eq!(faulty.len(), 1, "{text:?}");
                let Record { line: at, fault, takes_others: takes, .. } = faulty[0];
                assert!(fault.as_ref().is_some_and(|fault| fault.contains(word)), "{fault:?}");
                assert_eq!((*at, *takes), (line, takes_others), "{text:?}");
            }
        };
        told("a,b\n\"x\" y,c\nd,e\n", 2, "goes on after", false);
        told("a\n\"He said \\\"no\\\" twice\"\nb\n", 2, "--escape", false);
        told("a,b\nc,\"x\nd,\"y\" z\ne,f\n", 2, "goes on after", true);
        told("a,b\n\"c\nc\",\"d\ne,f\n", 3, "never closed", true);
        check("\"a\" ,\"b\"\t\nc\n", CSV, &[(1, "\"a\" ,\"b\"\t"), (2, "c")]);
        let separator = b'\t';
        let tabs = Grammar::Separated(Separated { separator, ..COMMAS });
        check("a\t\"b\tc\"\nd", tabs, &[(1, "a\t\"b\tc\""), (2, "d")]);
        let plain = Grammar::Separated(Separated { quotes: false, ..COMMAS });
        check("\"a\nb\" c,\n", plain, &[(1, "\"a"), (2, "b\" c,")]);
    }

    #[test]
    fn escapes_become_doubled_quotes() {
        let escape = Some(b'\\');
        let spark = Grammar::Separated(Separated { escape, ..COMMAS });
        let text = "1,\"He said \\\"no, never\\\" twice\"\n2,\"C:\\dir \\\\\"\n3,a\\b\n";
        let expected =
            [(1, "1,\"He said \"\"no, never\"\" twice\""), (2, "2,\"C:\\dir \\\""), (3, "3,a\\b")];
        check(text, spark, &expected);
    }

    #[test]
    fn elements_of_an_array_are_records() {
        let text = "\u{feff} [ {\"a\": [1, {\"b\": \"],\\\"}\"}]},\n {\n\"c\": 2}\n, 3 ]\n";
        let expected =
            [(1, " {\"a\": [1, {\"b\": \"],\\\"}\"}]}"), (2, "  { \"c\": 2} "), (4, " 3 ")];
        check(text, Grammar::Array, &expected);
        check("[]", Grammar::Array, &[]);
        for text in ["[{\"a\":1},", "[", "[{\"a\":1}, {\"b\""] {
            let found = all(text.as_bytes(), Grammar::Array, 3);
            let last = found.last().expect("one");
            assert!(last.fault.as_ref().is_some_and(|fault| fault.contains("never ends")));
        }
    }

    #[test]
    fn an_endless_record_takes_no_more_memory_than_a_long_one() {
        let input = io::repeat(b'x').take(1 << 24);
        let input = BufReader::with_capacity(1 << 16, input);
        let mut records = Records::new(input, Grammar::Lines, Position::default());
        records.max_bytes = 1000;
        let record = records.next_record().expect("read").expect("one");
        assert!(record.fault.is_some_and(|fault| fault.contains("16777216")));
        assert_eq!(records.next_record().expect("read"), None);
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
            let found: Vec<csv::ByteRecord> = all(text.as_bytes(), CSV, buffer)
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
