//! Makes a checkpoint beside its place and renames it there when it is whole.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
};

use super::{
    Checkpoint, CheckpointError, ENCODER_FILE, ENCODER_WEIGHTS_FILE, EncoderEntry, MANIFEST,
    Manifest, Provenance, TaskEntry, confined, digest, manifest::FileEntry, staging::Staging,
};
use rustix::fs::{CWD, RenameFlags};

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
        let parent = match target.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        fs::create_dir_all(parent).map_err(|source| write_error(parent, source))?;
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        let staging = Staging::new(parent, &name).map_err(|source| write_error(parent, source))?;
        let (files, tasks) = (BTreeMap::new(), BTreeMap::new());
        let before = manifest_at(target);
        Ok(Self { staging, target: target.to_owned(), replace, before, files, tasks })
    }

    /// Writes a file.
    pub fn add(&mut self, name: &str, bytes: &[u8]) -> Result<(), CheckpointError> {
        let path = self.place(name)?;
        write_synced(&path, bytes).map_err(|source| write_error(&path, source))?;
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
        write_synced(&path, (json + "\n").as_bytes())
            .map_err(|source| write_error(&path, source))?;
        make_readable(self.staging.path()).map_err(|source| write_error(&path, source))?;
        // A long training may lie between the beginning and now.
        refuse_existing(&self.target, self.replace)?;
        if manifest_at(&self.target) != self.before {
            let directory = self.target.display().to_string();
            return Err(CheckpointError::Changed { directory });
        }
        put_in_place(self.staging, &self.target)
            .map_err(|source| write_error(&self.target, source))?;
        Ok(manifest)
    }

    fn place(&self, name: &str) -> Result<PathBuf, CheckpointError> {
        let path = self.path(name);
        let parent = path.parent().unwrap_or(self.staging.path());
        fs::create_dir_all(parent).map_err(|source| write_error(parent, source))?;
        Ok(path)
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

fn write_synced(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Temporary directories are private; a checkpoint is for a server that may be another user.
fn make_readable(directory: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(directory, fs::Permissions::from_mode(0o755))
}

/// One rename, so that at every moment the old or the new directory stands there.
fn put_in_place(staging: Staging, target: &Path) -> std::io::Result<()> {
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

fn move_aside_and_rename(staging: Staging, target: &Path) -> std::io::Result<()> {
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

fn write_error(path: &Path, source: std::io::Error) -> CheckpointError {
    CheckpointError::Write { path: path.display().to_string(), source }
}
