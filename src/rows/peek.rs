//! Looks at the beginning of what is read, and reads it from the beginning all the same.

use std::io::{self, Read};

/// Bytes that are looked at at most.
pub const MAX_HEAD_BYTES: usize = 1 << 16;

/// A reader whose beginning was looked at.
pub struct Peeked<'a> {
    head: Vec<u8>,
    taken: usize,
    rest: Box<dyn Read + Send + 'a>,
}

impl<'a> Peeked<'a> {
    /// Nothing is read yet.
    pub fn new(rest: Box<dyn Read + Send + 'a>) -> Self {
        Self { head: Vec::new(), taken: 0, rest }
    }

    /// Reads until this is enough, or as much as is looked at, or the end. Whoever writes to a pipe
    /// need not write more than that for an answer.
    ///
    /// # Errors
    ///
    /// If reading fails.
    pub fn until(&mut self, is_enough: impl Fn(&[u8]) -> bool) -> io::Result<&[u8]> {
        let mut block = vec![0; 1 << 13];
        while self.head.len() < MAX_HEAD_BYTES && !is_enough(&self.head) {
            match self.rest.read(&mut block) {
                Ok(0) => break,
                Ok(read) => self.head.extend_from_slice(&block[..read]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(&self.head)
    }
}

impl Read for Peeked<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = &self.head[self.taken..];
        if left.is_empty() {
            return self.rest.read(buffer);
        }
        let length = left.len().min(buffer.len());
        buffer[..length].copy_from_slice(&left[..length]);
        self.taken += length;
        if self.taken == self.head.len() {
            (self.head, self.taken) = (Vec::new(), 0);
        }
        Ok(length)
    }
}
