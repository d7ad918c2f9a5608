//! How characters are written down, and their way to UTF-8. The only file that names `encoding_rs`.

use std::{
    io::{self, Read},
    str::Utf8Error,
};

use encoding_rs::{CoderResult, Decoder, UTF_16BE, UTF_16LE, WINDOWS_1252};

/// Bytes that are decoded at a time.
const BLOCK_BYTES: usize = 1 << 16;

/// How characters are written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Encoding {
    #[default]
    Utf8,
    Utf16Le,
    Utf16Be,
    /// And Latin-1, of which it has every printable character.
    Windows1252,
}

impl Encoding {
    /// The encoding of a text that begins like this: by its byte order mark, or else what was asked
    /// for. Nothing of UTF-16 without a mark that was not asked for.
    pub fn detect(head: &[u8], asked: Option<Self>) -> Option<Self> {
        match (head, asked) {
            (_, Some(Self::Utf8 | Self::Windows1252)) => asked,
            ([0xff, 0xfe, ..], _) => Some(Self::Utf16Le),
            ([0xfe, 0xff, ..], _) => Some(Self::Utf16Be),
            // Most characters of a header are ASCII.
            ([0, 1..=255, ..], Some(_)) => Some(Self::Utf16Be),
            (_, Some(asked)) => Some(asked),
            ([0, 1..=255, 0, ..] | [1..=255, 0, 1..=255, 0, ..], None) => None,
            (_, None) => Some(Self::Utf8),
        }
    }

    /// The name that the command line has for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Utf8 => "utf-8",
            Self::Utf16Le | Self::Utf16Be => "utf-16",
            Self::Windows1252 => "windows-1252",
        }
    }

    /// The same text in UTF-8.
    pub fn decode<'a>(self, text: Box<dyn Read + Send + 'a>) -> Box<dyn Read + Send + 'a> {
        let encoding = match self {
            Self::Utf8 => return text,
            Self::Utf16Le => UTF_16LE,
            Self::Utf16Be => UTF_16BE,
            Self::Windows1252 => WINDOWS_1252,
        };
        Box::new(Decoded {
            text,
            decoder: encoding.new_decoder_with_bom_removal(),
            raw: Vec::new(),
            decoded: vec![0; 4 * BLOCK_BYTES],
            ready: 0..0,
            has_ended: false,
        })
    }
}

/// Says where a text stops being UTF-8, and what to do.
pub fn not_utf8(error: Utf8Error) -> String {
    let valid = error.valid_up_to();
    format!(
        "not UTF-8 after byte {valid}; if it is Latin-1 or Windows-1252, say --encoding windows-1252"
    )
}

/// Decodes what is read through it.
struct Decoded<'a> {
    text: Box<dyn Read + Send + 'a>,
    decoder: Decoder,
    /// Read and not yet decoded.
    raw: Vec<u8>,
    decoded: Vec<u8>,
    /// What of it was not taken yet.
    ready: std::ops::Range<usize>,
    has_ended: bool,
}

impl Decoded<'_> {
    fn refill(&mut self) -> io::Result<()> {
        while self.ready.is_empty() && !self.has_ended {
            let mut block = vec![0; BLOCK_BYTES];
            let read = match self.text.read(&mut block) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                read => read?,
            };
            self.has_ended = read == 0;
            self.raw.extend_from_slice(&block[..read]);
            // Three bytes of UTF-8 for two of any of these at most, so there is room.
            let (result, taken, written, had_errors) =
                self.decoder.decode_to_utf8(&self.raw, &mut self.decoded, self.has_ended);
            if had_errors || result == CoderResult::OutputFull {
                let name = self.decoder.encoding().name();
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("its text is not {name}; say another --encoding"),
                ));
            }
            self.raw.drain(..taken);
            self.ready = 0..written;
        }
        Ok(())
    }
}

impl Read for Decoded<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.refill()?;
        let length = self.ready.len().min(buffer.len());
        let start = self.ready.start;
        buffer[..length].copy_from_slice(&self.decoded[start..start + length]);
        self.ready.start += length;
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utf16(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(bytes).collect()
    }

    fn check(bytes: &[u8], asked: Option<Encoding>, encoding: Encoding, expected: &str) {
        assert_eq!(Encoding::detect(bytes, asked), Some(encoding));
        let mut text = String::new();
        let mut decoded = encoding.decode(Box::new(io::Cursor::new(bytes.to_vec())));
        decoded.read_to_string(&mut text).expect("decoded");
        assert_eq!(text, expected);
    }

    #[test]
    fn texts_are_decoded() {
        let text = "té\u{1f44d}xt,label\n".repeat(10_000);
        let marked = format!("\u{feff}{text}");
        check(text.as_bytes(), None, Encoding::Utf8, &text);
        check(&utf16(&marked, u16::to_le_bytes), None, Encoding::Utf16Le, &text);
        check(&utf16(&marked, u16::to_be_bytes), None, Encoding::Utf16Be, &text);
        let asked = Some(Encoding::Utf16Le);
        check(&utf16(&text, u16::to_be_bytes), asked, Encoding::Utf16Be, &text);
        check(&utf16(&text, u16::to_le_bytes), asked, Encoding::Utf16Le, &text);
        let windows = Some(Encoding::Windows1252);
        check(b"caf\xe9 \x80", windows, Encoding::Windows1252, "café €");
        assert_eq!(Encoding::detect(&utf16("a,b\n", u16::to_le_bytes), None), None);
    }

    #[test]
    fn half_a_character_is_an_error() {
        let bytes = io::Cursor::new([0x00, 0xd8, b'a', 0].to_vec());
        let error = Encoding::Utf16Le.decode(Box::new(bytes)).read_to_end(&mut Vec::new());
        assert!(error.expect_err("broken").to_string().contains("not UTF-16LE"));
    }
}
