//! A directory that is made beside its place and renamed into it when it is whole.
//!
//! A process that is killed leaves its directory behind, and the next one that makes the same
//! directory clears it. Locks tell which directories have a process: each has a lock file beside it,
//! which is there and locked before the directory is, and goes after it.

use std::{
    fs::{self, DirBuilder, File, TryLockError},
    io::{self, ErrorKind, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
};

use rustix::fs::{CWD, RenameFlags};
use tempfile::NamedTempFile;

/// What the name of a lock file has after that of its directory.
const LOCK_SUFFIX: &str = ".lock";

/// Names that are tried. One fails only if another process clears at that very moment.
const MAX_TRIES: usize = 16;

/// A directory in the making, private. Dropped before `publish`, it leaves nothing behind.
pub struct Staging {
    path: PathBuf,
    /// Locked as long as this process makes the directory, where the file system has locks.
    _lock: NamedTempFile,
}

impl Staging {
    /// Makes an empty directory beside `target`, with the directories above it, and clears those of
    /// processes that have ended.
    pub fn beside(target: &Path) -> io::Result<Self> {
        let parent = match target.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        fs::create_dir_all(parent)?;
        Self::new(parent, &target.file_name().unwrap_or_default().to_string_lossy())
    }

    fn new(parent: &Path, name: &str) -> io::Result<Self> {
        // Hidden, and so never taken for a checkpoint by a server that looks into `parent`.
        let prefix = format!(".{name}.new-");
        clear_dead(parent, &prefix);
        for _ in 0..MAX_TRIES {
            let lock =
                tempfile::Builder::new().prefix(&prefix).suffix(LOCK_SUFFIX).tempfile_in(parent)?;
            match lock.as_file().try_lock() {
                Err(TryLockError::WouldBlock) => continue,
                // Where there are no locks, nobody clears.
                Ok(()) | Err(TryLockError::Error(_)) => {}
            }
            // Cleared between its making and its locking.
            if !is_at(lock.as_file(), lock.path()) {
                continue;
            }
            let path = lock.path().with_extension("");
            DirBuilder::new().mode(0o700).create(&path)?;
            return Ok(Self { path, _lock: lock });
        }
        Err(io::Error::new(ErrorKind::AlreadyExists, "other processes clear each new file away"))
    }

    /// The directory until it is published.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of a file with this name, whose directory is made.
    pub fn place(&self, name: &str) -> std::io::Result<PathBuf> {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap_or(self.path()))?;
        Ok(path)
    }

    /// Writes a file and waits until it is on the disk.
    pub fn add(&self, name: &str, bytes: &[u8]) -> std::io::Result<()> {
        let mut file = File::create(self.place(name)?)?;
        file.write_all(bytes)?;
        file.sync_all()
    }

    /// Puts the directory in its place, readable for everybody, by one rename: at every moment the
    /// old or the new directory stands there. What stood there before is removed.
    pub fn publish(self, target: &Path) -> io::Result<()> {
        make_readable(self.path())?;
        put_in_place(self, target)
    }

    /// Removes it with all that is in it.
    fn remove(self) -> io::Result<()> {
        fs::remove_dir_all(&self.path)
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // Of one that was renamed to its place nothing is left here.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Temporary directories are private; what is published may be read by another user, such as a server.
fn make_readable(directory: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(directory, fs::Permissions::from_mode(0o755))
}

/// One rename, so that at every moment the old or the new directory stands there.
fn put_in_place(staging: Staging, target: &Path) -> io::Result<()> {
    match rustix::fs::renameat_with(CWD, staging.path(), CWD, target, RenameFlags::EXCHANGE) {
        // What stood there is now in the temporary place and goes with it.
        Ok(()) => staging.remove()?,
        Err(error) if error == rustix::io::Errno::NOENT => {
            fs::rename(staging.path(), target)?;
        }
        // A file system or kernel that cannot exchange: there is a moment with nothing there.
        Err(_) => move_aside_and_rename(staging, target)?,
    }
    match target.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}

fn move_aside_and_rename(staging: Staging, target: &Path) -> io::Result<()> {
    let old = staging.path().with_extension("old");
    let moved = match fs::rename(target, &old) {
        Ok(()) => true,
        Err(error) if error.kind() == ErrorKind::NotFound => false,
        Err(error) => return Err(error),
    };
    if let Err(error) = fs::rename(staging.path(), target) {
        if moved {
            fs::rename(&old, target)?;
        }
        return Err(error);
    }
    if moved { fs::remove_dir_all(old) } else { Ok(()) }
}

/// Removes directories whose process has ended, with their lock files.
fn clear_dead(parent: &Path, prefix: &str) {
    // A directory that cannot be listed can be written to all the same.
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let is_lock = name
            .to_str()
            .is_some_and(|name| name.starts_with(prefix) && name.ends_with(LOCK_SUFFIX));
        if is_lock {
            // One that cannot be cleared, such as another user's, is in nobody's way.
            let _ = clear_if_dead(&entry.path());
        }
    }
}

fn clear_if_dead(lock_path: &Path) -> io::Result<()> {
    // Over NFS an exclusive lock takes a file that is open for writing.
    let lock = File::options().write(true).open(lock_path)?;
    if lock.try_lock().is_err() || !is_at(&lock, lock_path) {
        return Ok(());
    }
    match fs::remove_dir_all(lock_path.with_extension("")) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => fs::remove_file(lock_path),
    }
}

/// Whether this open file is still the one at `path`.
fn is_at(file: &File, path: &Path) -> bool {
    let id = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    let (open, found) = (file.metadata().map(id), fs::metadata(path).map(id));
    matches!((open, found), (Ok(open), Ok(found)) if open == found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(parent: &Path) -> Vec<String> {
        let entries = fs::read_dir(parent).expect("listed").flatten();
        let mut names: Vec<String> =
            entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn what_dead_processes_left_is_cleared_and_what_lives_is_not() {
        let parent = tempfile::tempdir().expect("a directory");
        let at = |name: &str| parent.path().join(name);
        let living = Staging::new(parent.path(), "out").expect("made");
        fs::write(living.path().join("encoder.onnx"), "x").expect("written");
        for (dead, is_begun) in [("one", true), ("two", false)] {
            fs::write(at(&format!(".out.new-{dead}.lock")), "").expect("written");
            if is_begun {
                fs::create_dir(at(&format!(".out.new-{dead}"))).expect("made");
                fs::write(at(&format!(".out.new-{dead}/encoder.onnx")), "x").expect("written");
            }
        }
        // Another's, and one without a lock, of which nothing is known.
        fs::write(at(".other.new-one.lock"), "").expect("written");
        fs::create_dir(at(".out.new-unknown")).expect("made");
        let next = Staging::new(parent.path(), "out").expect("made");
        assert!(living.path().join("encoder.onnx").exists());
        assert!(next.path() != living.path() && next.path().exists());
        drop((living, next));
        assert_eq!(names(parent.path()), [".other.new-one.lock", ".out.new-unknown"]);
    }

    #[test]
    fn one_that_was_renamed_or_removed_leaves_nothing() {
        let parent = tempfile::tempdir().expect("a directory");
        let staging = Staging::new(parent.path(), "a.b").expect("made");
        fs::rename(staging.path(), parent.path().join("a.b")).expect("renamed");
        drop(staging);
        Staging::new(parent.path(), "a.b").expect("made").remove().expect("removed");
        assert_eq!(names(parent.path()), ["a.b"]);
    }
}
