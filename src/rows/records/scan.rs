//! Looks for the end of a record byte by byte, and notes what is wrong with its quotes.

use super::{BYTE_ORDER_MARK, Grammar, Position, Separated};

/// Where a row of separated values is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    FieldStart,
    Field,
    Quoted,
    /// After an escape within quotes.
    Escaped,
    /// After a quote within quotes: the end of the value, or the first half of a quote in it.
    Quote,
    /// After a closing quote and blanks.
    Closed,
}

/// What is wrong with the quotes of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quotes {
    Good,
    /// A quote that opens on this line is never closed.
    Open {
        line: u64,
    },
    /// The value whose quote opens on this line goes on after its closing quote.
    WentOn {
        line: u64,
        after_backslash: bool,
    },
}

/// What is known of a record that is being looked through.
pub struct Scan {
    grammar: Grammar,
    at: At,
    /// The line on which the last quote opened.
    quote_line: u64,
    went_on: Option<Quotes>,
    last: u8,
    /// Whether the last quote within quotes comes after a backslash.
    after_backslash: bool,
    /// The line of the first byte of an element that is no blank.
    pub first_line: Option<u64>,
    array: (bool, bool),
    depth: u32,
    in_string: bool,
}

impl Scan {
    /// `array` is whether one has begun, and whether it has ended.
    pub fn new(grammar: Grammar, array: (bool, bool)) -> Self {
        Self {
            grammar,
            at: At::FieldStart,
            quote_line: 0,
            went_on: None,
            last: 0,
            after_backslash: false,
            first_line: None,
            array,
            depth: 0,
            in_string: false,
        }
    }

    /// Whether an array has begun, and whether it has ended.
    pub fn array(&self) -> (bool, bool) {
        self.array
    }

    /// What is wrong with the quotes of a record that ended, or with whose middle the input did.
    pub fn quotes(&self, ended: bool) -> Quotes {
        let is_open = !ended && matches!(self.at, At::Quoted | At::Escaped);
        match self.went_on {
            Some(quotes) => quotes,
            None if is_open => Quotes::Open { line: self.quote_line },
            None => Quotes::Good,
        }
    }

    /// The place of the record's end in `buffer`, at whose beginning `position` is but for its
    /// offset and lines, which are counted here up to that end.
    pub fn end(&mut self, buffer: &[u8], position: &mut Position) -> Option<usize> {
        for (place, &byte) in buffer.iter().enumerate() {
            let is_end = match self.grammar {
                Grammar::Lines => matches!(byte, b'\n' | b'\r'),
                Grammar::Separated(separated) => {
                    self.is_row_end(separated, byte, position, place as u64)
                }
                Grammar::Array => self.is_element_end(byte, position),
            };
            position.pass(byte);
            if is_end {
                return Some(place);
            }
        }
        None
    }

    fn is_row_end(
        &mut self,
        separated: Separated,
        byte: u8,
        position: &Position,
        place: u64,
    ) -> bool {
        let is_inside = matches!(self.at, At::Quoted | At::Escaped);
        if !is_inside && matches!(byte, b'\n' | b'\r') {
            return true;
        }
        // A quote after the byte order mark stands at the beginning of a field all the same.
        let mark = usize::try_from(position.offset + place).ok();
        if mark.and_then(|at| BYTE_ORDER_MARK.get(at)) == Some(&byte) || !separated.quotes {
            return false;
        }
        let next = self.after(separated, byte);
        if next == At::Quoted && self.at == At::FieldStart {
            self.quote_line = position.line();
        }
        if next == At::Quote {
            self.after_backslash = self.last == b'\\';
        }
        if next == At::Field && matches!(self.at, At::Quote | At::Closed) {
            let (line, after_backslash) = (self.quote_line, self.after_backslash);
            self.went_on = self.went_on.or(Some(Quotes::WentOn { line, after_backslash }));
        }
        (self.at, self.last) = (next, byte);
        false
    }

    fn after(&self, separated: Separated, byte: u8) -> At {
        match (self.at, byte) {
            (At::Quoted, b'"') => At::Quote,
            (At::Quoted, _) if separated.escape == Some(byte) => At::Escaped,
            (At::Quoted | At::Escaped, _) | (At::FieldStart | At::Quote, b'"') => At::Quoted,
            (_, byte) if byte == separated.separator => At::FieldStart,
            (At::Quote | At::Closed, b' ' | b'\t') => At::Closed,
            _ => At::Field,
        }
    }

    fn is_element_end(&mut self, byte: u8, position: &Position) -> bool {
        if self.in_string {
            let is_escaped = self.last == b'\\';
            // A backslash that is escaped escapes nothing.
            self.last = if is_escaped { 0 } else { byte };
            self.in_string = byte != b'"' || is_escaped;
            return false;
        }
        if self.first_line.is_none() && !byte.is_ascii_whitespace() {
            self.first_line = Some(position.line());
        }
        let (has_begun, has_ended) = self.array;
        match byte {
            b'[' if !has_begun => {
                self.array.0 = true;
                return true;
            }
            b',' if has_begun && self.depth == 0 => return true,
            b']' if has_begun && !has_ended && self.depth == 0 => {
                self.array.1 = true;
                return true;
            }
            b'"' => (self.in_string, self.last) = (true, 0),
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        false
    }
}
