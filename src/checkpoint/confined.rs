//! Opens the files of a directory that may come from anywhere, and reads no more of them than it was
//! told there is.
//!
//! Whoever made a checkpoint chose every name in it, and may have put links, pipes or devices where
//! files are meant to be. A link is followed as long as it stays in the directory: that is how
//! Kubernetes mounts a ConfigMap. The directory itself may be reached by any link: who names it is
//! the operator.

use std::{
    fs::{File, OpenOptions},
    io::{self, ErrorKind, Read},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use rustix::fs::OFlags;
use sha2::{Digest, Sha256};

use super::{CheckpointError, FileEntry, digest::hex};

/// Read in pieces, so that a piece is still in the cache when it is hashed.
const PIECE_BYTES: usize = 1 << 20;

/// Opens a regular file that lies in the directory. Tells its size too.
pub(super) fn open(directory: &Path, name: &str) -> Result<(File, u64), CheckpointError> {
    let path = directory.join(name);
    let display = || path.display().to_string();
    let unreadable = |source| CheckpointError::Read { path: display(), source };
    let home = directory.canonicalize().map_err(unreadable)?;
    let real = path.canonicalize().map_err(unreadable)?;
    if !real.starts_with(&home) {
        let target = real.display().to_string();
        return Err(CheckpointError::Outside { path: display(), target });
    }
    // Looked at before it is opened, because opening a device may do something.
    if !real.symlink_metadata().map_err(unreadable)?.is_file() {
        return Err(CheckpointError::NotAFile { path: display() });
    }
    // Nor may it have become a link or a pipe without a writer in between.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(&real)
        .map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(CheckpointError::NotAFile { path: display() });
    }
    Ok((file, metadata.len()))
}

/// Opens a file that must have the size that the manifest says.
pub(super) fn open_sized(
    directory: &Path,
    name: &str,
    expected: &FileEntry,
) -> Result<File, CheckpointError> {
    let (file, found) = open(directory, name)?;
    if found != expected.bytes {
        return Err(size_error(directory, name, expected, found));
    }
    Ok(file)
}

/// All bytes of a file, compared with what they must be.
pub(super) fn read(
    directory: &Path,
    name: &str,
    expected: &FileEntry,
) -> Result<Vec<u8>, CheckpointError> {
    let mut file = open_sized(directory, name, expected)?;
    let mut bytes = vec![0; memory_size(directory, name, expected)?];
    let found = fill(&mut file, &mut bytes);
    compare(directory, name, expected, found)?;
    Ok(bytes)
}

/// As [`read`], into memory of the caller's, which has the file's size. Gives the file back.
pub(super) fn read_into(
    directory: &Path,
    name: &str,
    expected: &FileEntry,
    memory: &mut [u8],
) -> Result<File, CheckpointError> {
    let mut file = open_sized(directory, name, expected)?;
    let found = fill(&mut file, memory);
    compare(directory, name, expected, found)?;
    Ok(file)
}

/// Compares the content of a file with what it must be, without keeping it.
pub(super) fn verify(
    directory: &Path,
    name: &str,
    expected: &FileEntry,
) -> Result<(), CheckpointError> {
    let file = open_sized(directory, name, expected)?;
    // No more than that, should it grow meanwhile.
    let mut file = file.take(expected.bytes);
    let mut piece = vec![0; PIECE_BYTES];
    let mut hasher = Sha256::new();
    let found = loop {
        match file.read(&mut piece) {
            Ok(0) => break Ok(hex(&hasher.finalize())),
            Ok(count) => hasher.update(&piece[..count]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => break Err(error),
        }
    };
    compare(directory, name, expected, found)
}

fn memory_size(
    directory: &Path,
    name: &str,
    expected: &FileEntry,
) -> Result<usize, CheckpointError> {
    usize::try_from(expected.bytes).map_err(|_| {
        let path = directory.join(name).display().to_string();
        CheckpointError::Read { path, source: ErrorKind::OutOfMemory.into() }
    })
}

/// Fills the memory from the file and tells the hash of what was read.
fn fill(file: &mut File, memory: &mut [u8]) -> io::Result<String> {
    let mut hasher = Sha256::new();
    for piece in memory.chunks_mut(PIECE_BYTES) {
        file.read_exact(piece)?;
        hasher.update(&*piece);
    }
    Ok(hex(&hasher.finalize()))
}

fn compare(
    directory: &Path,
    name: &str,
    expected: &FileEntry,
    found: io::Result<String>,
) -> Result<(), CheckpointError> {
    let path = || directory.join(name).display().to_string();
    let sha256 = found.map_err(|source| CheckpointError::Read { path: path(), source })?;
    if sha256 == expected.sha256 {
        return Ok(());
    }
    let found = FileEntry { bytes: expected.bytes, sha256 };
    Err(CheckpointError::Content { path: path(), expected: expected.clone(), found })
}

fn size_error(directory: &Path, name: &str, expected: &FileEntry, found: u64) -> CheckpointError {
    let path = directory.join(name).display().to_string();
    CheckpointError::Size { path, expected: expected.bytes, found }
}
