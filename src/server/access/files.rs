//! What is read from files and kept until they change.
//!
//! They are looked at by content, not by their times or through notifications of the system: so
//! links that are switched, as Kubernetes does, and network file systems make no difference.

use std::{
    fs::File,
    io::{self, Read},
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
};

use sha2::{Digest, Sha256};

use super::AccessError;

/// Far above what certificates, keys and lists of callers take.
const MAX_FILE_BYTES: u64 = 4 << 20;

/// A file, and the key of the configuration that names it.
#[derive(Debug, Clone)]
pub(super) struct Source {
    pub key: &'static str,
    pub path: PathBuf,
}

impl Source {
    /// The file does not hold what it should; `problem` follows its path.
    pub(super) fn unfit(&self, problem: impl Into<String>) -> AccessError {
        let (key, path) = (self.key, self.path.clone());
        AccessError::Unfit { key, path, problem: problem.into() }
    }

    pub(super) fn read(&self) -> Result<Vec<u8>, AccessError> {
        let read = || -> io::Result<Vec<u8>> {
            let mut bytes = Vec::new();
            File::open(&self.path)?.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        let bytes = read().map_err(|source| {
            let (key, path) = (self.key, self.path.clone());
            AccessError::Unreadable { key, path, source }
        })?;
        match bytes.len() as u64 > MAX_FILE_BYTES {
            true => Err(self.unfit(format!("has more than {MAX_FILE_BYTES} bytes"))),
            false => Ok(bytes),
        }
    }
}

/// Makes a value of the files' contents, in the order of their sources.
type Parse<T> = Box<dyn Fn(&[Source], &[Vec<u8>]) -> Result<T, AccessError> + Send + Sync>;

/// A value that comes from files.
pub(super) struct Kept<T> {
    sources: Vec<Source>,
    parse: Parse<T>,
    current: RwLock<Arc<T>>,
    last: Mutex<Look>,
    /// Whether the files are of no use as they are now, and what they said before holds.
    is_stale: AtomicBool,
}

/// What was seen when the files were last looked at.
#[derive(Clone, PartialEq, Eq)]
enum Look {
    /// The hash of all their contents.
    Contents([u8; 32]),
    /// Why they could not be read.
    Failure(String),
}

impl<T> Kept<T> {
    /// Reads the files for the first time.
    pub(super) fn open(
        sources: Vec<Source>,
        parse: impl Fn(&[Source], &[Vec<u8>]) -> Result<T, AccessError> + Send + Sync + 'static,
    ) -> Result<Self, AccessError> {
        let contents = read_all(&sources)?;
        let current = RwLock::new(Arc::new(parse(&sources, &contents)?));
        let last = Mutex::new(Look::Contents(hash(&contents)));
        let is_stale = AtomicBool::new(false);
        Ok(Self { sources, parse: Box::new(parse), current, last, is_stale })
    }

    /// Whether the files are of no use as they are now, and what they said before holds.
    pub(super) fn is_stale(&self) -> bool {
        self.is_stale.load(Ordering::Relaxed)
    }

    /// What they say now.
    pub(super) fn current(&self) -> Arc<T> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<T: Send + Sync + 'static> Kept<T> {
    /// Looks at the files again. If they are broken the old value stays.
    pub(super) async fn refresh(self: &Arc<Self>) {
        let this = Arc::clone(self);
        let looked = tokio::task::spawn_blocking(move || this.look()).await;
        if let Err(error) = looked {
            tracing::error!(%error, "files of [tls] or [auth] were not looked at");
        }
    }

    fn look(&self) {
        let read = read_all(&self.sources);
        let look = match &read {
            Ok(contents) => Look::Contents(hash(contents)),
            Err(error) => Look::Failure(error.to_string()),
        };
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if *last == look {
            return;
        }
        *last = look;
        let paths: Vec<_> = self.sources.iter().map(|source| source.path.display()).collect();
        let parsed = read.and_then(|contents| (self.parse)(&self.sources, &contents));
        self.is_stale.store(parsed.is_err(), Ordering::Relaxed);
        match parsed {
            Ok(value) => {
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(value);
                tracing::info!(files = ?paths, "changed files are in force");
            }
            Err(error) => {
                tracing::error!(%error, "changed files are of no use; what they said before holds");
            }
        }
    }
}

fn read_all(sources: &[Source]) -> Result<Vec<Vec<u8>>, AccessError> {
    sources.iter().map(Source::read).collect()
}

fn hash(contents: &[Vec<u8>]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for content in contents {
        hash.update((content.len() as u64).to_le_bytes());
        hash.update(content);
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[tokio::test]
    async fn what_is_broken_leaves_the_old_and_what_is_mended_counts() {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("number");
        let source = Source { key: "auth.tokens", path: path.clone() };
        let parse = |sources: &[Source], contents: &[Vec<u8>]| {
            let text = String::from_utf8_lossy(&contents[0]);
            text.parse::<u32>().map_err(|_| sources[0].unfit("is no number"))
        };
        let missing = Kept::open(vec![source.clone()], parse).err().expect("missing").to_string();
        let expected = format!("auth.tokens: cannot read {}: No such file", path.display());
        assert!(missing.starts_with(&expected), "{missing}");
        fs::write(&path, "1").expect("written");
        let kept = Arc::new(Kept::open(vec![source], parse).expect("a number"));
        for (content, expected) in [(Some("x"), 1), (Some("2"), 2), (None, 2), (Some("3"), 3)] {
            match content {
                Some(content) => fs::write(&path, content).expect("written"),
                None => fs::remove_file(&path).expect("removed"),
            }
            kept.refresh().await;
            assert_eq!(*kept.current(), expected, "{content:?}");
            let is_good = content == Some(&expected.to_string());
            assert_eq!(kept.is_stale(), !is_good, "{content:?}");
        }
        fs::write(&path, vec![b'1'; MAX_FILE_BYTES as usize + 1]).expect("written");
        kept.refresh().await;
        assert_eq!(*kept.current(), 3);
        // A link that is switched.
        let other = home.path().join("other");
        fs::write(&other, "4").expect("written");
        fs::remove_file(&path).expect("removed");
        std::os::unix::fs::symlink(&other, &path).expect("linked");
        kept.refresh().await;
        assert_eq!(*kept.current(), 4);
    }
}
