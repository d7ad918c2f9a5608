//! Opens regular files inside one directory, and notices when they change while they are read.
//!
//! The directory's author chose every name in it, and may have put links, pipes or devices where
//! files are meant to be. A link is followed as long as it stays in the directory. One layout is an
//! exception: a snapshot in the cache of the Hugging Face Hub, `<repository>/snapshots/<revision>`,
//! is made of links to `<repository>/blobs`.

use std::{
    fs::{File, Metadata, OpenOptions},
    io::{self, ErrorKind},
    os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rustix::fs::OFlags;

use super::error::FileError;
use crate::import::stand_in;

/// Directory in whose bounds files are opened.
#[derive(Debug)]
pub struct Home {
    directory: PathBuf,
    real: PathBuf,
    /// Files of a snapshot in the Hub's cache lie here.
    blobs: Option<PathBuf>,
}

/// Regular file, open. Reading takes a place and moves nothing.
#[derive(Debug)]
pub struct OpenFile {
    path: PathBuf,
    file: File,
    /// Size when it was opened.
    bytes: u64,
    /// Time of the last change when it was opened: seconds and nanoseconds.
    modified: (i64, i64),
}

impl Home {
    /// The directory may be reached by any link: who names it is the operator.
    pub fn open(directory: &Path) -> Result<Self, FileError> {
        let real = directory.canonicalize().map_err(|source| unreadable(directory, source))?;
        if !real.is_dir() {
            return Err(FileError::NotADirectory { path: directory.display().to_string() });
        }
        let blobs = hub_blobs(&real);
        Ok(Self { directory: directory.to_owned(), real, blobs })
    }

    /// Path as the operator named it.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Refuses a directory below this one that a link puts elsewhere.
    pub fn check_directory(&self, path: &Path) -> Result<(), FileError> {
        let real = path.canonicalize().map_err(|source| unreadable(path, source))?;
        if !real.starts_with(&self.real) {
            return Err(outside(path, &real));
        }
        if real.is_dir() {
            return Ok(());
        }
        Err(FileError::NotADirectory { path: path.display().to_string() })
    }

    /// Opens the regular file at this path, which lies in the directory. Names what lies in its place
    /// instead, where its beginning shows it.
    pub fn file(&self, path: &Path) -> Result<OpenFile, FileError> {
        let real = path.canonicalize().map_err(|source| unreadable(path, source))?;
        let in_blobs = self.blobs.as_ref().is_some_and(|blobs| real.starts_with(blobs));
        if !real.starts_with(&self.real) && !in_blobs {
            return Err(outside(path, &real));
        }
        let file = OpenFile::open(path, &real)?;
        file.refuse_stand_in()?;
        Ok(file)
    }

    /// All bytes of the file at this path, at most `limit`.
    pub fn read(&self, path: &Path, limit: u64) -> Result<Vec<u8>, FileError> {
        let file = self.file(path)?;
        if file.bytes > limit {
            let path = path.display().to_string();
            return Err(FileError::TooLarge { path, bytes: file.bytes, limit });
        }
        file.read_range(0, file.bytes)
    }
}

impl OpenFile {
    fn open(path: &Path, real: &Path) -> Result<Self, FileError> {
        let not_a_file = || FileError::NotAFile { path: path.display().to_string() };
        let unreadable = |source| unreadable(path, source);
        // Looked at before it is opened, because opening a device may do something.
        if !real.symlink_metadata().map_err(unreadable)?.is_file() {
            return Err(not_a_file());
        }
        // It may have become a link or a pipe without a writer in between.
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(flags.bits().cast_signed())
            .open(real)
            .map_err(unreadable)?;
        let metadata = file.metadata().map_err(unreadable)?;
        if !metadata.is_file() {
            return Err(not_a_file());
        }
        let (bytes, modified) = (metadata.len(), modified(&metadata));
        Ok(Self { path: path.to_owned(), file, bytes, modified })
    }

    /// Path under which it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Path as errors show it.
    pub fn name(&self) -> String {
        self.path.display().to_string()
    }

    /// Size in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Second handle to the file.
    pub fn duplicate(&self) -> Result<File, FileError> {
        self.file.try_clone().map_err(|source| unreadable(&self.path, source))
    }

    /// Fills `buffer` from this place on. A file that has become shorter is an error.
    pub fn read_at(&self, start: u64, buffer: &mut [u8]) -> Result<(), FileError> {
        self.file.read_exact_at(buffer, start).map_err(|source| match source.kind() {
            ErrorKind::UnexpectedEof => FileError::Changed { path: self.name() },
            _ => unreadable(&self.path, source),
        })
    }

    /// Bytes of a range, which the caller has limited.
    pub fn read_range(&self, start: u64, bytes: u64) -> Result<Vec<u8>, FileError> {
        let inside = start.checked_add(bytes).is_some_and(|end| end <= self.bytes);
        let bytes = usize::try_from(bytes).ok().filter(|_| inside);
        let Some(bytes) = bytes else {
            return Err(unreadable(&self.path, ErrorKind::UnexpectedEof.into()));
        };
        let mut buffer = vec![0; bytes];
        self.read_at(start, &mut buffer)?;
        self.refuse_change()?;
        Ok(buffer)
    }

    /// Fails where the file was written to since it was opened.
    pub fn refuse_change(&self) -> Result<(), FileError> {
        let now = self.file.metadata().map_err(|source| unreadable(&self.path, source))?;
        if (now.len(), modified(&now)) == (self.bytes, self.modified) {
            return Ok(());
        }
        Err(FileError::Changed { path: self.name() })
    }

    fn refuse_stand_in(&self) -> Result<(), FileError> {
        let head = self.read_range(0, self.bytes.min(stand_in::HEAD_BYTES))?;
        match stand_in::of_bytes(&head) {
            None => Ok(()),
            Some(what) => Err(FileError::StandIn { path: self.name(), what }),
        }
    }
}

fn modified(metadata: &Metadata) -> (i64, i64) {
    (metadata.mtime(), metadata.mtime_nsec())
}

/// `blobs` of the Hub's cache, if this is a snapshot in it.
fn hub_blobs(real: &Path) -> Option<PathBuf> {
    let snapshots = real.parent().filter(|parent| parent.ends_with("snapshots"))?;
    let blobs = snapshots.parent()?.join("blobs");
    let is_directory = blobs.symlink_metadata().is_ok_and(|metadata| metadata.is_dir());
    is_directory.then_some(blobs)
}

fn unreadable(path: &Path, source: io::Error) -> FileError {
    FileError::Read { path: path.display().to_string(), source }
}

fn outside(path: &Path, real: &Path) -> FileError {
    FileError::Outside { path: path.display().to_string(), target: real.display().to_string() }
}

/// All bytes of a file that the operator names, at most `limit`. It may be reached by any link.
pub fn read_file(path: &Path, limit: u64) -> Result<Vec<u8>, FileError> {
    let real = path.canonicalize().map_err(|source| unreadable(path, source))?;
    let home = Home::open(real.parent().unwrap_or(&real))?;
    home.read(&real, limit)
}

/// Something lies at this path, be it a link that leads nowhere.
pub fn is_there(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}
