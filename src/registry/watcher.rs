//! Notices that checkpoints have changed, by looking.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::listing::Listing;

/// Watches a directory of checkpoints. It sees a change when it is over: when the directory looks
/// the same twice, so that what is just being copied there is not opened half-way.
///
/// Looking reads the directory, the manifests, and what the file system says of the other files; a
/// slow disk takes its time for that, so it is not for an async thread.
pub struct Watcher {
    directory: PathBuf,
    /// What was seen last.
    last: Seen,
    /// What was there when somebody last did something about it; `None` if that has to be done
    /// again in any case.
    acted_on: Option<Seen>,
}

/// The checkpoints, or why they cannot be seen.
type Seen = Result<Listing, io::ErrorKind>;

impl Watcher {
    /// What is there now is taken for known.
    pub fn new(directory: &Path) -> Self {
        let last = see(directory);
        Self { directory: directory.to_owned(), acted_on: Some(last.clone()), last }
    }

    /// Whether there is a change, and it is over. From then on it is taken for known.
    pub fn poll(&mut self) -> bool {
        let now = see(&self.directory);
        let is_settled = now == self.last;
        self.last = now;
        if !is_settled || self.acted_on.as_ref() == Some(&self.last) {
            return false;
        }
        self.acted_on = Some(self.last.clone());
        true
    }

    /// Takes what is there now for known.
    pub fn look(&mut self) {
        self.acted_on = Some(see(&self.directory));
    }

    /// Takes nothing for known, so that the next poll at rest sees a change.
    pub fn forget(&mut self) {
        self.acted_on = None;
    }
}

fn see(directory: &Path) -> Seen {
    Listing::read(directory).map_err(|error| error.kind())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::checkpoint::MANIFEST;

    #[test]
    fn a_change_is_seen_once_and_when_it_is_over() {
        let home = tempfile::tempdir().expect("a directory");
        let models = home.path().join("models");
        let checkpoint = models.join("reviews");
        fs::create_dir_all(&checkpoint).expect("made");
        fs::write(checkpoint.join(MANIFEST), "{}").expect("written");
        let mut watcher = Watcher::new(&models);
        assert!(!watcher.poll(), "what was there is known");
        // Copied piece by piece.
        for piece in ["a", "ab", "abc"] {
            fs::write(checkpoint.join("encoder.weights"), piece).expect("written");
            assert!(!watcher.poll());
        }
        assert_eq!([watcher.poll(), watcher.poll()], [true, false]);
        fs::rename(&checkpoint, models.join("reviews@1")).expect("renamed");
        watcher.look();
        assert_eq!([watcher.poll(), watcher.poll()], [false, false], "somebody was quicker");
        watcher.forget();
        assert_eq!([watcher.poll(), watcher.poll()], [true, false]);
        fs::rename(&models, home.path().join("away")).expect("renamed");
        assert_eq!([watcher.poll(), watcher.poll(), watcher.poll()], [false, true, false]);
        fs::rename(home.path().join("away"), &models).expect("renamed");
        assert_eq!([watcher.poll(), watcher.poll(), watcher.poll()], [false, true, false]);
        fs::write(models.join("notes"), "no checkpoint").expect("written");
        assert_eq!([watcher.poll(), watcher.poll()], [false, false]);
    }
}
