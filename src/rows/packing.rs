//! Files that are packed with gzip or Zstandard. The only file that names their libraries.

use std::io::{self, BufReader, Read};

use flate2::read::MultiGzDecoder;
use zstd::stream::read::Decoder;

/// The binary logarithm of the bytes that Zstandard may look back at, and keep in memory: 128 MiB, as
/// its own tools have it.
const MAX_WINDOW_LOG: u32 = 27;

/// How a file is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Packing {
    #[default]
    Plain,
    Gzip,
    Zstandard,
}

impl Packing {
    /// Bytes that tell it.
    pub const HEAD_BYTES: usize = 8;

    /// By the first bytes of a file.
    pub fn detect(head: &[u8]) -> Self {
        match head {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstandard,
            _ => Self::Plain,
        }
    }

    /// What was packed. Neither needs more memory for more of it.
    ///
    /// # Errors
    ///
    /// If there is no memory for it.
    pub fn unpack<'a>(
        self,
        packed: Box<dyn Read + Send + 'a>,
    ) -> io::Result<Box<dyn Read + Send + 'a>> {
        Ok(match self {
            Self::Plain => packed,
            Self::Gzip => Box::new(MultiGzDecoder::new(BufReader::new(packed))),
            Self::Zstandard => {
                let mut decoder = Decoder::new(packed)?;
                decoder.window_log_max(MAX_WINDOW_LOG)?;
                Box::new(decoder)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};

    use super::*;

    fn gzip(text: &str) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text.as_bytes()).expect("written");
        encoder.finish().expect("finished")
    }

    fn unpacked(bytes: &[u8]) -> io::Result<String> {
        let mut text = String::new();
        let packed = Box::new(io::Cursor::new(bytes.to_vec()));
        Packing::detect(bytes).unpack(packed)?.read_to_string(&mut text)?;
        Ok(text)
    }

    #[test]
    fn what_was_packed_comes_back() {
        let text = "text,label\n".repeat(10_000);
        let zstandard = |text: &str| zstd::encode_all(text.as_bytes(), 3).expect("packed");
        for bytes in [text.clone().into_bytes(), gzip(&text), zstandard(&text)] {
            assert_eq!(unpacked(&bytes).expect("unpacked"), text);
        }
        // Some tools append to a packed file.
        assert_eq!(unpacked(&[gzip("a"), gzip("b")].concat()).expect("unpacked"), "ab");
        assert_eq!(unpacked(&[zstandard("a"), zstandard("b")].concat()).expect("unpacked"), "ab");
        assert!(unpacked(&gzip(&text)[..50]).is_err());
    }

    #[test]
    fn a_file_that_needs_gigabytes_to_unpack_is_refused() {
        let mut encoder = zstd::stream::Encoder::new(Vec::new(), 1).expect("an encoder");
        encoder.window_log(28).expect("a window");
        encoder.include_contentsize(false).expect("unknown");
        encoder.write_all(b"text").expect("written");
        let bytes = encoder.finish().expect("finished");
        assert!(unpacked(&bytes).is_err());
    }
}
