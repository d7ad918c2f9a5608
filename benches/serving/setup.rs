//! The checkpoints that are served: an encoder as it was imported, with two tasks.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use dynamar::checkpoint::{LANGUAGE_HEAD_FILE, MANIFEST, TOKENIZER_FILE};

/// The tasks' names.
pub const POLARITY: &str = "bench-polarity";
pub const INTENSITY: &str = "bench-intensity";

/// Their folders in `models/data`, whose names are also those of their task files.
const TASKS: [&str; 2] = ["review-polarity", "review-intensity"];

const TASK_FILES: &str = "benches/serving/tasks";
const DATA: &str = "models/data";

/// Where what is served lies: directories for `serve --models`, each with one checkpoint.
const MODELS: &str = "target/bench/models";
const QUANTISED_MODELS: &str = "target/bench/models-int8";
const CHECKPOINT: &str = "reviews";

/// A directory for `serve --models` and the checkpoint in it.
pub struct Served {
    pub models: PathBuf,
    pub checkpoint: PathBuf,
}

impl Served {
    /// Where nothing lies yet.
    fn anew(models: &str) -> Result<Self> {
        let models = PathBuf::from(models);
        if models.exists() {
            fs::remove_dir_all(&models)
                .with_context(|| format!("cannot remove {}", models.display()))?;
        }
        fs::create_dir_all(&models)?;
        Ok(Self { checkpoint: models.join(CHECKPOINT), models })
    }

    /// Bytes of the encoder's files: the graph, and what weights it keeps beside itself.
    pub fn encoder_bytes(&self) -> Result<u64> {
        let mut bytes = 0;
        for entry in fs::read_dir(&self.checkpoint)? {
            let entry = entry?;
            let others = [MANIFEST, TOKENIZER_FILE, LANGUAGE_HEAD_FILE];
            let is_other = others.iter().any(|other| entry.file_name() == *other);
            if entry.file_type()?.is_file() && !is_other {
                bytes += entry.metadata()?.len();
            }
        }
        Ok(bytes)
    }
}

/// Trains both tasks' heads for two steps: how good they are does not matter here.
pub fn checkpoint(dynamar: &Path, encoder: &Path) -> Result<Served> {
    let served = Served::anew(MODELS)?;
    let mut from = encoder;
    for task in TASKS {
        let mut train = Command::new(dynamar);
        train.arg("train").args(["--tune", "head", "--steps", "2"]);
        train.arg("--task").arg(format!("{TASK_FILES}/{task}.toml"));
        train.arg("--train").arg(format!("{DATA}/{task}/dev.csv"));
        train.arg("--encoder").arg(from).arg("--out").arg(&served.checkpoint);
        run(&mut train)?;
        from = &served.checkpoint;
    }
    Ok(served)
}

/// The same tasks on the encoder in int8, if this `dynamar` can make that.
pub fn quantised(dynamar: &Path, served: &Served) -> Result<Option<Served>> {
    let help = run(Command::new(dynamar).args(["import", "--help"]))?;
    if !help.contains("--quantize") {
        return Ok(None);
    }
    let quantised = Served::anew(QUANTISED_MODELS)?;
    let mut import = Command::new(dynamar);
    import.arg("import").arg(&served.checkpoint).args(["--quantize", "int8"]);
    run(import.arg("--out").arg(&quantised.checkpoint))?;
    Ok(Some(quantised))
}

/// What the command says on standard output.
fn run(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("cannot run {command:?}"))?;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?} failed: {}", error.trim_end());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
