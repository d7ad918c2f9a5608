//! A stretch of a file as a Parquet file, with a limit on what its pages unfold to.

use std::{
    fs::File,
    io::{self, BufReader, Read},
    os::unix::fs::FileExt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use parquet::{
    errors::{ParquetError, Result},
    file::reader::{ChunkReader, Length},
};

use super::footer::check_schema;

/// Bytes of the largest page, compressed or not. Most writers make pages of 1 MiB.
pub const MAX_PAGE_BYTES: u64 = 64 << 20;

/// Bytes of the largest footer.
const MAX_FOOTER_BYTES: u32 = 64 << 20;

/// What a Parquet file begins and ends with.
const MAGIC: &[u8] = b"PAR1";

/// Bytes that end a Parquet file: the footer's length and those.
const TAIL_BYTES: u64 = 8;

/// First bytes of a page's header that hold its sizes: three tagged numbers of at most 6 bytes.
const HEAD_BYTES: usize = 18;

/// A stretch of a file.
#[derive(Clone)]
pub struct Window {
    file: Arc<File>,
    start: u64,
    length: u64,
    /// If only pages are read, so that their headers can be looked at, what they unfold to.
    pages: Option<Arc<Pages>>,
}

/// Pages that are read one after the other.
struct Pages {
    /// What the page unfolds to whose header was read last.
    last: AtomicU64,
    /// What all pages do that were read since somebody began.
    sum: AtomicU64,
    limit: u64,
}

impl Window {
    /// `length` bytes from `start` on. The file is read by position, so others may share it.
    pub fn new(file: Arc<File>, start: u64, length: u64) -> Self {
        Self { file, start, length, pages: None }
    }

    /// The same for reading pages, none of which may unfold to more than the limit, nor all together to
    /// more than `limit` bytes between one [`Self::begin`] and the next.
    pub fn of_pages(&self, limit: u64) -> Self {
        let (last, sum) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { pages: Some(Arc::new(Pages { last, sum, limit })), ..self.clone() }
    }

    /// Counts anew what pages unfold to.
    pub fn begin(&self) {
        if let Some(pages) = &self.pages {
            pages.sum.store(0, Ordering::Relaxed);
        }
    }

    /// Says so if the footer is larger than any real one, before it is read, or has a schema that the
    /// library had better not take in.
    pub fn check_footer(&self) -> Result<()> {
        let Some(at) = self.length.checked_sub(TAIL_BYTES) else {
            return Err(general("it is too short to be a Parquet file".to_owned()));
        };
        let mut tail = [0; TAIL_BYTES as usize];
        self.file.read_exact_at(&mut tail, self.start + at)?;
        let bytes = u32::from_le_bytes([tail[0], tail[1], tail[2], tail[3]]);
        if bytes > MAX_FOOTER_BYTES {
            return Err(general(format!(
                "its footer has {bytes} bytes, and no more than {MAX_FOOTER_BYTES} are taken"
            )));
        }
        match at.checked_sub(u64::from(bytes)) {
            Some(start) if tail.ends_with(MAGIC) => {
                check_schema(&self.get_bytes(start, bytes as usize)?).map_err(general)
            }
            // No Parquet file, or an encrypted one: the library says so.
            _ => Ok(()),
        }
    }
}

impl Length for Window {
    fn len(&self) -> u64 {
        self.length
    }
}

impl ChunkReader for Window {
    type T = BufReader<Reader>;

    fn get_read(&self, start: u64) -> Result<Self::T> {
        let reader = Reader {
            file: Arc::clone(&self.file),
            at: self.start + start.min(self.length),
            end: self.start + self.length,
            pages: self.pages.clone(),
        };
        Ok(BufReader::new(reader))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        if let Some(pages) = &self.pages {
            if length as u64 > MAX_PAGE_BYTES {
                return Err(general(too_large(length as u64)));
            }
            let bytes = pages.last.load(Ordering::Relaxed);
            let sum = pages.sum.fetch_add(bytes, Ordering::Relaxed) + bytes;
            if sum > pages.limit {
                let limit = pages.limit;
                return Err(general(format!(
                    "pages of a few rows that unfold to {sum} bytes, and no more than {limit} are taken"
                )));
            }
        }
        let fits = start.checked_add(length as u64).is_some_and(|end| end <= self.length);
        if !fits {
            return Err(general(format!("it ends before byte {start} + {length}")));
        }
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, self.start + start)?;
        Ok(bytes.into())
    }
}

fn general(message: String) -> ParquetError {
    ParquetError::General(message)
}

fn too_large(bytes: u64) -> String {
    format!("a page of {bytes} bytes, and no more than {MAX_PAGE_BYTES} are taken")
}

/// Reads on from a place. What is read first is a page's header, if it is one that checks: of a page
/// whose data alone is wanted nothing is read here.
pub struct Reader {
    file: Arc<File>,
    at: u64,
    end: u64,
    pages: Option<Arc<Pages>>,
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Some(pages) = self.pages.take() {
            pages.last.store(self.page_bytes()?, Ordering::Relaxed);
        }
        let left = usize::try_from(self.end.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let wanted = buffer.len().min(left);
        let read = self.file.read_at(&mut buffer[..wanted], self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

impl Reader {
    /// What the page unfolds to whose header is here.
    fn page_bytes(&self) -> io::Result<u64> {
        let mut head = [0; HEAD_BYTES];
        let read = self.file.read_at(&mut head, self.at)?;
        match uncompressed_bytes(&head[..read]) {
            Some(bytes) if bytes <= MAX_PAGE_BYTES => Ok(bytes),
            Some(bytes) => Err(io::Error::other(too_large(bytes))),
            // The library may read what cannot be read here, and would then make room for it.
            None => Err(io::Error::other("a page that does not say how large it is")),
        }
    }
}

/// What a page unfolds to, from the beginning of its header (Thrift's compact protocol: the type and
/// the size are its first two fields, each a tag and a number). No writer writes it otherwise.
fn uncompressed_bytes(head: &[u8]) -> Option<u64> {
    /// The next field, a number of 32 bits.
    const NEXT_NUMBER: u8 = 0x15;
    let mut rest = head;
    let mut number = || {
        let (tag, after) = rest.split_first()?;
        (*tag == NEXT_NUMBER).then_some(())?;
        let (number, after) = varint(after)?;
        rest = after;
        // Of the signs the even ones are positive.
        Some(number >> 1)
    };
    number()?;
    number()
}

fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let length = bytes.iter().take(5).position(|byte| byte & 0x80 == 0)? + 1;
    let (digits, rest) = bytes.split_at(length);
    let number = digits.iter().rev().fold(0, |sum, byte| sum << 7 | u64::from(byte & 0x7f));
    Some((number, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_of_a_page_is_read_off_its_header() {
        assert_eq!(uncompressed_bytes(&[0x15, 0x00, 0x15, 0x08, 0x15, 0x08]), Some(4));
        let huge = [0x15, 0x04, 0x15, 0xfe, 0xff, 0xff, 0xff, 0x0f, 0x15];
        assert_eq!(uncompressed_bytes(&huge), Some((1 << 31) - 1));
        assert_eq!(uncompressed_bytes(&[0x15, 0x00, 0x25, 0x08]), None);
        assert_eq!(uncompressed_bytes(&[]), None);
    }

    #[test]
    fn a_page_that_does_not_say_its_size_is_refused() {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("bytes");
        let read = |head: &[u8]| {
            std::fs::write(&path, head).expect("written");
            let file = Arc::new(File::open(&path).expect("there"));
            let pages = Window::new(file, 0, head.len() as u64).of_pages(100);
            pages.get_read(0).expect("inside").read(&mut [0; 4])
        };
        assert_eq!(read(&[0x15, 0x00, 0x15, 0x08, 0x15, 0x08]).ok(), Some(4));
        // The same fields with their numbers written out.
        let error = read(&[0x05, 0x02, 0x00, 0x05, 0x04, 0x08]).expect_err("refused").to_string();
        assert!(error.contains("does not say"), "{error}");
    }

    #[test]
    fn pages_together_unfold_to_no_more_than_they_may() {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("bytes");
        // 4 bytes each.
        std::fs::write(&path, [0x15, 0x00, 0x15, 0x08, 0x15, 0x08]).expect("written");
        let file = Arc::new(File::open(&path).expect("there"));
        let pages = Window::new(file, 0, 6).of_pages(10);
        let read = || {
            pages.get_read(0).expect("inside").read_exact(&mut [0; 6]).expect("a header");
            pages.get_bytes(0, 4).map(|bytes| bytes.len())
        };
        assert!((0..2).all(|_| read().is_ok()));
        assert!(read().expect_err("refused").to_string().contains("12 bytes, and no more than 10"));
        pages.begin();
        assert!((0..2).all(|_| read().is_ok()));
    }

    #[test]
    fn a_window_ends_where_it_ends() {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("bytes");
        std::fs::write(&path, b"0123456789").expect("written");
        let file = Arc::new(File::open(&path).expect("there"));
        let window = Window::new(file, 2, 5);
        assert_eq!(&window.get_bytes(1, 4).expect("inside")[..], b"3456");
        assert!(window.get_bytes(1, 5).is_err());
        assert!(window.get_bytes(u64::MAX, 1).is_err());
        let mut text = String::new();
        window.get_read(3).expect("inside").read_to_string(&mut text).expect("read");
        assert_eq!(text, "56");
    }
}
