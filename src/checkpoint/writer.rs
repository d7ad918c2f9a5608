//! Makes a checkpoint beside its place and renames it there when it is whole.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::ErrorKind,
    path::{Path, PathBuf},
};

use super::{
    Checkpoint, CheckpointError, ENCODER_FILE, ENCODER_WEIGHTS_FILE, EncoderEntry, MANIFEST,
    Manifest, Provenance, TaskEntry, confined, digest, manifest::FileEntry,
};
use crate::staging::Staging;

/// A checkpoint in the making. Dropped before `publish`, it leaves nothing behind.
pub struct Draft {
    staging: Staging,
    target: PathBuf,
    replace: bool,
    /// The manifest that stood at `target` in the beginning.
    before: Option<Vec<u8>>,
    files: BTreeMap<String, FileEntry>,
    tasks: BTreeMap<String, TaskEntry>,
}

impl Draft {
    /// Begins a checkpoint that is to be `target`. With `replace` an older checkpoint may stand
    /// there; whatever else stands there is never touched.
    pub fn new(target: &Path, replace: bool) -> Result<Self, CheckpointError> {
        refuse_existing(target, replace)?;
        let staging = Staging::beside(target).map_err(|source| write_error(target, source))?;
        let (files, tasks) = (BTreeMap::new(), BTreeMap::new());
        let before = manifest_at(target);
        Ok(Self { staging, target: target.to_owned(), replace, before, files, tasks })
    }

    /// Writes a file.
    pub fn add(&mut self, name: &str, bytes: &[u8]) -> Result<(), CheckpointError> {
        self.staging.add(name, bytes).map_err(|source| write_error(&self.path(name), source))?;
        let entry = FileEntry { bytes: bytes.len() as u64, sha256: digest::of_bytes(bytes) };
        self.files.insert(name.to_owned(), entry);
        Ok(())
    }

    /// Writes the graph and the matrices of an encoder.
    pub fn add_encoder(&mut self, graph: &[u8], weights: &[u8]) -> Result<(), CheckpointError> {
        self.add(ENCODER_FILE, graph)?;
        self.add(ENCODER_WEIGHTS_FILE, weights)
    }

    /// Where a file of the draft lies until it is published.
    pub fn path(&self, name: &str) -> PathBuf {
        self.staging.path().join(name)
    }

    /// Adds a task with its three files.
    pub fn add_task(
        &mut self,
        name: &str,
        task_file: &str,
        head: &[u8],
        report: &[u8],
    ) -> Result<(), CheckpointError> {
        let place = |file: &str| format!("tasks/{name}/{file}");
        let entry = TaskEntry {
            name: name.to_owned(),
            task_file: place("task.toml"),
            head: place("head.safetensors"),
            report: place("report.json"),
        };
        self.add(&entry.task_file, task_file.as_bytes())?;
        self.add(&entry.head, head)?;
        self.add(&entry.report, report)?;
        self.tasks.insert(name.to_owned(), entry);
        Ok(())
    }

    /// Takes over a file of another checkpoint; on the same file system it is shared, not copied.
    pub fn share(&mut self, from: &Checkpoint, name: &str) -> Result<(), CheckpointError> {
        let entry = from.entry(name)?.clone();
        let path = self.place(name)?;
        // Not a link, should it be one: that may lead elsewhere from here.
        let linked = from.path(name).canonicalize().and_then(|source| {
            fs::hard_link(&source, &path)
                .or_else(|_| fs::copy(&source, &path).and_then(|_| File::open(&path)?.sync_all()))
        });
        linked.map_err(|source| write_error(&path, source))?;
        // What was opened may have been changed since.
        confined::verify(self.staging.path(), name, &entry)?;
        self.files.insert(name.to_owned(), entry);
        Ok(())
    }

    /// Takes over a task of another checkpoint.
    pub fn share_task(
        &mut self,
        from: &Checkpoint,
        task: &TaskEntry,
    ) -> Result<(), CheckpointError> {
        for file in [&task.task_file, &task.head, &task.report] {
            self.share(from, file)?;
        }
        self.tasks.insert(task.name.clone(), task.clone());
        Ok(())
    }

    /// Writes the manifest and puts the directory in its place.
    pub fn publish(
        self,
        encoder: EncoderEntry,
        tokenizer: &str,
        provenance: Provenance,
    ) -> Result<Manifest, CheckpointError> {
        let mut manifest = Manifest {
            format_version: encoder.format_version(),
            id: String::new(),
            encoder,
            tokenizer: tokenizer.to_owned(),
            tasks: self.tasks.into_values().collect(),
            files: self.files,
            provenance,
        };
        manifest.id = manifest.expected_id();
        let path = self.staging.path().join(MANIFEST);
        let damaged = |message| CheckpointError::Manifest {
            path: self.target.display().to_string(),
            message,
        };
        if let Some(fault) = manifest.fault() {
            return Err(damaged(fault));
        }
        let json = serde_json::to_string_pretty(&manifest).map_err(|e| damaged(e.to_string()))?;
        self.staging
            .add(MANIFEST, (json + "\n").as_bytes())
            .map_err(|source| write_error(&path, source))?;
        // A long training may lie between the beginning and now.
        refuse_existing(&self.target, self.replace)?;
        if manifest_at(&self.target) != self.before {
            let directory = self.target.display().to_string();
            return Err(CheckpointError::Changed { directory });
        }
        self.staging.publish(&self.target).map_err(|source| write_error(&self.target, source))?;
        Ok(manifest)
    }

    fn place(&self, name: &str) -> Result<PathBuf, CheckpointError> {
        self.staging.place(name).map_err(|source| write_error(&self.path(name), source))
    }
}

fn manifest_at(target: &Path) -> Option<Vec<u8>> {
    fs::read(target.join(MANIFEST)).ok()
}

fn refuse_existing(target: &Path, replace: bool) -> Result<(), CheckpointError> {
    let directory = target.display().to_string();
    match fs::read_dir(target).map(|entries| entries.count()) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(source) => Err(write_error(target, source)),
        Ok(0) => Ok(()),
        Ok(_) if !target.join(MANIFEST).exists() => Err(CheckpointError::Foreign { directory }),
        Ok(_) if !replace => Err(CheckpointError::Exists { directory }),
        Ok(_) => Ok(()),
    }
}

fn write_error(path: &Path, source: std::io::Error) -> CheckpointError {
    CheckpointError::Write { path: path.display().to_string(), source }
}
