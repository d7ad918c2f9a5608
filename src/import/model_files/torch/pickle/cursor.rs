//! Operands of a pickle's instructions, read one after the other.

use crate::import::model_files::error::PickleError;

/// Place in a pickle. Reading beyond the end is an error that names the instruction.
#[derive(Debug)]
pub struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
    /// First byte of the instruction that is read.
    instruction: usize,
}

impl<'a> Cursor<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, instruction: 0 }
    }

    /// First byte of the instruction that is read.
    pub fn instruction(&self) -> usize {
        self.instruction
    }

    /// Begins the next instruction.
    pub fn opcode(&mut self) -> Result<u8, PickleError> {
        self.instruction = self.at;
        self.u8()
    }

    pub fn u8(&mut self) -> Result<u8, PickleError> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    /// Little-endian operand of `N` bytes.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], PickleError> {
        let (array, _) = self.rest().split_first_chunk().ok_or_else(|| self.truncated())?;
        self.at += N;
        Ok(*array)
    }

    pub fn take(&mut self, count: usize) -> Result<&'a [u8], PickleError> {
        let (taken, _) = self.rest().split_at_checked(count).ok_or_else(|| self.truncated())?;
        self.at += count;
        Ok(taken)
    }

    /// Text of this many bytes.
    pub fn text(&mut self, bytes: usize) -> Result<&'a str, PickleError> {
        let at = self.instruction;
        std::str::from_utf8(self.take(bytes)?).map_err(|_| PickleError::Text { at })
    }

    /// Text up to the end of the line.
    pub fn line(&mut self) -> Result<&'a str, PickleError> {
        let end = self.rest().iter().position(|byte| *byte == b'\n');
        let line = self.text(end.ok_or_else(|| self.truncated())?)?;
        self.at += 1;
        Ok(line)
    }

    fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    fn truncated(&self) -> PickleError {
        PickleError::Truncated { at: self.instruction }
    }
}
