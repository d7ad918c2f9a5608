//! A directory that is made beside its place and renamed into it when it is whole.

use std::{
    fs::{self, File},
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
};

use rustix::fs::{CWD, RenameFlags};
use tempfile::TempDir;

/// A directory in the making. Dropped before `publish`, it leaves nothing behind.
pub struct Staging {
    directory: TempDir,
}

impl Staging {
    /// Makes an empty directory beside `target`, with the directories above it.
    pub fn beside(target: &Path) -> std::io::Result<Self> {
        let parent = match target.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        fs::create_dir_all(parent)?;
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        // Hidden, so that a server that looks into `parent` does not take it for a checkpoint.
        let directory =
            tempfile::Builder::new().prefix(&format!(".{name}.new-")).tempdir_in(parent)?;
        Ok(Self { directory })
    }

    /// The directory until it is published.
    pub fn path(&self) -> &Path {
        self.directory.path()
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
    pub fn publish(self, target: &Path) -> std::io::Result<()> {
        make_readable(self.path())?;
        put_in_place(self.directory, target)
    }
}

/// Temporary directories are private; what is published may be read by another user, such as a server.
fn make_readable(directory: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(directory, fs::Permissions::from_mode(0o755))
}

/// One rename, so that at every moment the old or the new directory stands there.
fn put_in_place(staging: TempDir, target: &Path) -> std::io::Result<()> {
    match rustix::fs::renameat_with(CWD, staging.path(), CWD, target, RenameFlags::EXCHANGE) {
        // What stood there is now in the temporary place and goes with it.
        Ok(()) => staging.close()?,
        Err(error) if error == rustix::io::Errno::NOENT => {
            fs::rename(staging.path(), target)?;
            // Nothing is left under the old name to clean up.
            drop(staging.keep());
        }
        // A file system or kernel that cannot exchange: there is a moment with nothing there.
        Err(_) => move_aside_and_rename(staging, target)?,
    }
    match target.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}

fn move_aside_and_rename(staging: TempDir, target: &Path) -> std::io::Result<()> {
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
    // Nothing is left under the old name to clean up.
    drop(staging.keep());
    if moved { fs::remove_dir_all(old) } else { Ok(()) }
}
