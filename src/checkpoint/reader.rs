//! Opens a checkpoint and verifies it.

use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::{
    CheckpointError, FORMAT_VERSION, FileEntry, MANIFEST, Manifest, TaskEntry, confined, digest,
};

/// A manifest holds no more than this many bytes.
const MAX_MANIFEST_BYTES: u64 = 16 << 20;

/// A checkpoint whose files are all there and unchanged.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    pub directory: PathBuf,
    pub manifest: Manifest,
}

/// What is read of a manifest first: a newer format may differ in everything else.
#[derive(Deserialize)]
struct Version {
    format_version: Option<serde_json::Number>,
}

impl Checkpoint {
    /// Reads the manifest and compares every file with it.
    pub fn open(directory: &Path) -> Result<Self, CheckpointError> {
        Self::open_but(directory, |_, _| false)
    }

    /// As [`Checkpoint::open`], but of the encoder's files it compares the sizes alone. They are
    /// large, and `read` and `read_into` compare their contents, with those very bytes that are
    /// used then.
    pub fn open_to_serve(directory: &Path) -> Result<Self, CheckpointError> {
        Self::open_but(directory, |manifest, name| {
            manifest.encoder.files().any(|file| file == name)
        })
    }

    fn open_but(
        directory: &Path,
        later: impl Fn(&Manifest, &str) -> bool,
    ) -> Result<Self, CheckpointError> {
        let checkpoint = Self::open_unverified(directory)?;
        let files = &checkpoint.manifest.files;
        // What takes no time comes first.
        for (name, expected) in files {
            confined::open_sized(directory, name, expected)?;
        }
        for (name, expected) in files.iter().filter(|(name, _)| !later(&checkpoint.manifest, name))
        {
            confined::verify(directory, name, expected)?;
        }
        Ok(checkpoint)
    }

    /// Reads the manifest alone.
    pub fn open_unverified(directory: &Path) -> Result<Self, CheckpointError> {
        let name = directory.join(MANIFEST).display().to_string();
        let damaged = |message| CheckpointError::Manifest { path: name.clone(), message };
        let text = read_manifest(directory, &name)?;
        let version: Version =
            serde_json::from_str(&text).map_err(|error| damaged(error.to_string()))?;
        let version = version.format_version.and_then(|number| number.as_u64());
        let version = version.and_then(|version| u32::try_from(version).ok());
        match version {
            None | Some(0) => return Err(damaged("it has no format_version".to_owned())),
            Some(found) if found > FORMAT_VERSION => {
                return Err(CheckpointError::Version { path: name, found });
            }
            Some(_) => {}
        }
        let manifest: Manifest =
            serde_json::from_str(&text).map_err(|error| damaged(error.to_string()))?;
        if let Some(fault) = manifest.fault() {
            return Err(damaged(fault));
        }
        Ok(Self { directory: directory.to_owned(), manifest })
    }

    /// Where a file of the manifest lies.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// The SHA-256 of the encoder's files, and of how a graph from elsewhere is run: checkpoints with the
    /// same digest can share the encoder.
    pub fn encoder_digest(&self) -> String {
        let encoder = &self.manifest.encoder;
        // `Manifest::fault` made sure that the files are listed.
        let hashes = encoder.files().filter_map(|file| self.manifest.files.get(file));
        let mut all: String = hashes.map(|entry| entry.sha256.as_str()).collect();
        if let Some(graph) = &encoder.graph {
            // Enums, strings and numbers: there is nothing that JSON cannot hold.
            let run = serde_json::to_vec(&(graph, &encoder.architecture)).unwrap_or_default();
            all += &digest::of_bytes(&run);
        }
        all
    }

    /// What a file of the manifest must be.
    pub fn entry(&self, name: &str) -> Result<&FileEntry, CheckpointError> {
        self.manifest.files.get(name).ok_or_else(|| CheckpointError::Manifest {
            path: self.path(MANIFEST).display().to_string(),
            message: format!("it does not list {name:?}"),
        })
    }

    /// The bytes of a file of the manifest, compared with it.
    pub fn read(&self, name: &str) -> Result<Vec<u8>, CheckpointError> {
        confined::read(&self.directory, name, self.entry(name)?)
    }

    /// As [`Checkpoint::read`], into memory that has the size of the file's entry. Gives the file
    /// back, whose content may be another one meanwhile.
    pub fn read_into(&self, name: &str, memory: &mut [u8]) -> Result<File, CheckpointError> {
        confined::read_into(&self.directory, name, self.entry(name)?, memory)
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

fn read_manifest(directory: &Path, name: &str) -> Result<String, CheckpointError> {
    let unreadable = |source: std::io::Error| {
        if source.kind() == std::io::ErrorKind::NotFound {
            let directory = directory.display().to_string();
            CheckpointError::NoManifest { directory }
        } else {
            CheckpointError::Read { path: name.to_owned(), source }
        }
    };
    let (file, bytes) = match confined::open(directory, MANIFEST) {
        Err(CheckpointError::Read { source, .. }) => return Err(unreadable(source)),
        opened => opened?,
    };
    let too_large = |bytes| {
        let message = format!("it has {bytes} bytes; at most {MAX_MANIFEST_BYTES} are taken");
        CheckpointError::Manifest { path: name.to_owned(), message }
    };
    if bytes > MAX_MANIFEST_BYTES {
        return Err(too_large(bytes));
    }
    let mut text = String::new();
    // Cut off, should it grow meanwhile, and then no JSON any more.
    file.take(MAX_MANIFEST_BYTES).read_to_string(&mut text).map_err(unreadable)?;
    Ok(text)
}
