//! The figures, as a table and as JSON.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::{
    data::{BATCH_SIZE, EQUAL_LENGTH, Scenario},
    measure::{Measured, median},
    memory::Peaks,
};

/// The scenario whose sequences are equally long.
const EQUAL: &str = "equal";

/// What was measured.
pub struct Report {
    threads: usize,
    cpu: String,
    /// Processes that wanted to run in the minute before: others than us make figures noisy.
    load_before: f64,
    left_out: Vec<String>,
    rows: Vec<Row>,
    pub memory: Option<Peaks>,
}

struct Row {
    name: String,
    mean_tokens: f64,
    mean_padded: f64,
    measured: Measured,
}

impl Row {
    fn speedup(&self) -> f64 {
        median(&self.measured.speedups())
    }

    fn json(&self) -> Value {
        let Measured { ours, theirs, choice, loss_difference, .. } = &self.measured;
        let (ours, theirs) = (median(ours), median(theirs));
        json!({
            "speedup": self.speedup(),
            "speedup_of_blocks": self.measured.speedups(),
            "examples_per_second": {"dynamar": 1.0 / ours, "pytorch": 1.0 / theirs},
            "seconds_per_1000_examples": {"dynamar": 1e3 * ours, "pytorch": 1e3 * theirs},
            "mean_tokens": self.mean_tokens,
            "mean_tokens_padded": self.mean_padded,
            "loss_difference_without_dropout": loss_difference,
            "pytorch_setup": {
                "attention": choice.attention,
                "optimizer": choice.optimizer,
                "seconds_tried": choice.seconds,
            },
        })
    }
}

impl Report {
    /// Looks at the machine and prints the table's head.
    pub fn begin(threads: usize, left_out: Vec<String>) -> Result<Self> {
        let cpu = fs::read_to_string("/proc/cpuinfo").context("this needs Linux")?;
        let cpu = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let load = fs::read_to_string("/proc/loadavg")?;
        let load_before = load.split(' ').next().and_then(|load| load.parse().ok()).unwrap_or(0.0);
        let cpu = cpu.map_or("unknown", |(_, name)| name).to_owned();
        println!("{cpu}, {threads} threads each, batches of {BATCH_SIZE}\n");
        println!(
            "{:18}{:>8}{:>8}{:>20}{:>24}{:>22}",
            "", "tokens", "padded", "examples/s", "s / 1,000 examples", "speed-up"
        );
        println!(
            "{:18}{:>8}{:>8}{:>10}{:>10}{:>12}{:>12}{:>8}{:>14}",
            "", "mean", "mean", "dynamar", "PyTorch", "dynamar", "PyTorch", "median", "of blocks"
        );
        Ok(Self { threads, cpu, load_before, left_out, rows: vec![], memory: None })
    }

    /// Adds a scenario and prints its row.
    pub fn add(&mut self, scenario: &Scenario, measured: Measured) {
        let (mean_tokens, mean_padded) = scenario.mean_tokens();
        let row = Row { name: scenario.name.clone(), mean_tokens, mean_padded, measured };
        let speedups = row.measured.speedups();
        let least = speedups.iter().copied().fold(f64::INFINITY, f64::min);
        let most = speedups.iter().copied().fold(0.0, f64::max);
        let (ours, theirs) = (median(&row.measured.ours), median(&row.measured.theirs));
        println!(
            "{:18}{:8.1}{:8.1}{:10.1}{:10.1}{:12.2}{:12.2}{:8.2}{:>14}",
            row.name,
            mean_tokens,
            mean_padded,
            1.0 / ours,
            1.0 / theirs,
            1e3 * ours,
            1e3 * theirs,
            row.speedup(),
            format!("{least:.2}-{most:.2}")
        );
        self.rows.push(row);
    }

    /// Writes the JSON file.
    pub fn write(&self, path: &Path) -> Result<()> {
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory)?;
        }
        let text = serde_json::to_string_pretty(&self.json())? + "\n";
        fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
    }

    fn json(&self) -> Value {
        let tasks: BTreeMap<&str, f64> =
            self.tasks().map(|row| (row.name.as_str(), row.speedup())).collect();
        let scenarios: BTreeMap<&str, Value> =
            self.rows.iter().map(|row| (row.name.as_str(), row.json())).collect();
        let versions = self.rows.first().map(|row| &row.measured.versions);
        json!({
            "speedup_equal_lengths": self.equal().map(Row::speedup),
            "speedup_tasks": tasks,
            "peak_rss_mb": self.memory.as_ref().map(|peaks| peaks.ours_mb),
            "pytorch_peak_rss_mb": self.memory.as_ref().map(|peaks| peaks.theirs_mb),
            "scenarios": scenarios,
            "left_out": self.left_out,
            "cpu": self.cpu,
            "threads": self.threads,
            "load_before": self.load_before,
            "versions": {
                "dynamar": env!("CARGO_PKG_VERSION"),
                "python": versions.map(|versions| &versions.python),
                "torch": versions.map(|versions| &versions.torch),
                "transformers": versions.map(|versions| &versions.transformers),
            },
        })
    }

    fn equal(&self) -> Option<&Row> {
        self.rows.iter().find(|row| row.name == EQUAL)
    }

    fn tasks(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(|row| row.name != EQUAL)
    }

    /// Prints what belongs below the table; the figure comes last.
    pub fn end(&self) -> Result<()> {
        println!();
        for row in &self.rows {
            let Measured { choice, loss_difference, .. } = &row.measured;
            println!(
                "{}: PyTorch with {} attention and {} AdamW; losses without dropout differ by {:.3} %",
                row.name,
                choice.attention,
                choice.optimizer,
                100.0 * loss_difference
            );
        }
        for sentence in &self.left_out {
            println!("{sentence}");
        }
        if self.load_before > 0.5 {
            println!(
                "the machine was not idle before (load {}): do not trust this",
                self.load_before
            );
        }
        let peaks = self.memory.as_ref().context("memory is measured last")?;
        println!(
            "memory of fine-tuning on {BATCH_SIZE} x {EQUAL_LENGTH} tokens: {:.0} MB, PyTorch {:.0} MB",
            peaks.ours_mb, peaks.theirs_mb
        );
        let figure = |row: &Row| format!("{} {:.2}", row.name, row.speedup());
        let figures: Vec<String> =
            self.equal().into_iter().chain(self.tasks()).map(figure).collect();
        println!("bench-train: times as fast as PyTorch: {}", figures.join(", "));
        Ok(())
    }
}
