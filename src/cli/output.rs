//! Results on stdout and in files.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{BufWriter, ErrorKind, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};
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

/// Links that are followed at most, as the system does.
const MAX_LINKS: usize = 40;

/// Destination of an output. Only a regular file is ever replaced.
pub enum Destination {
    /// A regular file, or a place where there is nothing yet; links are followed.
    File(PathBuf),
    /// A pipe or a device, opened to be written through.
    Stream(File),
}

impl Destination {
    /// Follows a path.
    pub fn of(path: &Path) -> Result<Self> {
        let cannot = || format!("cannot write {}", path.display());
        // Of a process's own descriptors, which may be files too, the one that is open is written to.
        const OWN: [&str; 4] = ["/dev/stdout", "/dev/stderr", "/dev/fd", "/proc"];
        let is_own = OWN.iter().any(|root| path.starts_with(root));
        let is_other = fs::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir());
        if is_own || is_other {
            let file = OpenOptions::new().write(true).open(path).with_context(cannot)?;
            return Ok(Self::Stream(file));
        }
        let mut place = path.to_owned();
        for _ in 0..MAX_LINKS {
            let Ok(target) = fs::read_link(&place) else { return Ok(Self::File(place)) };
            place = place.parent().unwrap_or(Path::new("")).join(target);
        }
        bail!("{}: too many links", path.display())
    }
}

/// A file that is to be written when a long run is over.
pub struct Page {
    /// As it was given, for messages.
    name: String,
    destination: Destination,
}

impl Page {
    /// The path as it was given.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Says now, and not after the run, if there is no directory for the file.
    pub fn new(path: &Path) -> Result<Self> {
        ensure!(!path.is_dir(), "{} is a directory; name a file", path.display());
        let destination = Destination::of(path)?;
        if let Destination::File(place) = &destination {
            let directory = parent(place);
            ensure!(directory.is_dir(), "{}: there is no such directory", directory.display());
        }
        Ok(Self { name: path.display().to_string(), destination })
    }

    /// Writes the file whole or not at all: beside its place first, then renamed. A pipe or a device
    /// is written through.
    pub fn write(&self, text: &str) -> Result<()> {
        self.write_with(|file| Ok(file.write_all(text.as_bytes())?))
    }

    /// Writes the file piece by piece through `content`, whole or not at all.
    pub fn write_with(&self, content: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
        let written = || -> Result<()> {
            let place = match &self.destination {
                Destination::File(place) => place,
                Destination::Stream(stream) => {
                    let mut buffered = BufWriter::new(stream);
                    content(&mut buffered)?;
                    buffered.flush()?;
                    return Ok(());
                }
            };
            // A new file's usual permissions, less the umask; temporary files are private else.
            let mut file = tempfile::Builder::new()
                .prefix(".dynamar-")
                .permissions(Permissions::from_mode(0o666))
                .tempfile_in(parent(place))?;
            let mut buffered = BufWriter::new(file.as_file_mut());
            content(&mut buffered)?;
            buffered.flush()?;
            drop(buffered);
            file.as_file().sync_all()?;
            file.persist(place)?;
            Ok(())
        };
        written().with_context(|| format!("cannot write {}", self.name))
    }
}

/// The directory of a file.
fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
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
    fn links_are_followed_and_pipes_written_through() {
        use std::os::unix::fs::{FileTypeExt, symlink};
        let home = tempfile::tempdir().expect("a directory");
        let [target, link, pipe] = ["page.html", "link", "pipe"].map(|name| home.path().join(name));
        fs::write(&target, "old").expect("written");
        symlink("page.html", &link).expect("linked");
        Page::new(&link).expect("a place").write("new").expect("written");
        assert!(fs::symlink_metadata(&link).expect("there").is_symlink());
        assert_eq!(fs::read_to_string(&target).expect("read"), "new");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status().expect("it runs");
        assert!(made.success());
        let from = pipe.clone();
        let reader = std::thread::spawn(move || fs::read_to_string(from).expect("read"));
        Page::new(&pipe).expect("a place").write("piped").expect("written");
        assert!(fs::metadata(&pipe).expect("there").file_type().is_fifo());
        assert_eq!(reader.join().expect("no panic"), "piped");
        Page::new(Path::new("/dev/null")).expect("a place").write("gone").expect("written");
        assert!(fs::metadata("/dev/null").expect("there").file_type().is_char_device());
    }

    #[test]
    fn a_place_that_is_none_is_said_at_once() {
        let home = tempfile::tempdir().expect("a directory");
        let error = |path: &Path| Page::new(path).err().map(|error| error.to_string());
        assert!(error(&home.path().join("no/page.html")).is_some_and(|e| e.contains("no such")));
        assert!(error(home.path()).is_some_and(|e| e.contains("name a file")));
        assert_eq!(error(Path::new("page.html")), None);
    }
}
