//! What a directory of checkpoints looks like from outside: cheap to read, and different whenever
//! a checkpoint is.

use std::{
    fs::{self, File, Metadata},
    hash::{DefaultHasher, Hasher},
    io::{self, ErrorKind, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use crate::checkpoint::MANIFEST;

/// Files of a checkpoint that are looked at; one with more is refused. Each task has three.
const MAX_FILES: usize = 16 << 10;

/// Directories in each other that are looked into. Checkpoints need three.
const MAX_DEPTH: usize = 8;

/// Bytes of a manifest that are read. One with more is refused when it is opened.
const MAX_MANIFEST_BYTES: u64 = 16 << 20;

/// The checkpoints of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listing {
    /// Whether the directory is itself the only one.
    pub is_checkpoint: bool,
    /// In order of their names.
    pub entries: Vec<Listed>,
}

/// A subdirectory, or the directory itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listed {
    /// Its own name, without the way to it.
    pub name: String,
    pub path: PathBuf,
    pub state: State,
}

/// What there is to see of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    /// No manifest: no checkpoint, or not the whole of one.
    NoManifest,
    /// It cannot be looked into, such as `lost+found`: whether it is a checkpoint is not known.
    Inaccessible(String),
    /// There is a manifest, and it or what belongs to it cannot be read.
    Unreadable(String),
    /// A checkpoint, to look at.
    Checkpoint(Signature),
}

/// Differs when a file of a checkpoint does, but for one that is rewritten in its place with as many
/// bytes and its old time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Signature {
    /// Of the bytes, for file systems that keep no good time.
    manifest: u64,
    /// All files, in order of their paths. `None` is one that leads nowhere.
    files: Vec<(PathBuf, Option<Stamp>)>,
}

/// What a file system says of a file. Not the time of the last change of its status: checkpoints
/// share files by hard links, and each new link would look like a change.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    /// Seconds and nanoseconds.
    modified: (i64, i64),
}

impl Stamp {
    fn new(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }
}

impl Listing {
    /// Looks at the directory: at itself if it is a checkpoint, else at its subdirectories.
    pub fn read(directory: &Path) -> io::Result<Self> {
        let state = State::read(directory);
        if let Some(State::Checkpoint(_) | State::Unreadable(_)) = state
            && directory.join(MANIFEST).exists()
        {
            let name = directory.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let entries = state.into_iter();
            let entries = entries.map(|state| Listed {
                name: name.clone(),
                path: directory.to_owned(),
                state,
            });
            return Ok(Self { is_checkpoint: true, entries: entries.collect() });
        }
        let mut entries = Vec::new();
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            // A checkpoint in the making is hidden.
            if name.starts_with('.') {
                continue;
            }
            let path = entry.path();
            entries.extend(State::read(&path).map(|state| Listed { name, path, state }));
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Self { is_checkpoint: false, entries })
    }
}

impl State {
    /// `None` if there is no directory but a file.
    pub fn read(path: &Path) -> Option<Self> {
        match fs::metadata(path.join(MANIFEST)) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotADirectory => return None,
            Err(error) if error.kind() == ErrorKind::NotFound => return Some(Self::NoManifest),
            Err(error) => {
                let has_manifest = fs::symlink_metadata(path.join(MANIFEST)).is_ok();
                let state = if has_manifest { Self::Unreadable } else { Self::Inaccessible };
                return Some(state(error.to_string()));
            }
        }
        Some(match Signature::read(path) {
            Ok(signature) => Self::Checkpoint(signature),
            Err(error) => Self::Unreadable(error.to_string()),
        })
    }
}

impl Signature {
    fn read(checkpoint: &Path) -> io::Result<Self> {
        let mut manifest = Vec::new();
        let file = File::open(checkpoint.join(MANIFEST))?;
        file.take(MAX_MANIFEST_BYTES).read_to_end(&mut manifest)?;
        let mut hasher = DefaultHasher::new();
        hasher.write(&manifest);
        let mut files = Vec::new();
        walk(checkpoint, Path::new(""), MAX_DEPTH, &mut files)?;
        files.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(Self { manifest: hasher.finish(), files })
    }
}

/// Adds the files below `root`/`inside`. What cannot be read is found out when it is opened.
fn walk(
    root: &Path,
    inside: &Path,
    depth: usize,
    files: &mut Vec<(PathBuf, Option<Stamp>)>,
) -> io::Result<()> {
    for entry in fs::read_dir(root.join(inside))? {
        let path = inside.join(entry?.file_name());
        match fs::metadata(root.join(&path)) {
            Ok(metadata) if metadata.is_dir() && depth > 0 => {
                let listed = walk(root, &path, depth - 1, files);
                if listed.is_err() {
                    files.push((path, None));
                }
            }
            Ok(metadata) => files.push((path, Some(Stamp::new(&metadata)))),
            Err(_) => files.push((path, None)),
        }
        if files.len() > MAX_FILES {
            return Err(io::Error::other(format!("it holds more than {MAX_FILES} files")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint(home: &Path, name: &str) -> PathBuf {
        let path = home.join(name);
        fs::create_dir_all(path.join("tasks/a")).expect("made");
        fs::write(path.join(MANIFEST), "{}").expect("written");
        fs::write(path.join("tasks/a/head"), "head").expect("written");
        path
    }

    fn names(home: &Path) -> Vec<(String, bool)> {
        let entries = Listing::read(home).expect("listed").entries;
        let is_one = |state: &State| matches!(state, State::Checkpoint(_));
        entries.iter().map(|one| (one.name.clone(), is_one(&one.state))).collect()
    }

    #[test]
    fn it_lists_what_may_be_a_checkpoint_and_says_what_is_none() {
        let home = tempfile::tempdir().expect("a directory");
        let good = checkpoint(home.path(), "good");
        checkpoint(home.path(), ".good.new-1");
        fs::create_dir(home.path().join("notes")).expect("made");
        fs::write(home.path().join("README"), "x").expect("written");
        let loop_at = home.path().join("loop");
        std::os::unix::fs::symlink(&loop_at, &loop_at).expect("linked");
        let listed = names(home.path());
        let expected = [("good", true), ("loop", false), ("notes", false)];
        assert_eq!(listed, expected.map(|(name, is_one)| (name.to_owned(), is_one)));
        let listing = Listing::read(home.path()).expect("listed");
        assert!(matches!(listing.entries[1].state, State::Inaccessible(_)), "{listing:?}");
        assert!(!listing.is_checkpoint);
        let itself = Listing::read(&good).expect("listed");
        assert!(itself.is_checkpoint && itself.entries[0].name == "good");
        assert!(Listing::read(&home.path().join("missing")).is_err());
    }

    #[test]
    fn a_manifest_that_is_there_and_leads_nowhere_is_that_of_a_checkpoint() {
        let home = tempfile::tempdir().expect("a directory");
        let path = checkpoint(home.path(), "one");
        let manifest = path.join(MANIFEST);
        fs::remove_file(&manifest).expect("removed");
        std::os::unix::fs::symlink(&manifest, &manifest).expect("linked");
        assert!(matches!(State::read(&path), Some(State::Unreadable(_))));
    }

    #[test]
    fn a_signature_differs_whatever_changes() {
        let home = tempfile::tempdir().expect("a directory");
        let path = checkpoint(home.path(), "one");
        let read = || State::read(&path).expect("a directory");
        let mut seen = vec![read()];
        assert_eq!(read(), seen[0]);
        fs::hard_link(path.join("tasks/a/head"), home.path().join("link")).expect("linked");
        assert_eq!(read(), seen[0], "others may share its files");
        let head = path.join("tasks/a/head");
        fs::write(&head, "longer").expect("written");
        seen.push(read());
        // Another file of the same size and time in its place.
        let time = fs::metadata(&head).and_then(|head| head.modified()).expect("a time");
        fs::write(path.join("new"), "LONGER").expect("written");
        let new = File::options().write(true).open(path.join("new")).expect("opened");
        new.set_modified(time).expect("set");
        fs::rename(path.join("new"), &head).expect("renamed");
        seen.push(read());
        fs::remove_file(&head).expect("removed");
        seen.push(read());
        fs::write(path.join(MANIFEST), "[]").expect("written");
        seen.push(read());
        for (at, one) in seen.iter().enumerate() {
            assert!(matches!(one, State::Checkpoint(_)));
            assert!(!seen[..at].contains(one), "{at}");
        }
        let renamed = home.path().join("two");
        fs::rename(&path, &renamed).expect("renamed");
        assert_eq!(State::read(&renamed), seen.pop(), "a new name alone changes nothing");
        assert_eq!(read(), State::NoManifest);
    }

    #[test]
    fn a_directory_without_end_is_not_walked_to_its_end() {
        let home = tempfile::tempdir().expect("a directory");
        let path = checkpoint(home.path(), "one");
        std::os::unix::fs::symlink(&path, path.join("again")).expect("linked");
        assert!(matches!(State::read(&path), Some(State::Checkpoint(_))));
    }
}
