//! The file, of whole lines, and those before it, in bounds.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use super::PredictionLogError;

/// Readable and writable by whoever runs the server: there may be texts of customers in it.
const MODE: u32 = 0o600;

/// Bytes of a key that are read; more add nothing.
const MAX_KEY_BYTES: u64 = 4096;

/// How far back the end of the last whole line is looked for at a time.
const BLOCK_BYTES: u64 = 64 << 10;

/// The key in a file.
pub(super) fn read_key(path: &Path) -> io::Result<Vec<u8>> {
    let mut key = Vec::new();
    File::open(path)?.take(MAX_KEY_BYTES).read_to_end(&mut key)?;
    Ok(key)
}

/// A file that makes place for an empty one when it is full. Of those before it (`PATH.1` is the
/// latest) only so many are kept.
pub(super) struct RotatedFile {
    path: PathBuf,
    file: File,
    bytes: u64,
    max_bytes: u64,
    /// With the one that is written.
    max_files: u32,
}

impl RotatedFile {
    /// Opens it for more lines. What a crash has left of a line at its end goes.
    pub fn open(path: PathBuf, max_bytes: u64, max_files: u32) -> Result<Self, PredictionLogError> {
        match open(&path) {
            Ok(Some((file, bytes))) => Ok(Self { path, file, bytes, max_bytes, max_files }),
            Ok(None) => Err(PredictionLogError::InUse { path }),
            Err(source) => Err(PredictionLogError::File { path, source }),
        }
    }

    /// Opens the path anew where it is another file than the one that is written, or none: somebody
    /// has renamed or removed that one. Of the same file it takes the length, which others may have
    /// changed.
    pub fn follow_path(&mut self) -> io::Result<()> {
        let ours = self.file.metadata()?;
        match fs::metadata(&self.path) {
            Ok(found) if (found.dev(), found.ino()) == (ours.dev(), ours.ino()) => {
                self.bytes = ours.len();
                Ok(())
            }
            Ok(_) => self.reopen(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.reopen(),
            Err(error) => Err(error),
        }
    }

    /// Writes whole lines, or none of them.
    pub fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        self.follow_path()?;
        if self.bytes > 0 && self.bytes + lines.len() as u64 > self.max_bytes {
            self.rotate()?;
        }
        match self.file.write_all(lines) {
            Ok(()) => {
                self.bytes += lines.len() as u64;
                Ok(())
            }
            Err(error) => {
                // Half of a line would spoil the next one.
                self.file.set_len(self.bytes)?;
                Err(error)
            }
        }
    }

    fn rotate(&mut self) -> io::Result<()> {
        if self.max_files == 1 {
            self.file.set_len(0)?;
        } else {
            // If it is away already, only the new one could not be opened the last time.
            if self.path.try_exists()? {
                self.make_place()?;
            }
            return self.reopen();
        }
        self.bytes = 0;
        Ok(())
    }

    fn reopen(&mut self) -> io::Result<()> {
        let in_use = || io::Error::other("another process writes it");
        (self.file, self.bytes) = open(&self.path)?.ok_or_else(in_use)?;
        Ok(())
    }

    /// Moves each file to the next number; of the last one nothing is left.
    fn make_place(&self) -> io::Result<()> {
        for number in (1..self.max_files.saturating_sub(1)).rev() {
            move_if_there(&self.numbered(number), &self.numbered(number + 1))?;
        }
        move_if_there(&self.path, &self.numbered(1))
    }

    fn numbered(&self, number: u32) -> PathBuf {
        let mut name = OsString::from(&self.path);
        name.push(format!(".{number}"));
        PathBuf::from(name)
    }
}

fn move_if_there(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        moved => moved,
    }
}

/// The file and its length in whole lines; `None` if another process has it.
fn open(path: &Path) -> io::Result<Option<(File, u64)>> {
    let mut options = OpenOptions::new();
    let mut file = options.create(true).read(true).append(true).mode(MODE).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(None),
        Err(TryLockError::Error(error)) => return Err(error),
    }
    let whole = whole_lines(&mut file)?;
    file.set_len(whole)?;
    Ok(Some((file, whole)))
}

/// Where the last whole line ends.
fn whole_lines(file: &mut File) -> io::Result<u64> {
    let mut end = file.metadata()?.len();
    while end > 0 {
        let start = end.saturating_sub(BLOCK_BYTES);
        let mut block = Vec::new();
        file.seek(SeekFrom::Start(start))?;
        Read::by_ref(file).take(end - start).read_to_end(&mut block)?;
        if let Some(at) = block.iter().rposition(|&byte| byte == b'\n') {
            return Ok(start + at as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).expect("listed").flatten();
        let mut names: Vec<String> =
            entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn so_many_files_of_so_many_bytes_are_kept() {
        let place = tempfile::tempdir().expect("a directory");
        for (max_files, expected) in
            [(1, &["log"][..]), (2, &["log", "log.1"]), (3, &["log", "log.1", "log.2"])]
        {
            let path = place.path().join("log");
            let mut log = RotatedFile::open(path.clone(), 10, max_files).expect("opened");
            for line in ["one\n", "two\n", "three\n", "four\n", "five\n", "six\n", "seven\n"] {
                log.write(line.as_bytes()).expect("written");
            }
            assert_eq!(names(place.path()), expected);
            assert_eq!(fs::read_to_string(&path).expect("read"), "six\nseven\n");
            for name in names(place.path()) {
                fs::remove_file(place.path().join(name)).expect("removed");
            }
        }
        let path = place.path().join("log");
        let mut log = RotatedFile::open(path.clone(), 10, 3).expect("opened");
        for line in ["one\n", "two\n", "three\n", "four\n", "five\n", "six\n", "seven\n"] {
            log.write(line.as_bytes()).expect("written");
        }
        assert_eq!(fs::read_to_string(log.numbered(1)).expect("read"), "four\nfive\n");
        assert_eq!(fs::read_to_string(log.numbered(2)).expect("read"), "three\n");
        // A line that is longer than all that is a file of its own.
        log.write(b"eight is too long for a file\n").expect("written");
        assert_eq!(fs::read_to_string(&path).expect("read"), "eight is too long for a file\n");
    }

    #[test]
    fn a_file_that_cannot_be_opened_costs_none_of_those_before_it() {
        let place = tempfile::tempdir().expect("a directory");
        let path = place.path().join("log");
        let mut log = RotatedFile::open(path.clone(), 10, 9).expect("opened");
        log.write(b"one is long\n").expect("written");
        // Each time it was full, it was moved, and then there were too many open files.
        fs::rename(&path, log.numbered(1)).expect("moved");
        log.write(b"two\n").expect("written");
        assert_eq!(names(place.path()), ["log", "log.1"]);
        assert_eq!(fs::read_to_string(log.numbered(1)).expect("read"), "one is long\n");
        assert_eq!(fs::read_to_string(&path).expect("read"), "two\n");
    }

    #[test]
    fn a_file_that_others_rename_remove_or_empty_is_followed_by_its_path() {
        let place = tempfile::tempdir().expect("a directory");
        let path = place.path().join("log");
        let read = |name: &str| fs::read_to_string(place.path().join(name)).expect("read");
        let mut log = RotatedFile::open(path.clone(), 30, 3).expect("opened");
        log.write(b"one\n").expect("written");
        fs::rename(&path, place.path().join("renamed")).expect("renamed");
        log.write(b"two\n").expect("written");
        assert_eq!((read("renamed"), read("log")), ("one\n".to_owned(), "two\n".to_owned()));
        fs::remove_file(&path).expect("removed");
        log.follow_path().expect("opened");
        assert_eq!(read("log"), "");
        log.write(b"three\n").expect("written");
        // Another one in its place, with half of a line.
        fs::write(place.path().join("other"), "theirs\nhalf").expect("written");
        fs::rename(place.path().join("other"), &path).expect("renamed");
        log.write(b"four\n").expect("written");
        assert_eq!(read("log"), "theirs\nfour\n");
        // Emptied in its place, it is counted anew.
        File::options().write(true).open(&path).expect("opened").set_len(0).expect("emptied");
        log.write(b"five is quite a long line\n").expect("written");
        assert_eq!(read("log"), "five is quite a long line\n");
        assert_eq!(names(place.path()), ["log", "renamed"]);
        // Neither lost in a file that nobody finds, nor half of it written.
        fs::remove_file(&path).expect("removed");
        fs::create_dir(&path).expect("made");
        log.write(b"six\n").expect_err("a directory");
        fs::remove_dir(&path).expect("removed");
        log.write(b"seven\n").expect("written");
        assert_eq!(read("log"), "seven\n");
    }

    #[test]
    fn a_line_that_a_crash_cut_off_goes_and_the_others_stay() {
        let place = tempfile::tempdir().expect("a directory");
        let path = place.path().join("log");
        let long = "x".repeat(3 * BLOCK_BYTES as usize / 2);
        for (found, kept) in [
            ("one\ntwo\nthr", "one\ntwo\n"),
            ("thr", ""),
            ("", ""),
            ("one\n", "one\n"),
            (&format!("one\n{long}"), "one\n"),
            (&long, ""),
        ] {
            fs::write(&path, found).expect("written");
            let mut log = RotatedFile::open(path.clone(), 1 << 20, 2).expect("opened");
            log.write(b"new\n").expect("written");
            assert_eq!(fs::read_to_string(&path).expect("read"), format!("{kept}new\n"));
        }
    }

    #[test]
    fn two_do_not_write_one_file_and_nobody_else_reads_it() {
        use std::os::unix::fs::PermissionsExt;
        let place = tempfile::tempdir().expect("a directory");
        let path = place.path().join("log");
        let _log = RotatedFile::open(path.clone(), 100, 2).expect("opened");
        let again = RotatedFile::open(path.clone(), 100, 2).err().expect("in use");
        assert!(again.to_string().contains("give each its own file"), "{again}");
        let mode = fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let missing = RotatedFile::open(place.path().join("no/such"), 100, 2).err();
        assert!(missing.expect("no directory").to_string().contains("cannot write"));
        let full = RotatedFile::open("/dev/full".into(), 100, 2).err().expect("a device");
        assert!(full.to_string().contains("not a regular file"), "{full}");
    }
}
