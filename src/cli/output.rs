//! Results on stdout and in files.

use std::{
    fs::Permissions,
    io::{BufWriter, ErrorKind, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use serde::Serialize;

/// Writes text. A reader that has seen enough (`| head`) is no error.
pub fn text(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(error).context("writing to stdout")
        }
        _ => Ok(()),
    }
}

/// Writes a value as indented JSON.
pub fn json(value: &impl Serialize) -> Result<()> {
    text(&(serde_json::to_string_pretty(value)? + "\n"))
}

/// A file that is to be written when a long run is over.
pub struct Page {
    path: PathBuf,
    directory: PathBuf,
}

impl Page {
    /// Says now, and not after the run, if there is no directory for the file.
    pub fn new(path: &Path) -> Result<Self> {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let directory = parent.unwrap_or(Path::new(".")).to_owned();
        ensure!(directory.is_dir(), "{}: there is no such directory", directory.display());
        ensure!(!path.is_dir(), "{} is a directory; name a file", path.display());
        // Renaming would put a file in the place of a device, a pipe or a link.
        let is_special = path.symlink_metadata().is_ok_and(|there| !there.is_file());
        ensure!(!is_special, "{} is no regular file; name another", path.display());
        Ok(Self { path: path.to_owned(), directory })
    }

    /// Writes the file whole or not at all: beside its place first, then renamed.
    pub fn write(&self, text: &str) -> Result<()> {
        self.write_with(|file| Ok(file.write_all(text.as_bytes())?))
    }

    /// The same, with what writes the file piece by piece.
    pub fn write_with(&self, content: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
        let written = || -> Result<()> {
            // A new file's usual permissions, less the umask; temporary files are private else.
            let mut file = tempfile::Builder::new()
                .prefix(".dynamar-")
                .permissions(Permissions::from_mode(0o666))
                .tempfile_in(&self.directory)?;
            let mut buffered = BufWriter::new(file.as_file_mut());
            content(&mut buffered)?;
            buffered.flush()?;
            drop(buffered);
            file.as_file().sync_all()?;
            file.persist(&self.path)?;
            Ok(())
        };
        written().with_context(|| format!("cannot write {}", self.path.display()))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_page_replaces_the_old_one_and_leaves_nothing_else() {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("page.html");
        fs::write(&path, "old").expect("written");
        Page::new(&path).expect("a place").write("new").expect("written");
        assert_eq!(fs::read_to_string(&path).expect("read"), "new");
        assert_eq!(fs::read_dir(home.path()).expect("a directory").count(), 1);
    }

    #[test]
    fn what_fails_half_way_leaves_nothing() {
        let home = tempfile::tempdir().expect("a directory");
        let page = Page::new(&home.path().join("rows.csv")).expect("a place");
        let half = |out: &mut dyn Write| {
            out.write_all(b"half")?;
            anyhow::bail!("the rest is missing")
        };
        assert!(page.write_with(half).is_err());
        assert_eq!(fs::read_dir(home.path()).expect("a directory").count(), 0);
    }

    #[test]
    fn a_place_that_is_none_is_said_at_once() {
        let home = tempfile::tempdir().expect("a directory");
        let error = |path: &Path| Page::new(path).err().map(|error| error.to_string());
        assert!(error(&home.path().join("no/page.html")).is_some_and(|e| e.contains("no such")));
        assert!(error(home.path()).is_some_and(|e| e.contains("name a file")));
        assert_eq!(error(Path::new("page.html")), None);
        assert!(error(Path::new("/dev/null")).is_some_and(|e| e.contains("no regular file")));
        let link = home.path().join("link.html");
        std::os::unix::fs::symlink(home.path().join("page.html"), &link).expect("linked");
        assert!(error(&link).is_some_and(|e| e.contains("no regular file")));
    }
}
