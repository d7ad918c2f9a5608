//! Opens a checkpoint and verifies it.

use std::path::{Path, PathBuf};

use super::{CheckpointError, FORMAT_VERSION, FileEntry, MANIFEST, Manifest, TaskEntry, digest};

/// A manifest holds no more than this many bytes.
const MAX_MANIFEST_BYTES: u64 = 16 << 20;

/// A checkpoint whose files are all there and unchanged.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    pub directory: PathBuf,
    pub manifest: Manifest,
}

impl Checkpoint {
    /// Reads the manifest and compares every file with it.
    pub fn open(directory: &Path) -> Result<Self, CheckpointError> {
        let checkpoint = Self::open_unverified(directory)?;
        for (name, expected) in &checkpoint.manifest.files {
            checkpoint.verify(name, expected)?;
        }
        Ok(checkpoint)
    }

    /// Reads the manifest alone.
    pub fn open_unverified(directory: &Path) -> Result<Self, CheckpointError> {
        let path = directory.join(MANIFEST);
        let name = path.display().to_string();
        let unreadable = |source: std::io::Error| {
            if source.kind() == std::io::ErrorKind::NotFound {
                let directory = directory.display().to_string();
                CheckpointError::NoManifest { directory }
            } else {
                CheckpointError::Read { path: name.clone(), source }
            }
        };
        let damaged = |message| CheckpointError::Manifest { path: name.clone(), message };
        let bytes = std::fs::metadata(&path).map_err(unreadable)?.len();
        if bytes > MAX_MANIFEST_BYTES {
            return Err(damaged(format!("it has {bytes} bytes")));
        }
        let text = std::fs::read_to_string(&path).map_err(unreadable)?;
        // The version comes first: a newer format may differ in everything else.
        let json: serde_json::Value =
            serde_json::from_str(&text).map_err(|error| damaged(error.to_string()))?;
        let version = json.get("format_version").and_then(serde_json::Value::as_u64);
        let version = version.and_then(|version| u32::try_from(version).ok());
        match version {
            None | Some(0) => return Err(damaged("it has no format_version".to_owned())),
            Some(found) if found > FORMAT_VERSION => {
                return Err(CheckpointError::Version { path: name, found });
            }
            Some(_) => {}
        }
        let manifest: Manifest =
            serde_json::from_value(json).map_err(|error| damaged(error.to_string()))?;
        if let Some(fault) = manifest.fault() {
            return Err(damaged(fault));
        }
        Ok(Self { directory: directory.to_owned(), manifest })
    }

    fn verify(&self, name: &str, expected: &FileEntry) -> Result<(), CheckpointError> {
        let path = self.path(name);
        let display = path.display().to_string();
        let unreadable = |source| CheckpointError::Read { path: display.clone(), source };
        let (bytes, sha256) = digest::of_file(&path).map_err(unreadable)?;
        let found = FileEntry { bytes, sha256 };
        if found != *expected {
            let expected = expected.clone();
            return Err(CheckpointError::Content { path: display, expected, found });
        }
        Ok(())
    }

    /// Where a file of the manifest lies.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// The SHA-256 of the encoder's files: checkpoints with the same ones can share it.
    pub fn encoder_digest(&self) -> String {
        let files = self.manifest.encoder.files();
        // `Manifest::fault` made sure that the files are listed.
        files.filter_map(|file| Some(self.manifest.files.get(file)?.sha256.as_str())).collect()
    }

    /// The bytes of a file of the manifest.
    pub fn read(&self, name: &str) -> Result<Vec<u8>, CheckpointError> {
        let path = self.path(name);
        std::fs::read(&path)
            .map_err(|source| CheckpointError::Read { path: path.display().to_string(), source })
    }

    /// The task with this name.
    pub fn task(&self, name: &str) -> Result<&TaskEntry, CheckpointError> {
        self.manifest.tasks.iter().find(|task| task.name == name).ok_or_else(|| {
            let known: Vec<&str> = self.manifest.tasks.iter().map(|t| t.name.as_str()).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            let directory = self.directory.display().to_string();
            CheckpointError::NoTask { directory, task: name.to_owned(), known }
        })
    }
}
