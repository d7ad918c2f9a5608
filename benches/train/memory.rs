//! How much memory fine-tuning takes, on each side in a process of its own.

use std::{env, fs, process};

use anyhow::{Context, Result, ensure};
use dynamar::weights::EncoderWeights;
use serde::{Deserialize, Serialize};

use crate::{
    Args,
    data::Scenario,
    measure::DROPOUT,
    ours::Ours,
    peer::{Command, Peer},
};

/// Steps after which the memory is looked at.
pub const STEPS: usize = 5;

/// The most memory that each side held, in 10^6 bytes.
pub struct Peaks {
    pub ours_mb: f64,
    pub theirs_mb: f64,
}

#[derive(Serialize, Deserialize)]
struct Peak {
    peak_rss_mb: f64,
}

/// Has this program train a little in another process, and PyTorch in a third.
pub fn measure(scenario: &Scenario, args: &Args, command: &Command<'_>) -> Result<Peaks> {
    let output = process::Command::new(env::current_exe()?)
        .args(["--memory-alone", "--threads", &command.threads.to_string()])
        .arg("--encoder")
        .arg(&args.encoder)
        .output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let ours: Peak = serde_json::from_slice(&output.stdout)?;
    let mut peer = Peer::start(command, scenario)?;
    peer.begin(DROPOUT, STEPS, None)?;
    peer.run(0..STEPS)?;
    Ok(Peaks { ours_mb: ours.peak_rss_mb, theirs_mb: peer.peak_rss_mb()? })
}

/// Trains a little and prints the most memory that this process took.
pub fn measure_here(scenario: Scenario, weights: EncoderWeights) -> Result<()> {
    let mut ours = Ours::begin(&weights, &scenario, DROPOUT, STEPS)?;
    drop(weights);
    ours.run(&scenario.batches)?;
    println!("{}", serde_json::to_string(&Peak { peak_rss_mb: peak_rss_mb()? })?);
    Ok(())
}

/// Linux's high-water mark of this process.
fn peak_rss_mb() -> Result<f64> {
    let status = fs::read_to_string("/proc/self/status").context("this needs Linux")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
    let kilobytes: f64 = kilobytes.context("no VmHWM in /proc/self/status")?.parse()?;
    Ok(kilobytes * 1024.0 / 1e6)
}
