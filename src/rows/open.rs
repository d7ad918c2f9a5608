//! Opens a file or stream: looks at its beginning, and gives its text in UTF-8, unpacked.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write},
    path::Path,
};

use super::{
    RowsError,
    dialect::{Dialect, ReadOptions},
    encoding::Encoding,
    format::Format,
    packing::Packing,
    peek::Peeked,
    records::Position,
    separated::{Separated, detect_separator},
};

/// Bytes that are read at a time.
pub const BUFFER_BYTES: usize = 1 << 18;

/// Bytes of a Parquet file that is unpacked, or read from a pipe, to the disk.
const MAX_SPOOLED_BYTES: u64 = 64 << 30;

/// Text to cut into records.
pub type Text<'a> = Box<dyn BufRead + Send + 'a>;

/// What is read.
pub enum RowInput<'a> {
    /// All formats but Parquet, from the beginning.
    Text(Text<'a>),
    /// Bytes of Parquet, which is read at any place of a file.
    Parquet(Box<dyn Read + Send + 'a>),
}

/// A file or stream whose beginning was looked at.
pub struct Opened<'a> {
    pub dialect: Dialect,
    pub input: RowInput<'a>,
}

/// Looks at the beginning of these bytes. `name` is for messages, and its extension tells a format.
///
/// # Errors
///
/// If they cannot be read, or are known to be something that is not taken.
pub fn open<'a>(
    bytes: Box<dyn Read + Send + 'a>,
    name: &str,
    options: &ReadOptions,
) -> Result<Opened<'a>, RowsError> {
    let failed = RowsError::read(name);
    let mut packed = Peeked::new(bytes);
    let head = packed.until(|head| head.len() >= Packing::HEAD_BYTES).map_err(&failed)?;
    let packing = Packing::detect(head);
    check_known(name, head, packing)?;
    let unpacked = packing.unpack(Box::new(packed)).map_err(&failed)?;
    let mut unpacked = Peeked::new(unpacked);
    let head = unpacked.until(has_line).map_err(&failed)?;
    check_known(name, head, packing)?;
    let encoding = match head.starts_with(b"PAR1") {
        true => Some(Encoding::Utf8),
        false => Encoding::detect(head, options.encoding),
    };
    let encoding = encoding.ok_or_else(|| RowsError::Foreign {
        path: name.to_owned(),
        what: "UTF-16 without a byte order mark, or no text at all",
        advice: "say --encoding utf-16, or save it in UTF-8",
    })?;
    let mut text = Peeked::new(encoding.decode(Box::new(unpacked)));
    let head = text.until(has_line).map_err(&failed)?;
    let format = options.format.unwrap_or_else(|| Format::detect(name, head, options.fallback));
    let separated = Separated {
        separator: separator(format, head, options),
        escape: options.escape,
        quotes: !options.no_quotes,
    };
    let dialect = Dialect { format, packing, encoding, separated };
    let input = match format {
        Format::Parquet => RowInput::Parquet(Box::new(text)),
        _ => RowInput::Text(Box::new(BufReader::with_capacity(BUFFER_BYTES, text))),
    };
    Ok(Opened { dialect, input })
}

/// The text of a file that was looked at before, from a place in it.
///
/// # Errors
///
/// If it cannot be read.
pub fn open_at(path: &Path, dialect: &Dialect, at: Position) -> Result<Text<'static>, RowsError> {
    let failed = RowsError::read(&path.display().to_string());
    let mut file = File::open(path).map_err(&failed)?;
    if dialect.is_seekable() {
        file.seek(SeekFrom::Start(at.offset)).map_err(&failed)?;
        return Ok(Box::new(BufReader::with_capacity(BUFFER_BYTES, file)));
    }
    let text = dialect.encoding.decode(dialect.packing.unpack(Box::new(file)).map_err(&failed)?);
    let mut text = BufReader::with_capacity(BUFFER_BYTES, text);
    io::copy(&mut text.by_ref().take(at.offset), &mut io::sink()).map_err(&failed)?;
    Ok(Box::new(text))
}

/// Bytes of Parquet as a file without a name, which goes with its last handle.
///
/// # Errors
///
/// If they cannot be read or kept, or are too many.
pub fn spooled(bytes: Box<dyn Read + Send + '_>, name: &str) -> Result<File, RowsError> {
    let failed = RowsError::read(name);
    let mut file = tempfile::tempfile().map_err(&failed)?;
    let mut bytes = bytes.take(MAX_SPOOLED_BYTES + 1);
    let written = io::copy(&mut bytes, &mut file).map_err(&failed)?;
    if written > MAX_SPOOLED_BYTES {
        return Err(RowsError::TooLarge { path: name.to_owned(), limit: MAX_SPOOLED_BYTES });
    }
    file.flush().map_err(&failed)?;
    Ok(file)
}

/// Whether a line that is not blank is there to its end, in UTF-8 or UTF-16.
fn has_line(head: &[u8]) -> bool {
    let is_blank = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, 0 | 0xef..=0xff);
    let start = head.iter().position(|byte| !is_blank(byte) && !matches!(byte, 0xbb | 0xbf));
    start.is_some_and(|start| head[start..].iter().any(|byte| matches!(byte, b'\n' | b'\r')))
}

fn separator(format: Format, head: &[u8], options: &ReadOptions) -> u8 {
    let header = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    let header = header.trim_ascii_start();
    let end = header.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
    match (options.separator, format) {
        (Some(separator), _) => separator,
        (None, Format::Tsv) => b'\t',
        (None, _) => detect_separator(&header[..end.unwrap_or(header.len())]),
    }
}

/// Names what people take for a table and is none that is read here.
fn check_known(name: &str, head: &[u8], packing: Packing) -> Result<(), RowsError> {
    let lower = name.to_ascii_lowercase();
    let found = match head {
        [b'P', b'K', 3, 4, ..] => {
            Some(("an Excel workbook or a zip archive", "save its table as CSV, or unpack it"))
        }
        [0xd0, 0xcf, 0x11, 0xe0, ..] => Some(("an old Excel workbook", "save its table as CSV")),
        [b'B', b'Z', b'h', ..] => Some(("packed with bzip2", "unpack it first")),
        [0xfd, b'7', b'z', b'X', b'Z', ..] => Some(("packed with xz", "unpack it first")),
        [_, ..] if packing == Packing::Plain && lower.ends_with(".gz") => {
            Some(("no gzip file, whatever its name says", "give it the name of its format"))
        }
        [_, ..] if packing == Packing::Plain && lower.ends_with(".zst") => {
            Some(("no Zstandard file, whatever its name says", "give it the name of its format"))
        }
        _ => None,
    };
    match found {
        Some((what, advice)) => Err(RowsError::Foreign { path: name.to_owned(), what, advice }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(
        name: &str,
        bytes: &[u8],
        options: &ReadOptions,
    ) -> Result<(Dialect, String), String> {
        let bytes = Box::new(io::Cursor::new(bytes.to_vec()));
        let Opened { dialect, input } =
            open(bytes, name, options).map_err(|error| error.to_string())?;
        let mut text = String::new();
        if let RowInput::Text(mut input) = input {
            input.read_to_string(&mut text).map_err(|error| error.to_string())?;
        }
        Ok((dialect, text))
    }

    #[test]
    fn a_file_is_known_by_its_beginning_and_read_from_it() {
        let options = ReadOptions::default();
        let check = |name: &str, text: &str, told: &str| {
            let (dialect, found) = opened(name, text.as_bytes(), &options).expect(name);
            assert_eq!((dialect.to_string().as_str(), found.as_str()), (told, text), "{name}");
        };
        check("a.csv", "\u{feff}a;b\n1;2\n", "CSV, separated by ';'");
        check("a.tsv", "a,b\tc\n", "TSV");
        check("a", "\r\n\r\na\tb,c\td\n1\t2\t3\n", "CSV, separated by '\\t'");
        check("a", "{\"a\":1}\n", "JSONL");
        check("a.json", "[{\"a\":1}]", "JSON");
        check("a.csv", "", "CSV");
        let bytes: Vec<u8> = "\u{feff}a|b\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let (dialect, text) = opened("a.csv", &bytes, &options).expect("UTF-16");
        assert_eq!(dialect.to_string(), "CSV, separated by '|', in utf-16");
        assert_eq!(text, "a|b\n");
        let asked = ReadOptions { separator: Some(b':'), no_quotes: true, ..options };
        let (dialect, _) = opened("a.csv", b"a,b:c\n", &asked).expect("asked for");
        assert_eq!(dialect.to_string(), "CSV, separated by ':', without quotes");
    }

    #[test]
    fn what_is_not_read_is_named_with_what_to_do() {
        let check = |name: &str, bytes: &[u8], words: &[&str]| {
            let error = opened(name, bytes, &ReadOptions::default()).expect_err("refused");
            assert!(words.iter().all(|word| error.contains(word)), "{error}");
        };
        check("a.xlsx", b"PK\x03\x04....", &["a.xlsx", "Excel", "as CSV"]);
        check("a.csv.gz", b"text,label\n", &["a.csv.gz", "no gzip"]);
        check("a.csv", b"a\0,\0b\0\n\0", &["UTF-16", "--encoding utf-16"]);
        check("a.csv.bz2", b"BZh91AY", &["bzip2", "unpack"]);
    }
}
