//! PyTorch's side: a Python process that is sent lines of JSON (`pytorch.py`).

use std::{
    io::{BufRead, BufReader, Write},
    ops::Range,
    path::Path,
    process::{self, Child, ChildStdin, ChildStdout, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use dynamar::{inference::Head, task::Target};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::{
    data::{Batch, Scenario},
    ours,
};

const SCRIPT: &str = "benches/train/pytorch.py";

/// How the process is started.
pub struct Command<'a> {
    pub python: &'a Path,
    pub encoder: &'a Path,
    pub threads: usize,
}

/// Which versions answered.
#[derive(Debug, Clone, Deserialize)]
pub struct Versions {
    pub python: String,
    pub torch: String,
    pub transformers: String,
}

/// How PyTorch is set up, the fastest of the ways tried.
#[derive(Debug, Clone, Deserialize)]
pub struct Choice {
    pub attention: String,
    pub optimizer: String,
    /// Of each way, for the same steps.
    pub seconds: Value,
}

#[derive(Deserialize)]
struct Ran {
    seconds: f64,
    losses: Vec<f32>,
}

#[derive(Deserialize)]
struct Memory {
    peak_rss_mb: f64,
}

/// The process, with the scenario's batches loaded. It ends with its input.
pub struct Peer {
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
    pub versions: Versions,
}

impl Peer {
    /// Starts the process and gives it the batches.
    pub fn start(command: &Command<'_>, scenario: &Scenario) -> Result<Self> {
        let mut child = process::Command::new(command.python)
            .arg(SCRIPT)
            .envs([("HF_HUB_OFFLINE", "1"), ("TRANSFORMERS_VERBOSITY", "error")])
            .env("CUDA_VISIBLE_DEVICES", "")
            // As fast on an idle machine, and twice as fast where others take time from the cores.
            .env("OMP_WAIT_POLICY", "passive")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| {
                format!("cannot start {}; `make bench-train` installs it", command.python.display())
            })?;
        let requests = child.stdin.take().context("no input")?;
        let answers = BufReader::new(child.stdout.take().context("no output")?);
        let versions =
            Versions { python: String::new(), torch: String::new(), transformers: String::new() };
        let mut peer = Self { child, requests, answers, versions };
        peer.versions = peer.ask(&load(command, scenario))?;
        let batches: Vec<Value> = scenario.batches.iter().map(batch).collect();
        let file = tempfile::NamedTempFile::new()?;
        serde_json::to_writer(&file, &batches)?;
        let _: Value = peer.ask(&json!({"do": "batches", "file": file.path()}))?;
        Ok(peer)
    }

    /// Times the ways to set PyTorch up on the first batch and keeps the fastest.
    pub fn choose(&mut self) -> Result<Choice> {
        self.ask(&json!({"do": "choose", "batches": [0]}))
    }

    /// Starts over from the encoder's weights and this head, or one of PyTorch's own.
    pub fn begin(&mut self, dropout: f32, steps: usize, head: Option<&Head>) -> Result<()> {
        let head = head.map(
            |Head { output, .. }| json!({"weight": output.weight.data, "bias": output.bias.data}),
        );
        let request = json!({"do": "begin", "dropout": dropout, "steps": steps, "head": head});
        self.ask(&request).map(|_: Value| ())
    }

    /// A step on each of these batches: the time taken and the losses.
    pub fn run(&mut self, batches: Range<usize>) -> Result<(Duration, Vec<f32>)> {
        let batches: Vec<usize> = batches.collect();
        let ran: Ran = self.ask(&json!({"do": "run", "batches": batches}))?;
        Ok((Duration::try_from_secs_f64(ran.seconds)?, ran.losses))
    }

    /// The most memory that the process took so far.
    pub fn peak_rss_mb(&mut self) -> Result<f64> {
        self.ask(&json!({"do": "memory"})).map(|memory: Memory| memory.peak_rss_mb)
    }

    fn ask<T: DeserializeOwned>(&mut self, request: &Value) -> Result<T> {
        writeln!(self.requests, "{request}").context("PyTorch's process has ended")?;
        let mut line = String::new();
        if self.answers.read_line(&mut line)? == 0 {
            bail!("PyTorch's process ended without an answer; what it said stands above");
        }
        let answer: Value = serde_json::from_str(&line).context("PyTorch's answer")?;
        if let Some(error) = answer.get("error") {
            bail!("PyTorch: {error}");
        }
        Ok(serde_json::from_value(answer)?)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended by itself; there is nobody to tell.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn load(command: &Command<'_>, scenario: &Scenario) -> Value {
    let settings = ours::settings(0.0);
    json!({
        "do": "load",
        "encoder": command.encoder,
        "threads": command.threads,
        "outputs": scenario.kind.outputs(),
        "regression": scenario.kind.name() == "regression",
        "learning_rate": settings.learning_rate,
        "head_learning_rate": settings.head_learning_rate,
        "weight_decay": settings.weight_decay,
        "max_gradient_norm": settings.max_gradient_norm,
        "warm_up": settings.warm_up,
        // The trainer has none; it would cost PyTorch more time.
        "attention_dropout": 0.0,
        "seed": settings.seed,
    })
}

fn batch(batch: &Batch) -> Value {
    let examples = batch.prompts.iter().zip(&batch.targets).map(|(prompt, target)| {
        let target = match target {
            Target::Label(label) => json!(label),
            Target::Value(value) => json!(value),
        };
        json!({
            "ids": prompt.input_ids,
            "segments": prompt.segment_ids,
            "position": prompt.mask_position,
            "target": target,
        })
    });
    Value::Array(examples.collect())
}
