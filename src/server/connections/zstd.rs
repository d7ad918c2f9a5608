//! What compressed messages claim. A zstd frame names the window that its decoder has to keep, up
//! to 128 MiB, in its first bytes; a few small calls could claim gigabytes. So the frames of a
//! message are looked through, without being decompressed, before the decoder gets them.
//!
//! The format is that of RFC 8878; what is malformed is left to the decoder to refuse.

use tonic::Status;

/// What decoders should support at least (RFC 8878, 3.1.1.1.2), and encoders use at their usual
/// levels.
const MAX_WINDOW_BYTES: u64 = 8 << 20;

const FRAME_MAGIC: u32 = 0xFD2F_B528;
const SKIPPABLE_MAGIC: u32 = 0x184D_2A50;

/// Bytes before a gRPC message: whether it is compressed, and its length.
const PREFIX_BYTES: usize = 5;

/// The messages of a request, as far as they have come.
#[derive(Debug)]
pub(super) struct Messages {
    /// What comes after the bytes to skip.
    next: Part,
    /// Bytes that are of no interest.
    skip: usize,
    /// Bytes of the message that are still to come.
    left: usize,
    /// The part that is to be looked at, as far as it has come.
    seen: Vec<u8>,
    max_window: u64,
}

/// What is looked at.
#[derive(Debug, Clone, Copy)]
enum Part {
    Prefix,
    Magic,
    SkippableLength,
    Descriptor,
    /// The rest of a frame's header, with its descriptor.
    Header(u8),
    /// A block's header, and whether a checksum follows the last one.
    Block(bool),
}

impl Part {
    fn bytes(self) -> usize {
        match self {
            Self::Prefix => PREFIX_BYTES,
            Self::Magic | Self::SkippableLength => 4,
            Self::Descriptor => 1,
            Self::Header(descriptor) => Header(descriptor).bytes(),
            Self::Block(_) => 3,
        }
    }
}

impl Messages {
    /// Messages whose frames may claim 8 MiB, or as much as a message may have in all.
    pub(super) fn new(max_message_bytes: usize) -> Self {
        let max_window = MAX_WINDOW_BYTES.max(max_message_bytes as u64);
        Self { next: Part::Prefix, skip: 0, left: 0, seen: Vec::new(), max_window }
    }

    /// Looks at what comes next.
    ///
    /// # Errors
    ///
    /// If a frame claims too large a window.
    pub(super) fn check(&mut self, mut bytes: &[u8]) -> Result<(), Status> {
        while !bytes.is_empty() {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = &bytes[skipped..];
            let wanted = (self.next.bytes() - self.seen.len()).min(bytes.len());
            self.seen.extend_from_slice(&bytes[..wanted]);
            bytes = &bytes[wanted..];
            if self.skip == 0 && self.seen.len() == self.next.bytes() {
                let seen = std::mem::take(&mut self.seen);
                self.look_at(&seen)?;
            }
        }
        Ok(())
    }

    fn look_at(&mut self, seen: &[u8]) -> Result<(), Status> {
        if !matches!(self.next, Part::Prefix) {
            self.left = self.left.saturating_sub(seen.len());
        }
        match self.next {
            Part::Prefix => {
                self.left = big_endian(&seen[1..]);
                match seen[0] {
                    1 => self.then(0, Part::Magic),
                    _ => self.give_up(),
                }
            }
            Part::Magic => match little_endian(seen) as u32 {
                FRAME_MAGIC => self.then(0, Part::Descriptor),
                magic if magic & !0xF == SKIPPABLE_MAGIC => self.then(0, Part::SkippableLength),
                _ => self.give_up(),
            },
            Part::SkippableLength => self.then(little_endian(seen) as usize, Part::Magic),
            Part::Descriptor => self.then(0, Part::Header(seen[0])),
            Part::Header(descriptor) => {
                let header = Header(descriptor);
                let (window, max) = (header.window(seen), self.max_window);
                if window > max {
                    return Err(Status::resource_exhausted(format!(
                        "the message's zstd frame claims a window of {window} bytes, more than \
                         {max}: compress it at a lower level or without long-distance matching"
                    )));
                }
                self.then(0, Part::Block(header.has_checksum()));
            }
            Part::Block(checksum) => self.after_block(little_endian(seen), checksum),
        }
        Ok(())
    }

    fn after_block(&mut self, header: u64, checksum: bool) {
        let (is_last, kind, size) = (header & 1 == 1, header >> 1 & 3, (header >> 3) as usize);
        let content = match kind {
            0 | 2 => size,
            1 => 1,
            _ => return self.give_up(),
        };
        match is_last {
            false => self.then(content, Part::Block(checksum)),
            true => self.then(content + if checksum { 4 } else { 0 }, Part::Magic),
        }
    }

    /// Skips bytes of the message and looks at the next part, if the message has so much.
    fn then(&mut self, skip: usize, next: Part) {
        if skip.saturating_add(next.bytes()) > self.left {
            return self.give_up();
        }
        self.left -= skip;
        (self.skip, self.next) = (skip, next);
    }

    /// On to the next message.
    fn give_up(&mut self) {
        (self.skip, self.next) = (std::mem::take(&mut self.left), Part::Prefix);
    }
}

/// A frame's header, by its descriptor.
struct Header(u8);

impl Header {
    fn is_single_segment(&self) -> bool {
        self.0 >> 5 & 1 == 1
    }

    fn has_checksum(&self) -> bool {
        self.0 >> 2 & 1 == 1
    }

    fn dictionary_bytes(&self) -> usize {
        [0, 1, 2, 4][usize::from(self.0 & 3)]
    }

    fn content_size_bytes(&self) -> usize {
        match self.0 >> 6 {
            0 => usize::from(self.is_single_segment()),
            flag => 1 << flag,
        }
    }

    /// Of what follows the descriptor.
    fn bytes(&self) -> usize {
        let window = usize::from(!self.is_single_segment());
        window + self.dictionary_bytes() + self.content_size_bytes()
    }

    /// The window that the decoder has to keep, in bytes.
    fn window(&self, header: &[u8]) -> u64 {
        if self.is_single_segment() {
            let size = little_endian(&header[self.dictionary_bytes()..]);
            // Two bytes begin to count where one ends.
            return size.saturating_add(if self.content_size_bytes() == 2 { 256 } else { 0 });
        }
        let (exponent, mantissa) = (header[0] >> 3, u64::from(header[0] & 7));
        let base = 1_u64 << (10 + exponent);
        base + base / 8 * mantissa
    }
}

/// Up to eight bytes.
fn little_endian(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte))
}

fn big_endian(bytes: &[u8]) -> usize {
    bytes.iter().fold(0, |number, &byte| number << 8 | usize::from(byte))
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    fn message(flag: u8, content: &[u8]) -> Vec<u8> {
        let length = u32::try_from(content.len()).expect("short");
        [&[flag][..], &length.to_be_bytes(), content].concat()
    }

    /// A frame with one raw block of five bytes.
    fn frame(header: &[u8], checksum: bool) -> Vec<u8> {
        let tail: &[u8] = if checksum { &[9; 4] } else { &[] };
        [&FRAME_MAGIC.to_le_bytes()[..], header, &[5 << 3 | 1, 0, 0], b"12345", tail].concat()
    }

    fn check(bytes: &[u8]) -> Result<(), Code> {
        let whole = Messages::new(0).check(bytes);
        let mut messages = Messages::new(0);
        let in_parts = bytes.iter().try_for_each(|&byte| messages.check(&[byte]));
        assert_eq!(whole.is_err(), in_parts.is_err(), "however it is cut");
        if whole.is_ok() {
            assert!(matches!(messages.next, Part::Prefix) && messages.skip == 0, "{messages:?}");
        }
        whole.map_err(|status| status.code())
    }

    #[test]
    fn a_window_is_found_wherever_it_is_claimed() {
        let (small, large) = (frame(&[0, 13 << 3], false), frame(&[0, 17 << 3], false));
        let too_large = Err(Code::ResourceExhausted);
        assert_eq!(check(&message(1, &small)), Ok(()));
        assert_eq!(check(&message(1, &frame(&[0, 13 << 3 | 1], false))), too_large);
        assert_eq!(check(&message(1, &large)), too_large);
        // After other frames, checksums and skippable frames, and in later messages.
        let summed = frame(&[4, 13 << 3], true);
        let skippable = [&[0x5A, 0x2A, 0x4D, 0x18, 3, 0, 0, 0][..], b"abc"].concat();
        let hidden = [&summed[..], &skippable, &small, &large].concat();
        assert_eq!(check(&message(1, &hidden)), too_large);
        let later = [message(1, &summed), message(0, &large), message(1, &large)].concat();
        assert_eq!(check(&later), too_large);
        assert_eq!(check(&later[..later.len() - message(1, &large).len()]), Ok(()));
    }

    #[test]
    fn a_single_segment_claims_its_content() {
        let of_size = |size: u64| {
            let descriptor = 3 << 6 | 1 << 5;
            frame(&[&[descriptor][..], &size.to_le_bytes()].concat(), false)
        };
        assert_eq!(check(&message(1, &of_size(8 << 20))), Ok(()));
        assert_eq!(check(&message(1, &of_size(u64::MAX))), Err(Code::ResourceExhausted));
        assert_eq!(
            Messages::new(9 << 20).check(&message(1, &of_size(9 << 20))).err().map(|_| ()),
            None
        );
    }

    #[test]
    fn what_is_malformed_is_skipped_to_the_next_message() {
        let good = message(1, &frame(&[0, 13 << 3], false));
        let large = message(1, &frame(&[0, 20 << 3], false));
        let short = frame(&[0, 13 << 3], false);
        for bad in [&b"no"[..], b"nothing", &short[..6], &short[..9], &short[..12]] {
            let bad = message(1, bad);
            assert_eq!(check(&[&bad[..], &good].concat()), Ok(()));
            assert_eq!(check(&[&bad[..], &large].concat()), Err(Code::ResourceExhausted));
        }
    }
}
